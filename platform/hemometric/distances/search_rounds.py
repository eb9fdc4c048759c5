"""The exact part of a search: in rounds, by the order of the bounds, until no bound is below the k-th best distance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hemometric.distances.checks import Metric
from hemometric.distances.engine import run, run_pairs
from hemometric.distances.schedule import Int64, rectangle
from hemometric.ecg import Float32

_CANDIDATES_A_ROUND = 4
_PAIRS_A_ROUND = 64


@dataclass(frozen=True)
class Comparison:
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


class Best:
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


def compare_by_bounds(
    queries: Float32,
    rows: slice,
    block: Float32,
    start: int,
    bounds: Float32,
    reach: Callable[[Float32], Float32],
    best: Best,
    comparison: Comparison,
) -> int:
    """Compare queries exactly with a block, in the order of their bounds, while those do not exceed the k-th best.

    A round takes a few candidates of every query that has any left, so that the lanes are full however few one needs.

    Parameters
    ----------
    bounds : float32 [query, signal]
        Distances of mapped signals; infinite where a pair is excluded. Overwritten.
    reach : callable
        From a distance to the largest of its bounds.
    best : Best
        Of all queries, brought up to date here.

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
