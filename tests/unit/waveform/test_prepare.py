"""One rate, one length, one order of leads; or a reason."""

import numpy as np
import pytest
from pydantic import ValidationError

from hemometric.config import decode, fingerprint
from hemometric.ecg import INDEPENDENT_LEADS, INVALID_COUNT, LEADS, Recording, Rejected
from hemometric.errors import UsageError
from hemometric.waveform import Preparation, QualityConfig, assess, lead_mask, prepare, resample


def reason(result: object) -> str:
    assert isinstance(result, Rejected), result
    assert result.key == "folder/record"
    assert result.detail
    return result.reason


def test_what_fits_already_is_returned_as_it_is(ecg, record) -> None:
    recording = record(ecg(100.0), 100.0)
    prepared = prepare(recording, Preparation())
    np.testing.assert_array_equal(prepared, recording.signal)
    assert prepared.dtype == np.float32
    assert prepared.flags.c_contiguous


@pytest.mark.parametrize("rate_hz", [100.0, 250.0, 257.0, 500.0, 1000.0])
@pytest.mark.parametrize("duration_s", [3.0, 9.99, 10.0, 10.24, 30.0])
@pytest.mark.parametrize("crop", ["start", "centre"])
def test_shape_is_always_that_of_the_preparation(ecg, record, rate_hz: float, duration_s: float, crop: str) -> None:
    prepared = prepare(record(ecg(rate_hz, duration_s), rate_hz), Preparation(crop=crop))
    assert prepared.shape == (12, 1000)
    assert prepared.flags.c_contiguous
    assert np.isfinite(prepared).all()


def test_leads_are_picked_ordered_and_derived(ecg, record) -> None:
    signal = ecg(100.0)
    rows = [LEADS.index(lead) for lead in reversed(INDEPENDENT_LEADS)]
    recording = record(signal[rows], 100.0, tuple(reversed(INDEPENDENT_LEADS)))
    prepared = prepare(recording, Preparation(leads=("aVF", "V2", "I")))
    np.testing.assert_allclose(prepared, signal[[5, 7, 0]], atol=2e-4)


@pytest.mark.parametrize("crop", ["start", "centre"])
def test_a_part_of_a_long_recording_is_cut_from_its_resampled_whole(ecg, record, crop: str) -> None:
    recording = record(ecg(257.0, 60.0), 257.0)
    whole = resample(recording.signal, 257.0, 100.0)
    first = (whole.shape[1] - 1000) // 2 if crop == "centre" else 0
    prepared = prepare(recording, Preparation(crop=crop))
    np.testing.assert_allclose(prepared, whole[:, first : first + 1000], atol=1e-5)


def test_short_recordings_are_padded_with_zeros_or_refused(ecg, record) -> None:
    recording = record(ecg(100.0, 7.0) + 3.0, 100.0)
    start = prepare(recording, Preparation())
    np.testing.assert_array_equal(start[:, :700], recording.signal)
    assert (start[:, 700:] == 0).all()
    centre = prepare(recording, Preparation(crop="centre"))
    np.testing.assert_array_equal(centre[:, 150:850], recording.signal)
    assert (centre[:, :150] == 0).all()
    assert (centre[:, 850:] == 0).all()
    assert reason(prepare(recording, Preparation(pad="refuse"))) == "too_short"
    assert isinstance(prepare(record(ecg(100.0), 100.0), Preparation(pad="refuse")), np.ndarray)


def test_the_median_is_removed_before_padding_when_asked(ecg, record) -> None:
    prepared = prepare(record(ecg(100.0, 7.0) + 25.0, 100.0), Preparation(baseline="median"))
    np.testing.assert_allclose(np.median(prepared[:, :700], axis=1), 0, atol=1e-3)
    assert (prepared[:, 700:] == 0).all()
    assert np.abs(prepared).max() < 3


def test_short_gaps_are_bridged_by_a_line(record) -> None:
    ramp = np.tile(np.linspace(0, 1, 1000), (12, 1))
    holed = ramp.copy()
    holed[3, 100:119] = np.nan
    holed[5, :10] = np.nan
    prepared = prepare(record(holed, 100.0), Preparation())
    np.testing.assert_allclose(prepared[3], ramp[3], atol=1e-4)
    np.testing.assert_allclose(prepared[5, :10], ramp[5, 10], atol=1e-4)


