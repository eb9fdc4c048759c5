"""Every reason code and every flag, planted in synthetic ECGs: found where it is, and nowhere else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest

from hemometric.ecg import INDEPENDENT_LEADS, LEADS, Recording
from hemometric.synthesis import SynthesisConfig, generate
from hemometric.waveform import Assessed, QualityConfig, assess
from hemometric.waveform.heartbeats import find_heartbeats, slopes

RATE_HZ = 500.0
NUM = 20
EIGHT = [LEADS.index(lead) for lead in INDEPENDENT_LEADS]

Case = tuple[set[str], Recording, QualityConfig]
Rng = np.random.Generator

# What each electrode, RA LA LL V1 … V6, adds to the twelve leads; Wilson's terminal is the mean of the limbs.
ELECTRODES = np.zeros((12, 9))
ELECTRODES[0, [0, 1]] = -1, 1
ELECTRODES[1, [0, 2]] = -1, 1
ELECTRODES[2] = ELECTRODES[1] - ELECTRODES[0]
ELECTRODES[3] = -(ELECTRODES[0] + ELECTRODES[1]) / 2
ELECTRODES[4] = ELECTRODES[0] - ELECTRODES[1] / 2
ELECTRODES[5] = ELECTRODES[1] - ELECTRODES[0] / 2
ELECTRODES[6:, 3:] = np.eye(6)
ELECTRODES[6:, :3] = -1 / 3


def on_electrodes(signal: np.ndarray, potentials: np.ndarray) -> np.ndarray:
    """Add potentials [9, sample] mV, or [9] to all samples, to the electrodes."""
    return signal + ELECTRODES @ (potentials if potentials.ndim == 2 else potentials[:, None])


def hum(signal: np.ndarray, rate_hz: float, rng: Rng) -> np.ndarray:
    """50 or 60 Hz of 0.1 to 0.5 mV on one electrode or more."""
    potentials = np.zeros((9, signal.shape[1]))
    wave = np.sin(2 * np.pi * rng.choice([50.0, 60.0]) * np.arange(signal.shape[1]) / rate_hz + rng.uniform(0, 6))
    for electrode in rng.choice(9, rng.integers(1, 6), replace=False):
        potentials[electrode] = rng.uniform(0.1, 0.5) * wave
    return on_electrodes(signal, potentials)


def wander(signal: np.ndarray, rate_hz: float, rng: Rng) -> np.ndarray:
    """A slow swing of 0.7 to 3 mV on one electrode: breathing, or a cable that is pulled."""
    potentials = np.zeros((9, signal.shape[1]))
    angle = 2 * np.pi * rng.uniform(0.15, 0.35) * np.arange(signal.shape[1]) / rate_hz + rng.uniform(0, 6)
    potentials[rng.integers(9)] = rng.uniform(0.7, 3.0) * np.sin(angle)
    return on_electrodes(signal, potentials)


def spikes(signal: np.ndarray, rate_hz: float, rng: Rng, num: int | None = None) -> np.ndarray:
    """Spikes of 2 to 4 ms at any time on some electrodes, each its own."""
    potentials = np.zeros((9, signal.shape[1]))
    for _ in range(num or rng.integers(3, 16)):
        place = rng.integers(100, signal.shape[1] - 100)
        where = rng.choice(9, rng.integers(1, 10), replace=False)
        width = max(1, round(rng.uniform(0.002, 0.004) * rate_hz))
        potentials[where, place : place + width] += rng.choice([-1, 1]) * rng.uniform(2.0, 5.0)
    return on_electrodes(signal, potentials)


def ticking(signal: np.ndarray, rate_hz: float, rng: Rng) -> np.ndarray:
    """Spikes in all leads at equal intervals that do not care for the heart: another device."""
    potentials = np.zeros((9, signal.shape[1]))
    interval = round(rng.uniform(0.23, 0.55) * rate_hz)
    potentials[:, rng.integers(50, 100) :: interval] = rng.uniform(2, 4, (9, 1)) * rng.choice([-1, 1], (9, 1))
    return on_electrodes(signal, potentials)


def pacing(signal: np.ndarray, rate_hz: float, rng: Rng) -> np.ndarray:
    """Spikes of at most 2 ms before most QRS, of the ventricles, the atria or both, in all leads as one dipole."""
    beats = find_heartbeats(slopes(signal.astype(np.float32), rate_hz), rate_hz)
    beats = beats[beats > 0.4 * rate_hz]
    beats = beats[rng.random(beats.size) < rng.choice([0.7, 1.0])] if beats.size > 8 else beats
    potentials = np.zeros((9, signal.shape[1]))
    chambers = [(0.07,), (0.2,), (0.07, 0.22)][rng.integers(3)]
    for before in chambers:
        size = rng.uniform(1.5, 4.0, 9) * rng.choice([-1, 1], 9)
        for beat in beats:
            place = beat - round(before * rate_hz)
            potentials[:, place : place + max(1, round(0.001 * rate_hz))] = size[:, None]
    return on_electrodes(signal, potentials)


def loose(signal: np.ndarray, rate_hz: float, rng: Rng) -> tuple[np.ndarray, str]:
    """A chest electrode that hangs by its cable, and the name of its lead."""
    potentials, row = np.zeros((9, signal.shape[1])), int(rng.integers(6))
    potentials[3 + row] = 20 * np.sin(2 * np.pi * 0.4 * np.arange(signal.shape[1]) / rate_hz)
    return on_electrodes(signal, potentials), LEADS[6 + row]


def clipped(signal: np.ndarray, rng: Rng) -> np.ndarray:
    """An amplifier of a chest lead that ends at 40 to 60 % of the signal's height, on counts of 5 microvolts."""
    row = rng.integers(6, 12)
    changed = np.rint(signal * 200) / 200
    lead = changed[row] - np.median(changed[row])
    peak = lead[np.abs(lead).argmax()]
    limit = np.rint(200 * rng.uniform(0.4, 0.6) * peak) / 200
    changed[row] = np.median(changed[row]) + (np.minimum(lead, limit) if peak > 0 else np.maximum(lead, limit))
    return changed


