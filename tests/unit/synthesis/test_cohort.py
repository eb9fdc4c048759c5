"""Visits: reproducible one by one, true to the physics of twelve leads, and different where people differ."""

from __future__ import annotations

import numpy as np
import pytest

from hemometric.ecg import LEADS, Float64
from hemometric.errors import UsageError
from hemometric.synthesis import Cohort, SynthesisConfig, Visit, generate
from hemometric.synthesis.rhythm import draw_rhythm
from hemometric.synthesis.streams import stream

CONFIG = SynthesisConfig(num_patients=12, visits_min=1, visits_max=3, seed=9)
STILL = {"noise": 0.0, "respiration": 0.0, "electrode_shift_cm": 0.0}


def _first(**changes: object) -> Visit:
    return next(generate(SynthesisConfig(**{"num_patients": 1, "visits_max": 1, "seed": 9, **changes})))  # type: ignore[arg-type]


def _labels(visit: Visit) -> tuple[object, ...]:
    return (
        visit.key,
        visit.patient_id,
        visit.visit,
        visit.age_years,
        visit.sex,
        visit.site,
        visit.mpcwp_mmhg,
        visit.mpap_mmhg,
        visit.co_l_min,
        visit.truth,
    )


def test_any_part_equals_the_whole() -> None:
    whole = {(v.patient_id, v.visit): v for v in generate(CONFIG)}
    part = list(generate(CONFIG, patients=[7, 2]))
    assert [v.patient_id for v in part] == sorted((v.patient_id for v in part), reverse=True)
    for visit in part:
        twin = whole[visit.patient_id, visit.visit]
        assert _labels(visit) == _labels(twin)
        np.testing.assert_array_equal(visit.signal, twin.signal)


def test_a_cohort_grows_without_changing() -> None:
    larger = SynthesisConfig(num_patients=40, visits_min=1, visits_max=3, seed=9)
    for small, large in zip(generate(CONFIG), generate(larger), strict=False):
        assert _labels(small) == _labels(large)


def test_more_visits_keep_the_first() -> None:
    more = SynthesisConfig(num_patients=12, visits_min=5, visits_max=5, seed=9)
    first = {v.patient_id: v for v in generate(CONFIG) if v.visit == 1}
    for visit in generate(more):
        if visit.visit == 1:
            assert _labels(visit) == _labels(first[visit.patient_id])


def test_seeds_differ_and_visits_differ() -> None:
    assert _first().mpcwp_mmhg != _first(seed=10).mpcwp_mmhg
    visits = list(generate(SynthesisConfig(num_patients=1, visits_min=2, visits_max=2)))
    assert visits[0].mpcwp_mmhg != visits[1].mpcwp_mmhg
    assert visits[0].age_years == visits[1].age_years
    np.testing.assert_array_equal(visits[0].leads_matrix, visits[1].leads_matrix)
    assert np.abs(visits[0].signal - visits[1].signal).max() > 0.05


def test_counts_of_visits_and_names() -> None:
    visits = list(generate(SynthesisConfig(num_patients=150, visits_min=2, visits_max=4)))
    per_patient = np.unique([v.patient_id for v in visits], return_counts=True)[1]
    assert set(per_patient) == {2, 3, 4}
    assert visits[-1].key.startswith("records/01/P00150_V")
    assert len({v.key for v in visits}) == len(visits)
    assert {v.site for v in visits} == {"site-01", "site-02", "site-03"}


def test_no_such_patient() -> None:
    with pytest.raises(UsageError, match=r"outside 0\.\.11"):
        next(Cohort(CONFIG).visits(12))


def test_every_limb_identity_holds_in_the_float_signal() -> None:
    for visit in generate(CONFIG):
        i, ii, iii, avr, avl, avf = visit.signal[:6]
        assert visit.signal.shape == (12, 5000)
        assert visit.signal.dtype == np.float32
        assert np.isfinite(visit.signal).all()
        np.testing.assert_array_equal(iii, ii - i)
        np.testing.assert_array_equal(avr, -0.5 * (i + ii))
        np.testing.assert_array_equal(avl, i - 0.5 * ii)
        np.testing.assert_array_equal(avf, ii - 0.5 * i)