def test_long_gaps_are_refused_where_they_are_seen(ecg, record) -> None:
    signal = ecg(100.0, 60.0)
    signal[7, 3000:3021] = np.nan
    recording = record(signal, 100.0)
    assert isinstance(prepare(recording, Preparation()), np.ndarray)
    assert reason(prepare(recording, Preparation(crop="centre"))) == "nan_gap"
    assert isinstance(prepare(recording, Preparation(crop="centre", max_gap_s=0.21)), np.ndarray)
    signal[7, :2000] = np.nan
    assert reason(prepare(record(signal, 100.0), Preparation(max_gap_s=1e6))) == "nan_gap"


@pytest.mark.parametrize("rate_hz", [100.0, 250.0, 500.0])
def test_gaps_count_in_the_part_that_is_kept_and_not_in_the_filter_s_margin(ecg, record, rate_hz: float) -> None:
    signal = ecg(rate_hz, 20.0)
    clean = prepare(record(signal, rate_hz), Preparation())

    def holed(start_s: float, stop_s: float) -> object:
        gap = signal.copy()
        gap[7, round(start_s * rate_hz) : round(stop_s * rate_hz)] = np.nan
        return gap

    beyond = prepare(record(holed(10.5, 11.0), rate_hz), Preparation())
    assert isinstance(beyond, np.ndarray)
    np.testing.assert_allclose(beyond, clean, atol=1e-3)
    assert isinstance(prepare(record(holed(10.0, 20.0), rate_hz), Preparation(max_gap_s=0.0)), np.ndarray)
    assert reason(prepare(record(holed(9.7, 10.5), rate_hz), Preparation())) == "nan_gap"
    assert isinstance(prepare(record(holed(9.9, 10.5), rate_hz), Preparation()), np.ndarray)
    centre = Preparation(crop="centre")  # 5 … 15 s
    for start_s, stop_s in ((4.0, 5.0), (15.0, 16.0)):
        assert isinstance(prepare(record(holed(start_s, stop_s), rate_hz), centre), np.ndarray)
    for start_s, stop_s in ((4.0, 5.3), (14.7, 16.0)):
        assert reason(prepare(record(holed(start_s, stop_s), rate_hz), centre)) == "nan_gap"


def test_absent_leads_are_refused_only_if_asked_for(ecg, record) -> None:
    recording = record(ecg(100.0)[:11], 100.0, LEADS[:11])
    assert reason(prepare(recording, Preparation())) == "missing_leads"
    assert isinstance(prepare(recording, Preparation(leads=LEADS[:11])), np.ndarray)
    signal = ecg(100.0)
    signal[6] = np.nan
    assert reason(prepare(record(signal, 100.0), Preparation())) == "missing_leads"


def test_no_samples_are_refused() -> None:
    empty = Recording("folder/record", LEADS, 500.0, np.empty((12, 0), np.int16), np.ones(12), np.zeros(12))
    assert reason(prepare(empty, Preparation())) == "empty"


def test_a_lead_that_is_invalid_throughout_never_reaches_an_encoder() -> None:
    counts = np.full((12, 1000), INVALID_COUNT, np.int16)
    assert reason(prepare(Recording("folder/record", LEADS, 100.0, counts, np.ones(12), np.zeros(12)), Preparation()))


def test_config_names_the_wrong_field() -> None:
    with pytest.raises(UsageError, match="unknown lead 'V7'"):
        decode(Preparation, {"leads": ["I", "V7"]})
    with pytest.raises(UsageError, match="only once"):
        decode(Preparation, {"leads": ["I", "I"]})
    with pytest.raises(ValidationError):
        Preparation(rate_hz=0.0)
    assert decode(Preparation, {"rate_hz": 250, "leads": ["I"]}).num_samples == 2500
    assert fingerprint(Preparation()) != fingerprint(Preparation(baseline="median"))


def test_absent_leads_are_zero_where_allowed_and_the_mask_says_so(ecg, record) -> None:
    signal = ecg(100.0)
    some = Preparation(absent="zero")
    whole = record(signal, 100.0)
    assert lead_mask(whole, some).all()
    np.testing.assert_array_equal(prepare(whole, some), prepare(whole, Preparation()))

    chest = record(signal[[1, 6, 8]], 100.0, ("II", "V1", "V3"))
    prepared, mask = prepare(chest, some), lead_mask(chest, some)
    assert [lead for lead, there in zip(LEADS, mask, strict=True) if there] == ["II", "V1", "V3"]
    np.testing.assert_allclose(prepared[mask], signal[[1, 6, 8]], atol=2e-4)
    assert (prepared[~mask] == 0).all()
    two = record(signal[:2], 100.0, ("I", "II"))
    assert lead_mask(two, some).tolist() == [True] * 6 + [False] * 6  # what follows from others is there
    np.testing.assert_allclose(prepare(two, some)[:6], signal[:6], atol=1e-3)
    assert reason(prepare(chest, Preparation())) == "missing_leads"
    assert reason(prepare(chest, Preparation(absent="zero", leads=("V6", "I")))) == "missing_leads"
    assert (some.required_leads, Preparation(leads=("I",)).required_leads) == ((), ("I",))