def swapped(signal: np.ndarray, rng: Rng) -> np.ndarray:
    """Two limb leads, of those that differ, with each other's names."""
    pairs = [(one, two) for one in range(6) for two in range(one)]
    unlike = [pair for pair in pairs if np.percentile(np.abs(signal[pair[0]] - signal[pair[1]]), 95) > 0.15]
    first, second = unlike[rng.integers(len(unlike))]
    changed = signal.copy()
    changed[[first, second]] = changed[[second, first]]
    return changed


def held(signal: np.ndarray, rng: Rng) -> tuple[np.ndarray, str]:
    """One lead that stands still for more than half of the time, and its name."""
    changed, row = signal.copy(), int(rng.integers(12))
    changed[row, : int(rng.uniform(0.7, 1.0) * signal.shape[1])] = rng.uniform(-1, 1)
    return changed, LEADS[row]


def found(recording: Recording, config: QualityConfig) -> set[str]:
    result = assess(recording, config)
    return set(result.flags) if isinstance(result, Assessed) else {f"rejected: {result.reason}"}


def recording(signal: np.ndarray, rate_hz: float = RATE_HZ, leads: tuple[str, ...] = LEADS) -> Recording:
    return Recording.from_millivolts(signal, key="key", rate_hz=rate_hz, leads=leads)


def rejected(reason: str) -> set[str]:
    return {f"rejected: {reason}"}


