"""Mean, spread and percentiles of numbers that come in batches, in memory that their number does not swell."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np

from hemometric.ecg import Float64

ACCURACY = 1e-3
"""Relative: a percentile is as far from the true one at most."""

_LOG_BASE = math.log((1 + ACCURACY) / (1 - ACCURACY))
_SMALLEST = 1e-9
_ZERO = 0


class Spread:
    """Numbers as a logarithmic histogram, whose bins are so narrow that any value in one stands for all.

    The idea is that of Masson, Rim and Lee, "DDSketch" (VLDB 2019). Magnitudes below 1e-9 count as 0.

    Attributes
    ----------
    num : int
    mean : float
        NaN without numbers.
    is_whole : bool
        All are whole numbers.
    """

    def __init__(self) -> None:
        self.num = 0
        self.mean = math.nan
        self.is_whole = True
        self._squares = 0.0
        self._bins: Counter[int] = Counter()

    def add(self, values: Float64) -> None:
        """Take numbers; those that are not finite are left out."""
        values = values[np.isfinite(values)]
        if not values.size:
            return
        other = Spread()
        other.num, other.mean = values.size, float(values.mean())
        other._squares = float(((values - other.mean) ** 2).sum())
        other.is_whole = bool((values == np.rint(values)).all())
        size = np.abs(values)
        is_zero = size < _SMALLEST
        place = np.ceil(np.log(np.where(is_zero, _SMALLEST, size) / _SMALLEST) / _LOG_BASE).astype(np.int64) + 1
        keys, counts = np.unique(np.where(is_zero, _ZERO, np.sign(values).astype(np.int64) * place), return_counts=True)
        other._bins.update(dict(zip(keys.tolist(), counts.tolist(), strict=True)))
        self.merge(other)

    def merge(self, other: Spread) -> None:
        """Take the numbers of another one, too (Chan, Golub and LeVeque 1983 for the squares)."""
        if not other.num:
            return
        if not self.num:
            self.mean = other.mean
        else:
            apart = other.mean - self.mean
            total = self.num + other.num
            self._squares += apart**2 * self.num * other.num / total
            self.mean += apart * other.num / total
        self._squares += other._squares
        self.num += other.num
        self.is_whole &= other.is_whole
        self._bins.update(other._bins)

    @property
    def sd(self) -> float:
        """Standard deviation of the sample; NaN below two numbers."""
        return math.sqrt(self._squares / (self.num - 1)) if self.num > 1 else math.nan

    def percentile(self, share: float) -> float:
        """Give the smallest number that at least `share` of all do not exceed, within `ACCURACY`; NaN without any."""
        wanted = max(1, math.ceil(share * self.num - 1e-9))
        seen = 0
        for key in sorted(self._bins):
            seen += self._bins[key]
            if seen >= wanted:
                value = self._value(key)
                return float(round(value)) if self.is_whole and abs(value) * ACCURACY < 0.5 else value
        return math.nan

    @property
    def share_above_zero(self) -> float:
        """Share of the numbers that are above 0; NaN without any."""
        return self._share(1)

    @property
    def share_below_zero(self) -> float:
        """Share of the numbers that are below 0; NaN without any."""
        return self._share(-1)

    def _share(self, sign: int) -> float:
        return sum(num for key, num in self._bins.items() if key * sign > 0) / self.num if self.num else math.nan

    @staticmethod
    def _value(key: int) -> float:
        if key == _ZERO:
            return 0.0
        upper = _SMALLEST * math.exp((abs(key) - 1) * _LOG_BASE)
        return math.copysign(upper * (1 - ACCURACY), key)


def nice_edges(low: float, high: float, *, num: int, is_whole: bool = False) -> tuple[float, ...]:
    """Choose about `num` equal bins from `low` to `high` whose edges are round numbers.

    Whole numbers get bins that are centred on one of them, or hold several.
    """
    width = (high - low) / num
    if not width > 0:
        width = max(abs(low) * 0.05, 0.5) / num
    magnitude = 10.0 ** math.floor(math.log10(width))
    step = next(nice * magnitude for nice in (1.0, 2.0, 2.5, 5.0, 10.0) if nice * magnitude >= width * (1 - 1e-9))
    shift = 0.0
    if is_whole:
        step, shift = max(1.0, float(round(step))), -0.5
    first, last = math.floor((low - shift) / step), math.floor((high - shift) / step) + 1
    return tuple(round(place * step + shift, 12) for place in range(first, last + 1))
