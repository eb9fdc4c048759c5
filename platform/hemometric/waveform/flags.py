"""The flags that `assess` may set: all of them, so that a wish for others is known to be a slip."""

from __future__ import annotations

from hemometric.ecg import LEADS
from hemometric.waveform.reversals import SWAPS

OF_A_LEAD = ("derived_lead", "flat_lead", "large_amplitude", "missing_lead")
"""Flags that name their lead after a colon."""

FLAGS = (
    *("baseline_wander", "mains_hum", "nan_samples", "pacemaker_suspected", "padded", "saturated", "spikes"),
    *(f"{swap}_reversal_suspected" for swap in SWAPS),
    *(f"{flag}:{lead}" for flag in OF_A_LEAD for lead in LEADS),
)
