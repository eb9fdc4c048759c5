"""What reason codes, flags and quality measures mean, in plain words, and how numbers are written."""

from __future__ import annotations

import math

REASONS = {
    "amplitude_high": "larger than any heart: the unit or the gain is wrong",
    "amplitude_low": "smaller than any heart: the unit or the gain is wrong, or nobody was connected",
    "bad_patient_id": "the rules of patient ids refuse the one that it has",
    "checksum": "its bytes are not those that its own checksum promises",
    "crashed": "its reader died of it",
    "duplicate": "the same ECG as another one, which is kept",
    "duplicate_id": "its file holds two ECGs of that name",
    "duplicate_lead": "one lead stands in it twice",
    "empty": "it holds no samples",
    "flat": "no lead ever changes",
    "gain_negative": "a lead is stored upside down",
    "gain_range": "a gain that no device has",
    "gain_zero": "no gain, so that millivolts are not known",
    "id_missing": "an ECG without a name, in a file of several",
    "lead_conflict": "its file names one lead in two ways",
    "limb_lead_identity": "the limb leads contradict each other: swapped, mislabelled or scaled",
    "linked_across_splits": "its patient turned out to be one of another split",
    "missing_file": "a file that belongs to it is not there",
    "missing_leads": "leads that must be there can neither be read nor derived",
    "missing_patient": "neither the table nor the file names the patient",
    "mixed_rates": "leads at different sampling rates",
    "nan_gap": "a long stretch without samples",
    "nan_samples": "too many samples without a value",
    "no_split": "the rule of the splits has no place for it",
    "no_standard_lead": "none of its leads is one of the twelve",
    "no_waveform": "a file without an ECG",
    "offset_missing": "what counts as 0 mV is not said",
    "offset_range": "an offset that no device has",
    "rate_contradiction": "its heart beats as none can: the sampling rate is wrong",
    "rate_missing": "the sampling rate is not said",
    "rate_range": "a sampling rate outside of those of diagnostic ECGs",
    "rate_uneven": "samples at uneven times",
    "record_name": "its header names another record",
    "removed": "taken out on request",
    "timed_out": "reading it took too long",
    "too_large": "reading it takes too much memory",
    "too_long": "more samples, leads or bytes than an ECG has",
    "too_short": "too little signal",
    "truncated": "cut short",
    "unknown_unit": "a unit that is not known",
    "unreadable": "not what its format says",
    "unsafe": "it would have made the reader expand, follow or run something",
    "unsafe_name": "it names a file outside of its folder",
    "unsupported": "a variant of its format that is not read",
}
OTHER_REASON = "see the details in the quarantine table"

FLAGS = {
    "baseline_wander": "the baseline drifts",
    "large_amplitude": "a lead is unusually large",
    "mains_hum": "hum of the mains",
    "nan_samples": "some samples have no value",
    "pacemaker_suspected": "spikes before the beats, as of a pacemaker",
    "padded": "stands still for half a second or more at an end",
    "reversal_suspected": "electrodes look swapped",
    "saturated": "cut off at the top or bottom of the scale",
    "spikes": "spikes of another device",
}
FLAT = "flat_lead"
LEAD_FLAGS = ("derived_lead", "missing_lead", FLAT)
"""Flags of one lead, which they name after a colon."""

MEASURES = {
    "duration_s": ("length", "s"),
    "padding_before_s": ("padding before", "s"),
    "padding_after_s": ("padding after", "s"),
    "num_leads": ("leads in the file", ""),
    "num_derived_leads": ("leads derived from others", ""),
    "num_flat_leads": ("flat leads", ""),
    "num_saturated_leads": ("saturated leads", ""),
    "nan_share": ("share of samples without a value", ""),
    "amplitude_min_mv": ("peak to peak, smallest lead", "mV"),
    "amplitude_median_mv": ("peak to peak, median lead", "mV"),
    "amplitude_max_mv": ("peak to peak, largest lead", "mV"),
    "limb_residual_mv": ("contradiction of the limb leads", "mV"),
    "mains_hum_mv": ("hum of the mains, worst lead", "mV"),
    "wander_mv": ("drift of the baseline, worst lead", "mV"),
    "noise_uv": ("noise, worst lead", "µV"),
    "spikes_per_10s": ("spikes of other devices", "per 10 s"),
    "pacing_spikes_per_10s": ("spikes of a pacemaker", "per 10 s"),
    "reversal_evidence": ("evidence of swapped electrodes", ""),
    "qrs_s": ("steep part of the QRS", "s"),
    "beat_s": ("time from beat to beat, median", "s"),
    "regularity": ("regularity of the beats", ""),
}


def flag_meaning(flag: str) -> str:
    """Say what a flag means; flags of a lead and swaps of electrodes by what they have in common."""
    plain = flag.partition(":")[0]
    known = next((kind for kind in FLAGS if plain == kind or plain.endswith(f"_{kind}")), None)
    return FLAGS[known] if known else ""


def measure_words(name: str) -> tuple[str, str]:
    """Give a quality measure's name in words, and its unit."""
    return MEASURES.get(name, (name.replace("_", " "), ""))


def written(value: float) -> str:
    """Write a number with three digits, or whole where it is larger."""
    if not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{digits}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text).replace("-", "−")


def share(part: float, whole: float) -> float | None:
    """Give a part in percent; None of nothing."""
    return 100.0 * part / whole if whole else None


def percent(part: float, whole: float) -> str:
    """Write a share of some recordings: ``12 %``, and ``<1 %`` for what is there but rounds to nothing."""
    if not whole:
        return "–"
    value = 100.0 * part / whole
    return "<1 %" if 0 < value < 1 else ">99 %" if 99 < value < 100 else f"{value:.0f} %"
