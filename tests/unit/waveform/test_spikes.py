"""Spikes of artefacts and of pacemakers: what is one, how many leads show it, and whose it is."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from hemometric.waveform import QualityConfig, assess
from hemometric.waveform.heartbeats import find_heartbeats, slopes
from hemometric.waveform.spikes import find_spikes, paced

RATE_HZ = 500.0


def beats_of(signal: np.ndarray) -> np.ndarray:
    return find_heartbeats(slopes(signal.astype(np.float32), RATE_HZ), RATE_HZ)


def verdict(signal: np.ndarray) -> tuple[int, int]:
    """Count the spikes, and those of a pacemaker."""
    signal = signal.astype(np.float32)
    spikes = find_spikes(signal, RATE_HZ, 0.5)
    return len(spikes.places), int(paced(spikes, signal, RATE_HZ).sum())


@pytest.mark.parametrize("rate_hz", [250.0, 500.0, 1000.0, 2000.0])
@pytest.mark.parametrize("width_s", [0.0005, 0.002, 0.004])
@pytest.mark.parametrize("sign", [-1, 1])
def test_a_spike_is_found_where_it_is(ecg, rate_hz: float, width_s: float, sign: int) -> None:
    signal = ecg(rate_hz).astype(np.float32)
    assert find_spikes(signal, rate_hz, 0.5).places.size == 0
    place, width = round(1.9 * rate_hz), max(1, round(width_s * rate_hz))
    signal[2:6, place : place + width] += 1.2 * sign
    found = find_spikes(signal, rate_hz, 0.5)
    assert found.places == pytest.approx([place], abs=width)
    assert found.num_leads.tolist() == [4]
    blank = found.blanked(signal, rate_hz)
    assert np.isnan(blank[:, place : place + width]).all()
    assert np.isnan(blank).mean() <= 0.002


def test_steps_waves_and_gaps_are_no_spikes(ecg) -> None:
    signal = ecg().astype(np.float32)
    signal[0, 2000:] += 3.0
    signal[1, 2000:2100] += 3.0
    signal[2, 1500:1600] = np.nan
    signal[3] += 2 * np.exp(-0.5 * ((np.arange(5000) - 3333) / 6) ** 2)  # 12 ms to either side
    assert find_spikes(signal, RATE_HZ, 0.5).places.size == 0
    assert find_spikes(signal[:, :8], RATE_HZ, 0.5).places.size == 0


def test_spikes_before_each_qrs_are_a_pacemakers(ecg) -> None:
    clean = ecg()
    beats = beats_of(clean)
    beats = beats[beats > 150]
    for before in ((35,), (110,), (35, 110)):  # ventricles, atria, both
        signal = clean.copy()
        for samples in before:
            signal[:, beats - samples] += 1.5
        num = len(before) * len(beats)
        assert verdict(signal) == (num, num)
    few = clean.copy()
    few[:, beats[2:6] - 35] += 1.5  # on demand
    assert verdict(few) == (4, 4)
    both_ventricles = clean.copy()
    both_ventricles[:, beats - 35] += 1.5
    both_ventricles[11, beats - 15] += 1.5
    assert verdict(both_ventricles) == (2 * len(beats), 2 * len(beats))


def test_spikes_that_do_not_keep_time_are_artefacts(ecg) -> None:
    clean = ecg()
    ticking = clean.copy()
    ticking[:, 50::155] += 1.5
    assert verdict(ticking) == (32, 0)
    at_random = clean.copy()
    at_random[:, [333, 1234, 2345, 2999, 4567]] += 1.5
    assert verdict(at_random) == (5, 0)
    one_lead = clean.copy()
    beats = beats_of(clean)
    one_lead[7, beats[1:] - 35] += 1.5
    assert verdict(one_lead) == (len(beats) - 1, 0)
    assert verdict(clean) == (0, 0)


def test_an_artefact_beside_a_pacemaker_is_still_one(ecg, record) -> None:
    signal = ecg()
    beats = beats_of(signal)
    beats = beats[beats > 150]
    signal[:, beats - 35] += 1.5
    paced_only = assess(record(signal), QualityConfig(max_limb_residual_mv=10))
    assert paced_only.flags == ("pacemaker_suspected",)
    signal[9, beats[3] + 150] += 2.0
    result = assess(record(signal), QualityConfig(max_limb_residual_mv=10))
    assert result.flags == ("pacemaker_suspected", "spikes")
    assert result.quality.spikes_per_10s == pytest.approx(1.0, rel=0.01)
    assert result.quality.pacing_spikes_per_10s == pytest.approx(len(beats), rel=0.01)


def test_an_hour_of_spikes_takes_no_memory_of_all_pairs() -> None:
    """1.8 million samples with 60,000 spikes: pairs of them would be 3.6 GB."""
    signal = np.zeros((1, 1_800_000), np.float32)
    signal[:, 20::30] = 1.5
    tracemalloc.start()
    assert verdict(signal)[0] > 50_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 300e6, f"{peak / 1e6:.0f} MB"
