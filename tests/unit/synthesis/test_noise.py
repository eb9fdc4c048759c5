"""Recording noise has the level, the band and the line that it was asked for."""

from __future__ import annotations

import numpy as np
import pytest

from hemometric.ecg import Float64
from hemometric.synthesis.noise import NUM_ELECTRODES, NoiseLevels, draw_levels, electrode_noise

RATE_HZ = 500.0
TIMES = np.arange(20_000) / RATE_HZ


def _noise(rate_hz: float = RATE_HZ, times: Float64 = TIMES, **levels: float) -> Float64:
    silent = {"muscle_mv": 0.0, "wander_mv": 0.0, "breath_mv": 0.0, "mains_mv": 0.0, **levels}
    arrays = {name: np.full(NUM_ELECTRODES, value) for name, value in silent.items()}
    whole = NoiseLevels(**arrays, mains_phase=np.linspace(0.0, 6.0, NUM_ELECTRODES), mains_hz=50.0)
    breath = np.sin(2.0 * np.pi * 0.25 * times)
    return electrode_noise(np.random.default_rng(1), whole, times, rate_hz, breath).astype(np.float64)


def _power_between(noise: Float64, low_hz: float, high_hz: float, rate_hz: float = RATE_HZ) -> float:
    power = np.square(np.abs(np.fft.rfft(noise, axis=1))).sum(axis=0)
    frequency = np.fft.rfftfreq(noise.shape[1], 1.0 / rate_hz)
    return float(power[(frequency >= low_hz) & (frequency <= high_hz)].sum() / power[1:].sum())


@pytest.mark.parametrize(("name", "tolerance"), [("muscle_mv", 0.03), ("mains_mv", 0.001), ("breath_mv", 0.001)])
def test_root_mean_squares_are_those_asked_for(name: str, tolerance: float) -> None:
    noise = _noise(**{name: 0.02})
    assert noise.shape == (NUM_ELECTRODES, len(TIMES))
    np.testing.assert_allclose(noise.std(axis=1), 0.02, rtol=tolerance)


def test_wander_is_slow_and_calibrated() -> None:
    noise = np.concatenate([_noise(wander_mv=0.03), _noise(wander_mv=0.03, times=TIMES[:18_000])], axis=1)
    assert _power_between(_noise(wander_mv=0.03), 0.0, 0.8) > 0.98
    assert np.sqrt(np.mean(np.square(noise))) == pytest.approx(0.03, rel=0.25)


def test_muscle_noise_has_its_band() -> None:
    noise = _noise(muscle_mv=0.02)
    assert _power_between(noise, 150.5, 250.0) < 1e-3
    assert _power_between(noise, 0.0, 5.0) < 0.01
    assert _power_between(noise, 15.0, 90.0) > 0.6


def test_a_slow_recorder_holds_its_share_of_muscle_noise_and_no_aliased_mains() -> None:
    times = np.arange(6000) / 100.0
    muscle = _noise(100.0, times, muscle_mv=0.02)
    share = _power_between(_noise(muscle_mv=0.02), 0.0, 45.0)
    assert np.mean(np.square(muscle)) == pytest.approx(0.02**2 * share, rel=0.08)
    assert not _noise(100.0, times, mains_mv=0.02).any()


def test_mains_is_one_line() -> None:
    assert _power_between(_noise(mains_mv=0.02), 49.9, 50.1) > 0.999


def test_electrodes_are_independent() -> None:
    correlation = np.corrcoef(_noise(muscle_mv=0.02))
    assert np.abs(correlation - np.eye(NUM_ELECTRODES)).max() < 0.06


def test_levels_scale_with_the_factor() -> None:
    one, two = (draw_levels(np.random.default_rng(4), factor=f, mains_hz=60.0) for f in (1.0, 2.0))
    np.testing.assert_allclose(two.muscle_mv, 2.0 * one.muscle_mv)
    np.testing.assert_allclose(two.wander_mv, 2.0 * one.wander_mv)
    assert one.mains_hz == 60.0
    assert (one.muscle_mv > 0.0).all()