def test_counts_keep_the_identities_to_a_count_and_the_signal() -> None:
    for visit in generate(CONFIG):
        i, ii, iii, avr, avl, avf = visit.counts[:6].astype(np.int64)
        np.testing.assert_array_equal(iii, ii - i)
        for lead, exact in ((avr, -0.5 * (i + ii)), (avl, i - 0.5 * ii), (avf, ii - 0.5 * i)):
            assert np.abs(lead - exact).max() <= 0.5
        error = np.abs(visit.counts - visit.signal * visit.gain_per_mv).max(axis=1)
        # Half a count where the count was rounded itself; the sums of I and II add their errors.
        assert error[[0, 1, 6, 7, 8, 9, 10, 11]].max() <= 0.5 + 1e-3
        assert error[2] <= 1.0 + 1e-3
        assert error[3:6].max() <= 1.25 + 1e-3
        recording = visit.recording()
        assert recording.leads == LEADS
        np.testing.assert_allclose(recording.signal, visit.counts / visit.gain_per_mv, atol=1e-6)


def test_huge_signals_saturate_instead_of_wrapping() -> None:
    visit = _first(noise=10.0)
    visit.__dict__["signal"] = np.full((12, 4), 1000.0, dtype=np.float32)
    assert visit.counts[0].min() > 16_000
    assert (visit.counts[3] < -16_000).all()


def test_sites_differ_in_gain_noise_and_mix() -> None:
    visits = list(generate(SynthesisConfig(num_patients=300, num_sites=4, visits_max=1, seed=1)))
    gains = {v.site: v.gain_per_mv for v in visits}
    assert gains == {"site-01": 1000.0, "site-02": 200.0, "site-03": 500.0, "site-04": 204.8}


def test_the_waves_are_the_plain_sum_over_all_beats() -> None:
    """Nearest-wave evaluation against a slow loop over every Gaussian of every beat, projected row by row."""
    visit = _first(**STILL, duration_s=4.0, rate_hz=250.0)
    rng = stream(9, "recording", 0, 0)
    _burn(rng)
    rhythm = draw_rhythm(rng, heart_rate_bpm=visit.truth.heart_rate_bpm, duration_s=4.0, sinus_arrhythmia=0.0)
    times = np.arange(1000) * 4.0
    beat = visit.heartbeat
    dipole = np.zeros((3, 1000))
    for onset, rr in zip(rhythm.onsets_ms, rhythm.rr_ms, strict=True):
        stretch = (rr / (60_000.0 / visit.truth.heart_rate_bpm)) ** 0.15
        for wave, anchor, factor in (
            (beat.p, onset, 1.0),
            (beat.qrs, onset, 1.0),
            (beat.t, onset + visit.truth.qt_ms * stretch, stretch),
        ):
            for centre, width, vector in zip(wave.centres_ms, wave.widths_ms, wave.vectors_mv, strict=True):
                for axis in range(3):
                    dipole[axis] += vector[axis] * np.exp(-(((times - anchor) / factor - centre) ** 2) / (2 * width**2))
    eight = visit.leads_matrix @ dipole
    # Half a microvolt: what is left of a T wave half a beat away, and single precision.
    np.testing.assert_allclose(visit.signal[[0, 1, 6, 7, 8, 9, 10, 11]], eight, atol=5e-4)


def _burn(rng: np.random.Generator) -> None:
    """Draw what a visit draws before its rhythm: electrode shifts, gain, noise levels."""
    rng.standard_normal((6, 2))
    rng.standard_normal()
    rng.standard_normal(4)
    rng.standard_normal((4, 9))
    rng.random(9)
    rng.uniform(0.0, 1.0, 9)


def test_one_dipole_has_three_dimensions() -> None:
    still = _first(**STILL).signal[[0, 1, 6, 7, 8, 9, 10, 11]]
    values = np.linalg.svd(still.astype(np.float64), compute_uv=False)
    assert values[3] < 1e-5 * values[0]
    assert values[2] > 1e-2 * values[0]


def test_another_rate_is_the_same_visit() -> None:
    fast, slow = _first(**STILL, rate_hz=1000.0), _first(**STILL, rate_hz=250.0)
    assert _labels(fast) == _labels(slow)
    np.testing.assert_allclose(fast.signal[:, ::4], slow.signal, atol=1e-5)


