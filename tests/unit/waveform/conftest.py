"""A tracing that looks enough like an ECG for the gates: beats of one dipole, so that every identity holds."""

from collections.abc import Callable

import numpy as np
import pytest

from hemometric.ecg import LEADS, Recording
from hemometric.synthesis import SynthesisConfig, generate
from hemometric.synthesis.render import dipole
from hemometric.synthesis.rhythm import Rhythm

Ecg = Callable[..., np.ndarray]
Record = Callable[..., Recording]


@pytest.fixture
def ecg() -> Ecg:
    """Make float64 [12, sample] mV: P, QRS and T at 72 beats a minute, 5 microvolts of noise."""

    def make(rate_hz: float = 500.0, duration_s: float = 10.0, seed: int = 0) -> np.ndarray:
        generator = np.random.default_rng(seed)
        time = np.arange(round(rate_hz * duration_s)) / rate_hz
        # (time in s, width in s, share of the QRS) of each wave
        waves = [(-0.16, 0.02, 0.12), (0.0, 0.011, 1.0), (0.03, 0.01, -0.25), (0.25, 0.045, 0.3)]
        beat = np.zeros_like(time)
        for at in np.arange(0.4, duration_s, 60 / 72):
            for offset, width, size in waves:
                beat += size * np.exp(-0.5 * ((time - at - offset) / width) ** 2)
        weights = np.array([0.8, 1.1, -0.6, -0.9, 1.2, 1.6, 1.4, 1.0])  # I II V1..V6
        # Each lead sees the beat a little later than the last, so that no two are proportional.
        eight = np.stack([np.roll(weight * beat, 2 * row) for row, weight in enumerate(weights)])
        eight += generator.normal(0, 0.005, eight.shape)
        one, two = eight[:2]
        return np.stack([one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2, *eight[2:]])

    return make


@pytest.fixture
def record() -> Record:
    """Make a recording of millivolts."""

    def make(signal: np.ndarray, rate_hz: float = 500.0, leads: tuple[str, ...] = LEADS) -> Recording:
        return Recording.from_millivolts(signal, key="folder/record", rate_hz=rate_hz, leads=leads)

    return make


@pytest.fixture(scope="session")
def heart() -> Callable[..., np.ndarray]:
    """Make float32 [8, sample] mV, noiseless, of a generated patient whose QRS begin at the given seconds."""

    def make(onsets_s: np.ndarray, patient: int = 0, rate_hz: float = 500.0, duration_s: float = 10.0) -> np.ndarray:
        (visit, *_) = generate(SynthesisConfig(num_patients=patient + 1), [patient])
        onsets_ms = 1000.0 * np.asarray(onsets_s)
        intervals = np.diff(onsets_ms, prepend=2 * onsets_ms[0] - onsets_ms[1])
        beats = dipole(
            visit.heartbeat,
            Rhythm(onsets_ms, intervals, breath_hz=0.25, breath_phase=0.0),
            qt_ms=visit.truth.qt_ms,
            mean_rr_ms=float(np.median(intervals)),
            num_samples=round(rate_hz * duration_s),
            rate_hz=rate_hz,
        )
        return (visit.leads_matrix @ beats).astype(np.float32)

    return make
