"""A perfect reader of the noise-free ECG finds what was planted, with a ruler and nothing else."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
from scipy.signal import find_peaks

from hemometric.ecg import LEADS, Float64
from hemometric.synthesis import SynthesisConfig, Visit, generate

INDEPENDENT = [0, 1, 6, 7, 8, 9, 10, 11]
V1, V5 = LEADS.index("V1"), LEADS.index("V5")
TOLERANCE = {
    "heart_rate_bpm": 1.0,
    "pr_ms": 0.5,
    "qrs_ms": 3.0,
    "qt_ms": 1.0,
    "p_ms": 0.5,
    "p_terminal_v1_mv": 0.001,
    "sokolow_lyon_mv": 0.006,
    "t_v5_mv": 0.001,
}


def _edge(size: Float64, peak: int, step: int, share: float = 0.05) -> float:
    """Position, in samples, where `size` falls to a share of its peak, walking from the peak."""
    level = share * size[peak]
    at = peak
    while size[at] > level:
        at += step
    return at - step * (level - size[at]) / (size[at - step] - size[at])


def measure(signal: Float64, rate_hz: float) -> dict[str, float]:
    """Intervals and amplitudes of the third beat onwards, medians over the beats; signal [12, sample] mV."""
    size = np.sqrt(np.square(signal[INDEPENDENT]).sum(axis=0))
    # The QRS moves fastest, so that a tall T wave is not taken for one.
    speed = np.sqrt(np.square(np.diff(signal[INDEPENDENT], axis=1)).sum(axis=0))
    beats, _ = find_peaks(speed, height=0.45 * speed.max(), distance=int(0.3 * rate_hz))
    found: dict[str, list[float]] = {name: [] for name in TOLERANCE}
    found["heart_rate_bpm"].append(60.0 * rate_hz * (len(beats) - 1) / (beats[-1] - beats[0]))
    for beat in beats[2:-2]:
        around = slice(beat - int(0.04 * rate_hz), beat + int(0.04 * rate_hz))
        peak = around.start + int(size[around].argmax())
        onset, end = _edge(size, peak, -1), _edge(size, peak, 1)
        before = slice(int(onset - 0.24 * rate_hz), int(onset - 0.012 * rate_hz))
        p_peak = before.start + int(size[before].argmax())
        p_onset, p_end = _edge(size, p_peak, -1), _edge(size, p_peak, 1)
        after = slice(int(end + 0.06 * rate_hz), int(end + 0.40 * rate_hz))
        t_peak = after.start + int(size[after].argmax())
        qrs, p = slice(int(onset), int(end) + 1), slice(int(p_onset), int(p_end) + 1)
        baseline = signal[:, int(p_onset) - 20]
        found["pr_ms"].append((onset - p_onset) * 1000 / rate_hz)
        found["p_ms"].append((p_end - p_onset) * 1000 / rate_hz)
        found["qrs_ms"].append((end - onset) * 1000 / rate_hz)
        found["qt_ms"].append((_edge(size, t_peak, 1) - onset) * 1000 / rate_hz)
        found["p_terminal_v1_mv"].append(baseline[V1] - signal[V1, p].min())
        found["sokolow_lyon_mv"].append(signal[V5, qrs].max() - signal[V1, qrs].min())
        t_wave = signal[V5, after.start : int(_edge(size, t_peak, 1))]
        found["t_v5_mv"].append(t_wave[np.abs(t_wave).argmax()])
    return {name: float(np.median(values)) for name, values in found.items()}


QUIET = SynthesisConfig(
    num_patients=160, visits_max=1, noise=0.0, respiration=0.0, electrode_shift_cm=0.0, rate_hz=1000.0, seed=7
)


@pytest.fixture(scope="module")
def readable() -> list[Visit]:
    """Visits in which no wave runs into its neighbour, so that a ruler can be laid."""
    visits = []
    for visit in generate(QUIET):
        truth = visit.truth
        gap_ms = 60_000.0 / truth.heart_rate_bpm - truth.qt_ms - truth.pr_ms
        if truth.pr_ms - truth.p_ms > 32.0 and gap_ms > 60.0 and truth.t_v5_mv > 0.12:
            visits.append(visit)
    assert len(visits) > 80  # most people, not a chosen few
    return visits


def test_planted_features_are_found_in_the_waveform(readable: list[Visit]) -> None:
    errors = {name: [] for name in TOLERANCE}
    for visit in readable:
        measured = measure(visit.signal.astype(np.float64), visit.rate_hz)
        for name, planted in asdict(visit.truth).items():
            errors[name].append(abs(measured[name] - planted))
    for name, values in errors.items():
        assert max(values) < TOLERANCE[name], f"{name}: {np.sort(values)[-3:]}"


def test_features_move_the_waveform_independently(readable: list[Visit]) -> None:
    # What is measured tells patients apart by what was planted, not by a shared artefact of size or rate.
    measured = [measure(visit.signal.astype(np.float64), visit.rate_hz) for visit in readable]
    for name in TOLERANCE:
        planted = [getattr(visit.truth, name) for visit in readable]
        assert np.corrcoef(planted, [m[name] for m in measured])[0, 1] > 0.99, name


def test_noise_and_breathing_blur_but_do_not_bias_the_voltage() -> None:
    ratios = []
    for visit in generate(SynthesisConfig(num_patients=120, visits_max=1, noise=0.3, electrode_shift_cm=0.0)):
        beat = np.abs(visit.signal[V5]).max() + np.abs(visit.signal[V1].min())
        ratios.append(beat / visit.truth.sokolow_lyon_mv)
    assert np.median(ratios) == pytest.approx(1.03, abs=0.05)  # the largest of ten beats, so a little above
