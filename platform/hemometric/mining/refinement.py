"""Two-rate mining: all pairs of a batch at a coarse rate, then the nearest few of each anchor again at a fine one.

On real ECGs of 8 leads the nearest of 63 others at 500 Hz is among the first four at 100 Hz for 99.5 %, at 1/25 of the
cells; measuring those four finely makes it the nearest for a sixth of what all pairs would cost. Of one noisy lead it
is 88 %: such signals want 250 Hz, or more candidates (tests/benchmarks/bench_rates.py).
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from pydantic import Field

from hemometric.config import Config
from hemometric.ecg import Float32, Float64
from hemometric.mining.compared import ComparedConfig
from hemometric.mining.pairs import Int64, Pairs
from hemometric.mining.positives import near


class Refine(Protocol):
    """Measures candidates finely; on several ranks a collective, which each calls once a batch."""

    @property
    def num_candidates(self) -> int:
        """How many candidates an anchor has."""
        ...

    def __call__(self, candidates: Int64) -> Float32:
        """Measure.

        Parameters
        ----------
        candidates : int64 [B, k]
            Positions in the batch for each anchor; -1 is none.

        Returns
        -------
        float32 [B, k]
            Squared distances; infinite where there is no candidate.
        """
        ...


class RefineConfig(Config):
    """What the nearest few of each anchor are compared by, after all pairs were compared coarsely.

    The distance is that of the coarse comparison, at the same fraction of a band.

    Attributes
    ----------
    compared : config
        The fine one, such as the whole record at 500 Hz; at most the rate of the preparation.
    candidates : int
        How many of the nearest are refined.
    """

    compared: ComparedConfig
    candidates: int = Field(default=4, ge=1)


def reordered(distances: Float32, eligible: Pairs, scales: Float64 | None, refine: Refine) -> Float32:
    """Put each anchor's nearest candidates into the order of their fine distances.

    Fine and coarse distances are sums over unequal numbers of samples and cannot stand in one row. So a row keeps its
    coarse values, and its candidates exchange theirs until they stand in the fine order: the ranking is exact at the
    top, coarse behind it, and every candidate stays nearer than every other recording. Each anchor has candidates of
    its own, so the result is not symmetric.

    With local scaling, candidates are the nearest by scaled distances, and their fine distances are scaled too, by
    the coarse scales: the ratio of fine to coarse is nearly the same for all pairs, and a common factor ranks
    nothing.

    Parameters
    ----------
    distances : float32 [B, B]
        Coarse, after scaling.
    eligible : Pairs
    scales : float64 [B] or None
        What they were scaled by.
    refine : Refine

    Returns
    -------
    float32 [B, B]
        Rows are anchors; copies of a recording are equally far.
    """
    candidates = near(distances, eligible, refine.num_candidates)
    fine = refine(candidates).astype(np.float64)
    if scales is not None:
        fine /= np.sqrt(scales[:, None] * scales[np.maximum(candidates, 0)])
    # Stable: equally far by the fine distance, they stay in the coarse order.
    order = np.argsort(fine, axis=1, kind="stable")
    rows = np.arange(len(distances))[:, None]
    values = distances[rows, np.maximum(candidates, 0)]  # ascending, as far as there are candidates
    for column in range(1, values.shape[1]):
        # Of coarse distances that are equal, the fine order must still show.
        values[:, column] = np.maximum(values[:, column], np.nextafter(values[:, column - 1], np.float32(np.inf)))
    # And so must that candidates are nearer than all others.
    last = np.where(candidates >= 0, values, -np.inf).max(axis=1, keepdims=True).astype(np.float32)
    columns = distances[:, eligible.by_id]
    lifted = np.maximum(columns, np.nextafter(last, np.float32(np.inf)))
    columns = np.where(eligible.attracts[:, eligible.by_id], lifted, columns)
    ranked = np.take_along_axis(candidates, order, axis=1)
    anchor, place = np.nonzero(ranked >= 0)
    columns[anchor, eligible.recording[ranked[anchor, place]]] = values[anchor, place]
    result: Float32 = columns[:, eligible.recording]
    return result
