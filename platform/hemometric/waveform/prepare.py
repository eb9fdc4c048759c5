"""From a recording at its native rate to the array that an encoder reads: one rate, one length, one order of leads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, field_validator

from hemometric.config import Config
from hemometric.ecg import LEADS, Float32, Recording, Rejected
from hemometric.waveform.leads import standard_leads
from hemometric.waveform.resample import rate_ratio, resample

MARGIN_S = 1.0
"""What is read beyond the kept part on each side, for the filter."""


class Preparation(Config):
    """How recordings are made alike; a model carries the one that it was trained with.

    Attributes
    ----------
    rate_hz : float
        Samples per second.
    duration_s : float
        Length of every prepared signal.
    leads : tuple of str
        Rows of the prepared signal, of `hemometric.ecg.LEADS`.
    crop : {"start", "centre"}
        Which part of a longer recording is kept, and where a shorter one lies in its padding.
    pad : {"zero", "refuse"}
        Whether a shorter recording is filled up with 0 mV or rejected.
    baseline : {"keep", "median"}
        Whether each lead keeps its offset, or has its median subtracted; some archives hold offsets of 20 mV.
    max_gap_s : float
        Runs without samples up to this long, in the part that is kept, are bridged by a straight line; longer ones
        reject the recording.
    """

    rate_hz: float = Field(default=100.0, ge=20.0, le=10_000.0)
    duration_s: float = Field(default=10.0, gt=0.0, le=3600.0)
    leads: tuple[str, ...] = LEADS
    crop: Literal["start", "centre"] = "start"
    pad: Literal["zero", "refuse"] = "zero"
    baseline: Literal["keep", "median"] = "keep"
    max_gap_s: float = Field(default=0.2, ge=0.0)

    @field_validator("leads")
    @classmethod
    def _leads_are_known(cls, leads: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [lead for lead in leads if lead not in LEADS]
        if unknown:
            raise ValueError(f"unknown lead {unknown[0]!r}; the leads are {', '.join(LEADS)}")
        if not leads or len(set(leads)) < len(leads):
            raise ValueError("name at least one lead, and each only once")
        return leads

    @property
    def num_samples(self) -> int:
        """Points in time of every prepared signal."""
        return max(1, round(self.rate_hz * self.duration_s))


def prepare(recording: Recording, preparation: Preparation) -> Float32 | Rejected:
    """Order and derive leads, bridge short gaps, resample, crop or pad.

    A recording that already has the leads, the rate and the length is returned as it is, in float32.

    Returns
    -------
    float32 [lead, num_samples] mV
        C-contiguous, without NaN; or `Rejected` with one of the reasons ``missing_leads``, ``nan_gap``,
        ``too_short``, ``empty``.
    """
    if recording.num_samples == 0:
        return Rejected(recording.key, "empty", "the recording holds no samples")
    signal12, present = standard_leads(recording.signal, recording.leads)
    rows = [LEADS.index(lead) for lead in preparation.leads]
    signal = signal12[rows]
    absent = [LEADS[row] for row in rows if not present[row] or np.isnan(signal12[row]).all()]
    if absent:
        detail = f"{', '.join(absent)} can neither be read nor derived, and the preparation asks for it"
        return Rejected(recording.key, "missing_leads", detail)

    kept = _Window.of(recording, preparation)
    if kept.num_zeros and preparation.pad == "refuse":
        detail = f"{recording.duration_s:.2f} s is shorter than the {preparation.duration_s:g} s that are asked for"
        return Rejected(recording.key, "too_short", detail)
    signal = signal[:, kept.native]
    max_gap = int(preparation.max_gap_s * recording.rate_hz)
    inside = signal[:, kept.inside]
    longest = max(_longest_gap(values) for values in inside)
    if longest > max_gap or longest == inside.shape[1]:
        detail = (
            f"a gap of {longest / recording.rate_hz:.2f} s without samples is longer than the "
            f"{preparation.max_gap_s:g} s that may be bridged"
        )
        return Rejected(recording.key, "nan_gap", detail)
    if np.isnan(signal).any():  # in the margins too, however long: the filter must see numbers
        signal = np.stack([_bridge(values) for values in signal])

    resampled = resample(signal, recording.rate_hz, preparation.rate_hz)[:, kept.resampled]
    if preparation.baseline == "median":
        resampled = resampled - np.median(resampled, axis=1, keepdims=True)
    if kept.num_zeros:
        after = kept.num_zeros - kept.num_zeros_before
        resampled = np.pad(resampled, ((0, 0), (kept.num_zeros_before, after)))
    return np.ascontiguousarray(resampled, dtype=np.float32)


@dataclass(frozen=True)
class _Window:
    """Which samples are read, and which of them are left once they are resampled.

    Some more than needed are read on both sides, so that the filter sees the recording and not its reflection.
    """

    native: slice
    inside: slice  # what of `native` is no margin
    resampled: slice
    num_zeros: int
    num_zeros_before: int

    @classmethod
    def of(cls, recording: Recording, preparation: Preparation) -> _Window:
        ratio = rate_ratio(recording.rate_hz, preparation.rate_hz)
        up, down = ratio.numerator, ratio.denominator
        num_there = -(-recording.num_samples * up // down)
        num_zeros = max(0, preparation.num_samples - num_there)
        surplus = max(0, num_there - preparation.num_samples)
        first = surplus // 2 if preparation.crop == "centre" else 0
        margin = int(MARGIN_S * recording.rate_hz) + 1
        kept_first = first * down // up
        kept_stop = -(-(first + preparation.num_samples) * down // up)
        # A native start that is a multiple of `down` is a whole number of samples after resampling too.
        native_first = max(0, kept_first - margin) // down * down
        native_stop = kept_stop + margin + 1
        skipped = first - native_first // down * up
        return cls(
            native=slice(native_first, native_stop),
            inside=slice(kept_first - native_first, kept_stop - native_first),
            resampled=slice(skipped, skipped + preparation.num_samples),
            num_zeros=num_zeros,
            num_zeros_before=num_zeros // 2 if preparation.crop == "centre" else 0,
        )


def _longest_gap(values: Float32) -> int:
    """Count the samples of the longest run of NaN."""
    absent = np.isnan(values)
    if not absent.any():
        return 0
    edges = np.flatnonzero(np.diff(np.concatenate(([False], absent, [False])).astype(np.int8)))
    return int(np.max(edges[1::2] - edges[::2]))


def _bridge(values: Float32) -> Float32:
    """Join the samples on both sides of each gap by a straight line; a gap at an end takes the nearest sample."""
    there = np.isfinite(values)
    positions: npt.NDArray[np.intp] = np.arange(values.size)
    return np.interp(positions, positions[there], values[there]).astype(np.float32)