def test_a_longer_recording_begins_like_the_shorter_one() -> None:
    long, short = _first(noise=0.0, duration_s=12.0), _first(noise=0.0, duration_s=10.0)
    np.testing.assert_allclose(long.signal[:, :4000], short.signal[:, :4000], atol=1e-5)


def test_electrode_shift_moves_chest_leads_only() -> None:
    placed, shifted = (_first(noise=0.0, electrode_shift_cm=cm).signal for cm in (0.0, 2.0))
    np.testing.assert_array_equal(placed[:6], shifted[:6])
    for lead in range(6, 12):
        assert np.abs(placed[lead] - shifted[lead]).max() > 0.01, LEADS[lead]


def test_breathing_turns_scales_and_hurries() -> None:
    calm, deep = (_first(noise=0.0, respiration=r, duration_s=30.0) for r in (0.0, 3.0))

    def spread(visit: Visit) -> tuple[float, float]:
        size = np.abs(visit.signal[1])
        beats = np.flatnonzero((size[1:-1] > 0.7 * size.max()) & (size[1:-1] >= size[2:]) & (size[1:-1] > size[:-2]))
        heights = size[beats + 1]
        return float(np.std(heights) / np.mean(heights)), float(np.std(np.diff(beats)) / np.mean(np.diff(beats)))

    (still_height, still_rr), (moved_height, moved_rr) = spread(calm), spread(deep)
    assert moved_height > 3.0 * still_height
    assert moved_rr > 2.0 * still_rr


@pytest.mark.parametrize(("rate_hz", "duration_s"), [(50.0, 1.0), (100.0, 10.0), (257.5, 3.0), (4000.0, 2.0)])
def test_any_rate_and_length(rate_hz: float, duration_s: float) -> None:
    visit = _first(rate_hz=rate_hz, duration_s=duration_s)
    assert visit.signal.shape == (12, round(rate_hz * duration_s))
    assert np.isfinite(visit.signal).all()
    assert 0.2 < np.ptp(visit.signal[9]) < 8.0


def test_heart_rate_is_the_planted_one() -> None:
    for visit in list(generate(SynthesisConfig(num_patients=30, visits_max=1, duration_s=60.0, noise=0.0)))[:8]:
        size: Float64 = np.square(np.diff(visit.signal.astype(np.float64), axis=1)).sum(axis=0)
        beats = _beats(size, visit.rate_hz)
        rate = 60.0 * visit.rate_hz * (len(beats) - 1) / (beats[-1] - beats[0])
        assert rate == pytest.approx(visit.truth.heart_rate_bpm, rel=0.02)


def _beats(size: Float64, rate_hz: float) -> list[int]:
    found: list[int] = []
    for at in np.flatnonzero(size > 0.4 * size.max()):
        if not found or at - found[-1] > 0.25 * rate_hz:
            found.append(int(at))
    return found


def test_noise_is_per_electrode_and_calibrated() -> None:
    quiet, noisy = _first(noise=0.0), _first(noise=1.0)
    assert 0.005 < np.std(noisy.signal - quiet.signal) < 0.3
    twice = _first(noise=2.0)
    ratio = np.std(twice.signal - quiet.signal) / np.std(noisy.signal - quiet.signal)
    assert ratio == pytest.approx(2.0, rel=0.1)


def test_each_visit_has_its_own_noise() -> None:
    size = {"num_patients": 2, "visits_min": 2, "visits_max": 2, "seed": 9, "duration_s": 5.0}
    quiet, noisy = (list(generate(SynthesisConfig(noise=noise, **size))) for noise in (0.0, 1.0))  # type: ignore[arg-type]
    # Differences from sample to sample, in which muscle noise outweighs wander and the gain error.
    rough = [np.diff(loud.signal[11] - still.signal[11]) for loud, still in zip(noisy, quiet, strict=True)]
    assert np.abs(np.corrcoef(rough) - np.eye(4)).max() < 0.4
    np.testing.assert_array_equal(noisy[3].signal, list(generate(SynthesisConfig(noise=1.0, **size)))[3].signal)  # type: ignore[arg-type]
