"""Where a short text stands without lying on a trace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hemometric.ecg import Float64

Line = tuple[Float64, Float64]
"""x [point] and y [point] of a trace, NaN in its gaps."""


@dataclass(frozen=True)
class Box:
    """A rectangle by its left end, the middle of its height, and its size."""

    left: float
    middle: float
    width: float
    height: float


def free_box(candidates: Sequence[Box], traces: Sequence[Line]) -> Box:
    """Give the first candidate that no trace crosses; where all are crossed, the one with the least trace in it.

    Raises
    ------
    ValueError
        There is no candidate.
    """
    if not candidates:
        raise ValueError("candidates is empty; give at least one box")
    # `min` keeps the first of equals, so the order of the candidates is their rank.
    return min(candidates, key=lambda box: sum(_num_crossing(box, *trace) for trace in traces))


def _num_crossing(box: Box, x: Float64, y: Float64) -> int:
    """Count the strokes from point to point whose own rectangle meets the box: a steep one has no point inside."""
    if len(x) < 2:
        return 0
    in_x = (np.fmax(x[1:], x[:-1]) >= box.left) & (np.fmin(x[1:], x[:-1]) <= box.left + box.width)
    above, below = np.maximum(y[1:], y[:-1]), np.minimum(y[1:], y[:-1])  # NaN stays NaN, and meets nothing
    in_y = (above >= box.middle - box.height / 2) & (below <= box.middle + box.height / 2)
    return int(np.count_nonzero(in_x & in_y))
