"""Runs without samples: how long they are, and a straight line over them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hemometric.ecg import Float32


def longest_gap(values: Float32) -> int:
    """Count the samples of the longest run of NaN in [sample]."""
    absent = np.isnan(values)
    if not absent.any():
        return 0
    edges = np.flatnonzero(np.diff(np.concatenate(([False], absent, [False])).astype(np.int8)))
    return int(np.max(edges[1::2] - edges[::2]))


def bridged(signal: Float32) -> Float32:
    """Join the samples on both sides of each gap of [lead, sample] by a straight line.

    A gap at an end takes the nearest sample, and a lead without any is 0. A signal without gaps is returned as it is.
    """
    there = np.isfinite(signal)
    if there.all():
        return signal
    whole = np.zeros_like(signal)
    positions: npt.NDArray[np.intp] = np.arange(signal.shape[1])
    for row in np.flatnonzero(there.any(axis=1)):
        known = there[row]
        whole[row] = np.interp(positions, positions[known], signal[row, known])
    return whole
