"""Whether a recording is an ECG that can be believed, and what is odd about it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hemometric.ecg import INDEPENDENT_LEADS, LEADS, Float32, Recording, Rejected, check_recording
from hemometric.waveform import measures
from hemometric.waveform.false_rate import FASTEST_S, REGULAR, Pulse
from hemometric.waveform.gaps import bridged
from hemometric.waveform.leads import limb_lead_residuals, standard_leads
from hemometric.waveform.noise import Spectrum, mains_hum_mv, noise_uv, wander_mv
from hemometric.waveform.quality_config import QualityConfig
from hemometric.waveform.quality_table import QUALITY_COLUMNS, Quality
from hemometric.waveform.reversals import reversal_evidence
from hemometric.waveform.spikes import LEAST_RATE_HZ, find_spikes, paced

_FAST_HEART_S = 0.24  # 250 beats a minute
_PLAIN = QualityConfig()
_EIGHT = [LEADS.index(lead) for lead in INDEPENDENT_LEADS]


@dataclass(frozen=True)
class Assessed:
    """A recording that passed the gates.

    Attributes
    ----------
    flags : tuple of str
        Sorted: ``flat_lead:<lead>``, ``missing_lead:<lead>``, ``derived_lead:<lead>``, ``large_amplitude:<lead>``,
        ``nan_samples``, ``saturated``, ``padded``, ``mains_hum``, ``baseline_wander``, ``spikes``,
        ``pacemaker_suspected``, and ``<swap>_reversal_suspected`` with a swap of `reversals.SWAPS`.
    quality : Quality
        The figures that the flags come from.
    """

    recording: Recording
    flags: tuple[str, ...]
    quality: Quality


class _GateError(Exception):
    """One gate's refusal, as (reason, detail)."""


def assess(recording: Recording, config: QualityConfig = _PLAIN) -> Assessed | Rejected:
    """Pass a recording through the gates; without a config, by the thresholds that ingest has by default.

    Returns
    -------
    Assessed or Rejected
        The recording unchanged, with flags and figures; or the first gate that refuses it: ``rate_range``, ``empty``,
        ``flat``, ``too_short``, ``missing_leads``, ``nan_samples``, ``amplitude_low``, ``amplitude_high``,
        ``limb_lead_identity``, ``rate_contradiction``.

    Raises
    ------
    TypeError
        It is no `Recording`.
    """
    check_recording(recording)
    flags: set[str] = set()
    found = dict.fromkeys(QUALITY_COLUMNS, float("nan"))
    try:
        moving = _check_extent(recording, config, flags, found)
        signal12, present = standard_leads(moving, recording.leads)
        present &= np.isfinite(signal12).any(axis=1)
        _check_leads(recording, present, config, flags, found)
        _check_samples(signal12[present], config, flags, found)
        still = _check_amplitudes(signal12, present, recording.rate_hz, config, flags, found)
        _check_identities(signal12, still, config, found)
        _check_rate(signal12[present & ~still], recording.rate_hz, config, found)
    except _GateError as refusal:
        reason, detail = refusal.args
        return Rejected(recording.key, reason, detail)
    _measure_shape(signal12, present & ~still, recording.rate_hz, config, flags, found)
    return Assessed(recording, tuple(sorted(flags)), Quality(**found))


def _check_extent(recording: Recording, config: QualityConfig, flags: set[str], found: dict[str, float]) -> Float32:
    """Check rate and length; give the part that moves, [lead, sample] mV."""
    rate_hz = recording.rate_hz
    if not config.min_rate_hz <= rate_hz <= config.max_rate_hz:
        text = f"{rate_hz:g} Hz is outside {config.min_rate_hz:g} to {config.max_rate_hz:g} Hz"
        raise _GateError("rate_range", text)
    if recording.num_samples == 0:
        raise _GateError("empty", "the recording holds no samples")
    before, after = measures.padding(recording.counts)
    num_moving = recording.num_samples - before - after
    if num_moving == 0:
        raise _GateError("flat", "no lead ever changes")
    if num_moving / rate_hz < config.min_duration_s:
        text = f"{num_moving / rate_hz:.2f} s of signal is shorter than {config.min_duration_s:g} s"
        raise _GateError("too_short", text)
    found["duration_s"] = recording.duration_s
    found["padding_before_s"], found["padding_after_s"] = before / rate_hz, after / rate_hz
    if max(before, after) >= measures.PADDING_S * rate_hz:
        flags.add("padded")
    return recording.signal[:, before : recording.num_samples - after]


