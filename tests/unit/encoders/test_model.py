"""The loaded model: it prepares by itself, gives each recording its own row, and refuses what doesn't fit."""

import dataclasses

import numpy as np
import pytest
import torch

from hemometric.ecg import LEADS, Recording, Rejected
from hemometric.encoders import Task, load
from hemometric.errors import UsageError
from hemometric.waveform import Preparation, prepare


def name_of(recording):
    return recording.key.split("/")[-1].split("_")[0]


def drop_to_v1(r):
    one = slice(6, 7)
    return dataclasses.replace(
        r, leads=("V1",), counts=r.counts[one], gain_per_mv=r.gain_per_mv[one], offset_counts=r.offset_counts[one]
    )


@pytest.fixture
def model(folder):
    return load(folder, device="cpu")


def test_rows_hang_neither_on_batch_size_nor_on_order(model, real):
    recordings = real(9)
    embeddings, estimates = model.embed(recordings), model.predict(recordings)
    assert embeddings.shape == (9, 6)
    assert embeddings.dtype == estimates.dtype == np.float32
    assert estimates.shape == (9,)
    spread = embeddings.std(axis=0).min()
    assert spread > 1e-3  # the rows differ, so that a mix-up would show
    for batch_size in (1, 2, 4, 9, 1000):
        assert np.allclose(model.embed(recordings, batch_size=batch_size), embeddings, atol=1e-5 * spread, rtol=1e-5)
        assert np.allclose(model.predict(recordings, batch_size=batch_size), estimates, rtol=1e-5)
    order = np.random.default_rng(0).permutation(9)
    shuffled = [recordings[i] for i in order]
    assert np.allclose(model.embed(shuffled, batch_size=4), embeddings[order], atol=1e-5 * spread, rtol=1e-5)
    assert np.array_equal(model.embed(recordings), embeddings)


def test_it_prepares_by_itself(model, real):
    """The same patients at 500 Hz and in another lead order come out near their 100 Hz selves."""
    at_100, at_500 = real(6), real(6, "records500")
    pairs = {name_of(recording): recording for recording in at_100}
    at_500 = [recording for recording in at_500 if name_of(recording) in pairs]
    assert at_500
    slow = model.embed([pairs[name_of(recording)] for recording in at_500])
    fast = model.embed(at_500)
    others = model.embed(at_100)
    # Their own row, up to the resampling filters, and not that of another patient.
    assert np.abs(slow - fast).max() < 0.2 * others.std(axis=0).max()
    first = at_100[0]
    turned = dataclasses.replace(
        first,
        leads=first.leads[::-1],
        counts=first.counts[::-1],
        gain_per_mv=first.gain_per_mv[::-1],
        offset_counts=first.offset_counts[::-1],
    )
    assert np.allclose(model.embed([turned]), model.embed([first]), atol=1e-5)
    prepared = prepare(first, model.preparation)
    assert not isinstance(prepared, Rejected)
    assert np.array_equal(model.embed_prepared(prepared[None]), model.embed([first]))
    assert np.array_equal(model.predict_prepared(prepared[None]), model.predict([first]))


def test_nothing_gives_nothing(model):
    assert model.embed([]).shape == (0, 6)
    assert model.predict([]).shape == (0,)
    assert model.embed_prepared(np.zeros((0, 12, 1000), np.float32)).shape == (0, 6)


def test_a_probability_is_one(tmp_path, save_model, drawn):
    task = Task(kind="threshold", label="mpcwp_mmhg", unit="mmHg", threshold=18.0)
    encoder, head, _ = save_model(tmp_path / "model", task=task)
    model, recordings = load(tmp_path / "model", device="cpu"), drawn(5)
    found = model.predict(recordings)
    assert ((found > 0) & (found < 1)).all()
    signals = torch.stack([torch.from_numpy(recording.signal) for recording in recordings])
    with torch.no_grad():
        logits = head.eval()(encoder.eval()(signals)).double()
    assert np.allclose(found, 1 / (1 + np.exp(-logits.numpy())), atol=1e-6)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda r: drop_to_v1(r), r"missing_leads"),
        (lambda r: dataclasses.replace(r, counts=np.full_like(r.counts, -32768)), r"\(flat\)"),
        (lambda r: dataclasses.replace(r, counts=r.counts[:, :200]), r"\(too_short\): 2.00 s of signal is shorter"),
        (lambda r: dataclasses.replace(r, counts=r.counts[:, :0]), r"empty"),
        (lambda r: r.signal, r"is a ndarray"),
        (lambda r: dataclasses.replace(r, gain_per_mv=r.gain_per_mv / 1000), r"amplitude_high.*is the unit right"),
    ],
)
def test_what_does_not_fit_is_named_by_position(model, drawn, spoil, message):
    recordings = drawn(5)
    recordings[3] = spoil(recordings[3])
    for call in (model.embed, model.predict):
        with pytest.raises(UsageError, match=message) as caught:
            call(recordings, batch_size=2)
        assert " 3 " in str(caught.value)
        assert "Miller" not in str(caught.value)


