"""Hum, wander and noise against signals whose size is known; gaps and lengths of any kind."""

from __future__ import annotations

import numpy as np
import pytest

from hemometric.waveform.gaps import bridged, longest_gap
from hemometric.waveform.noise import Spectrum, mains_hum_mv, noise_uv, wander_mv


def wave(frequency: float, rms: float, rate_hz: float, num: int) -> np.ndarray:
    return (rms * np.sqrt(2) * np.sin(2 * np.pi * frequency * np.arange(num) / rate_hz + 1.0)).astype(np.float32)


@pytest.mark.parametrize("num", [5000, 4993, 7001, 57_600])
@pytest.mark.parametrize("rate_hz", [257.0, 500.0, 1000.0])
def test_sines_have_their_size(num: int, rate_hz: float) -> None:
    noise = np.random.default_rng(0).normal(0, 0.002, (4, num)).astype(np.float32)
    signal = noise + np.stack([wave(50, 0.1, rate_hz, num), wave(60, 0.05, rate_hz, num), 0 * noise[0], 0 * noise[0]])
    slow = 25.0 + wave(0.3, 0.4, rate_hz, num)
    signal[2] += slow
    spectrum = Spectrum.of(signal, rate_hz)
    np.testing.assert_allclose(mains_hum_mv(spectrum), [0.1, 0.05, 0, 0], rtol=0.08, atol=1e-3)
    if num / rate_hz > 9:
        np.testing.assert_allclose(wander_mv(spectrum), [0, 0, 0.4, 0], rtol=0.15, atol=2e-3)


def test_the_powers_add_up_to_the_variance() -> None:
    signal = np.random.default_rng(1).normal(3.0, 0.2, (3, 20_000)).astype(np.float32)
    np.testing.assert_allclose(Spectrum.of(signal, 500.0).power.sum(axis=1), 0.04, rtol=0.05)


def test_a_rate_too_low_for_the_mains_has_none() -> None:
    signal = np.random.default_rng(0).normal(0, 0.1, (2, 1000)).astype(np.float32)
    assert (mains_hum_mv(Spectrum.of(signal, 100.0)) == 0).all()


@pytest.mark.parametrize("rate_hz", [250.0, 500.0, 1000.0])
def test_white_noise_has_its_standard_deviation(ecg, rate_hz: float) -> None:
    clean = ecg(rate_hz)
    noise = np.random.default_rng(2).normal(0, 0.05, clean.shape)
    measured = noise_uv((clean + noise).astype(np.float32), rate_hz)
    np.testing.assert_allclose(measured, 50, rtol=0.15)
    holed = (clean + noise).astype(np.float32)
    holed[3, 100:700] = np.nan
    holed[4] = np.nan
    np.testing.assert_allclose(noise_uv(holed, rate_hz)[3], measured[3], rtol=0.1)
    assert np.isnan(noise_uv(holed, rate_hz)[4])


def test_gaps_are_counted_and_bridged() -> None:
    signal = np.tile(np.arange(10, dtype=np.float32), (4, 1))
    assert bridged(signal) is signal
    signal[0, 3:6], signal[1, :2], signal[1, 9], signal[2] = np.nan, np.nan, np.nan, np.nan
    assert [longest_gap(values) for values in signal] == [3, 2, 10, 0]
    whole = bridged(signal)
    np.testing.assert_allclose(whole[0], np.arange(10))
    np.testing.assert_allclose(whole[1], [2, 2, 2, 3, 4, 5, 6, 7, 8, 8])
    assert (whole[2] == 0).all()
