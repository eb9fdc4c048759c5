"""The exact nearest neighbours in an archive, most of which a lower bound keeps from being compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from hemometric.distances.bounds import bound_for
from hemometric.distances.checks import (
    Exclude,
    Metric,
    Window,
    band_samples,
    checked_components,
    checked_exclude,
    checked_k,
    checked_metric,
    checked_signals,
    checked_some,
)
from hemometric.distances.engine import run, run_pairs
from hemometric.distances.placement import lie_on_device, only_on_host
from hemometric.distances.schedule import Int64, rectangle
from hemometric.distances.workers import num_threads
from hemometric.ecg import Float32

FLOATS_OF_BLOCK = 2**24
"""Samples of all leads of as much of the archive as is worked on at once: 64 MB."""

_QUERIES_OF_BLOCK = 512
_SIGNALS_FOR_DIRECTIONS = 256
_CANDIDATES_A_ROUND = 4
_PAIRS_A_ROUND = 64


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
        """The share of pairs that the bound ruled out."""
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
    exclude : bool [query, signal], or a pair of int [query] and int [signal], optional
        Which signals a query may not have: True, or equal labels, say of the patient or of the recording.
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
    """Do as `nearest` does, and count the pairs that were compared exactly."""
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
    kept = archive if isinstance(archive, np.ndarray) else checked_signals(archive, "archive")
    if kept.ndim != 3 or kept.size == 0:
        kept = checked_signals(kept, "archive")
    if kept.shape[1:] != asked.shape[1:]:
        raise ValueError(f"queries and archive differ: [lead, sample] is {asked.shape[1:]} against {kept.shape[1:]}")
    num_best, directions = checked_k(k, len(kept)), checked_components(components)
    excluded = checked_exclude(exclude, len(asked), len(kept))
    comparison = _Comparison(band_samples(window, asked.shape[2]), checked_metric(metric), num_threads(threads))

    spread = np.unique(np.linspace(0, len(kept) - 1, _SIGNALS_FOR_DIRECTIONS).astype(np.int64))
    at_once = max(64, FLOATS_OF_BLOCK // (asked.shape[1] * asked.shape[2]))
    bound = bound_for(checked_some(kept, spread, at_once, "archive"), directions, comparison.metric)
    best = _Best(len(asked), num_best)
    num_pairs = num_computed = 0
    mapped = None if bound is None else bound.mapped(asked)
    for start in range(0, len(kept), at_once):
        block = checked_signals(kept[start : start + at_once], "archive", first=start)
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
            num_computed += _compare(asked, rows, block, start, bounds, reach, best, comparison)
    return Search(best.positions, best.distances, num_pairs, num_computed)


@dataclass(frozen=True)
class _Comparison:
    """How signals are compared."""

    window: int
    metric: Metric
    threads: int

    def all(self, queries: Float32, others: Float32) -> Float32:
        """Compare every query with every other."""
        return run(
            queries,
            others,
            lambda lanes: rectangle(len(queries), len(others), lanes),
            len(queries),
            window=self.window,
            metric=self.metric,
            form="difference",
            threads=self.threads,
        )

    def pairs(self, queries: Float32, others: Float32, pairs: Int64) -> Float32:
        """Compare pairs of positions."""
        return run_pairs(queries, others, pairs, window=self.window, metric=self.metric, threads=self.threads)


class _Best:
    """The k best of each query so far, by distance and then by position."""

    def __init__(self, num_queries: int, k: int) -> None:
        self.positions = np.full((num_queries, k), -1, np.int64)
        self.distances = np.full((num_queries, k), np.inf, np.float32)

    def take(self, rows: Int64, distances: Float32, positions: Int64) -> None:
        """Add candidates [row, candidate] of some queries; infinite distances are none."""
        k = self.positions.shape[1]
        found = np.concatenate([self.distances[rows], distances], axis=1)
        where = np.concatenate([self.positions[rows], np.broadcast_to(positions, distances.shape)], axis=1)
        where[np.isinf(found)] = -1
        order = np.lexsort((where, found), axis=1)[:, :k]
        self.distances[rows] = np.take_along_axis(found, order, axis=1)
        self.positions[rows] = np.take_along_axis(where, order, axis=1)


def _compare(
    queries: Float32,
    rows: slice,
    block: Float32,
    start: int,
    bounds: Float32,
    reach: Callable[[Float32], Float32],
    best: _Best,
    comparison: _Comparison,
) -> int:
    """Compare queries exactly with a block, in the order of their bounds, while those do not exceed the k-th best.

    A round takes a few candidates of every query that has any left, so that the lanes are full however few one needs.

    Parameters
    ----------
    bounds : float32 [query, signal]
        Distances of mapped signals; infinite where a pair is excluded. Overwritten.
    reach : callable
        From a distance to the largest of its bounds.

    Returns
    -------
    int
        Pairs that were compared.
    """
    num_computed = 0

    def compare(asking: Int64, columns: Int64, wanted: npt.NDArray[np.bool_]) -> None:
        nonlocal num_computed
        query, place = np.nonzero(wanted)
        distances = np.full(columns.shape, np.inf, np.float32)
        pairs = np.stack([rows.start + asking[query], columns[query, place]], axis=1)
        distances[query, place] = comparison.pairs(queries, block, pairs)
        best.take(rows.start + asking, distances, start + columns)
        num_computed += len(pairs)

    k = best.distances.shape[1]
    unknown = np.flatnonzero(np.isinf(best.distances[rows, -1]))
    if len(unknown):  # the k of the smallest bounds make it known; sorting all would take as long as computing them
        first = np.argpartition(bounds[unknown], min(k, bounds.shape[1]) - 1, axis=1)[:, :k]
        compare(unknown, first, np.isfinite(bounds[unknown[:, None], first]))
        bounds[unknown[:, None], first] = np.inf
    # A bound equal to that of the k-th best may be of an equal distance at an earlier position.
    limits = reach(best.distances[rows, -1])
    query, column = np.nonzero((bounds <= limits[:, None]) & (bounds < np.inf))
    promised = bounds[query, column]
    order = np.lexsort((column, promised, query))
    column, promised = column[order], promised[order]
    ends = np.searchsorted(query, np.arange(len(bounds)), side="right")
    at = np.searchsorted(query, np.arange(len(bounds)))
    left = np.arange(len(bounds))
    while True:
        limits = reach(best.distances[rows, -1])
        left = left[at[left] < ends[left]]
        left = left[promised[at[left]] <= limits[left]]
        if len(left) == 0:
            return num_computed
        step = max(_CANDIDATES_A_ROUND, -(-_PAIRS_A_ROUND * comparison.threads // len(left)))
        places = at[left, None] + np.arange(step)
        inside = places < ends[left, None]
        places = np.minimum(places, len(column) - 1)
        compare(left, column[places], inside & (promised[places] <= limits[left, None]))
        at[left] += step
