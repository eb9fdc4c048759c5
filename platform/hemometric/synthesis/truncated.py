"""The normal distribution cut to an interval, by its own mean and standard deviation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.optimize import root
from scipy.special import log_ndtr, ndtr, ndtri

from hemometric.ecg import Float64


@dataclass(frozen=True)
class TruncatedNormal:
    """A normal N(centre, width^2) restricted to [low, high].

    Attributes
    ----------
    centre, width, low, high : float
        Of the uncut parent and of the interval, in the unit of the variable.
    """

    centre: float
    width: float
    low: float
    high: float

    def quantile(self, probability: Float64) -> Float64:
        """Value below which the given share lies; any shape, values within [low, high]."""
        share = np.asarray(probability, dtype=np.float64)
        a, b = (self.low - self.centre) / self.width, (self.high - self.centre) / self.width
        inside = ndtr(b) - ndtr(a)
        # Each half from its own tail, where the digits are.
        from_below = ndtri(ndtr(a) + inside * share)
        from_above = -ndtri(ndtr(-b) + inside * (1.0 - share))
        return np.clip(self.centre + self.width * np.where(share < 0.5, from_below, from_above), self.low, self.high)

    def moments(self) -> tuple[float, float]:
        """Mean and standard deviation after the cut."""
        a, b = (self.low - self.centre) / self.width, (self.high - self.centre) / self.width
        # In logarithms, so that an interval far out in a tail keeps its digits.
        log_inside = log_ndtr(-a) + np.log1p(-np.exp(log_ndtr(-b) - log_ndtr(-a)))
        at_a, at_b = (np.exp(-0.5 * edge**2 - log_inside) / np.sqrt(2 * np.pi) for edge in (a, b))
        shift = at_a - at_b
        variance = 1.0 + a * at_a - b * at_b - shift**2
        return float(self.centre + self.width * shift), float(self.width * np.sqrt(variance))


@lru_cache(maxsize=64)
def solve_parent(mean: float, sd: float, low: float, high: float) -> TruncatedNormal:
    """Find the parent whose cut to [low, high] has the given mean and standard deviation.

    Raises
    ------
    ValueError
        No normal cut to this interval has these moments; the message says what to change.
    """
    impossible = (
        f"no normal cut to {low:g}..{high:g} mmHg has mean {mean:g} and SD {sd:g}; "
        "move mean_mmhg inside the interval, lower sd_mmhg or widen low_mmhg..high_mmhg"
    )
    # A cut normal is log-concave: on an interval it spreads less than the uniform distribution does.
    if not low < mean < high or sd >= (high - low) / np.sqrt(12.0):
        raise ValueError(impossible)

    def misfit(x: Float64) -> tuple[float, float]:
        with np.errstate(all="ignore"):
            found = TruncatedNormal(float(x[0]), float(np.exp(x[1])), low, high).moments()
        return (found[0] - mean, found[1] - sd) if np.isfinite(found).all() else (1e3, 1e3)

    solution = root(misfit, [mean, np.log(sd)], method="hybr", options={"xtol": 1e-12})
    parent = TruncatedNormal(float(solution.x[0]), float(np.exp(solution.x[1])), low, high)
    if max(abs(error) for error in misfit(solution.x)) > 1e-6:
        raise ValueError(impossible)
    return parent