def cases(clean: np.ndarray, rng: Rng) -> Iterator[Case]:
    """Plant each fault once in an ECG, float [12, sample] mV."""
    every, some = QualityConfig(), QualityConfig(required_leads=("I", "II"))
    num = clean.shape[1]
    yield set(), recording(clean), every
    yield set(), recording(clean + rng.uniform(-25, 25, (12, 1))), every

    yield rejected("rate_range"), recording(clean, rng.choice([60.0, 20_000.0])), every
    yield rejected("rate_contradiction"), recording(clean, 5 * RATE_HZ), every
    yield rejected("rate_contradiction"), recording(clean, RATE_HZ / 5), every
    yield rejected("empty"), recording(clean[:, :0]), every
    yield rejected("flat"), recording(np.tile(rng.uniform(-1, 1, (12, 1)), num)), every
    yield rejected("too_short"), recording(clean[:, : rng.integers(10, 1200)]), every
    yield rejected("amplitude_low"), recording(clean / 1000), every
    yield rejected("amplitude_high"), recording(clean * rng.choice([1e3, 1e6])), every
    in_microvolts = np.where(np.arange(12)[:, None] == rng.integers(12), 1000, 1)
    yield rejected("amplitude_high"), recording(clean * in_microvolts), every
    yield rejected("limb_lead_identity"), recording(swapped(clean, rng)), every

    gone = int(rng.integers(6, 12))
    rest = [row for row in range(12) if row != gone]
    fewer = recording(clean[rest], leads=tuple(LEADS[row] for row in rest))
    yield rejected("missing_leads"), fewer, every
    yield {f"missing_lead:{LEADS[gone]}"}, fewer, some
    invalid = np.where(np.arange(12)[:, None] == gone, np.nan, clean)
    yield rejected("missing_leads"), recording(invalid), every
    yield {f"missing_lead:{LEADS[gone]}"}, recording(invalid), some
    derived = {f"derived_lead:{lead}" for lead in ("III", "aVR", "aVL", "aVF")}
    yield derived, recording(clean[EIGHT], leads=INDEPENDENT_LEADS), every

    start = int(rng.integers(0, num // 2))
    holed = clean.copy()
    holed[:, start : start + int(rng.uniform(0.25, 0.45) * num)] = np.nan
    yield rejected("nan_samples"), recording(holed), every
    holed = clean.copy()
    holed[rng.random(12) < 0.7, start : start + int(rng.uniform(0.002, 0.15) * num)] = np.nan
    holed[6, start] = np.nan
    yield {"nan_samples"}, recording(holed), every

    still, name = held(clean, rng)
    yield {f"flat_lead:{name}"}, recording(still), every
    hanging, name = loose(clean, RATE_HZ, rng)
    yield {f"large_amplitude:{name}", "baseline_wander"}, recording(hanging), every
    yield {"saturated"}, recording(clipped(clean, rng)), every
    yield {"mains_hum"}, recording(hum(clean, RATE_HZ, rng)), every
    yield {"baseline_wander"}, recording(wander(clean, RATE_HZ, rng)), every
    yield {"spikes"}, recording(spikes(clean, RATE_HZ, rng)), every
    yield {"spikes"}, recording(ticking(clean, RATE_HZ, rng)), every
    yield {"pacemaker_suspected"}, recording(pacing(clean, RATE_HZ, rng)), every
    before, after = rng.integers(300, 1500), rng.integers(0, 1500)
    yield {"padded"}, recording(np.pad(clean[:, 500:4500], ((0, 0), (before, after)))), every


@pytest.fixture(scope="module")
def planted() -> list[Case]:
    rng = np.random.default_rng(7)
    clean = []
    for visit in generate(SynthesisConfig(num_patients=NUM, visits_max=1, duration_s=15.0, seed=11)):
        signal = visit.signal.astype(np.float64)
        if not found(recording(signal), QualityConfig()):
            clean.append(signal)
    assert len(clean) >= 0.95 * NUM  # the generator's own noise has hum now and then
    return [case for signal in clean for case in cases(signal, rng)]


LEAST = {"rejected: rate_contradiction": (0.99, 0.95)}  # it rests on beats that are alike, which noise may hide
"""Precision and recall, where they are not 0.99."""


def test_each_fault_is_found_and_nothing_else(planted: list[Case]) -> None:
    assert len(planted) >= 500
    right: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    missed: Counter[str] = Counter()
    for wanted, ecg, config in planted:
        got = found(ecg, config)
        right.update(map(code, wanted & got))
        wrong.update(map(code, got - wanted))
        missed.update(map(code, wanted - got))
    shares = {
        name: (right[name] / max(1, right[name] + wrong[name]), right[name] / max(1, right[name] + missed[name]))
        for name in sorted({*right, *wrong, *missed})
    }
    print("\n".join(f"{name:32s} precision {one:.3f} recall {two:.3f}" for name, (one, two) in shares.items()))
    poor = [name for name, share in shares.items() if any(np.less(share, LEAST.get(name, (0.99, 0.99))))]
    assert not poor, (poor, wrong, missed)
    assert len(shares) == 21


def code(finding: str) -> str:
    """Leave out the lead of a flag: that it is the right one is part of being found."""
    return finding if finding.startswith("rejected") else finding.split(":")[0]
