"""Lead names and identities, resampling, quality gates, preparation, and median beats: numpy in, numpy out.

`assess` decides whether a recording is an ECG that can be believed, and flags what is odd about it; `prepare` gives
recordings one rate, one length and one order of leads; `median_beats` keeps of them what they repeat.
"""

from hemometric.waveform.beats import MedianBeats, median_beats
from hemometric.waveform.leads import canonical_lead, limb_lead_residuals, standard_leads
from hemometric.waveform.prepare import Preparation, prepare
from hemometric.waveform.quality import Assessed, QualityConfig, assess
from hemometric.waveform.resample import resample

__all__ = [
    "Assessed",
    "MedianBeats",
    "Preparation",
    "QualityConfig",
    "assess",
    "canonical_lead",
    "limb_lead_residuals",
    "median_beats",
    "prepare",
    "resample",
    "standard_leads",
]
