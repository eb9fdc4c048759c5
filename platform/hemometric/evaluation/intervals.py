"""Percentile bootstrap over patients.

A resample draws as many patients as there are, with replacement, and takes every recording of each drawn patient as
often as the patient was drawn. Recordings of one patient resemble each other, so drawing recordings instead would
give intervals that are too narrow. A resample is handed on as weights (how often each recording is taken), never as
copied rows.

Resample i is a pure function of (seed, i, set of patients): two systems scored with one seed see the same resamples,
which is what makes their difference a paired one. The intervals are percentiles of the resampled scores (Efron 1979).
No test is computed on resampled values: their number is a choice, so a p-value from them would be one too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hemometric.ecg import Float64

Statistic = Callable[[Float64], Float64]
"""weights [R, n] -> values [R], NaN where undefined. All weights 1 gives the estimate."""

_CELLS_AT_ONCE = 2_000_000


@dataclass(frozen=True)
class Interval:
    """An estimate and its percentile interval.

    Attributes
    ----------
    estimate : float
        The value on the data as they are.
    low, high : float
        Percentiles of the resampled values; NaN where there is no interval.
    num_undefined : int
        Resamples without a value, such as those that drew one class only. They are left out of the percentiles.
    reason : str
        Why something is NaN; empty otherwise.
    """

    estimate: float
    low: float
    high: float
    num_undefined: int = 0
    reason: str = ""


def bootstrap(
    patients: Sequence[str] | npt.NDArray[np.generic],
    statistic: Statistic,
    num: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Estimate a statistic and its interval, resampling patients.

    Parameters
    ----------
    patients : [n]
        The patient of each recording.
    statistic : callable
        weights [R, n] -> values [R]; `by_rows` makes one of a function of row indices.
    num, seed, level
        Number of resamples, their seed, and the share of values inside the interval.

    Raises
    ------
    ValueError
        `num` below 1 or `level` not between 0 and 1.
    """
    values = replicates(patients, {"": statistic}, num, seed)[""]
    return interval(_estimate(patients, statistic), values, level, num_patients=len(set(np.asarray(patients).tolist())))


def paired_difference(
    patients: Sequence[str] | npt.NDArray[np.generic],
    first: Statistic,
    second: Statistic,
    num: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """`first` minus `second`, both computed on the same resamples; see `bootstrap`."""
    return bootstrap(patients, lambda weights: first(weights) - second(weights), num, seed, level)


def replicates(
    patients: Sequence[str] | npt.NDArray[np.generic],
    statistics: Mapping[str, Statistic],
    num: int = 1000,
    seed: int = 0,
) -> dict[str, Float64]:
    """Values [num] of each statistic on the same resamples of patients.

    Raises
    ------
    ValueError
        `num` is below 1.
    """
    if num < 1:
        raise ValueError(f"num={num} resamples; at least 1 is needed")
    names, patient_of_row = np.unique(np.asarray(patients), return_inverse=True)
    chunk = max(1, _CELLS_AT_ONCE // max(1, len(patient_of_row)))
    values = {name: np.empty(num) for name in statistics}
    for start in range(0, num, chunk):
        stop = min(start + chunk, num)
        weights = np.stack([_times_drawn(len(names), seed, resample) for resample in range(start, stop)])[
            :, patient_of_row
        ]
        for name, statistic in statistics.items():
            values[name][start:stop] = statistic(weights)
    return values


def interval(estimate: float, values: Float64, level: float = 0.95, *, num_patients: int, reason: str = "") -> Interval:
    """Percentile interval of resampled values [num] around an estimate; `reason` explains an estimate of NaN.

    There is none if the estimate is undefined, if there are fewer than two patients, or if more than half of the
    resamples have no value.

    Raises
    ------
    ValueError
        `level` is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"level={level} is not between 0 and 1")
    defined = values[~np.isnan(values)]
    num_undefined = len(values) - len(defined)
    if math.isnan(estimate):
        return Interval(math.nan, math.nan, math.nan, num_undefined, reason or "undefined on these recordings")
    if num_patients < 2:
        return Interval(estimate, math.nan, math.nan, num_undefined, "one patient cannot be resampled")
    if num_undefined > len(values) / 2:
        share = f"{num_undefined} of {len(values)} resamples have no value"
        return Interval(estimate, math.nan, math.nan, num_undefined, share)
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return Interval(estimate, float(low), float(high), num_undefined)


def by_rows(function: Callable[[npt.NDArray[np.int64]], float]) -> Statistic:
    """Make a statistic of any function of row indices [k], which are repeated as they were drawn; slow."""

    def statistic(weights: Float64) -> Float64:
        rows = np.arange(weights.shape[1], dtype=np.int64)
        return np.array([function(np.repeat(rows, times.astype(np.int64))) for times in weights], dtype=np.float64)

    return statistic


def _times_drawn(num_patients: int, seed: int, resample: int) -> Float64:
    """How often each patient is drawn, float64 [patient]; sums to the number of patients."""
    if not num_patients:
        return np.empty(0)
    drawn = np.random.default_rng([seed, resample]).integers(num_patients, size=num_patients)
    return np.bincount(drawn, minlength=num_patients).astype(np.float64)


def _estimate(patients: Sequence[str] | npt.NDArray[np.generic], statistic: Statistic) -> float:
    return float(statistic(np.ones((1, len(patients))))[0])
