"""A run is finished when its model is whole; it is one process's; and its unit is the label's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hemometric.config import decode, fingerprint
from hemometric.encoders import load
from hemometric.errors import IntegrityError, PrecheckError, UsageError
from hemometric.runs import pretrain as runs_pretrain
from hemometric.runs import training
from hemometric.runs.base import with_absolute_paths
from hemometric.runs.finetune import FinetuneRun, resolved
from hemometric.runs.training import checked_corpus, is_finished
from hemometric.runs.training_run import run_folder

HERE: dict[str, Any] = {"workers": 0, "tracking": {"kind": "none"}}


def test_a_kill_between_outcome_and_model_goes_on(line: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clean = line.pretrain(tmp_path / "clean", **HERE)
    runs_pretrain.run(clean)
    config = line.pretrain(tmp_path / "run", **HERE)

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    for name in ("write_outcome", "save"):
        with monkeypatch.context() as patch:
            patch.setattr(runs_pretrain, name, killed)
            with pytest.raises(KeyboardInterrupt):
                runs_pretrain.run(config)
    runs_pretrain.run(config)
    assert load(config.out / "model").hash == load(clean.out / "model").hash


def test_a_finished_run_with_a_damaged_model_says_so(line: Any, tmp_path: Path) -> None:
    config = line.pretrain(tmp_path / "run", **HERE)
    runs_pretrain.run(config)
    weights = config.out / "model" / "encoder.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(IntegrityError, match=r"encoder\.safetensors"):
        runs_pretrain.run(config)


def test_a_damaged_outcome_is_named(line: Any, tmp_path: Path) -> None:
    config = line.pretrain(tmp_path / "run", **HERE)
    runs_pretrain.run(config)
    whole = (config.out / "outcome.json").read_text()
    flipped = whole.replace('"num_skipped": 0', '"num_skipped": 1')
    assert flipped != whole
    for text in ("", "{", "[1]", "{}", "[" * 100_000, flipped):
        (config.out / "outcome.json").write_text(text)
        with pytest.raises(IntegrityError, match=r"outcome\.json"):
            runs_pretrain.run(config)


def test_two_commands_do_not_share_a_folder(line: Any, tmp_path: Path) -> None:
    config = line.pretrain(tmp_path / "run", **HERE)
    held = run_folder(config, "one")
    with held, pytest.raises(PrecheckError, match="another command is writing"), run_folder(config, "one"):
        pass
    with run_folder(config, "one"):
        assert (config.out / "config.yaml").is_file()


def test_the_unit_is_the_one_of_the_corpus(line: Any, tmp_path: Path) -> None:
    task = {"kind": "regression", "label": "mpcwp_mmhg", "unit": "kPa"}
    with pytest.raises(UsageError, match="unit 'kPa': the corpus holds 'mpcwp_mmhg' in mmHg"):
        resolved(line.finetune(tmp_path / "run", **HERE, task=task))


def test_a_relative_database_is_resolved_with_the_paths(
    line: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = line.pretrain(Path("run"), workers=0, tracking={"kind": "mlflow", "uri": "sqlite:///m.db"})
    found = with_absolute_paths(config)
    assert found.tracking.uri == f"sqlite:///{tmp_path / 'm.db'}"
    assert found.out == tmp_path / "run"


def test_absolute_paths_leave_unwritten_fields_unwritten(encoder: Path, line: Any, tmp_path: Path) -> None:
    """An encoder that nobody asked for must not contradict the pretrained model's."""
    written = line.finetune(tmp_path / "run", workers=0, model=encoder).model_dump(mode="json", exclude_unset=True)
    bare = {name: value for name, value in written.items() if name not in ("encoder", "preparation")}
    config = with_absolute_paths(decode(FinetuneRun, bare))
    assert "encoder" not in config.model_fields_set
    found, _ = resolved(config)
    assert found.encoder.widths == (4, 8)


def test_age_has_a_unit_too(line: Any, tmp_path: Path) -> None:
    task = {"kind": "regression", "label": "age_years", "unit": "mmHg"}
    with pytest.raises(UsageError, match="unit 'mmHg': the corpus holds 'age_years' in years"):
        resolved(line.finetune(tmp_path / "run", **HERE, task=task))
    with pytest.raises(UsageError, match="has no label 'agee'; it has: mpcwp_mmhg, age_years"):
        resolved(line.finetune(tmp_path / "run", **HERE, task=task | {"label": "agee"}))


def test_a_model_of_another_config_is_not_this_runs(line: Any, tmp_path: Path) -> None:
    """A mark can be overwritten; the model says itself what made it."""
    config = line.pretrain(tmp_path / "run", **HERE)
    runs_pretrain.run(config)
    other = line.pretrain(tmp_path / "run", **HERE, seed=77)
    for changed in (runs_pretrain.identity_of(other, checked_corpus(other).hash), f"{fingerprint(config)}-{'0' * 16}"):
        (config.out / ".identity").write_text(changed)
        with pytest.raises(IntegrityError, match="was made by another config or from another corpus"):
            is_finished(config.out, changed)


def test_a_second_command_in_a_new_folder_leaves_it_to_the_first(line: Any, tmp_path: Path) -> None:
    first, second = line.pretrain(tmp_path / "run", **HERE), line.pretrain(tmp_path / "run", **HERE, seed=77)
    with run_folder(first, "one"):
        held = (first.out / "config.yaml").read_bytes()
        with pytest.raises(PrecheckError, match="another command is writing"):
            runs_pretrain.run(second)
        assert (first.out / ".identity").read_text() == "one\n"
        assert (first.out / "config.yaml").read_bytes() == held


def test_a_cache_that_cannot_be_written_is_named(line: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    config = line.pretrain(tmp_path / "run", **HERE, cache=tmp_path / "file" / "cache")
    with pytest.raises(UsageError, match=r"file/cache cannot be a folder"):
        runs_pretrain.run(config)

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(config.cache_folder / ".cache-1.lock"))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "lay_cache", refused)
        with pytest.raises(UsageError, match=r"cache: .*\.lock cannot be written: Permission denied; choose another"):
            runs_pretrain.run(config)
