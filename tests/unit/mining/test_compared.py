"""What is compared: the right leads, at the right rate, with or without amplitude; whole, or the median beat."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from hemometric.distances import (
    DtwAcrossLeadsDistance,
    DtwDistance,
    EuclideanDistance,
    MeanAbsoluteDistance,
    pairwise,
)
from hemometric.ecg import INDEPENDENT_LEADS, LEADS
from hemometric.errors import UsageError
from hemometric.mining import (
    ComparedConfig,
    MedianBeat,
    MiningConfig,
    RefineConfig,
    WholeRecord,
    check_measure,
    comparable,
)
from hemometric.waveform import median_beats, resample


def signals(
    num: int = 3, num_leads: int = 12, num_samples: int = 500
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.random.default_rng(0).normal(size=(num, num_leads, num_samples)).astype(np.float32)


def test_the_eight_measured_leads_at_the_same_rate_are_taken_as_they_are() -> None:
    prepared = signals()
    compared = WholeRecord().build()(prepared, 100.0, LEADS)
    rows = [LEADS.index(lead) for lead in INDEPENDENT_LEADS]
    np.testing.assert_array_equal(compared, prepared[:, rows])
    assert compared.dtype == np.float32
    assert compared.flags.c_contiguous


def test_all_prepared_leads() -> None:
    prepared = signals(num_leads=3)
    np.testing.assert_array_equal(WholeRecord(leads="all").build()(prepared, 100.0, ("I", "aVF", "V2")), prepared)
    np.testing.assert_array_equal(WholeRecord().build()(prepared, 100.0, ("I", "aVF", "V2")), prepared[:, [0, 2]])


def test_a_higher_rate_is_resampled_by_the_waveform_room() -> None:
    prepared = signals(num_leads=2, num_samples=2500)
    compared = WholeRecord(rate_hz=100).build()(prepared, 250.0, ("I", "II"))
    assert compared.shape == (3, 2, 1000)
    np.testing.assert_array_equal(compared, resample(prepared, 250.0, 100.0))


def test_one_gain_for_a_recording_takes_amplitude_and_keeps_the_leads_proportions() -> None:
    prepared = signals(num_leads=2)
    prepared[:, 1] *= 5
    compare = WholeRecord(gain="record", leads="all").build()
    compared = compare(prepared, 100.0, ("I", "II"))
    np.testing.assert_allclose(
        compared / prepared, (compared / prepared)[:, :1, :1] * np.ones_like(prepared), rtol=1e-5
    )
    gains = np.array([0.25, 1.0, 40.0], np.float32)[:, None, None]
    np.testing.assert_allclose(compare(prepared * gains, 100.0, ("I", "II")), compared, rtol=1e-5)
    centred = compared - compared.mean(axis=2, keepdims=True)
    np.testing.assert_allclose(np.sqrt((centred**2).mean(axis=(1, 2))), 1, rtol=1e-5)
    assert not np.allclose(WholeRecord(leads="all").build()(prepared * gains, 100.0, ("I", "II")), compared)


def test_an_electrodes_offset_is_no_amplitude() -> None:
    prepared = signals(num_leads=2)
    offset = np.array([3.0, -1.0], np.float32)[None, :, None]
    compare = WholeRecord(gain="record", leads="all").build()
    first, second = compare(prepared, 100.0, ("I", "II")), compare(prepared + offset, 100.0, ("I", "II"))
    np.testing.assert_allclose(np.diff(first, axis=2), np.diff(second, axis=2), atol=1e-5)


def test_a_flat_recording_stays_finite() -> None:
    compared = WholeRecord(gain="record").build()(np.zeros((1, 12, 50), np.float32), 100.0, LEADS)
    assert (compared == 0).all()


def test_what_the_preparation_lacks_is_said() -> None:
    with pytest.raises(UsageError, match="compares at 100 Hz, but recordings are prepared at 50 Hz"):
        WholeRecord().build()(signals(), 50.0, LEADS)
    with pytest.raises(UsageError, match="leads to all"):
        WholeRecord().build()(signals(num_leads=2), 100.0, ("III", "aVR"))
    with pytest.raises(ValueError, match="2 leads"):
        WholeRecord().build()(signals(num_leads=3), 100.0, ("I", "II"))


EIGHT = [LEADS.index(lead) for lead in INDEPENDENT_LEADS]


def ecgs(num: int = 12) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Real ECGs, float32 [recording, 12, sample] mV at 100 Hz."""
    paths = sorted(Path(str(files("hemometric").joinpath("demo/data/ptbxl/records100"))).rglob("*.dat"))[:num]
    return np.stack([np.fromfile(path, "<i2").reshape(-1, 12).T for path in paths]).astype(np.float32) / 1000


