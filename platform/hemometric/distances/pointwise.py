"""Distances without a warp in time, at the interface of DTW: the controls of every DTW experiment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt

from hemometric.distances.checks import checked_candidates, checked_pair, checked_rows, checked_signals
from hemometric.distances.schedule import Int64, circulant, rectangle
from hemometric.distances.workers import num_threads, share
from hemometric.ecg import Float32

Cost = Callable[[Float32, Float32], Float32]
"""From a query [lead, sample] and others [other, lead, sample], which it may overwrite, to distances [other]."""

_RUN = 32


def squared_euclidean(query: Float32, others: Float32) -> Float32:
    """Sum squared differences over leads and samples: DTW with a band of 0.

    Parameters
    ----------
    query : float32 [lead, sample] mV
    others : float32 [other, lead, sample] mV
        Overwritten: give a copy of what is still wanted. Nothing is checked or converted; `Pointwise` checks, and
        computes all pairs.

    Returns
    -------
    float32 [other] mV^2
        Squared Euclidean distances, without a root; infinite beyond float32, which `Pointwise` refuses.

    Raises
    ------
    ValueError
        Of numpy: the shapes do not go together.

    Examples
    --------
    >>> others = np.zeros((2, 1, 4), np.float32)
    >>> others[1] = 3.0
    >>> squared_euclidean(np.ones((1, 4), np.float32), others)
    array([ 4., 16.], dtype=float32)
    """
    others -= query
    total: Float32 = np.square(others, out=others).reshape(len(others), -1).sum(axis=1)
    return total


def mean_absolute(query: Float32, others: Float32) -> Float32:
    """Average absolute differences over leads and samples.

    Parameters
    ----------
    query, others : float32 [lead, sample] and [other, lead, sample] mV
        As for `squared_euclidean`, the others being overwritten; errors are the same.

    Returns
    -------
    float32 [other] mV

    Examples
    --------
    >>> others = np.zeros((2, 1, 4), np.float32)
    >>> others[1] = 3.0
    >>> mean_absolute(np.ones((1, 4), np.float32), others)
    array([1., 2.], dtype=float32)
    """
    others -= query
    mean: Float32 = np.abs(others, out=others).reshape(len(others), -1).mean(axis=1)
    return mean


def pairwise(signals: npt.ArrayLike, cost: Cost, *, threads: int | None = None) -> Float32:
    """Compute the distances between all signals of a batch.

    Parameters
    ----------
    signals : float32 [signal, lead, sample] mV
    cost : callable
        `squared_euclidean`, `mean_absolute`, or `across_leads.warped_leads`.
    threads : int, optional
        None takes every CPU that the process may use.

    Returns
    -------
    float32 [signal, signal]
        Exactly symmetric, exactly 0 on the diagonal; in mV^2 or mV.

    Raises
    ------
    ValueError
        An argument is out of range, or `signals` is not a finite array of that shape.
    """
    checked = checked_signals(signals, "signals")
    half = _half_rows(checked, np.arange(len(checked)), cost, threads)
    return half + half.T


def cross(queries: npt.ArrayLike, others: npt.ArrayLike, cost: Cost, *, threads: int | None = None) -> Float32:
    """Compute the distances of queries to others, float32 [query, other]; arguments and errors as for `pairwise`."""
    first, second = checked_pair(queries, others)
    return _run(first, second, rectangle(len(first), len(second), _RUN), len(first), cost, threads)


def half_rows(signals: npt.ArrayLike, rows: npt.ArrayLike, cost: Cost, *, threads: int | None = None) -> Float32:
    """Compute the pairs that belong to some signals of a batch, float32 [row, signal]; see `dtw.half_rows`."""
    checked = checked_signals(signals, "signals")
    return _half_rows(checked, checked_rows(rows, len(checked)), cost, threads)


def refine(signals: npt.ArrayLike, candidates: npt.ArrayLike, cost: Cost, *, threads: int | None = None) -> Float32:
    """Compute the distances of each signal to a few candidates of its own, float32 [signal, k]; see `dtw.refine`."""
    checked = checked_signals(signals, "signals")
    wanted = checked_candidates(candidates, len(checked), len(checked))
    out = np.full(wanted.shape, np.inf, np.float32)

    def work(turn: Int64, _stop: object) -> None:
        for row in turn:
            columns = np.flatnonzero(wanted[row] >= 0)
            if len(columns) == 0:
                continue
            with np.errstate(over="ignore"):
                out[row, columns] = cost(checked[row], checked[wanted[row, columns]])

    share(np.arange(len(checked)), work, threads=num_threads(threads), tasks_per_turn=8)
    return _within_float32(out, wanted >= 0)


def _half_rows(signals: Float32, owners: Int64, cost: Cost, threads: int | None) -> Float32:
    return _run(signals, signals, circulant(len(signals), owners, _RUN), len(owners), cost, threads)


def _run(queries: Float32, others: Float32, tasks: Int64, num_rows: int, cost: Cost, threads: int | None) -> Float32:
    out = np.zeros((num_rows, len(others)), np.float32)

    def work(turn: Int64, _stop: object) -> None:
        for row, query, first, num_pairs in turn:
            columns = np.arange(first, first + num_pairs) % len(others)
            with np.errstate(over="ignore"):  # refused below
                out[row, columns] = cost(queries[query], others[columns])

    share(tasks, work, threads=num_threads(threads), tasks_per_turn=8)
    return _within_float32(out)


def _within_float32(out: Float32, where: npt.NDArray[np.bool_] | Literal[True] = True) -> Float32:
    if not np.isfinite(out).all(where=where):
        raise ValueError("signals differ so much that their distance exceeds float32; give them in millivolts")
    return out
