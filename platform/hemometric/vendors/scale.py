"""What a rate and a gain may be, and wide counts into int16, alike for every format.

A missing number is never replaced by a guess.
"""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

from hemometric.ecg import INVALID_COUNT, Int16
from hemometric.vendors.source import ReadError

Int32 = npt.NDArray[np.int32]

ABSENT = int(np.iinfo(np.int32).min)
"""The int32 count that stands for "no sample here"."""

MAX_SPAN = 65000.0
"""Steps that a lead is divided into where its counts do not fit int16."""

_RATES_HZ = (1.0, 1e6)
_GAINS_PER_MV = (1e-6, 1e12)  # whatever a device may mean, and what float32 millivolts can hold
_OFFSET_MV = 1e6
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?", re.ASCII)
_UNITS_PER_MV = {
    "mv": 1.0, "millivolt": 1.0, "millivolts": 1.0,
    "uv": 1e3, "\u00b5v": 1e3, "\u03bcv": 1e3, "microvolt": 1e3, "microvolts": 1e3,
    "nv": 1e6, "nanovolt": 1e6, "nanovolts": 1e6,
    "v": 1e-3, "volt": 1e-3, "volts": 1e-3,
}  # fmt: skip


def number_from_text(text: str) -> float | None:
    """Read a decimal number as devices write it; None for everything else, ``nan`` and ``1_000`` included."""
    plain = text.strip()  # more than `float` would strip
    value = float(plain) if _NUMBER.fullmatch(plain) else None
    return value if value is not None and np.isfinite(value) else None


def checked_rate_hz(rate_hz: float | None) -> float:
    """Pass on a sampling rate that may be one.

    Raises
    ------
    ReadError
        ``rate_missing`` where there is none above zero, ``rate_range``.
    """
    if rate_hz is None or not np.isfinite(rate_hz) or rate_hz <= 0:
        raise ReadError("rate_missing", "the file gives no sampling rate above zero")
    if not _RATES_HZ[0] <= rate_hz <= _RATES_HZ[1]:
        raise ReadError("rate_range", f"{rate_hz:g} Hz is no sampling rate of an ECG")
    return rate_hz


def units_per_mv(unit: str, lead: str) -> float:
    """Find how many of a unit are a millivolt: 1000 for ``uV``.

    Raises
    ------
    ReadError
        ``unknown_unit`` where it is not a kind of volt.
    """
    per_mv = _UNITS_PER_MV.get(unit.strip().casefold())
    if per_mv is None:
        raise ReadError("unknown_unit", f"lead {lead} is in a unit that is not a kind of volt")
    return per_mv


def checked_gain_per_mv(gain_per_mv: float | None, lead: str) -> float:
    """Pass on a gain, in counts per millivolt, that may be one.

    Raises
    ------
    ReadError
        ``gain_zero`` where there is none, ``gain_negative``, ``gain_range``.
    """
    if not gain_per_mv or not np.isfinite(gain_per_mv):
        raise ReadError("gain_zero", f"lead {lead} has no gain, or a gain of 0: its millivolts are unknown")
    if gain_per_mv < 0:
        raise ReadError("gain_negative", f"lead {lead} has a negative gain")
    if not _GAINS_PER_MV[0] <= gain_per_mv <= _GAINS_PER_MV[1]:
        raise ReadError("gain_range", f"lead {lead} has {gain_per_mv:g} counts per millivolt")
    return gain_per_mv


def checked_offset_counts(offset_counts: float, gain_per_mv: float, lead: str) -> float:
    """Pass on the count that means 0 mV, if it may be one.

    Raises
    ------
    ReadError
        ``offset_range`` where count 0 means more than 1 kV.
    """
    if not np.isfinite(offset_counts) or abs(offset_counts) > _OFFSET_MV * gain_per_mv:
        raise ReadError("offset_range", f"lead {lead} has an offset that no electrode has")
    return offset_counts


def to_int16(counts: Int32) -> tuple[Int16, float, int]:
    """Bring the counts of one lead into int16, exactly where their span allows it.

    Parameters
    ----------
    counts : int32 [sample]
        `ABSENT` where there is no sample.

    Returns
    -------
    counts : int16 [sample]
        round((counts - centre) / step), `INVALID_COUNT` where absent.
    step : float
        Native counts per new count; 1 means that nothing was lost.
    centre : int
        The native count that became 0.
    """
    if counts.size and counts.min() > INVALID_COUNT and counts.max() < -INVALID_COUNT:
        return counts.astype(np.int16), 1.0, 0  # nearly always
    absent = counts == ABSENT
    there = counts[~absent]
    if there.size == 0:
        return np.full(counts.shape, INVALID_COUNT, dtype=np.int16), 1.0, 0
    low, high = int(there.min()), int(there.max())
    if low > INVALID_COUNT and high < -INVALID_COUNT:
        return np.where(absent, INVALID_COUNT, counts).astype(np.int16), 1.0, 0
    centre = (low + high) // 2
    step = max(1.0, (high - low) / MAX_SPAN)
    scaled = np.rint((counts.astype(np.float64) - centre) / step)
    return np.where(absent, INVALID_COUNT, scaled).astype(np.int16), step, centre