def test_one_gain_for_each_lead_takes_their_proportions_too() -> None:
    prepared = signals(num_leads=2)
    compare = WholeRecord(gain="lead", leads="all").build()
    gains = np.array([[0.2, 3.0], [1.0, 1.0], [40.0, 5.0]], np.float32)[:, :, None]
    compared = compare(prepared * gains, 100.0, ("I", "II"))
    np.testing.assert_allclose(compared, compare(prepared, 100.0, ("I", "II")), rtol=1e-5)
    np.testing.assert_allclose(compared.std(axis=2), 1, rtol=1e-5)


def test_a_flat_lead_stays_flat_under_a_gain_of_its_own() -> None:
    prepared = signals(num_leads=2)
    prepared[:, 1] = 0
    compared = WholeRecord(gain="lead", leads="all").build()(prepared, 100.0, ("I", "II"))
    assert np.isfinite(compared).all()
    assert (compared[:, 1] == 0).all()


def test_the_median_beat_of_the_measured_leads() -> None:
    prepared = ecgs()
    compared = MedianBeat().build()(prepared, 100.0, LEADS)
    np.testing.assert_array_equal(compared, median_beats(prepared[:, EIGHT], 100.0).beats)
    assert compared.shape == (12, 8, 70)
    assert compared.dtype == np.float32
    assert compared.flags.c_contiguous
    assert comparable(compared).all()


def test_the_window_the_rate_and_the_leads_of_a_beat() -> None:
    config = MedianBeat(rate_hz=50, before_s=0.2, after_s=0.4, leads="all")
    assert config.build()(ecgs(2), 100.0, LEADS).shape == (2, 12, 30)
    assert config.build()(ecgs(2)[:, 6:], 100.0, LEADS[6:]).shape == (2, 6, 30)


@pytest.mark.parametrize("gain", ["record", "lead"])
def test_a_beat_without_its_amplitude(gain: str) -> None:
    prepared = ecgs()
    compare = MedianBeat.model_validate({"gain": gain}).build()
    compared = compare(prepared, 100.0, LEADS)
    np.testing.assert_allclose(compare(prepared * np.float32(3), 100.0, LEADS), compared, atol=1e-3)
    axes = (1, 2) if gain == "record" else 2
    centred = compared - compared.mean(axis=2, keepdims=True)
    np.testing.assert_allclose(np.sqrt((centred**2).mean(axis=axes)), 1, rtol=1e-4)


@pytest.mark.parametrize("gain", ["none", "record", "lead"])
def test_a_recording_without_a_beat_is_absent_and_touches_no_other(gain: str) -> None:
    prepared = ecgs()
    compare = MedianBeat.model_validate({"gain": gain}).build()
    compared = compare(prepared, 100.0, LEADS)
    prepared[3] = np.random.default_rng(0).normal(size=prepared[3].shape)
    prepared[7] = 0
    there = comparable(compare(prepared, 100.0, LEADS))
    assert np.flatnonzero(~there).tolist() == [3, 7]
    np.testing.assert_array_equal(compare(prepared, 100.0, LEADS)[there], compared[there])
    assert comparable(compare(prepared[:0], 100.0, LEADS)).shape == (0,)


def test_more_beats_than_there_are_make_everyone_absent() -> None:
    assert not comparable(MedianBeat(min_beats=100).build()(ecgs(4), 100.0, LEADS)).any()


def test_a_second_of_silence_has_the_shape_of_a_beat() -> None:
    # so that mining is warmed up for the right number of leads
    compared = MedianBeat().build()(np.zeros((1, 12, 100), np.float32), 100.0, LEADS)
    assert compared.shape == (1, 8, 70)


