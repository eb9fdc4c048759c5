"""Thresholds of the gates."""

from __future__ import annotations

from pydantic import Field, field_validator

from hemometric.config import Config
from hemometric.ecg import INDEPENDENT_LEADS, LEADS


class QualityConfig(Config):
    """Thresholds of the gates; the figures behind the defaults come from 869 records of PTB-XL, CinC 2021 and CODE-15.

    Attributes
    ----------
    required_leads : tuple of str
        Leads that must be there or follow from others; else ``missing_leads``. Other absent leads are flagged. With
        none, one lead of any name is enough.
    min_rate_hz, max_rate_hz : float
        Sampling rates of diagnostic devices; outside, ``rate_range``.
    min_qrs_s, min_beat_s, max_qrs_s, max_beat_s : float
        Where beats are regular and both their QRS (see `Pulse.width_s`) and their interval are below the first two, or
        both are above the last two, the sampling rate contradicts the signal: ``rate_contradiction``. Of 869 real
        records none does. With a rate wrong by 5 about nine in ten do, with one wrong by 4 eight (too high) or seven
        (too low), with one wrong by 2 next to none: a heart may beat twice as fast. 0 for the first and 10 for the
        third switch it off.
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
    wander_mv : float
        Root mean square of a lead below 0.5 Hz from which a recording is flagged.
    spike_mv, spikes_per_10s : float
        How far a spike stands out (see `find_spikes`), and from how many artefacts in ten seconds on a recording is
        flagged. A pacemaker's spikes do not count.
    reversal_evidence : float
        Logarithm (see `reversals.reversal_evidence`) from which two electrodes are suspected to have been swapped.
    """

    required_leads: tuple[str, ...] = INDEPENDENT_LEADS
    min_rate_hz: float = Field(default=90.0, gt=0)
    max_rate_hz: float = Field(default=5000.0, gt=0)
    min_qrs_s: float = Field(default=0.01, ge=0)
    min_beat_s: float = Field(default=0.4, ge=0)
    max_qrs_s: float = Field(default=0.1, gt=0)
    max_beat_s: float = Field(default=2.4, gt=0)
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
    wander_mv: float = Field(default=0.3, gt=0)
    spike_mv: float = Field(default=0.5, gt=0)
    spikes_per_10s: float = Field(default=1.0, gt=0)
    reversal_evidence: float = Field(default=0.4, gt=0)

    @field_validator("required_leads")
    @classmethod
    def _leads_are_known(cls, leads: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := [lead for lead in leads if lead not in LEADS]:
            raise ValueError(f"unknown lead {unknown[0]!r}; the leads are {', '.join(LEADS)}")
        return leads