def test_too_short_is_refused_where_the_model_says_so(tmp_path, save_model, drawn):
    save_model(tmp_path / "model", preparation=Preparation(pad="refuse", leads=("II", "V1")))
    model = load(tmp_path / "model")
    assert model.embed(drawn(2, num_samples=1500)).shape == (2, 6)
    with pytest.raises(UsageError, match=r"recording 0 \(too_short\): 9\.00 s is shorter than the 10 s"):
        model.embed(drawn(1, num_samples=900))


def test_one_recording_without_a_list_and_no_batch(model, drawn):
    with pytest.raises(UsageError, match=r"\[recording\]"):
        model.embed(drawn(1)[0])
    with pytest.raises(UsageError, match="batch_size is 0"):
        model.embed(drawn(1), batch_size=0)


def test_prepared_signals_must_be_this_preparations(model):
    fits = np.random.default_rng(0).normal(0, 0.1, (3, 12, 1000)).astype(np.float32)
    fits.setflags(write=False)
    assert model.embed_prepared(fits).shape == (3, 6)
    for wrong in (fits[:, :8], fits[:, :, :999], fits[0]):
        with pytest.raises(UsageError, match=r"gives \[n, 12, 1000\]"):
            model.embed_prepared(wrong)
    with pytest.raises(UsageError, match="float64"):
        model.embed_prepared(fits.astype(np.float64))
    for value in (np.nan, np.inf):
        spoilt = fits.copy()
        spoilt[2, 5, 7] = value
        with pytest.raises(UsageError, match="signal 2 holds NaN"):
            model.embed_prepared(spoilt, batch_size=2)
    with pytest.raises(UsageError, match=r"signal 0 .* microvolts"):
        model.predict_prepared(fits * 1000)
    shifted = fits + 20  # an electrode offset is no wrong unit
    assert np.isfinite(model.embed_prepared(shifted)).all()


def test_memory_maps_are_read_as_they_are(model, tmp_path):
    signals = np.random.default_rng(0).normal(0, 0.1, (5, 12, 1000)).astype(np.float32)
    np.save(tmp_path / "cache.npy", signals)
    mapped = np.load(tmp_path / "cache.npy", mmap_mode="r")
    assert np.array_equal(model.embed_prepared(mapped, batch_size=2), model.embed_prepared(signals, batch_size=2))


def test_another_preparation_is_named(model):
    model.require_preparation(Preparation())
    with pytest.raises(UsageError, match=r"rate_hz 250\.0 \(the model's is 100\.0\), duration_s 5\.0"):
        model.require_preparation(Preparation(rate_hz=250.0, duration_s=5.0))


def test_no_gradients_and_no_state_change(model, drawn):
    before = {name: tensor.clone() for name, tensor in model.encoder.state_dict().items()}
    model.embed(drawn(3))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.encoder.state_dict().items())


def test_leads_are_in_the_order_of_the_preparation(tmp_path, save_model, drawn):
    """The rows that reach the encoder are those of the named leads."""
    two = Preparation(leads=("V6", "I"))
    encoder, _, _ = save_model(tmp_path / "model", preparation=two)
    recording = drawn(1)[0]
    rows = recording.signal[[LEADS.index("V6"), LEADS.index("I")]]
    with torch.no_grad():
        expected = encoder.eval()(torch.from_numpy(rows)[None])
    assert isinstance(recording, Recording)
    assert np.allclose(load(tmp_path / "model", device="cpu").embed([recording]), expected.numpy(), atol=1e-6)
