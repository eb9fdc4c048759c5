"""What a model refuses: every bad recording of a list at once, by position and reason, and nothing else."""

import dataclasses

import numpy as np
import pytest

from hemometric.ecg import INDEPENDENT_LEADS, LEADS, Recording, Rejected
from hemometric.encoders import Task, load
from hemometric.encoders.admission import LISTED, admit, gates_of
from hemometric.errors import UsageError
from hemometric.waveform import Preparation, QualityConfig, prepare

TEN = Preparation()
LEAD_I = Preparation(leads=("I",))


def only(recording, leads):
    rows = [recording.leads.index(lead) for lead in leads]
    return dataclasses.replace(
        recording,
        leads=tuple(leads),
        counts=recording.counts[rows],
        gain_per_mv=recording.gain_per_mv[rows],
        offset_counts=recording.offset_counts[rows],
    )


def cut(recording, first, stop):
    return dataclasses.replace(recording, counts=recording.counts[:, first:stop])


def changed(recording, change):
    """Change a copy of the millivolts in place."""
    signal = recording.signal.astype(float)
    change(signal)
    return Recording.from_millivolts(signal, key=recording.key, rate_hz=recording.rate_hz, leads=recording.leads)


def flat(recording):
    return changed(recording, lambda signal: signal.fill(0.3))


def reason(recording, preparation=TEN, quality=None):
    found = admit(recording, preparation, gates_of(preparation, quality))
    if not isinstance(found, Rejected):
        prepared = prepare(recording, preparation)
        assert not isinstance(prepared, Rejected)
        assert np.array_equal(found, prepared)
        return None
    assert recording.key not in found.detail
    return found.reason


def test_real_ecgs_are_taken_whole_by_eight_leads_and_by_one(real):
    for preparation, leads in (
        (TEN, LEADS),
        (TEN, INDEPENDENT_LEADS),
        (LEAD_I, LEADS),
        (LEAD_I, ("I",)),
        (LEAD_I, ("II", "III")),
        (Preparation(leads=("aVF", "V2")), ("I", "II", "V2")),
        (Preparation(duration_s=2.0), LEADS),
        (Preparation(duration_s=60.0, crop="centre"), LEADS),
    ):
        for recording in real(20) + real(3, "records500"):
            assert reason(only(recording, leads), preparation) is None


def test_each_model_asks_for_its_own_leads(real):
    recording = real(1)[0]
    assert reason(only(recording, INDEPENDENT_LEADS[:-1])) == "missing_leads"
    assert reason(only(recording, ("II", "V1")), LEAD_I) == "missing_leads"
    assert reason(only(recording, ("II", "V1")), Preparation(leads=("V1", "II"))) is None
    everything = QualityConfig(required_leads=LEADS)
    assert reason(only(recording, ("I",)), LEAD_I, everything) is None


def test_the_gates_refuse_with_their_reasons(real):
    recording = real(1)[0]
    assert reason(flat(recording)) == "flat"
    assert reason(cut(recording, 0, 200)) == "too_short"
    assert reason(cut(recording, 0, 0)) == "empty"
    assert reason(dataclasses.replace(recording, gain_per_mv=recording.gain_per_mv / 1000)) == "amplitude_high"
    assert reason(dataclasses.replace(recording, gain_per_mv=recording.gain_per_mv * 1000)) == "amplitude_low"
    assert reason(dataclasses.replace(recording, rate_hz=50.0)) == "rate_range"
    swapped = (*LEADS[:3], "aVL", "aVR", *LEADS[5:])
    assert reason(dataclasses.replace(recording, leads=swapped)) == "limb_lead_identity"


def test_noise_in_twelve_leads_breaks_the_limb_leads():
    """In eight leads, or in one, noise of an ECG's size passes: README, Limits."""
    noise = np.random.default_rng(0).normal(0, 0.3, (12, 1000))
    assert reason(Recording.from_millivolts(noise, key="k", rate_hz=100.0)) == "limb_lead_identity"


def test_what_is_too_short_follows_the_model(real):
    recording = real(1)[0]
    assert reason(cut(recording, 0, 300)) is None  # 3 s, filled up with zeros as in training
    short = Preparation(duration_s=2.0)
    assert reason(cut(recording, 0, 150), short) is None
    assert reason(cut(recording, 0, 90), short) == "too_short"
    assert reason(cut(recording, 0, 700), TEN, QualityConfig(min_duration_s=8.0)) == "too_short"
    assert reason(recording, short, QualityConfig(min_duration_s=8.0)) is None


