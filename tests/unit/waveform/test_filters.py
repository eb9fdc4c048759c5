"""Filters of a preparation: their coefficients, their response, no delay, no trace of where the signal was cut."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import signal as scipy_signal

from hemometric.config import decode, fingerprint
from hemometric.ecg import LEADS
from hemometric.errors import UsageError
from hemometric.waveform import Preparation, prepare
from hemometric.waveform.filters import (
    SETTLED,
    BandPass,
    HighPass,
    NoFilter,
    filter_sections,
    filtered,
    settling_samples,
)

HIGH = HighPass(kind="highpass", edge_hz=0.5)
BAND = BandPass(kind="bandpass", low_hz=0.5, high_hz=40.0, order=3)


def tone(frequency: float, rate_hz: float, duration_s: float) -> np.ndarray:
    return np.sin(2 * np.pi * frequency * np.arange(round(rate_hz * duration_s)) / rate_hz + 0.3)


def test_the_sections_are_butterworths_by_the_textbook() -> None:
    """The bilinear transform of s^2 / (s^2 + sqrt(2) s + 1), as in Oppenheim and Schafer, worked out by hand."""
    warped = np.tan(np.pi * 0.5 / 100)
    below = 1 + np.sqrt(2) * warped + warped**2
    b = np.array([1, -2, 1]) / below
    a = [1, 2 * (warped**2 - 1) / below, (1 - np.sqrt(2) * warped + warped**2) / below]
    np.testing.assert_allclose(Preparation(filter=HIGH).sections, [[*b, *a]], rtol=1e-9)
    assert Preparation().sections.shape == (0, 6)
    assert Preparation(rate_hz=250.0, filter=BAND).sections.shape == (3, 6)


def test_sections_are_those_of_the_rate_and_nobody_can_change_them() -> None:
    assert not np.allclose(filter_sections(HIGH, 100.0), filter_sections(HIGH, 250.0))
    with pytest.raises(ValueError, match="read-only"):
        filter_sections(HIGH, 100.0)[0, 0] = 1.0


@pytest.mark.parametrize(("chosen", "rate_hz"), [(HIGH, 100.0), (HIGH, 500.0), (BAND, 100.0), (BAND, 500.0)])
def test_half_is_left_at_the_edges_and_all_between_them(chosen: HighPass | BandPass, rate_hz: float) -> None:
    sections = filter_sections(chosen, rate_hz)

    def left(frequency: float) -> float:
        wave = tone(frequency, rate_hz, 40.0)
        passed = filtered(wave[None].astype(np.float32), sections)[0]
        middle = slice(round(10 * rate_hz), round(30 * rate_hz))
        # The part in phase: a filter with a delay would leave less.
        return float(passed[middle] @ wave[middle] / (wave[middle] @ wave[middle]))

    edges = [chosen.edge_hz] if isinstance(chosen, HighPass) else [chosen.low_hz, chosen.high_hz]
    assert [left(edge) for edge in edges] == pytest.approx([0.5] * len(edges), abs=0.01)
    assert left(5.0) == pytest.approx(1.0, abs=0.002)
    assert left(0.1) < 0.01


def test_a_settled_filter_has_forgotten_a_step() -> None:
    for chosen, rate_hz in ((HIGH, 100.0), (BAND, 250.0)):
        sections = filter_sections(chosen, rate_hz)
        num = settling_samples(sections)
        answer = scipy_signal.sosfilt(sections.copy(), np.ones(4 * num))
        assert np.abs(answer[num:]).max() < 5 * SETTLED
        assert np.abs(answer[: num // 4]).max() > 0.1
    assert settling_samples(filter_sections(NoFilter(), 100.0)) == 0


def test_wander_goes_and_the_ecg_stays_where_it_is(ecg, record) -> None:
    clean = ecg(500.0, 20.0)
    drifting = clean + 1.5 * tone(0.12, 500.0, 20.0)
    plain, cleared = Preparation(), Preparation(filter=HIGH)
    wanted, got = prepare(record(clean), cleared), prepare(record(drifting), cleared)
    np.testing.assert_allclose(got, wanted, atol=0.03)
    unfiltered = prepare(record(clean), plain)
    assert np.corrcoef(got[1], unfiltered[1])[0, 1] > 0.98
    alike = [float(got[1, 5:-5] @ np.roll(unfiltered[1], lag)[5:-5]) for lag in range(-5, 6)]
    assert int(np.argmax(alike)) == 5  # no delay


@pytest.mark.parametrize("crop", ["start", "centre"])
def test_what_is_kept_is_cut_from_the_filtered_whole(ecg, record, crop: str) -> None:
    long = record(ecg(257.0, 60.0), 257.0)
    whole = prepare(long, Preparation(duration_s=60.0, filter=BAND))
    part = prepare(long, Preparation(crop=crop, filter=BAND))
    first = (whole.shape[1] - 1000) // 2 if crop == "centre" else 0
    np.testing.assert_allclose(part, whole[:, first : first + 1000], atol=2e-3)


def test_short_and_constant_signals_survive(record) -> None:
    lines = np.tile(np.linspace(-3, 4, 12)[:, None], (1, 300))
    lines[0, 0] = 0.0
    prepared = prepare(record(lines, 100.0), Preparation(duration_s=3.0, filter=HIGH))
    assert np.isfinite(prepared).all()
    assert np.abs(prepared[1:]).max() < 1e-4
    assert np.isfinite(prepare(record(lines[:, :2], 100.0), Preparation(duration_s=3.0, filter=BAND))).all()


def test_configs_say_what_is_wrong() -> None:
    prepared = decode(Preparation, {"filter": {"kind": "bandpass", "low_hz": 0.5, "high_hz": 40}})
    assert prepared.filter == BandPass(kind="bandpass", low_hz=0.5, high_hz=40.0, order=2)
    assert decode(Preparation, {"filter": {"kind": "none"}}) == Preparation()
    for wrong, message in (
        ({"kind": "bandpass", "low_hz": 40, "high_hz": 0.5}, "not below high_hz"),
        ({"kind": "bandpass", "low_hz": 0.5, "high_hz": 50}, "not below half of rate_hz"),
        ({"kind": "highpass", "edge_hz": 60}, "not below half of rate_hz"),
        ({"kind": "highpass"}, "edge_hz"),
    ):
        with pytest.raises(UsageError, match=message):
            decode(Preparation, {"filter": wrong})
    with pytest.raises(ValidationError):
        HighPass(kind="highpass", edge_hz=0.0)


def test_older_hashes_and_models_stay_valid() -> None:
    assert fingerprint(Preparation()) == "5d6b86c044b619a7"  # as version 0.1 computed it
    assert fingerprint(Preparation(rate_hz=250.0, baseline="median")) == "9eb30f20d34d9ada"
    old = {"rate_hz": 100.0, "duration_s": 10.0, "leads": list(LEADS), "crop": "start", "pad": "zero"}
    assert decode(Preparation, {**old, "baseline": "keep", "max_gap_s": 0.2}) == Preparation()
    changed = [
        Preparation(filter=HIGH),
        Preparation(filter=BAND),
        Preparation(absent="zero"),
        Preparation(padding="strip"),
    ]
    assert len({fingerprint(one) for one in [Preparation(), *changed]}) == 5
    with pytest.raises(UsageError, match="version"):
        decode(Preparation, {"version": 2})
