"""Lead names and identities, resampling, quality gates, preparation, and median beats: numpy in, numpy out.

`assess` decides whether a recording is an ECG that can be believed, flags what is odd about it, and measures it in
figures for a table; `prepare` gives recordings one rate, one length and one order of leads, and `lead_mask` says which
of these they have; `median_beats` keeps of them what they repeat.
"""

from hemometric.ecg import canonical_lead
from hemometric.waveform.beats import MedianBeats, median_beats
from hemometric.waveform.leads import limb_lead_residuals, standard_leads
from hemometric.waveform.prepare import Preparation, lead_mask, prepare
from hemometric.waveform.quality import Assessed, assess
from hemometric.waveform.quality_config import QualityConfig
from hemometric.waveform.quality_table import QUALITY_COLUMNS, Quality
from hemometric.waveform.resample import resample

__all__ = [
    "QUALITY_COLUMNS",
    "Assessed",
    "MedianBeats",
    "Preparation",
    "Quality",
    "QualityConfig",
    "assess",
    "canonical_lead",
    "lead_mask",
    "limb_lead_residuals",
    "median_beats",
    "prepare",
    "resample",
    "standard_leads",
]