def test_beats_of_the_same_heart_are_nearer_than_whole_records_are() -> None:
    prepared = ecgs(24)
    first, second = prepared[:, :, :500], prepared[:, :, 500:]
    nearest = {}
    for config in (MedianBeat(), WholeRecord()):
        compared = config.build()(np.concatenate([first, second]), 100.0, LEADS)
        distances = EuclideanDistance().build().cross(compared[:24], compared[24:])
        nearest[config.kind] = float((distances.argmin(axis=1) == np.arange(24)).mean())
    assert nearest["median_beat"] == 1.0
    assert nearest["whole"] < 1.0


def test_what_the_preparation_lacks_for_a_beat_is_said() -> None:
    with pytest.raises(UsageError, match="compares at 100 Hz, but recordings are prepared at 80 Hz"):
        MedianBeat().build()(signals(), 80.0, LEADS)
    with pytest.raises(UsageError, match="leads to all"):
        MedianBeat().build()(signals(num_leads=2), 100.0, ("III", "aVR"))
    with pytest.raises(ValidationError, match="rate_hz"):
        MedianBeat(rate_hz=40)


def test_the_union_is_told_apart_by_kind() -> None:
    union: TypeAdapter[ComparedConfig] = TypeAdapter(ComparedConfig)
    assert union.validate_python({"kind": "whole", "rate_hz": 50}) == WholeRecord(rate_hz=50)
    assert union.validate_python({"kind": "median_beat", "min_beats": 5}) == MedianBeat(min_beats=5)
    with pytest.raises(ValidationError, match="median_beat"):
        union.validate_python({"kind": "beat"})


@pytest.mark.parametrize("kind", [WholeRecord, MedianBeat])
def test_twelve_leads_as_eight_keep_the_distances_of_twelve(kind: Any) -> None:
    prepared = ecgs()
    reduced = kind(leads="reduced").build()(prepared, 100.0, LEADS)
    twelve = kind(leads="all").build()(prepared, 100.0, LEADS)
    one, two = twelve[:, 0], twelve[:, 1]  # without the rounding of stored leads, nor a median of each
    twelve[:, 2], twelve[:, 3], twelve[:, 4], twelve[:, 5] = two - one, -(one + two) / 2, one - two / 2, two - one / 2
    assert reduced.shape == (len(prepared), 8, twelve.shape[2])
    np.testing.assert_allclose(pairwise(reduced), pairwise(twelve), rtol=1e-4)
    scaled = kind(leads="reduced", gain="record").build()(prepared, 100.0, LEADS)
    factor = np.linalg.norm(scaled, axis=(1, 2), keepdims=True) / np.linalg.norm(reduced, axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(scaled, factor * reduced, rtol=1e-3, atol=1e-4)


def test_reduced_leads_where_they_keep_nothing() -> None:
    with pytest.raises(
        UsageError, match=r"all twelve leads, and the preparation has I, II; set mining\.compared\.leads"
    ):
        WholeRecord(leads="reduced").build()(signals(num_leads=2), 100.0, ("I", "II"))
    with pytest.raises(ValidationError, match="set gain to record or to none"):
        MedianBeat(leads="reduced", gain="lead")
    for distance in (DtwDistance(metric="independent"), MeanAbsoluteDistance(), DtwAcrossLeadsDistance()):
        with pytest.raises(ValidationError, match=f"not those of {distance.kind}"):
            MiningConfig(compared=WholeRecord(leads="reduced"), distance=distance)
        fine = RefineConfig(compared=WholeRecord(leads="reduced"))
        with pytest.raises(ValidationError, match=f"not those of {distance.kind}"):
            MiningConfig(refine=fine, distance=distance)
    MiningConfig(compared=WholeRecord(leads="reduced"), distance=EuclideanDistance())


def test_what_to_set_instead_of_reduced_leads_is_said_by_its_full_name() -> None:
    reduced, independent = WholeRecord(leads="reduced"), DtwDistance(metric="independent")
    with pytest.raises(
        ValidationError,
        match=r"set mining\.compared\.leads to independent or to all, or mining\.distance\.metric",
    ):
        MiningConfig(compared=reduced, distance=independent)
    with pytest.raises(ValidationError, match=r"set mining\.refine\.compared\.leads to independent or"):
        MiningConfig(refine=RefineConfig(compared=reduced), distance=independent)
    with pytest.raises(ValueError, match=r"^a\.leads: .* mean_absolute; set a\.leads to independent or to all$"):
        check_measure(reduced, MeanAbsoluteDistance(), "a", "b")
