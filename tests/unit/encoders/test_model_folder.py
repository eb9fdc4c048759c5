"""The model folder: what comes back is what went in, and what is damaged, foreign or wrong is named."""

import errno
import hashlib
import json
import os
import pickle
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import hemometric
from hemometric.encoders import HeadConfig, ResNet1dConfig, Task, load, model_folder, save
from hemometric.errors import IntegrityError, PrecheckError, UsageError
from hemometric.waveform import Preparation

FILES = ["README.md", "_SUCCESS", "encoder.safetensors", "head.safetensors", "model.json"]


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def reseal(folder, **changes):
    """Change fields of model.json and make all hashes fit again, as a foreign program might."""
    description = json.loads((folder / "model.json").read_text())
    description["files"] = {name: digest(folder / name) for name in description["files"]}
    description |= changes
    (folder / "model.json").write_text(json.dumps(description))
    (folder / "_SUCCESS").write_text(digest(folder / "model.json"))


@pytest.mark.parametrize("given", [None, 3, torch.zeros(1)])
def test_what_is_no_path_is_one_sentence(given):
    told = f"^a model folder is given by its path, a str or a Path; this is of type {type(given).__name__}$"
    with pytest.raises(TypeError, match=told):
        hemometric.load(given)


def test_what_is_loaded_is_what_was_saved(tmp_path, save_model):
    encoder, head, model_hash = save_model(tmp_path / "model")
    model = load(tmp_path / "model", device="cpu")
    for found, expected in ((model.encoder, encoder), (model.head, head)):
        assert found.state_dict().keys() == expected.state_dict().keys()
        assert all(torch.equal(found.state_dict()[name], tensor) for name, tensor in expected.state_dict().items())
    signals = torch.randn(3, 12, 1000) * 0.1
    with torch.no_grad():
        expected = encoder.eval()(signals)
        assert np.array_equal(model.embed_prepared(signals.numpy()), expected.numpy())
        estimates = head.eval()(expected) * 8.1 + 15.7
    assert np.allclose(model.predict_prepared(signals.numpy()), estimates.numpy(), atol=1e-5)
    assert model.hash == model_hash == digest(tmp_path / "model" / "model.json")
    assert model.identity == f"resnet1d-6-{model_hash[:12]}"
    assert model.preparation == Preparation()
    assert model.task is not None
    assert model.task.unit == "mmHg"
    assert model.description.provenance["manifest_hash"] == "feed"
    assert model.description.metrics == {"validation.auroc": None, "validation.rmse_mmhg": 7.25}
    assert not any(parameter.requires_grad for parameter in model.encoder.parameters())
    assert not any(module.training for module in [*model.encoder.modules(), *model.head.modules()])