@pytest.mark.parametrize("crop", ["start", "centre"])
def test_leads_that_the_model_reads_must_move_where_it_reads_them(real, crop):
    """The gates see the whole recording, and one lead or another part of it that moves is enough for them."""
    one, first = Preparation(leads=("V1",), crop=crop), real(1)[0]

    def still(signal):
        signal[6] = 0.3

    assert reason(changed(first, still), one) == "flat"
    assert reason(changed(cut(first, 0, 500), still), one) == "flat"  # a step into the padding is no signal
    assert reason(changed(first, still)) is None

    long = Recording.from_millivolts(
        np.concatenate([np.full((12, 3000), 0.2), first.signal], axis=1), key="k", rate_hz=100.0
    )
    assert reason(long, Preparation(crop=crop)) == "flat"


def test_all_are_named_at_once_by_position(tmp_path, save_model, drawn):
    save_model(tmp_path / "model")
    model, recordings = load(tmp_path / "model", device="cpu"), drawn(12)
    bad = {1: flat(recordings[1]), 4: cut(recordings[4], 0, 200), 11: only(recordings[11], ("V1",))}
    for index, recording in bad.items():
        recordings[index] = recording
    refused = model.refusals(recordings)
    assert {index: found.reason for index, found in refused.items()} == {
        1: "flat",
        4: "too_short",
        11: "missing_leads",
    }
    for call in (model.embed, model.predict):
        with pytest.raises(UsageError) as caught:
            call(recordings, batch_size=3)
        assert str(caught.value) == (
            "3 of 12 recordings do not fit this model: recording 1 (flat): no lead ever changes; recording 4 "
            f"(too_short): 2.00 s of signal is shorter than 2.5 s; recording 11 (missing_leads): {refused[11].detail}; "
            "leave them out, model.refusals(recordings) gives each with its reason"
        )
    kept = [recording for index, recording in enumerate(recordings) if index not in refused]
    assert model.refusals(kept) == {}
    assert model.predict(kept).shape == (9,)
    assert np.allclose(model.embed(kept)[0], model.embed(recordings[:1])[0], atol=1e-5)


def test_many_are_counted_not_listed(tmp_path, save_model, drawn):
    save_model(tmp_path / "model")
    model, recordings = load(tmp_path / "model", device="cpu"), [flat(recording) for recording in drawn(9)]
    with pytest.raises(UsageError, match=rf"^9 of 9 recordings .* recording {LISTED - 1} .*; and 4 more; ") as caught:
        model.embed(recordings, batch_size=2)
    assert f"recording {LISTED} " not in str(caught.value)
    assert "Miller" not in str(caught.value)
    assert list(model.refusals(recordings)) == list(range(9))


def test_thresholds_may_be_given(tmp_path, save_model, drawn):
    save_model(tmp_path / "model", task=Task(kind="threshold", label="a", threshold=1.0))
    model = load(tmp_path / "model", device="cpu")
    two_seconds = [cut(recording, 0, 200) for recording in drawn(2)]
    lenient = QualityConfig(min_duration_s=1.0)
    assert set(model.refusals(two_seconds)) == {0, 1}
    assert model.refusals(two_seconds, quality=lenient) == {}
    assert model.embed(two_seconds, quality=lenient).shape == (2, 6)
    assert model.predict(two_seconds, quality=lenient).shape == (2,)


def test_only_recordings_are_judged(tmp_path, save_model, drawn):
    save_model(tmp_path / "model")
    model, recordings = load(tmp_path / "model", device="cpu"), drawn(2)
    assert model.refusals([]) == {}
    with pytest.raises(UsageError, match="recording 1 is a ndarray"):
        model.refusals([recordings[0], recordings[1].signal])
    with pytest.raises(UsageError, match=r"\[recording\]"):
        model.refusals(recordings[0])


def test_a_model_may_do_without_leads(real):
    some = Preparation(absent="zero")
    for leads in (LEADS, INDEPENDENT_LEADS, ("II", "V1", "V5"), ("I",)):
        assert reason(only(real(1)[0], leads), some) is None
    assert reason(only(real(1)[0], ("V1",)), Preparation(absent="zero", leads=("V2", "V3"))) == "missing_leads"
    assert reason(flat(real(1)[0]), some) == "flat"
    wave = np.where(np.arange(1000) % 100 < 50, 9.0, -9.0) + np.random.default_rng(0).normal(0, 0.01, (2, 1000))
    recording = Recording.from_millivolts(wave, key="k", rate_hz=100.0, leads=("V1", "V2"))
    assert reason(recording, some) == "amplitude_high"


def test_numbers_far_from_their_median_are_no_millivolts(real):
    """Square waves of 18 mV: below the amplitudes that the gates refuse."""
    wave = np.where(np.arange(1000) % 100 < 50, 9.0, -9.0) + np.random.default_rng(0).normal(0, 0.01, (8, 1000))
    recording = Recording.from_millivolts(wave, key="k", rate_hz=100.0, leads=INDEPENDENT_LEADS)
    assert reason(recording, Preparation(leads=INDEPENDENT_LEADS)) == "amplitude_high"
