"""Whether a recording is an ECG that can be believed, and what is odd about it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydantic import Field, field_validator

from hemometric.config import Config
from hemometric.ecg import INDEPENDENT_LEADS, LEADS, Float32, Recording, Rejected
from hemometric.waveform import measures
from hemometric.waveform.leads import limb_lead_residuals, standard_leads

PADDING_S = 0.5
"""Standing still at an end from here on is padding; PTB-XL's 500 Hz records hold a value for 0.1 s at their end."""


class QualityConfig(Config):
    """Thresholds of the gates; the figures behind the defaults come from 869 records of PTB-XL, CinC 2021 and CODE-15.

    Attributes
    ----------
    required_leads : tuple of str
        Leads that must be there or follow from others; else ``missing_leads``. Other absent leads are flagged.
    min_rate_hz, max_rate_hz : float
        Sampling rates of diagnostic devices; outside, ``rate_range``.
    min_duration_s : float
        Shorter parts that move are no 12-lead ECG; ``too_short``. Padding does not count.
    max_nan_share : float
        More samples than this share without a value: ``nan_samples``.
    min_amplitude_mv : float
        Peak-to-peak (see `measures.amplitudes`) of the largest lead; below, ``amplitude_low``. The smallest of the
        real records has 1.2 mV, and one whose unit is wrong by 1000 about 0.002 mV.
    max_amplitude_mv : float
        Peak-to-peak of the median lead; above, ``amplitude_high``. Real records stay below 5.1 mV, but for one of
        25 mV that holds no heartbeat.
    max_lead_amplitude_mv : float
        Peak-to-peak of any one lead; above, ``amplitude_high``. A loose electrode reaches 24 mV in real records;
        one lead in microvolts among leads in millivolts reaches several hundred.
    max_limb_residual_mv, max_limb_residual_share : float
        How far a limb lead may be from what I and II say (see `limb_lead_residuals`): millivolts, or a share of the
        largest limb lead measured the same way, whichever is more; beyond, ``limb_lead_identity``. Real records
        stay below 0.007 mV; aVR and aVL swapped give 0.085 mV at the least.
    flat_lead_mv, max_flat_share : float
        A lead that stays below this peak-to-peak for more than this share of its seconds is flagged flat.
    mains_hum_mv : float
        Root mean square of 50 or 60 Hz from which a recording is flagged.
    """

    required_leads: tuple[str, ...] = INDEPENDENT_LEADS
    min_rate_hz: float = Field(default=90.0, gt=0)
    max_rate_hz: float = Field(default=5000.0, gt=0)
    min_duration_s: float = Field(default=2.5, gt=0)
    max_nan_share: float = Field(default=0.2, ge=0, le=1)
    min_amplitude_mv: float = Field(default=0.1, ge=0)
    max_amplitude_mv: float = Field(default=20.0, gt=0)
    max_lead_amplitude_mv: float = Field(default=100.0, gt=0)
    max_limb_residual_mv: float = Field(default=0.06, gt=0)
    max_limb_residual_share: float = Field(default=0.06, ge=0, le=1)
    flat_lead_mv: float = Field(default=0.02, ge=0)
    max_flat_share: float = Field(default=0.5, ge=0, le=1)
    mains_hum_mv: float = Field(default=0.025, gt=0)

    @field_validator("required_leads")
    @classmethod
    def _leads_are_known(cls, leads: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := [lead for lead in leads if lead not in LEADS]:
            raise ValueError(f"unknown lead {unknown[0]!r}; the leads are {', '.join(LEADS)}")
        return leads


@dataclass(frozen=True)
class Assessed:
    """A recording that passed the gates.

    Attributes
    ----------
    flags : tuple of str
        Sorted: ``flat_lead:<lead>``, ``missing_lead:<lead>``, ``derived_lead:<lead>``, ``large_amplitude:<lead>``,
        ``nan_samples``, ``saturated``, ``padded``, ``mains_hum``, ``arm_reversal_suspected``.
    """

    recording: Recording
    flags: tuple[str, ...]


class _GateError(Exception):
    """One gate's refusal, as (reason, detail)."""


def assess(recording: Recording, config: QualityConfig) -> Assessed | Rejected:
    """Pass a recording through the gates.

    Returns
    -------
    Assessed or Rejected
        The recording unchanged, with flags; or the first gate that refuses it: ``rate_range``, ``missing_leads``,
        ``empty``, ``flat``, ``too_short``, ``nan_samples``, ``amplitude_low``, ``amplitude_high``,
        ``limb_lead_identity``.
    """
    try:
        return Assessed(recording, tuple(sorted(_flags(recording, config))))
    except _GateError as refusal:
        reason, detail = refusal.args
        return Rejected(recording.key, reason, detail)


def _flags(recording: Recording, config: QualityConfig) -> set[str]:
    rate_hz = recording.rate_hz
    if not config.min_rate_hz <= rate_hz <= config.max_rate_hz:
        text = f"{rate_hz:g} Hz is outside {config.min_rate_hz:g} to {config.max_rate_hz:g} Hz"
        raise _GateError("rate_range", text)
    if recording.num_samples == 0:
        raise _GateError("empty", "the recording holds no samples")
    flags: set[str] = set()
    before, after = measures.padding(recording.counts)
    num_moving = recording.num_samples - before - after
    if num_moving == 0:
        raise _GateError("flat", "no lead ever changes")
    if num_moving / rate_hz < config.min_duration_s:
        text = f"{num_moving / rate_hz:.2f} s of signal is shorter than {config.min_duration_s:g} s"
        raise _GateError("too_short", text)
    if max(before, after) >= PADDING_S * rate_hz:
        flags.add("padded")

    moving = recording.signal[:, before : recording.num_samples - after]
    signal12, present = standard_leads(moving, recording.leads)
    present &= np.isfinite(signal12).any(axis=1)
    flags |= _check_leads(recording, present, config)
    flags |= _check_samples(signal12[present], config)
    flags |= _check_amplitudes(signal12, rate_hz, config)
    if measures.saturated(signal12[present]).any():
        flags.add("saturated")
    if measures.mains_hum_mv(signal12[present], rate_hz).max() >= config.mains_hum_mv:
        flags.add("mains_hum")
    if measures.arms_look_reversed(signal12, rate_hz):
        flags.add("arm_reversal_suspected")
    return flags


def _check_leads(recording: Recording, present: measures.Bools, config: QualityConfig) -> set[str]:
    absent = [lead for lead, there in zip(LEADS, present, strict=True) if not there]
    lacking = [lead for lead in absent if lead in config.required_leads]
    if lacking or not present.any():
        raise _GateError("missing_leads", f"{', '.join(lacking or absent)} can neither be read nor derived")
    derived = [lead for lead in LEADS if lead not in recording.leads and lead not in absent]
    return {f"missing_lead:{lead}" for lead in absent} | {f"derived_lead:{lead}" for lead in derived}


def _check_samples(signal: Float32, config: QualityConfig) -> set[str]:
    share = float(np.isnan(signal).mean())
    if share > config.max_nan_share:
        text = f"{share:.0%} of the samples have no value; at most {config.max_nan_share:.0%} may lack one"
        raise _GateError("nan_samples", text)
    return {"nan_samples"} if share > 0 else set()


def _check_amplitudes(signal12: Float32, rate_hz: float, config: QualityConfig) -> set[str]:
    """Check size, then the identities of those limb leads that move."""
    amplitude = measures.amplitudes(signal12, rate_hz)
    still = measures.still_shares(signal12, rate_hz, config.flat_lead_mv) > config.max_flat_share
    still &= np.isfinite(signal12).any(axis=1)
    largest, row = float(amplitude.max()), int(amplitude.argmax())
    if largest < config.min_amplitude_mv:
        text = f"no lead exceeds {largest:.2g} mV peak to peak; is the unit right?"
        raise _GateError("amplitude_low", text)
    sizes = amplitude[~still & (amplitude > 0)]
    middle = float(np.median(sizes)) if sizes.size else 0.0
    if middle > config.max_amplitude_mv or largest > config.max_lead_amplitude_mv:
        text = f"lead {LEADS[row]} has {largest:.3g} mV peak to peak and the median lead {middle:.3g} mV"
        raise _GateError("amplitude_high", f"{text}; is the unit right?")

    believed = signal12.copy()
    believed[still] = np.nan
    size = max(_size_mv(values) for values in believed[:6])
    allowed = max(config.max_limb_residual_mv, config.max_limb_residual_share * size)
    for lead, residual in limb_lead_residuals(believed).items():
        if residual > allowed:
            text = f"{lead} is {residual:.3f} mV from what I and II say; leads are swapped, mislabelled or scaled"
            raise _GateError("limb_lead_identity", text)
    flags = {f"flat_lead:{LEADS[lead]}" for lead in np.flatnonzero(still)}
    return flags | {f"large_amplitude:{LEADS[lead]}" for lead in np.flatnonzero(amplitude > config.max_amplitude_mv)}


def _size_mv(values: Float32) -> float:
    """Measure a lead as `limb_lead_residuals` measures a difference."""
    values = values[np.isfinite(values)]
    return float(np.percentile(np.abs(values - np.median(values)), 95)) if values.size else 0.0
