"""From a recording at its native rate to the array that an encoder reads: one rate, one length, one order of leads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, field_validator, model_validator

from hemometric.config import Added, Config
from hemometric.ecg import LEADS, Float32, Float64, Recording, Rejected, check_recording
from hemometric.waveform.filters import (
    FilterConfig,
    NoFilter,
    filter_sections,
    filtered,
    highest_edge_hz,
    settling_samples,
)
from hemometric.waveform.gaps import bridged, longest_gap
from hemometric.waveform.leads import standard_leads
from hemometric.waveform.measures import Bools, without_padding
from hemometric.waveform.resample import rate_ratio, resample

MARGIN_S = 1.0
"""What is read beyond the kept part on each side, for the resampling; a filter reads as much more as it takes."""


class Preparation(Config):
    """How recordings are made alike; a model carries the one that it was trained with.

    Attributes
    ----------
    version : 1
        Of what the fields mean: a program that prepares otherwise counts up, and refuses what it cannot repeat.
    rate_hz : float
        Samples per second.
    duration_s : float
        Length of every prepared signal.
    leads : tuple of str
        Rows of the prepared signal, of `hemometric.ecg.LEADS`.
    absent : {"refuse", "zero"}
        Whether a recording that lacks some of the leads is rejected, or has 0 mV there; see `lead_mask`.
    padding : {"keep", "strip"}
        Whether what stands still at the ends, from half a second on, is part of a recording or cut off first.
    crop : {"start", "centre"}
        Which part of a longer recording is kept, and where a shorter one lies in its padding.
    pad : {"zero", "refuse"}
        Whether a shorter recording is filled up with 0 mV or rejected.
    filter : none, highpass or bandpass
        Applied at `rate_hz`, to more than what is kept, where there is more; `sections` gives its coefficients.
    baseline : {"keep", "median"}
        Whether each lead keeps its offset, or has its median subtracted; some archives hold offsets of 20 mV.
    max_gap_s : float
        Runs without samples up to this long, in the part that is kept, are bridged by a straight line; longer ones
        reject the recording.
    """

    version: Annotated[Literal[1], Added(1)] = 1
    rate_hz: float = Field(default=100.0, ge=20.0, le=10_000.0)
    duration_s: float = Field(default=10.0, gt=0.0, le=3600.0)
    leads: tuple[str, ...] = LEADS
    absent: Annotated[Literal["refuse", "zero"], Added("refuse")] = "refuse"
    padding: Annotated[Literal["keep", "strip"], Added("keep")] = "keep"
    crop: Literal["start", "centre"] = "start"
    pad: Literal["zero", "refuse"] = "zero"
    filter: Annotated[FilterConfig, Added(NoFilter())] = NoFilter()
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

    @model_validator(mode="after")
    def _filter_fits_the_rate(self) -> Self:
        edge_hz = highest_edge_hz(self.filter)
        if edge_hz >= self.rate_hz / 2.0:
            raise ValueError(
                f"the filter's edge of {edge_hz:g} Hz is not below half of rate_hz, {self.rate_hz / 2.0:g} Hz; "
                "lower the edge, or raise rate_hz"
            )
        return self

    @property
    def num_samples(self) -> int:
        """Points in time of every prepared signal."""
        return max(1, round(self.rate_hz * self.duration_s))

    @property
    def required_leads(self) -> tuple[str, ...]:
        """Leads without which a recording is rejected: all, or none of them in particular."""
        return self.leads if self.absent == "refuse" else ()

    @property
    def sections(self) -> Float64:
        """Second-order sections of the filter at `rate_hz`, float64 [section, 6]; none without a filter."""
        return filter_sections(self.filter, self.rate_hz)


def prepare(recording: Recording, preparation: Preparation) -> Float32 | Rejected:
    """Order and derive leads, bridge short gaps, resample, filter, crop or pad.

    A recording that already has the leads, the rate and the length is returned as it is, in float32.

    Returns
    -------
    float32 [lead, num_samples] mV
        C-contiguous, without NaN; or `Rejected` with one of the reasons ``missing_leads``, ``nan_gap``,
        ``too_short``, ``empty``.

    Raises
    ------
    TypeError
        It is no `Recording`.
    """
    check_recording(recording)
    if recording.num_samples == 0:
        return Rejected(recording.key, "empty", "the recording holds no samples")
    if preparation.padding == "strip":
        recording = without_padding(recording)
    signal, there = _asked_leads(recording, preparation)
    absent = [lead for lead, is_there in zip(preparation.leads, there, strict=True) if not is_there]
    if absent and preparation.absent == "refuse":
        detail = f"{', '.join(absent)} can neither be read nor derived, and the preparation asks for it"
        return Rejected(recording.key, "missing_leads", detail)

    kept = _Window.of(recording, preparation)
    if kept.num_zeros and preparation.pad == "refuse":
        detail = f"{recording.duration_s:.2f} s is shorter than the {preparation.duration_s:g} s that are asked for"
        return Rejected(recording.key, "too_short", detail)
    signal = signal[:, kept.native]
    inside = signal[:, kept.inside]
    if preparation.absent == "zero":
        there &= _moves(inside)
        if not there.any():
            detail = f"none of {', '.join(preparation.leads)} can be read or derived, and moves"
            return Rejected(recording.key, "missing_leads", detail)
        signal = np.where(there[:, None], signal, np.float32(0.0))
        inside = signal[:, kept.inside]
    max_gap = int(preparation.max_gap_s * recording.rate_hz)
    longest = max(longest_gap(values) for values in inside)
    if longest > max_gap or longest == inside.shape[1]:
        detail = (
            f"a gap of {longest / recording.rate_hz:.2f} s without samples is longer than the "
            f"{preparation.max_gap_s:g} s that may be bridged"
        )
        return Rejected(recording.key, "nan_gap", detail)

    # Gaps in the margins are bridged too, however long: the filters must see numbers.
    whole = resample(bridged(signal), recording.rate_hz, preparation.rate_hz)
    resampled = filtered(whole, preparation.sections)[:, kept.resampled]
    if preparation.baseline == "median":
        resampled = resampled - np.median(resampled, axis=1, keepdims=True)
    if kept.num_zeros:
        after = kept.num_zeros - kept.num_zeros_before
        resampled = np.pad(resampled, ((0, 0), (kept.num_zeros_before, after)))
    return np.ascontiguousarray(resampled, dtype=np.float32)


def lead_mask(recording: Recording, preparation: Preparation) -> Bools:
    """Tell which rows of the prepared signal hold a lead: bool [lead].

    A lead is there if it was read or follows from others, and moves within the part that is kept: an electrode that
    hangs in the air, which many devices store as a line, is no lead. With ``absent: zero`` the other rows are 0 mV.
    """
    if recording.num_samples == 0:
        return np.zeros(len(preparation.leads), dtype=bool)
    if preparation.padding == "strip":
        recording = without_padding(recording)
    signal, there = _asked_leads(recording, preparation)
    kept = _Window.of(recording, preparation)
    return there & _moves(signal[:, kept.native][:, kept.inside])


def _asked_leads(recording: Recording, preparation: Preparation) -> tuple[Float32, Bools]:
    """Give the rows that are asked for, [lead, sample] mV, and which of them are there, bool [lead]."""
    signal12, present = standard_leads(recording.signal, recording.leads)
    rows = [LEADS.index(lead) for lead in preparation.leads]
    signal = signal12[rows]
    return signal, present[rows] & ~np.isnan(signal).all(axis=1)


def _moves(signal: Float32) -> Bools:
    """Tell which rows of [lead, sample] hold two values, bool [lead]."""
    moves: Bools = np.fmax.reduce(signal, axis=1) > np.fmin.reduce(signal, axis=1)  # false if all are NaN
    return moves


@dataclass(frozen=True)
class _Window:
    """Which samples are read, and which of them are left once they are resampled.

    Some more than needed are read on both sides, so that filters see the recording and not its reflection.
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
        settling_s = settling_samples(preparation.sections) / preparation.rate_hz
        margin = int((MARGIN_S + settling_s) * recording.rate_hz) + 1
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
