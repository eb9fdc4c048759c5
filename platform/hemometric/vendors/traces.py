"""Counts as a file holds them, and one lead of them on the scale of a `Recording`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from math import gcd, lcm
from typing import Any

import numpy as np

from hemometric.ecg import INVALID_COUNT, Int16
from hemometric.vendors.scale import ABSENT, MAX_SPAN, Int32, to_int16

_MAX_DENOMINATOR = 10**6


@dataclass(frozen=True, eq=False)
class Trace:
    """One signal, or a part of one.

    Attributes
    ----------
    counts : int32 [sample]
        As stored; `ABSENT` where there is no sample.
    gain_per_mv : float
    offset_counts : float
        The count that means 0 mV.
    """

    counts: Int32
    gain_per_mv: float
    offset_counts: float


@dataclass(frozen=True, eq=False)
class Lead:
    """One lead as `hemometric.ecg.Recording` holds it.

    Attributes
    ----------
    counts : int16 [sample]
    gain_per_mv : float
    offset_counts : float
    error_mv : float
        Half a count where the samples had to be rounded onto this scale; 0 where they are as stored.
    """

    counts: Int16
    gain_per_mv: float
    offset_counts: float
    error_mv: float = 0.0


def stacked(leads: Sequence[Lead]) -> dict[str, Any]:
    """Give the fields of a `Recording` that leads make up: counts [lead, sample], scales [lead], the largest error."""
    return {
        "counts": np.stack([lead.counts for lead in leads]),
        "gain_per_mv": np.array([lead.gain_per_mv for lead in leads], dtype=np.float64),
        "offset_counts": np.array([lead.offset_counts for lead in leads], dtype=np.float64),
        "quantisation_error_mv": max(lead.error_mv for lead in leads),
    }


def to_lead(trace: Trace) -> Lead:
    """Bring the counts of one trace into int16, exactly where their span allows it."""
    counts, step, centre = to_int16(trace.counts)
    error_mv = 0.5 * step / trace.gain_per_mv if step > 1 else 0.0
    return Lead(counts, trace.gain_per_mv / step, (trace.offset_counts - centre) / step, error_mv)


def join(traces: Sequence[tuple[int, Trace]], num_samples: int) -> Lead:
    """Lay the traces of one lead one after the other, on one scale.

    Traces of one gain and offset keep their counts. Where gains differ and have a common multiple, such as 2000 for
    200 and 1000, counts are multiplied up to it, which loses nothing. Else, or where that leaves the range of int16,
    the span of all is divided into 65,000 steps, and the lead names its error.

    Parameters
    ----------
    traces : sequence of (int, Trace)
        Each with the sample at which it begins; at least one.
    num_samples : int
        Length of the whole; what no trace covers is absent.
    """
    first = traces[0][1]
    if all((trace.gain_per_mv, trace.offset_counts) == (first.gain_per_mv, first.offset_counts) for _, trace in traces):
        counts = np.full(num_samples, ABSENT, dtype=np.int32)
        for start, trace in traces:
            counts[start : start + trace.counts.size] = trace.counts
        return to_lead(Trace(counts, first.gain_per_mv, first.offset_counts))
    return _multiplied(traces, num_samples) or _rounded(traces, num_samples)


def _multiplied(traces: Sequence[tuple[int, Trace]], num_samples: int) -> Lead | None:
    """Multiply all counts up to the least common multiple of the gains; None where they do not fit int32."""
    gains = {
        gain: Fraction(gain).limit_denominator(_MAX_DENOMINATOR) for gain in {one.gain_per_mv for _, one in traces}
    }
    if any(float(exact) != gain for gain, exact in gains.items()):
        return None
    common = reduce(_common_multiple, gains.values())
    if common / min(gains.values()) > -ABSENT or not all(float(one.offset_counts).is_integer() for _, one in traces):
        return None
    counts = np.full(num_samples, ABSENT, dtype=np.int32)
    for start, trace in traces:
        factor = int(common / gains[trace.gain_per_mv])
        there = trace.counts != ABSENT
        wide = trace.counts.astype(np.int64) - int(trace.offset_counts)
        if int(np.abs(wide[there]).max(initial=0)) * factor >= -ABSENT:
            return None
        counts[start : start + wide.size] = np.where(there, wide * factor, ABSENT)
    return to_lead(Trace(counts, float(common), 0))


def _common_multiple(first: Fraction, second: Fraction) -> Fraction:
    return Fraction(lcm(first.numerator, second.numerator), gcd(first.denominator, second.denominator))


def _rounded(traces: Sequence[tuple[int, Trace]], num_samples: int) -> Lead:
    millivolts = np.full(num_samples, np.nan)
    for start, trace in traces:
        part = (trace.counts.astype(np.float64) - trace.offset_counts) / trace.gain_per_mv
        millivolts[start : start + part.size] = np.where(trace.counts == ABSENT, np.nan, part)
    absent = np.isnan(millivolts)
    low, high = np.min(millivolts, where=~absent, initial=np.inf), np.max(millivolts, where=~absent, initial=-np.inf)
    finest = 1 / max(trace.gain_per_mv for _, trace in traces)
    if not low < high:  # a constant, or nothing: any scale will do
        low = high = low if np.isfinite(low) else 0.0
    step_mv = (high - low) / MAX_SPAN or finest
    centre_mv = (low + high) / 2
    scaled = np.rint((np.where(absent, centre_mv, millivolts) - centre_mv) / step_mv)
    counts = np.where(absent, INVALID_COUNT, scaled).astype(np.int16)
    return Lead(counts, float(1 / step_mv), float(-centre_mv / step_mv), float(step_mv / 2))
