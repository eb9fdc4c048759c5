"""What may be compared: finite float32 signals of one shape, and a band that fits them."""

from __future__ import annotations

import inspect
import math
import warnings
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from hemometric.distances.schedule import Int64
from hemometric.ecg import Float32

Form = Literal["difference", "gemm"]
"""How a local cost is computed; see `dtw.pairwise`."""
Metric = Literal["dependent", "independent"]
"""One path for all leads, or one for each; see `dtw.pairwise`."""
Window = float | int | None
"""A band in samples (int), as a fraction of the length (float), or none."""

_LARGEST_EXACT = 2**24
_MOST_LEADS = 32
"""More leads than this, and more than samples, are rather the samples; body surface maps have more, but longer ones."""


def as_array(values: npt.ArrayLike, name: str, axes: str) -> npt.NDArray[Any]:
    """Take an argument as an array.

    Raises
    ------
    ValueError
        It is none: rows of unequal length, or what its own library does not give; the message begins with `name`.
    """
    try:
        return np.asarray(values)
    except ValueError:
        raise ValueError(f"{name}: parts differ in shape; give one array {axes}") from None
    except (TypeError, RuntimeError) as error:  # of torch: bfloat16, or with a gradient
        raise ValueError(f"{name}: give one array {axes} that numpy can hold ({error})") from None


def checked_signals(signals: npt.ArrayLike, name: str) -> Float32:
    """Take [signal, lead, sample] as C-contiguous float32, copied only where it is not that already.

    Warns
    -----
    UserWarning
        As `warn_if_swapped`. What was checked is checked again by `checked_block`, so that a call warns once.

    Raises
    ------
    ValueError
        Not three-dimensional, without signals, leads or samples, not real numbers, NaN or infinite, or integers that
        float32 cannot hold; the message begins with `name`.
    """
    array = checked_block(signals, name)
    warn_if_swapped(array.shape, name)
    return array


def warn_if_swapped(shape: tuple[int, ...], name: str) -> None:
    """Warn the caller of this room, where [.., lead, sample] looks like the [.., sample, lead] of other libraries.

    Warns
    -----
    UserWarning
        More than 32 leads, and more leads than samples.
    """
    num_leads, num_samples = shape[-2:]
    if not max(_MOST_LEADS, num_samples) < num_leads:
        return
    axes = ("signal", "lead", "sample")[-len(shape) :]
    stacklevel, frame = 1, inspect.currentframe()
    while frame and str(frame.f_globals.get("__name__")).startswith("hemometric.distances"):
        stacklevel, frame = stacklevel + 1, frame.f_back
    warnings.warn(
        f"{name} has shape {tuple(shape)}, which is {num_leads} leads of {num_samples} samples: arrays are "
        f"[{', '.join(axes)}]; if this one is [{', '.join((*axes[:-2], 'sample', 'lead'))}], swap its last two axes",
        UserWarning,
        stacklevel=stacklevel,
    )


def checked_block(signals: npt.ArrayLike, name: str, first: int = 0) -> Float32:
    """Take signals as `checked_signals` does, without its warning: a part of something longer, or what was checked.

    `first` is the position of the first of them.

    Raises
    ------
    ValueError
        As `checked_signals`.
    """
    array = as_array(signals, name, "[signal, lead, sample]")
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{name} has dtype {array.dtype}; give real numbers")
    if array.ndim != 3 or 0 in array.shape:
        raise ValueError(f"{name} has shape {array.shape}; expected [signal, lead, sample] with at least one of each")
    if array.dtype.kind in "iu" and max(int(array.max()), -int(array.min())) > _LARGEST_EXACT:
        raise ValueError(f"{name} holds integers beyond 2**24, which float32 rounds; convert them to millivolts first")
    with np.errstate(over="ignore"):  # a float64 too large becomes infinite and is refused below
        array = np.require(array, np.float32, ["C", "A"])
    if not (np.isfinite(array.min()) and np.isfinite(array.max())):  # NaN is the minimum of whatever holds it
        bad = ~np.isfinite(array).all(axis=(1, 2))
        raise ValueError(
            f"{name} holds NaN or infinity in {int(bad.sum())} of {len(array)} signals, first at position "
            f"{first + int(bad.argmax())}; leave such recordings out"
        )
    return array


def checked_some(signals: npt.NDArray[Any], positions: Int64, at_once: int, name: str) -> Float32:
    """Take some of many signals; where one of them is refused, all are looked through for the first, by parts.

    Raises
    ------
    ValueError
        As `checked_signals`, with the position among all.
    """
    try:
        return checked_block(signals[positions], name)
    except ValueError:
        for start in range(0, len(signals), at_once):
            checked_block(signals[start : start + at_once], name, first=start)
        raise


