"""Resampling against ideal sines, straight lines and scipy's own polyphase filter."""

from fractions import Fraction

import numpy as np
import pytest
from scipy import signal as scipy_signal

from hemometric.waveform import resample
from hemometric.waveform.resample import PASSBAND, rate_ratio

RATES_HZ = (250.0, 257.0, 360.0, 400.0, 500.0, 1000.0)


def sines(frequencies: list[float], rate_hz: float, num_samples: int) -> np.ndarray:
    time = np.arange(num_samples) / rate_hz
    return np.stack([np.sin(2 * np.pi * frequency * time + 0.3) for frequency in frequencies])


@pytest.mark.parametrize("to_hz", [100.0, 250.0])
@pytest.mark.parametrize("from_hz", RATES_HZ)
def test_sines_in_the_passband_stay_ideal(from_hz: float, to_hz: float) -> None:
    edge = PASSBAND * min(from_hz, to_hz) / 2
    frequencies = [0.5, 1.0, 5.0, 10.0, 25.0, 0.9 * edge, edge]
    resampled = resample(sines(frequencies, from_hz, int(10 * from_hz)), from_hz, to_hz)
    ideal = sines(frequencies, to_hz, resampled.shape[1])
    away = slice(int(0.5 * to_hz), -int(0.5 * to_hz))
    assert np.abs(resampled - ideal)[:, away].max() < 1e-2
    assert np.abs(resampled - ideal)[:3].max() < 1e-2  # what an ECG's slow waves hold is right up to both ends


@pytest.mark.parametrize("from_hz", RATES_HZ)
def test_what_would_alias_is_gone(from_hz: float) -> None:
    frequencies = [50.0, 60.0, 80.0, 0.45 * from_hz]
    resampled = resample(sines(frequencies, from_hz, int(10 * from_hz)), from_hz, 100.0)
    assert np.abs(resampled[:, 50:-50]).max() < 1e-2


def test_upsampling_leaves_no_images() -> None:
    resampled = resample(sines([30.0], 100.0, 1000), 100.0, 500.0)[0]
    spectrum = np.abs(np.fft.rfft(resampled[500:-500] * np.hanning(4000)))
    frequency = np.fft.rfftfreq(4000, 1 / 500.0)
    assert spectrum[np.abs(frequency - 70) < 5].max() < 1e-3 * spectrum.max()


@pytest.mark.parametrize(
    ("from_hz", "to_hz"), [(500.0, 100.0), (257.0, 100.0), (100.0, 250.0), (62.4725, 100.0), (999.56, 500.0)]
)
@pytest.mark.parametrize("num_samples", [1, 2, 7, 100, 2500, 2501, 2504])
def test_duration_is_kept_and_lines_are_exact_to_the_very_ends(from_hz: float, to_hz: float, num_samples: int) -> None:
    line = 20.0 + 0.4 * np.arange(num_samples) / from_hz
    resampled = resample(line, from_hz, to_hz)
    assert abs(len(resampled) / to_hz - num_samples / from_hz) <= 1 / to_hz + 1e-9
    if num_samples > 1:
        ideal = 20.0 + 0.4 * np.arange(len(resampled)) / to_hz
        np.testing.assert_allclose(resampled, ideal, atol=0.02)
    else:
        np.testing.assert_allclose(resampled, 20.0, atol=0.02)


def test_length_is_the_ceiling() -> None:
    for from_hz, to_hz, num_samples in [
        (500.0, 100.0, 5000),
        (400.0, 100.0, 2934),
        (257.0, 100.0, 2570),
        (100.0, 250.0, 1000),
    ]:
        expected = -(-num_samples * int(to_hz) // int(from_hz))
        assert resample(np.zeros((2, num_samples)), from_hz, to_hz).shape == (2, expected)


def test_a_step_does_not_ring_at_the_ends() -> None:
    held = np.full(2500, 15.0)
    assert np.abs(resample(held, 250.0, 100.0) - 15.0).max() < 0.01


def test_agrees_with_scipy_away_from_the_ends() -> None:
    noise = np.random.default_rng(0).normal(size=(3, 4096))
    for from_hz, to_hz in [(400, 100), (500, 100), (257, 100), (100, 250)]:
        ratio = rate_ratio(from_hz, to_hz)
        up, down = ratio.numerator, ratio.denominator
        num_taps, beta = scipy_signal.kaiserord(70.0, 0.2 / max(up, down))
        half = -(-(num_taps // 2 + 1) // down) * down
        taps = scipy_signal.firwin(2 * half + 1, 0.9 / max(up, down), window=("kaiser", beta))
        oracle = scipy_signal.resample_poly(noise, up, down, axis=-1, window=taps)
        ours = resample(noise, from_hz, to_hz)
        assert ours.shape == oracle.shape
        np.testing.assert_allclose(ours[:, 60:-60], oracle[:, 60:-60], atol=1e-5)


def test_equal_rates_change_nothing() -> None:
    noise = np.random.default_rng(0).normal(size=(3, 4, 100)).astype(np.float32)
    np.testing.assert_array_equal(resample(noise, 500.0, 500.0), noise)
    assert resample(noise, 500.0, 100.0).shape == (3, 4, 20)
    assert resample(noise, 500.0, 100.0).dtype == np.float32


def test_ratios_are_exact_for_rates_with_one_decimal() -> None:
    assert rate_ratio(999.5, 100.0) == Fraction(200, 1999)
    assert rate_ratio(500, 100) == Fraction(1, 5)
    assert rate_ratio(100, 250) == Fraction(5, 2)
    assert float(rate_ratio(62.4725, 100.0)) == pytest.approx(100 / 62.4725, rel=1e-7)


@pytest.mark.parametrize("rate_hz", [0.0, -1.0, np.inf, np.nan])
def test_impossible_rates_are_refused(rate_hz: float) -> None:
    with pytest.raises(ValueError, match="above zero"):
        resample(np.zeros(10), rate_hz, 100.0)
    with pytest.raises(ValueError, match="above zero"):
        resample(np.zeros(10), 100.0, rate_hz)


def test_nan_is_refused() -> None:
    with pytest.raises(ValueError, match="NaN"):
        resample(np.array([0.0, np.nan, 0.0]), 100.0, 50.0)
