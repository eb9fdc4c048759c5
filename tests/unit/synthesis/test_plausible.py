"""Some hundred ECGs lie where published normal ranges, and the eye of a cardiologist, expect a hospital's patients.

Ranges: Mason et al., J Electrocardiol 2007;40:228 (2nd to 98th percentile of 46,129 people with little heart disease:
heart rate 48-98 /min, PR 113-212 ms, QRS 69-109 ms, frontal axis -40 to 91 degrees, QTc Fridericia 359-445 ms). The
cohort is sicker than theirs, so its percentiles may pass theirs by a little towards long.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import find_peaks

from hemometric.ecg import LEADS, Float64
from hemometric.synthesis import Population, SynthesisConfig, generate
from hemometric.synthesis.population import Draws


@pytest.fixture(scope="module")
def draws() -> Draws:
    return Population(SynthesisConfig()).sample(20_000, seed=2)


@pytest.fixture(scope="module")
def beats() -> Float64:
    """Median beats [visit, lead, sample] at 500 Hz: 300 ms before the fastest part of the QRS to 450 ms after it."""
    found = []
    for visit in generate(SynthesisConfig(num_patients=250, visits_max=1, seed=3)):
        signal = visit.signal
        speed = np.sqrt(np.square(signal[:, 4:] - signal[:, :-4]).sum(axis=0))
        peaks, _ = find_peaks(speed, height=0.5 * np.quantile(speed, 0.995), distance=150)
        whole = [signal[:, p - 150 : p + 225] for p in peaks if 150 <= p < signal.shape[1] - 225]
        beat = np.median(whole, axis=0)
        # The PR segment is the zero line of a cardiologist.
        found.append(beat - np.median(beat[:, 113:119], axis=1, keepdims=True))
    return np.stack(found)


def _lead(beats: Float64, name: str) -> Float64:
    return beats[:, LEADS.index(name)]


QRS = slice(120, 190)
T = slice(220, 370)
P = slice(45, 118)


def _range(values: Float64) -> tuple[float, float]:
    low, high = np.percentile(values, [2.0, 98.0])
    return float(low), float(high)


def test_intervals_lie_within_published_ranges(draws: Draws) -> None:
    p_ms, _, qrs_ms, _, _, rate = draws.measured.T
    rr_s = 60.0 / rate
    corrected = draws.qt_ms / np.cbrt(rr_s)
    healthy = draws.mpcwp_mmhg < 12.0
    assert 80.0 <= np.median(p_ms[healthy]) <= 120.0
    assert _range(p_ms[healthy]) == (pytest.approx(82, abs=6), pytest.approx(126, abs=8))
    assert np.mean((draws.pr_ms >= 113) & (draws.pr_ms <= 212)) > 0.97
    assert np.mean((draws.pr_ms >= 120) & (draws.pr_ms <= 200)) > 0.93
    assert np.mean((qrs_ms >= 69) & (qrs_ms <= 120)) > 0.95
    assert np.mean((qrs_ms[healthy] >= 69) & (qrs_ms[healthy] <= 109)) > 0.94
    assert np.mean((corrected >= 359) & (corrected <= 450)) > 0.95
    assert np.mean((rate >= 48) & (rate <= 105)) > 0.95
    # Every wave fits into its beat: the T wave ends before the next QRS begins, in all but the extremes.
    assert np.mean(draws.qt_ms < 1000.0 * rr_s - 20.0) > 0.999
    assert (draws.pr_ms > p_ms).all()


def test_electrocardiographic_signs_of_a_full_atrium_are_commoner_at_high_pressure(draws: Draws) -> None:
    high, low = draws.mpcwp_mmhg > 25.0, draws.mpcwp_mmhg < 10.0
    deep = draws.measured[:, 1] > 0.1  # a millimetre
    long = draws.measured[:, 0] > 120.0
    assert deep[high].mean() > 3.0 * deep[low].mean()
    assert long[high].mean() > 3.0 * long[low].mean()
    assert 0.02 < deep.mean() < 0.25


def test_the_frontal_axis_is_normal(beats: Float64) -> None:
    # Net areas in I and aVF; lead aVF is scaled to lead I as in Einthoven's triangle.
    net_i, net_avf = (_lead(beats, name)[:, QRS].sum(axis=1) for name in ("I", "aVF"))
    axis = np.rad2deg(np.arctan2(net_avf * 2.0 / np.sqrt(3.0), net_i))
    assert np.mean((axis > -45.0) & (axis < 95.0)) > 0.95
    assert 20.0 < np.median(axis) < 65.0


def test_avr_is_negative(beats: Float64) -> None:
    avr = _lead(beats, "aVR")
    assert np.mean(-avr[:, QRS].min(axis=1) > avr[:, QRS].max(axis=1)) > 0.97
    assert np.mean(avr[:, 75:112].mean(axis=1) < 0.0) > 0.97


def test_precordial_progression(beats: Float64) -> None:
    r = np.stack([_lead(beats, f"V{i}")[:, QRS].max(axis=1) for i in range(1, 7)])
    s = np.stack([-_lead(beats, f"V{i}")[:, QRS].min(axis=1) for i in range(1, 7)])
    # rS in V1, R in V5 and V6, and the crossing between V2 and V5.
    assert np.mean(s[0] > r[0]) > 0.97
    assert np.median(r[0]) == pytest.approx(0.2, abs=0.1)
    assert np.mean((r[4] > s[4]) & (r[5] > s[5])) > 0.97
    ratio = np.median(r / (r + s), axis=1)
    assert (np.diff(ratio[:5]) > 0.0).all()
    first = np.argmax(r > s, axis=0)
    assert np.mean((first >= 1) & (first <= 4)) > 0.97
    medians = np.median(r, axis=1)
    assert medians[0] < medians[1] < medians[2] < medians[4]
    assert 0.8 < medians[4] < 1.6
    assert 0.7 < medians[5] < 1.4


def test_amplitudes_lie_within_ranges(beats: Float64) -> None:
    ii = _lead(beats, "II")
    assert 0.05 < np.median(ii[:, P].max(axis=1)) < 0.20
    assert np.percentile(ii[:, P].max(axis=1), 98) < 0.30  # above 0.25 mV is P pulmonale
    assert 0.4 < np.median(ii[:, QRS].max(axis=1)) < 1.4
    assert 0.10 < np.median(ii[:, T].max(axis=1)) < 0.45
    for name in ("I", "II", "V4", "V5", "V6"):
        assert np.mean(_lead(beats, name)[:, T].max(axis=1) > -_lead(beats, name)[:, T].min(axis=1)) > 0.8, name
    assert np.percentile(np.abs(beats).max(axis=(1, 2)), 98) < 4.0


def test_men_have_more_voltage_and_taller_t_waves(draws: Draws) -> None:
    men = draws.is_male > 0.5
    for column in (3, 4):
        assert np.median(draws.measured[men, column]) > 1.08 * np.median(draws.measured[~men, column])
