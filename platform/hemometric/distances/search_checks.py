"""What may be asked of a search: how many neighbours, how tight a bound, and who may not meet whom."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from hemometric.distances.checks import as_array, checked_whole

Exclude = npt.NDArray[np.bool_] | tuple[npt.ArrayLike, npt.ArrayLike]
Excluded = Callable[[slice, slice], npt.NDArray[np.bool_]]
"""From some queries and some signals to bool [query, signal]: who may not meet whom."""

_KINDS = ("strings", "whole numbers")


def checked_k(k: int, num_signals: int) -> int:
    """Take how many neighbours are asked for.

    Raises
    ------
    ValueError
        No whole number in 1 … num_signals.
    """
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or not 1 <= k <= num_signals:
        raise ValueError(f"k={k!r}: give a whole number in 1 … {num_signals}, the size of the archive")
    return int(k)


def checked_components(components: int) -> int:
    """Take a number of principal directions.

    Raises
    ------
    ValueError
        No whole number of at least 0.
    """
    return checked_whole(components, "components", 0)


def checked_exclude(exclude: Exclude | None, num_queries: int, num_signals: int) -> Excluded:
    """Give the function that tells for some queries and some signals who may not meet whom.

    Raises
    ------
    ValueError
        Neither a mask bool [query, signal] nor two lists of labels of one kind, whole numbers or strings.
    """
    if exclude is None:
        return lambda rows, columns: np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.bool_)
    if isinstance(exclude, tuple):
        labels = [_labels(part) for part in exclude]
        kinds = [_kind(part) for part in labels]
        fit = [part.shape for part in labels] == [(num_queries,), (num_signals,)]
        if not fit or len(set(kinds)) != 1 or kinds[0] not in _KINDS:
            given = " and ".join(f"{kind} {list(part.shape)}" for kind, part in zip(kinds, labels, strict=True))
            raise ValueError(
                f"exclude: a pair has to be labels of one kind, strings or whole numbers, [{num_queries}] and "
                f"[{num_signals}]; these are {given}"
            )
        codes = np.unique(_joined(*labels), return_inverse=True)[1]
        asking, kept = codes[:num_queries], codes[num_queries:]
        return lambda rows, columns: asking[rows, None] == kept[None, columns]
    mask = as_array(exclude, "exclude", f"bool [{num_queries}, {num_signals}]")
    if mask.shape != (num_queries, num_signals) or mask.dtype != np.bool_:
        raise ValueError(
            f"exclude has shape {mask.shape} and dtype {mask.dtype}; expected bool [{num_queries}, {num_signals}]"
        )
    return lambda rows, columns: mask[rows, columns]


def _labels(part: npt.ArrayLike) -> npt.NDArray[Any]:
    """Take labels as an array; a list as one of objects, since numpy would make strings of a number among strings."""
    if not hasattr(part, "dtype"):
        return np.asarray(part, np.object_)
    array = as_array(part, "exclude", "of labels")
    return array.astype(np.object_) if array.dtype.kind == "T" else array  # numpy's strings of any length


def _kind(labels: npt.NDArray[Any]) -> str:
    """Name the kind of labels: one of `_KINDS`, or what they are instead."""
    if labels.dtype.kind in "iu":
        return "whole numbers"
    if labels.dtype.kind == "U":
        return "strings"
    if labels.dtype.kind != "O":
        return str(labels.dtype)
    types = set(map(type, labels.flat))
    if all(issubclass(one, str) for one in types):
        return "strings"
    if all(issubclass(one, (int, np.integer)) and one is not bool for one in types):
        return "whole numbers"
    return "objects of " + ", ".join(sorted(one.__name__ for one in types))


def _joined(queries: npt.NDArray[Any], signals: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Join labels of one kind; as objects where numpy would make floats of them, as of int64 beside uint64."""
    as_they_are = np.result_type(queries, signals).kind in "iuU"
    return np.concatenate([queries, signals] if as_they_are else [queries.astype(object), signals.astype(object)])
