"""The exact nearest neighbours in an archive, most of which a lower bound keeps from being compared."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from hemometric.distances.bounds import bound_for
from hemometric.distances.checks import (
    Metric,
    Window,
    band_samples,
    checked_block,
    checked_metric,
    checked_signals,
    checked_some,
)
from hemometric.distances.placement import lie_on_device, only_on_host
from hemometric.distances.schedule import Int64
from hemometric.distances.search_checks import Exclude, checked_components, checked_exclude, checked_k
from hemometric.distances.search_rounds import Best, Comparison, compare_by_bounds
from hemometric.distances.workers import num_threads
from hemometric.ecg import Float32

FLOATS_OF_BLOCK = 2**24
"""Samples of all leads of as much of the archive as is worked on at once: 64 MB."""

_QUERIES_OF_BLOCK = 512
_SIGNALS_FOR_DIRECTIONS = 256


@dataclass(frozen=True)
class Search:
    """What a search found, and what it cost.

    Attributes
    ----------
    positions : int64 [query, k]
        Of the nearest first; -1 where too few signals were not excluded.
    distances : float32 [query, k] mV^2
        Squared; infinite where the position is -1.
    num_pairs : int
        Pairs of a query and a signal that were not excluded.
    num_computed : int
        Those of them whose exact distance was computed.
    """

    positions: Int64
    distances: Float32
    num_pairs: int
    num_computed: int

    @property
    def pruned_share(self) -> float:
        """The share of pairs that the bound ruled out, 0 … 1."""
        return 1 - self.num_computed / self.num_pairs if self.num_pairs else 0.0


def nearest(
    queries: npt.ArrayLike,
    archive: npt.ArrayLike,
    k: int,
    *,
    window: Window = None,
    metric: Metric = "dependent",
    exclude: Exclude | None = None,
    threads: int | None = None,
    components: int = 3,
) -> tuple[Int64, Float32]:
    """Find the k signals of an archive that are nearest to each query by DTW, exactly; definition as for `pairwise`.

    The result is that of computing all distances and sorting them, ties by position. All pairs are first compared by
    the bound of `bounds`, and exactly only while a bound is not above the k-th best distance so far. On a CUDA device,
    where the result then lies too, every pair is compared: `threads` and `components` are checked, and not used.

    Parameters
    ----------
    queries : float32 [query, lead, sample] mV
    archive : float32 [signal, lead, sample] mV
        Worked through in blocks, so that it may be a memory-mapped array.
    k : int
        At most the size of the archive.
    window, metric, threads
        As for `pairwise`.
    exclude : bool [query, signal], or a pair of labels [query] and labels [signal], optional
        Which signals a query may not have: where the mask is True, or where labels are equal, say of the patient or of
        the recording. Both of a pair are strings, or both are whole numbers; lists do as well as arrays.
    components : int
        Principal directions of the leads on which the bound looks; 0 computes every pair. Of signals with hardly more
        leads than that, every pair is computed too.

    Returns
    -------
    positions : int64 [query, k]
        The nearest first; -1 where too few signals were not excluded.
    distances : float32 [query, k] mV^2
        Bit for bit those of `cross`; infinite where the position is -1.

    Raises
    ------
    ValueError
        As `cross`; `k`, `exclude` or `components` is out of range; the message names it.

    Examples
    --------
    >>> import numpy as np
    >>> levels = np.arange(5, dtype=np.float32)[:, None, None] * np.ones((1, 1, 10), np.float32)
    >>> positions, distances = nearest(levels, levels, 2, exclude=(range(5), range(5)))
    >>> positions.tolist()
    [[1, 2], [0, 2], [1, 3], [2, 4], [3, 2]]
    >>> distances[0]
    array([10., 40.], dtype=float32)

    Of a query, no other recording of the same patient:

    >>> patients = ["Ada", "Ada", "Ben", "Ben", "Cleo"]
    >>> positions, _ = nearest(levels, levels, 2, exclude=(patients, patients))
    >>> positions.tolist()
    [[2, 3], [2, 3], [1, 0], [4, 1], [3, 2]]
    """
    found = search(
        queries,
        archive,
        k,
        window=window,
        metric=metric,
        exclude=exclude,
        threads=threads,
        components=components,
    )
    return found.positions, found.distances


def search(
    queries: npt.ArrayLike,
    archive: npt.ArrayLike,
    k: int,
    *,
    window: Window = None,
    metric: Metric = "dependent",
    exclude: Exclude | None = None,
    threads: int | None = None,
    components: int = 3,
) -> Search:
    """Do as `nearest` does, and count the pairs that were compared exactly.

    Parameters
    ----------
    queries, archive : float32 [query, lead, sample] and [signal, lead, sample] mV
    k, window, metric, exclude, threads, components
        All as for `nearest`; what `components` costs and saves is what this function counts.

    Returns
    -------
    Search
        What `nearest` returns, int64 and float32 mV^2 [query, k], with `num_pairs` and `num_computed`. On a CUDA
        device these are equal.

    Raises
    ------
    ValueError
        As `nearest`.

    Examples
    --------
    >>> import numpy as np
    >>> rows = np.repeat(np.arange(64, dtype=np.float32), 2)[:, None, None] * np.ones((1, 8, 10), np.float32)
    >>> found = search(rows[:1], rows, 2)
    >>> found.positions.tolist(), found.num_pairs, found.num_computed < 16
    ([[0, 1]], 128, True)
    """
    if lie_on_device(queries=queries, archive=archive):
        num_threads(threads)
        from hemometric.distances import cuda_search

        positions, distances, num_pairs = cuda_search.nearest(
            queries, archive, k, window=window, metric=metric, exclude=exclude, components=components
        )
        return Search(positions, distances, num_pairs, num_pairs)
    for part in exclude if isinstance(exclude, tuple) else (exclude,):
        only_on_host(exclude=part)
    asked = checked_signals(queries, "queries")
    kept = archive if isinstance(archive, np.ndarray) else checked_block(archive, "archive")
    if kept.ndim != 3 or kept.size == 0:
        kept = checked_block(kept, "archive")
    if kept.shape[1:] != asked.shape[1:]:
        raise ValueError(f"queries and archive differ: [lead, sample] is {asked.shape[1:]} against {kept.shape[1:]}")
    num_best, directions = checked_k(k, len(kept)), checked_components(components)
    excluded = checked_exclude(exclude, len(asked), len(kept))
    comparison = Comparison(band_samples(window, asked.shape[2]), checked_metric(metric), num_threads(threads))

    spread = np.unique(np.linspace(0, len(kept) - 1, _SIGNALS_FOR_DIRECTIONS).astype(np.int64))
    at_once = max(64, FLOATS_OF_BLOCK // (asked.shape[1] * asked.shape[2]))
    bound = bound_for(checked_some(kept, spread, at_once, "archive"), directions, comparison.metric)
    best = Best(len(asked), num_best)
    num_pairs = num_computed = 0
    mapped = None if bound is None else bound.mapped(asked)
    for start in range(0, len(kept), at_once):
        block = checked_block(kept[start : start + at_once], "archive", first=start)
        mapped_block = None if bound is None else bound.mapped(block)
        for first in range(0, len(asked), _QUERIES_OF_BLOCK):
            rows = slice(first, min(first + _QUERIES_OF_BLOCK, len(asked)))
            barred = excluded(rows, slice(start, start + len(block)))
            num_allowed = barred.size - int(barred.sum())
            num_pairs += num_allowed
            if bound is None or mapped is None or mapped_block is None:
                found = np.where(barred, np.inf, comparison.all(asked[rows], block)).astype(np.float32)
                best.take(np.arange(len(asked))[rows], found, start + np.arange(len(block))[None])
                num_computed += num_allowed
                continue
            largest = max(float(np.abs(one).max()) for one in (mapped[rows], mapped_block))
            bounds = comparison.all(mapped[rows], mapped_block)
            bounds[barred] = np.inf
            reach = partial(bound.reach, largest=largest, num_leads=asked.shape[1], num_samples=asked.shape[2])
            num_computed += compare_by_bounds(asked, rows, block, start, bounds, reach, best, comparison)
    return Search(best.positions, best.distances, num_pairs, num_computed)