def checked_pair(
    queries: npt.ArrayLike, others: npt.ArrayLike, name: str = "queries", other_name: str = "others"
) -> tuple[Float32, Float32]:
    """Check two sets of signals that meet: `checked_signals` each, and the same leads and samples.

    Raises
    ------
    ValueError
        As `checked_signals`, or the shapes differ.
    """
    first, second = checked_signals(queries, name), checked_block(others, other_name)
    must_fit(first, second, name, other_name)
    return first, second


def must_fit(first: Float32, second: Float32, name: str, other_name: str) -> None:
    """Refuse signals that differ in leads or samples.

    Raises
    ------
    ValueError
        They do.
    """
    if first.shape[1:] != second.shape[1:]:
        raise ValueError(
            f"{name} and {other_name} differ: {first.shape[1]} leads of {first.shape[2]} samples against "
            f"{second.shape[1]} of {second.shape[2]}"
        )


def checked_rows(rows: npt.ArrayLike, num_signals: int) -> Int64:
    """Take positions of signals as int64 [row].

    Raises
    ------
    ValueError
        Not one-dimensional integers, or outside 0 … num_signals - 1.
    """
    array = as_array(rows, "rows", "of positions, int64 [row]")
    if array.ndim != 1 or (array.dtype.kind not in "iu" and array.size > 0):
        raise ValueError(f"rows has shape {array.shape} and dtype {array.dtype}; expected positions, int64 [row]")
    if array.size > 0 and (array.min() < 0 or array.max() >= num_signals):
        raise ValueError(f"rows holds positions outside 0 … {num_signals - 1}")
    return array.astype(np.int64)


def checked_candidates(candidates: npt.ArrayLike, num_queries: int, num_others: int) -> Int64:
    """Take the positions to which each query is compared, int64 [query, k]; -1 is none.

    Raises
    ------
    ValueError
        Not integers [query, k], or outside -1 … num_others - 1.
    """
    array = as_array(candidates, "candidates", f"of positions, int64 [{num_queries}, k]")
    if array.ndim != 2 or len(array) != num_queries or (array.dtype.kind not in "iu" and array.size > 0):
        raise ValueError(
            f"candidates has shape {array.shape} and dtype {array.dtype}; expected positions, int64 [{num_queries}, k]"
        )
    if array.size > 0 and (array.min() < -1 or array.max() >= num_others):
        raise ValueError(f"candidates holds positions outside 0 … {num_others - 1} (-1 is none)")
    return array.astype(np.int64)


def checked_metric(metric: str) -> Metric:
    """Take the name of a multi-lead DTW.

    Raises
    ------
    ValueError
        Neither ``dependent`` nor ``independent``.
    """
    if metric == "dependent":
        return "dependent"
    if metric == "independent":
        return "independent"
    raise ValueError(f"metric={metric!r}: give 'dependent' or 'independent'")


def checked_form(form: str) -> Form:
    """Take the name of a way to compute the local cost.

    Raises
    ------
    ValueError
        Neither ``difference`` nor ``gemm``.
    """
    if form == "difference":
        return "difference"
    if form == "gemm":
        return "gemm"
    raise ValueError(f"form={form!r}: give 'difference' or 'gemm'")


def band_samples(window: Window, num_samples: int) -> int:
    """Turn a window into samples: None is no band, a float a fraction of the length (rounded down), an int samples.

    Parameters
    ----------
    window : float, int or None
    num_samples : int
        Length of the signals.

    Returns
    -------
    int
        Half-width of the band in samples, 0 … num_samples.

    Raises
    ------
    ValueError
        A boolean or no number, a fraction outside 0 … 1, or samples outside 0 … num_samples.

    Examples
    --------
    >>> band_samples(0.1, 250), band_samples(0.29, 100), band_samples(7, 100), band_samples(None, 100)
    (25, 29, 7, 100)
    """
    if window is None:
        return num_samples
    if isinstance(window, (bool, np.bool_)) or not isinstance(window, Real):
        raise ValueError(f"window={window!r}: give a fraction (float), samples (int), or None for no band")  # noqa: TRY004 - one kind
    if isinstance(window, Integral):
        if not 0 <= window <= num_samples:
            raise ValueError(f"window={window} samples: it must lie in 0 … {num_samples}, the length of the signals")
        return int(window)
    if not 0.0 <= window <= 1.0:
        raise ValueError(f"window={window}: a fraction must lie in 0 … 1; for samples, give an int")
    # 0.29 * 100 is 28.999999999999996 in binary: what is meant is 29.
    return math.floor(float(window) * num_samples + 1e-9)


def checked_leads(num_leads: int) -> int:
    """Take a number of leads.

    Raises
    ------
    ValueError
        No whole number of at least 1.
    """
    return checked_whole(num_leads, "num_leads", 1)


def checked_whole(number: int, name: str, least: int) -> int:
    """Take a whole number.

    Raises
    ------
    ValueError
        None, or one below `least`.
    """
    if isinstance(number, bool) or not isinstance(number, (int, np.integer)) or number < least:
        raise ValueError(f"{name}={number!r}: give a whole number of at least {least}")
    return int(number)