def _check_leads(
    recording: Recording, present: measures.Bools, config: QualityConfig, flags: set[str], found: dict[str, float]
) -> None:
    absent = [lead for lead, there in zip(LEADS, present, strict=True) if not there]
    lacking = [lead for lead in absent if lead in config.required_leads]
    if lacking or not present.any():
        raise _GateError("missing_leads", f"{', '.join(lacking or absent)} can neither be read nor derived")
    derived = [lead for lead in LEADS if lead not in recording.leads and lead not in absent]
    flags |= {f"missing_lead:{lead}" for lead in absent} | {f"derived_lead:{lead}" for lead in derived}
    found["num_leads"] = float(len(LEADS) - len(absent) - len(derived))
    found["num_derived_leads"] = float(len(derived))


def _check_samples(signal: Float32, config: QualityConfig, flags: set[str], found: dict[str, float]) -> None:
    share = found["nan_share"] = float(np.isnan(signal).mean())
    if share > config.max_nan_share:
        text = f"{share:.0%} of the samples have no value; at most {config.max_nan_share:.0%} may lack one"
        raise _GateError("nan_samples", text)
    if share > 0:
        flags.add("nan_samples")


def _check_amplitudes(
    signal12: Float32,
    present: measures.Bools,
    rate_hz: float,
    config: QualityConfig,
    flags: set[str],
    found: dict[str, float],
) -> measures.Bools:
    """Check size; give which leads stand still, bool [12]."""
    amplitude = measures.amplitudes(signal12, rate_hz)
    still = present & (measures.still_shares(signal12, rate_hz, config.flat_lead_mv) > config.max_flat_share)
    largest, row = float(amplitude.max()), int(amplitude.argmax())
    if largest < config.min_amplitude_mv:
        text = f"no lead exceeds {largest:.2g} mV peak to peak; is the unit right?"
        raise _GateError("amplitude_low", text)
    sizes = amplitude[~still & (amplitude > 0)]
    middle = float(np.median(sizes)) if sizes.size else 0.0
    if middle > config.max_amplitude_mv or largest > config.max_lead_amplitude_mv:
        text = f"lead {LEADS[row]} has {largest:.3g} mV peak to peak and the median lead {middle:.3g} mV"
        raise _GateError("amplitude_high", f"{text}; is the unit right?")
    flags |= {f"flat_lead:{LEADS[lead]}" for lead in np.flatnonzero(still)}
    flags |= {f"large_amplitude:{LEADS[lead]}" for lead in np.flatnonzero(amplitude > config.max_amplitude_mv)}
    found["num_flat_leads"] = float(still.sum())
    found["amplitude_min_mv"] = float(amplitude[present].min())
    found["amplitude_median_mv"] = float(np.median(amplitude[present]))
    found["amplitude_max_mv"] = largest
    return still


def _check_identities(signal12: Float32, still: measures.Bools, config: QualityConfig, found: dict[str, float]) -> None:
    """Check the identities of those limb leads that move."""
    believed = signal12[:6].copy()
    believed[still[:6]] = np.nan
    residuals = limb_lead_residuals(believed)
    if not residuals:
        return
    lead, worst = max(residuals.items(), key=lambda item: item[1])
    found["limb_residual_mv"] = worst
    if worst <= config.max_limb_residual_mv:
        return
    size = max(_size_mv(values) for values in believed)
    if worst > config.max_limb_residual_share * size:
        text = f"{lead} is {worst:.3f} mV from what I and II say; leads are swapped, mislabelled or scaled"
        raise _GateError("limb_lead_identity", text)