def test_files_and_bytes(tmp_path, save_model, folder):
    assert sorted(path.name for path in folder.iterdir()) == FILES
    description = json.loads((folder / "model.json").read_text())
    assert description["files"] == {
        name: digest(folder / name) for name in FILES if name not in ("model.json", "_SUCCESS")
    }
    save_model(tmp_path / "again")
    assert all((folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes() for name in FILES)
    assert str(tmp_path) not in (folder / "model.json").read_text() + (folder / "README.md").read_text()
    save_model(tmp_path / "other", seed=1)
    assert load(tmp_path / "other").hash != load(folder).hash


def test_an_encoder_alone(tmp_path, save_model, drawn):
    save_model(tmp_path / "model", head=None)
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [n for n in FILES if n != "head.safetensors"]
    model = load(tmp_path / "model")
    assert model.embed(drawn(2)).shape == (2, 6)
    assert model.head is model.task is None
    with pytest.raises(UsageError, match="no head"):
        model.predict(drawn(2))
    with pytest.raises(UsageError, match="no head"):
        model.predict_prepared(np.zeros((1, 12, 1000), np.float32))


def test_the_package_opens_it_by_name(folder):
    assert hemometric.load(folder).hash == hemometric.load(str(folder)).hash


def test_loading_and_saving_leave_torchs_generator_alone(folder, tmp_path, build):
    encoder, _ = build(head=None)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    load(folder)
    config = ResNet1dConfig(blocks=(1, 1), widths=(8, 16), embedding_dim=6)
    save(tmp_path / "x", encoder=encoder, encoder_config=config, preparation=Preparation(), provenance={}, metrics={})
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("norm", ["batch", "global", "group"])
def test_every_norm_comes_back(tmp_path, save_model, drawn, norm):
    save_model(tmp_path / "model", config=ResNet1dConfig(blocks=(1,), widths=(16,), norm=norm))
    model = load(tmp_path / "model")
    assert type(model.head.layers[1]) is type(model.encoder.trunk.stem[1])
    assert np.isfinite(model.predict(drawn(2))).all()


def test_card_says_what_a_person_must_know(folder, tmp_path, save_model):
    card = (folder / "README.md").read_text()
    for words in (
        "not a medical device",
        "research only",
        "mpcwp_mmhg in mmHg",
        "I, II, III, aVR",
        "100 Hz, 10 s (1000 samples)",
        "mean 15.7 and SD 8.1 mmHg",
        "| manifest_hash | feed |",
        "| validation.rmse_mmhg | 7.25 |",
        "| validation.auroc | not defined |",
        "flat or short ones",
        "`model.refusals(recordings)`",
        "## Limits",
        "## Data and provenance",
    ):
        assert words in card, words
    task = Task(kind="threshold", label="mpcwp_mmhg", unit="mmHg", threshold=18.0)
    save_model(tmp_path / "other", task=task, provenance={"data": ["a|b", 3]}, metrics={})
    card = (tmp_path / "other" / "README.md").read_text()
    assert "probability of mpcwp_mmhg > 18 mmHg" in card
    assert "| data | a\\|b, 3 |" in card
    assert "Training labels had mean" not in card
    save_model(tmp_path / "bare", head=None, provenance={})
    assert "predict" not in (tmp_path / "bare" / "README.md").read_text()


@pytest.mark.parametrize("name", FILES)
def test_one_changed_byte_is_named(folder, name):
    content = bytearray((folder / name).read_bytes())
    content[-3] ^= 1
    (folder / name).write_bytes(content)
    blamed = "model.json" if name == "_SUCCESS" else name
    with pytest.raises(IntegrityError, match=rf"{blamed} is damaged"):
        load(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_cut_file_is_named(folder, name):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(IntegrityError, match=r"model.json is damaged" if name == "_SUCCESS" else rf"{name} is damaged"):
        load(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(IntegrityError, match=rf"{name} is missing"):
        load(folder)


def test_no_model_there(tmp_path):
    with pytest.raises(UsageError, match="does not exist"):
        load(tmp_path / "nowhere")
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="is a file"):
        load(tmp_path / "file")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"holds no model\.json"):
        load(tmp_path / "empty")


@pytest.mark.parametrize("version", [2, 0, "1", None])
def test_another_format_is_the_users_matter(folder, version):
    reseal(folder, format_version=version)
    with pytest.raises(UsageError, match=r"has format .* reads 1; use the version that wrote it"):
        load(folder)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff\xfe", b"{}", b"[" * 100_000])
def test_what_is_no_description_is_damage(folder, content):
    (folder / "model.json").write_bytes(content)
    with pytest.raises(IntegrityError, match=r"model\.json is damaged"):
        load(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"colour": "red"}, "'colour'"),
        ({"encoder": {"kind": "resnet1d", "widths": []}}, "'encoder.widths'"),
        ({"encoder": {"kind": "resnet1d", "widths": [8, 10**12], "blocks": [1, 1]}}, "'encoder'.*widths 8192 or less"),
        ({"encoder": {"kind": "resnet1d", "blocks": [10**9, 1], "widths": [8, 8]}}, "'encoder'.*blocks must be 64"),
        ({"encoder": {"kind": "resnet1d", "embedding_dim": 10**30}}, "'encoder.embedding_dim'"),
        ({"head": {"hidden": 10**15}}, "'head.hidden'"),
        ({"encoder": {"kind": "resnet2d"}}, "encoder has unknown kind 'resnet2d'"),
        ({"encoder": {"kind": "transformer", "width": 5}}, "'encoder'.*width 5 must be even"),
        ({"encoder": {"kind": "transformer", "max_samples": 10**30}}, "'encoder.max_samples'"),
        ({"preparation": {"rate_hz": "fast"}}, "'preparation.rate_hz'"),
        ({"head": None}, "contradicts itself"),
        ({"task": None}, "contradicts itself"),
        ({"files": {"../../secret": "00"}}, "contradicts itself"),
        ({"files": {}}, "contradicts itself"),
    ],
)
def test_a_wrong_description_is_named(folder, changes, message):
    reseal(folder, **changes)
    with pytest.raises(IntegrityError, match=message):
        load(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("trunk.stem.0.weight"), r"trunk\.stem\.0\.weight is missing"),
        (lambda t: t.update(extra=torch.zeros(1)), "extra is not part"),
        (lambda t: t.update({"embedding.weight": torch.zeros(6, 15)}), r"embedding\.weight has shape \[6, 15\]"),
        (
            lambda t: t.update({"embedding.weight": t["embedding.weight"].double()}),
            r"embedding\.weight is torch.float64",
        ),
    ],
)
def test_tensors_of_another_name_shape_or_type(folder, change, message):
    tensors = load_file(folder / "encoder.safetensors")
    change(tensors)
    save_file(tensors, folder / "encoder.safetensors")
    reseal(folder)
    with pytest.raises(IntegrityError, match=rf"encoder\.safetensors: tensor {message}"):
        load(folder)


def test_another_architecture_is_refused(folder):
    reseal(folder, encoder={"kind": "resnet1d", "blocks": [1, 1], "widths": [8, 17], "embedding_dim": 6})
    with pytest.raises(IntegrityError, match=r"encoder\.safetensors: tensor .* has shape"):
        load(folder)


