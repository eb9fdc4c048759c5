"""Beats are found where they were planted, and where another detector finds them in real ECGs."""

import warnings
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from hemometric.ecg import INDEPENDENT_LEADS, LEADS
from hemometric.waveform import resample
from hemometric.waveform.heartbeats import bumps, find_heartbeats, slopes

with warnings.catch_warnings():  # it sets up its tables with a deprecated argument of pandas
    warnings.simplefilter("ignore")
    from wfdb.processing import xqrs_detect

Heart = Callable[..., np.ndarray]

EIGHT = [LEADS.index(lead) for lead in INDEPENDENT_LEADS]


def bundled(num: int) -> np.ndarray:
    """Real ECGs, float32 [recording, 8, sample] mV at 100 Hz."""
    paths = sorted(Path(str(files("hemometric").joinpath("demo/data/ptbxl/records100"))).rglob("*.dat"))[:num]
    twelve = np.stack([np.fromfile(path, "<i2").reshape(-1, 12).T for path in paths])
    return (twelve[:, EIGHT] / 1000).astype(np.float32)


def found_in(signal: np.ndarray, rate_hz: float) -> np.ndarray:
    """Seconds."""
    return find_heartbeats(slopes(signal, rate_hz), rate_hz) / rate_hz


@pytest.mark.parametrize("beats_per_minute", [35, 60, 110, 170])
@pytest.mark.parametrize("rate_hz", [100.0, 250.0, 500.0])
def test_planted_beats_are_found(heart: Heart, beats_per_minute: float, rate_hz: float) -> None:
    onsets = np.arange(0.35, 9.7, 60 / beats_per_minute)
    found = found_in(heart(onsets, rate_hz=rate_hz), rate_hz)
    assert len(found) == len(onsets)
    # A QRS is 0.1 s long, and its steepest part lies inside.
    assert ((found - onsets > 0.02) & (found - onsets < 0.09)).all()
    assert np.ptp(found - onsets) < 0.025


def test_one_bad_lead_does_not_matter(heart: Heart) -> None:
    onsets = np.arange(0.35, 9.7, 0.8)
    signal = heart(onsets)
    generator = np.random.default_rng(0)
    signal[3] = 5 * generator.normal(size=signal.shape[1])
    signal[5, 2000:] += 20.0
    found = found_in(signal, 500.0)
    assert len(found) == len(onsets)
    assert np.abs(found - onsets).max() < 0.1


def test_t_waves_and_tremor_in_a_long_pause_are_no_beats(heart: Heart) -> None:
    onsets = np.array([0.5, 1.4, 2.3, 6.9, 7.8, 8.7])
    signal = heart(onsets) + np.random.default_rng(0).normal(0, 0.01, (8, 5000)).astype(np.float32)
    assert len(found_in(signal, 500.0)) == len(onsets)


def test_padding_and_offsets_do_not_matter(heart: Heart) -> None:
    onsets = np.arange(0.4, 5.8, 0.8)
    signal = heart(onsets, duration_s=6.0)
    padded = np.pad(signal + np.linspace(-20, 20, 8, dtype=np.float32)[:, None], ((0, 0), (1000, 1000)))
    found = found_in(padded, 500.0) - 2.0
    inside = found[(found > 0.2) & (found < 5.9)]
    np.testing.assert_allclose(inside, found_in(signal, 500.0), atol=0.01)


@pytest.mark.parametrize(
    "signal",
    [np.zeros((8, 5000)), np.ones((8, 5000)), np.zeros((1, 1)), np.ones((8, 3))],
    ids=["flat", "offset", "one sample", "three samples"],
)
def test_where_nothing_moves_there_are_no_beats(signal: np.ndarray) -> None:
    assert found_in(signal.astype(np.float32), 500.0).size == 0


def test_steepness_is_bounded_whatever_the_amplitude() -> None:
    signal = bundled(1)[0]
    steep = slopes(signal, 100.0)
    assert np.abs(steep).max() <= 2
    np.testing.assert_allclose(slopes(signal * np.float32(7), 100.0), steep, atol=1e-4)
    assert bumps(steep, 100.0).shape == (1000,)


def test_another_detector_finds_the_same_beats_in_real_ecgs() -> None:
    missed, invented, matched = 0, 0, 0
    for signal in bundled(30):
        lead_two = resample(signal[1], 100.0, 500.0).astype(np.float64)  # it takes T waves for beats at 100 Hz
        theirs = np.asarray(xqrs_detect(lead_two, 500, verbose=False)) / 500
        if not len(theirs):  # it gives up on some low lead II
            continue
        ours = found_in(signal, 100.0)
        # Theirs learns during the first second, and does not look at the last.
        inner = ours[(ours > theirs[0] - 0.1) & (ours < theirs[-1] + 0.1)]
        apart = np.abs(inner[:, None] - theirs)
        missed += int((apart.min(axis=0) > 0.1).sum())
        invented += int((apart.min(axis=1) > 0.1).sum())
        matched += int((apart.min(axis=0) <= 0.1).sum())
    assert matched > 250
    assert missed <= 0.01 * matched
    assert invented <= 0.01 * matched