def test_an_electrode_in_the_air_is_no_lead(ecg, record) -> None:
    signal = ecg(100.0, 20.0)
    signal[7] = 1.5
    signal[8] = np.nan
    signal[9, 1000:] = 0.7  # moves in the first half only
    recording = record(signal, 100.0)
    first, whole = Preparation(absent="zero"), Preparation(absent="zero", duration_s=20.0)
    last = Preparation(absent="zero", duration_s=2.0, crop="centre", leads=("V4", "V5"))
    assert np.flatnonzero(~lead_mask(recording, first)).tolist() == [7, 8]
    assert (prepare(recording, first)[[7, 8]] == 0).all()
    assert lead_mask(recording, whole)[9]
    assert lead_mask(record(signal[:, 800:], 100.0), last).tolist() == [False, True]
    assert lead_mask(recording, Preparation()).tolist() == lead_mask(recording, first).tolist()
    # A long gap in a lead that is there is a gap still.
    signal[10, 100:400] = np.nan
    assert reason(prepare(record(signal, 100.0), first)) == "nan_gap"


def test_nothing_at_all_is_refused_whatever_is_allowed() -> None:
    some = Preparation(absent="zero")
    for counts in (np.zeros((12, 1000), np.int16), np.full((12, 1000), INVALID_COUNT, np.int16)):
        recording = Recording("folder/record", LEADS, 100.0, counts, np.ones(12), np.zeros(12))
        assert reason(prepare(recording, some)) == "missing_leads"
        assert not lead_mask(recording, some).any()
    empty = Recording("folder/record", LEADS, 500.0, np.empty((12, 0), np.int16), np.ones(12), np.zeros(12))
    assert not lead_mask(empty, some).any()


def test_padding_is_stripped_when_asked(ecg, record) -> None:
    signal = ecg(400.0, 7.0) + 20.0
    padded = record(np.pad(signal, ((0, 0), (600, 700))), 400.0)
    strip = Preparation(padding="strip")
    wanted = prepare(record(signal, 400.0), strip)
    np.testing.assert_allclose(prepare(padded, strip), wanted, atol=2e-3)
    assert (np.abs(prepare(padded, Preparation())[:, :100]) < 1e-3).all()
    assert reason(prepare(padded, Preparation(padding="strip", pad="refuse"))) == "too_short"
    held = record(np.pad(signal, ((0, 0), (40, 40)), mode="edge"), 400.0)  # 0.1 s, as some devices do
    np.testing.assert_array_equal(prepare(held, strip), prepare(held, Preparation()))
    flat = record(np.full((12, 4000), 0.5), 400.0)
    assert isinstance(prepare(flat, strip), np.ndarray)


def test_filtered_absent_leads_stay_zero(ecg, record) -> None:
    high_pass = {"kind": "highpass", "edge_hz": 0.5}
    cleared = decode(Preparation, {"absent": "zero", "padding": "strip", "baseline": "median", "filter": high_pass})
    recording = record(ecg(500.0, 8.0)[:8], 500.0, LEADS[:8])
    prepared, mask = prepare(recording, cleared), lead_mask(recording, cleared)
    assert mask.sum() == 8
    assert (prepared[~mask] == 0).all()
    assert (np.ptp(prepared[mask], axis=1) > 0.4).all()


@pytest.mark.parametrize("value", ["ecg.xml", np.zeros((12, 5000)), None])
def test_what_is_no_recording_is_refused_in_one_sentence(value: object) -> None:
    for call in (lambda: prepare(value, Preparation()), lambda: assess(value)):  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=f"this is of type {type(value).__name__}; read one with hemometric.read"):
            call()


def test_the_gates_are_those_of_ingest_where_none_are_given(ecg, record) -> None:
    recording = record(ecg(500.0), 500.0)
    assert str(assess(recording)) == str(assess(recording, QualityConfig()))
    assert reason(assess(record(ecg(500.0)[:, :1000], 500.0))) == "too_short"