def test_a_pickle_in_its_place_is_never_opened(folder, tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "trap"),)

    for write in (lambda path: path.write_bytes(pickle.dumps(Trap())), lambda path: torch.save(Trap(), path)):
        write(folder / "encoder.safetensors")
        reseal(folder)
        with pytest.raises(IntegrityError, match=r"encoder\.safetensors cannot be read"):
            load(folder)
    assert not (tmp_path / "trap").exists()


def test_saving_again_replaces_the_model(folder, save_model):
    before = load(folder).hash
    (folder / "stray").write_text("x")
    (folder.parent / ".model.saving").mkdir()
    (folder.parent / ".model.saving" / "left").write_text("by a killed process")
    save_model(folder, seed=1)
    assert load(folder).hash != before
    assert sorted(path.name for path in folder.iterdir()) == FILES
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_an_empty_folder_is_filled_and_a_foreign_one_is_not(tmp_path, save_model):
    (tmp_path / "empty").mkdir()
    save_model(tmp_path / "empty")
    load(tmp_path / "empty")
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1").write_text("years of work")
    with pytest.raises(UsageError, match="exists and is no model folder"):
        save_model(tmp_path / "thesis")
    assert (tmp_path / "thesis" / "chapter1").read_text() == "years of work"
    with pytest.raises(UsageError, match="exists and is no model folder"):
        save_model(tmp_path / "thesis" / "chapter1")


@pytest.mark.parametrize(
    ("number", "kind", "message"),
    [
        (errno.ENOSPC, PrecheckError, "no room left to write model"),
        (errno.EDQUOT, PrecheckError, "no room left to write model"),
        (errno.EFBIG, PrecheckError, "no room left to write model"),
        (errno.EIO, UsageError, "cannot be written: Input/output error"),
    ],
)
@pytest.mark.parametrize("fails_at", [1, 4, 7])
def test_a_save_that_breaks_leaves_the_old_model(folder, save_model, monkeypatch, fails_at, number, kind, message):
    """Whichever sync fails, the folder holds one whole model: the old one, or at the very end the new one."""
    old, calls, fsync = load(folder).hash, [], os.fsync

    def broken(descriptor):
        calls.append(descriptor)
        if len(calls) == fails_at:
            raise OSError(number, os.strerror(number))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(kind, match=message):
        save_model(folder, seed=1)
    monkeypatch.undo()
    assert (fails_at == 7) or [path.name for path in folder.parent.iterdir()] == ["model"]
    assert len(calls) == fails_at  # five files and two folders are synced
    assert (load(folder).hash == old) == (fails_at < 7)
    save_model(folder, seed=1)
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_success_is_written_last_and_the_rename_comes_after(folder, save_model, monkeypatch):
    order, path_type, write = [], type(folder), model_folder._sync_folder
    rename = path_type.rename
    monkeypatch.setattr(path_type, "rename", lambda path, target: (order.append(path.name), rename(path, target))[1])
    monkeypatch.setattr(
        model_folder, "_sync_folder", lambda path: (order.append(sorted(p.name for p in path.iterdir())), write(path))
    )
    save_model(folder)
    assert order[0] == FILES
    assert order[1:3] == ["model", ".model.saving"]


def test_weights_that_are_not_finite_are_not_saved(tmp_path, build):
    encoder, _ = build(head=None)
    nn.init.constant_(encoder.embedding.bias, torch.nan)
    config = ResNet1dConfig(blocks=(1, 1), widths=(8, 16), embedding_dim=6)
    with pytest.raises(IntegrityError, match=r"embedding\.bias holds NaN"):
        save(
            tmp_path / "m", encoder=encoder, encoder_config=config, preparation=Preparation(), provenance={}, metrics={}
        )
    assert not (tmp_path / "m").exists()


def test_what_does_not_belong_together_is_not_saved(tmp_path, build):
    encoder, head = build()
    common = {"preparation": Preparation(), "provenance": {}, "metrics": {}}
    config = ResNet1dConfig(blocks=(1, 1), widths=(8, 16), embedding_dim=6)
    with pytest.raises(ValueError, match="given together or not at all"):
        save(
            tmp_path / "m",
            encoder=encoder,
            encoder_config=config,
            head=head,
            head_config=HeadConfig(hidden=8),
            **common,
        )
    with pytest.raises(ValueError, match="the module that the config builds"):
        save(tmp_path / "m", encoder=encoder, encoder_config=ResNet1dConfig(), **common)
    with pytest.raises(ValueError, match="the module that the config builds"):
        save(tmp_path / "m", encoder=nn.DataParallel(encoder), encoder_config=config, **common)
    with pytest.raises(ValueError, match="the module that the config builds"):
        eight = Preparation(leads=("I", "II"))
        save(tmp_path / "m", encoder=encoder, encoder_config=config, **{**common, "preparation": eight})


def test_a_folder_that_moves_stays_a_model(folder, tmp_path):
    before = load(folder).hash
    shutil.copytree(folder, tmp_path / "deep" / "copy")
    assert load(tmp_path / "deep" / "copy").hash == before