def _size_mv(values: Float32) -> float:
    """Measure a lead as `limb_lead_residuals` measures a difference."""
    values = values[np.isfinite(values)]
    return float(np.percentile(np.abs(values - np.median(values)), 95)) if values.size else 0.0


def _check_rate(signal: Float32, rate_hz: float, config: QualityConfig, found: dict[str, float]) -> None:
    """Check that hearts can beat and conduct as those leads that move say."""
    pulse = Pulse.of(bridged(signal), rate_hz)
    found["qrs_s"], found["beat_s"], found["regularity"] = pulse.width_s, pulse.beat_s, pulse.regularity
    fast = pulse.width_s < config.min_qrs_s and FASTEST_S + 0.01 < pulse.interval_s < config.min_beat_s
    slow = pulse.width_s > config.max_qrs_s and pulse.interval_s > config.max_beat_s
    if not (fast or slow) or pulse.regularity < REGULAR:
        return
    if fast and rate_hz >= LEAST_RATE_HZ:
        # Spikes of another device are as narrow, and may be as frequent: without them a heart is left.
        calm = Pulse.of(bridged(find_spikes(signal, rate_hz, config.spike_mv).blanked(signal, rate_hz)), rate_hz)
        if calm.regularity >= REGULAR and calm.width_s >= config.min_qrs_s and calm.interval_s >= _FAST_HEART_S:
            return
    text = f"at {rate_hz:g} Hz a QRS would last {pulse.width_s:.3f} s and beats come each {pulse.interval_s:.2f} s"
    raise _GateError("rate_contradiction", f"{text}; is the sampling rate right?")


def _measure_shape(
    signal12: Float32,
    moving: measures.Bools,
    rate_hz: float,
    config: QualityConfig,
    flags: set[str],
    found: dict[str, float],
) -> None:
    """Measure noise and swaps of the leads that move, without the spikes found in them."""
    if not moving.any():
        return
    saturated = measures.saturated(signal12[moving])
    found["num_saturated_leads"] = float(saturated.sum())
    if saturated.any():
        flags.add("saturated")
    if rate_hz >= LEAST_RATE_HZ:
        signal12 = _without_spikes(signal12, moving, rate_hz, config, flags, found)

    signal = bridged(signal12[moving])
    spectrum = Spectrum.of(signal, rate_hz)
    found["noise_uv"] = float(noise_uv(signal, rate_hz).max())
    found["mains_hum_mv"] = float(mains_hum_mv(spectrum).max())
    found["wander_mv"] = float(wander_mv(spectrum).max())
    if found["wander_mv"] >= config.wander_mv:
        flags.add("baseline_wander")
    # Hum and a loose electrode hide how the leads go together.
    large = any(flag.startswith("large_amplitude") for flag in flags)
    if found["mains_hum_mv"] >= config.mains_hum_mv:
        flags.add("mains_hum")
    elif moving[_EIGHT].all() and not large and (evidence := reversal_evidence(signal12[_EIGHT], rate_hz)):
        swap, most = max(evidence.items(), key=lambda item: item[1])
        found["reversal_evidence"] = most
        if most >= config.reversal_evidence:
            flags.add(f"{swap}_reversal_suspected")


def _without_spikes(
    signal12: Float32,
    moving: measures.Bools,
    rate_hz: float,
    config: QualityConfig,
    flags: set[str],
    found: dict[str, float],
) -> Float32:
    """Count spikes; give [12, sample] mV with NaN in their place."""
    signal = signal12[moving]
    spikes = find_spikes(signal, rate_hz, config.spike_mv)
    num_paced = int(paced(spikes, signal, rate_hz).sum())
    tens_of_s = signal.shape[1] / (10.0 * rate_hz)
    found["pacing_spikes_per_10s"] = num_paced / tens_of_s
    found["spikes_per_10s"] = (spikes.places.size - num_paced) / tens_of_s
    if num_paced:
        flags.add("pacemaker_suspected")
    if found["spikes_per_10s"] >= config.spikes_per_10s:
        flags.add("spikes")
    return spikes.blanked(signal12, rate_hz)
