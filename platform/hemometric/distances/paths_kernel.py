"""The kernel behind `path`: two rows of sums in float64, and where the cheapest path to each cell comes from."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import types

from hemometric.distances.compiled import array_type, compiled, compiler_is_off, read_only
from hemometric.ecg import Float32

_DIAGONAL, _QUERY, _OTHER = 0, 1, 2
_COSTS_AT_ONCE = 1 << 27
"""Squared differences of one call of the kernel: some tenths of a second."""


def fill(query: Float32, other: Float32, window: int, moves: npt.NDArray[np.uint8]) -> None:
    """Write into each cell of the band where its cheapest path comes from.

    Parameters
    ----------
    query, other : float32 [lead, sample] mV
    window : int
        Half-width of the band in samples, below the length.
    moves : uint8 [query sample, cell of the band]
        Written: 0 where the path comes from the cell before in both signals, 1 in the query, 2 in the other. The first
        cell of row i is other sample ``min(max(0, i - window), num_samples - width)``, where width is that of `moves`.
    """
    num_leads, num_samples = query.shape
    sums = np.full((2, num_samples + 1), np.inf)
    sums[0, 0] = 0.0
    at_once = max(1, _COSTS_AT_ONCE // (num_leads * moves.shape[1]))
    for first in range(0, num_samples, at_once):  # Ctrl-C is heard in between
        last = min(first + at_once, num_samples)
        _kernel()(read_only(query), read_only(other), window, moves, sums, first, last)


@functools.cache
def _kernel() -> Any:
    kernel = compiled(_fill)
    if not compiler_is_off():
        kernel.compile(_SIGNATURE)
    return kernel


_SIGNATURE = (
    array_type(types.float32, 2),
    array_type(types.float32, 2),
    types.int64,
    array_type(types.uint8, 2, readonly=False),
    array_type(types.float64, 2, readonly=False),
    types.int64,
    types.int64,
)


def _fill(query: Any, other: Any, window: Any, moves: Any, sums: Any, first_row: Any, last_row: Any) -> None:
    num_leads, num_samples = query.shape
    width = moves.shape[1]
    # Column 0 stands before the signals: only the cell above and before the first one is reachable. The last cell of a
    # row has none above it in the band: there the row above is infinite still, since bands only move on.
    for i in range(first_row, last_row):
        above, row = sums[i % 2], sums[1 - i % 2]
        begin, end = max(0, i - window), min(num_samples, i + window + 1)
        first = min(begin, num_samples - width)
        row[begin] = np.inf
        for j in range(begin, end):
            cost = 0.0
            for k in range(num_leads):
                difference = np.float64(query[k, i]) - other[k, j]
                cost += difference * difference
            move, least = _DIAGONAL, above[j]
            if above[j + 1] < least:
                move, least = _QUERY, above[j + 1]
            if row[j] < least:
                move, least = _OTHER, row[j]
            row[j + 1] = cost + least
            moves[i, j - first] = move
        above[0] = np.inf
