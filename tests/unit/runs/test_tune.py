"""Tuning in one process: the same trials whenever it is run, the best refitted, the test split never read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from hemometric.encoders import load
from hemometric.errors import (
    ClusterError,
    HemometricError,
    IntegrityError,
    PrecheckError,
    PrivacyError,
    UsageError,
)
from hemometric.runs import tune as runs_tune
from hemometric.runs.trials import record_failure, record_stop, recorded, row_of
from hemometric.runs.tune import TuneRun, read_trials, refit_config, trial_config

HERE: dict[str, Any] = {"workers": 0, "tracking": {"kind": "none"}, "num_trials": 3, "trial_steps": 8}


@pytest.fixture(scope="module")
def finished(line: Any, tmp_path_factory: pytest.TempPathFactory) -> TuneRun:
    """A finished search; read it only."""
    config: TuneRun = line.tune(tmp_path_factory.mktemp("tune") / "run", **HERE)
    runs_tune.run(config)
    return config


def table(config: TuneRun) -> dict[str, Any]:
    return read_trials(config.out)


def test_the_table_holds_every_trial_and_the_best(finished: TuneRun) -> None:
    found = table(finished)
    assert len(found["trials"]) == found["num_trials"] == 3
    assert all(row["finished"] for row in found["trials"])
    assert found["best"] == min(found["trials"], key=lambda row: row["validation_loss"])["trial"]
    for row in found["trials"]:
        assert set(row["values"]) == {"objective.alpha", "embedding_dim"}
        assert 0.1 <= row["values"]["objective.alpha"] <= 3.0
        folder = finished.out / "trials" / row["trial"]
        outcome = json.loads((folder / "outcome.json").read_text())
        assert row["validation_loss"] == outcome["best_validation_loss"]
        assert len(outcome["losses"]) == 8
        assert load(folder / "model").embedding_dim == row["values"]["embedding_dim"]


def test_the_best_is_refitted_for_all_steps(finished: TuneRun) -> None:
    found = table(finished)
    best = next(row for row in found["trials"] if row["trial"] == found["best"])
    refit = json.loads((finished.out / "refit" / "outcome.json").read_text())
    assert len(refit["losses"]) == 16
    assert load(finished.out / "model").hash == load(finished.out / "refit" / "model").hash
    assert load(finished.out / "model").embedding_dim == best["values"]["embedding_dim"]
    assert load(finished.out / "model").task is not None
    assert refit_config(finished, best["values"]).objective.alpha == best["values"]["objective.alpha"]


def test_a_finished_search_is_a_no_op_and_says_what_it_found(finished: TuneRun) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.out.rglob("*")}
    lines = runs_tune.run(finished)
    assert {path: path.stat().st_mtime_ns for path in finished.out.rglob("*")} == before
    assert lines[0] == "3 trials, 3 finished, 0 stopped early"
    assert lines[1].startswith("best: embedding_dim = ")
    assert lines[1].endswith("mmHg")
    assert lines[2] == f"model: {finished.out / 'model'}"


def test_without_the_test_split_it_finds_the_same(line: Any, finished: TuneRun, tmp_path: Path) -> None:
    shutil.copytree(line.labelled, tmp_path / "corpus")
    shutil.rmtree(tmp_path / "corpus" / "shards" / "test")
    places = {"corpus": tmp_path / "corpus", "cache": tmp_path / "cache"}
    config = line.tune(tmp_path / "run", **HERE | places)
    runs_tune.run(config)
    assert table(config) == table(finished)
    assert load(config.out / "model").hash == load(finished.out / "model").hash


def test_a_search_that_was_cut_off_repeats_the_same_trials(line: Any, finished: TuneRun, tmp_path: Path) -> None:
    config = line.tune(tmp_path / "run", **HERE)
    shutil.copytree(finished.out, config.out)
    shutil.rmtree(config.out / "model")
    shutil.rmtree(config.out / "refit")
    (config.out / "trials.json").unlink()
    first = trial_config(config, recorded(config.out)[0]["values"])
    kept = (first.out / "outcome.json").stat().st_mtime_ns
    second = trial_config(config, recorded(config.out)[1]["values"])
    shutil.rmtree(second.out / "model")  # killed before its model was written
    shutil.rmtree(trial_config(config, recorded(config.out)[2]["values"]).out)
    runs_tune.run(config)
    assert table(config) == table(finished)
    assert (first.out / "outcome.json").stat().st_mtime_ns == kept, "a finished trial is not done again"
    assert load(config.out / "model").hash == load(finished.out / "model").hash


def test_halving_stops_trials_early(line: Any, tmp_path: Path) -> None:
    fields = HERE | {"num_trials": 6, "validate_every_steps": 2, "halving": {"first_rung_steps": 2, "factor": 2}}
    config = line.tune(tmp_path / "run", **fields)
    runs_tune.run(config)
    found = table(config)
    assert len(found["trials"]) == 6
    stopped = [row for row in found["trials"] if not row["finished"]]
    assert 0 < len(stopped) < 6
    assert all(row["validation_loss"] is None for row in stopped)
    assert found["best"] not in {row["trial"] for row in stopped}


def test_a_threshold_search_answers_with_probabilities(line: Any, tmp_path: Path) -> None:
    fields = {
        "task": {"kind": "threshold", "label": "mpcwp_mmhg", "unit": "mmHg", "threshold": 15},
        "objective": {"task_loss": "bce"},
        "num_trials": 1,
    }
    config = line.tune(tmp_path / "run", **HERE | fields)
    lines = runs_tune.run(config)
    assert "mmHg" not in lines[1], "a cross-entropy has no unit"
    model = load(config.out / "model")
    assert model.task is not None
    assert model.task.kind == "threshold"


def test_another_search_in_the_same_folder_is_refused(line: Any, finished: TuneRun) -> None:
    with pytest.raises(UsageError, match="holds a run of another config, corpus or model"):
        runs_tune.run(line.tune(finished.out, **HERE | {"seed": 2}))


def test_a_folder_without_a_search_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"holds no finished search, or its trials\.json was removed"):
        read_trials(tmp_path)


def test_a_killed_search_with_halving_stops_the_same_trials(line: Any, tmp_path: Path) -> None:
    fields = HERE | {"num_trials": 6, "validate_every_steps": 2, "halving": {"first_rung_steps": 2, "factor": 2}}
    clean = line.tune(tmp_path / "clean", **fields)
    runs_tune.run(clean)
    again = line.tune(tmp_path / "again", **fields)
    shutil.copytree(clean.out, again.out)
    for left_over in ("model", "refit"):
        shutil.rmtree(again.out / left_over)
    (again.out / "trials.json").unlink()
    # As if killed while the third trial ran: later ones never began, and nothing says yet how the third ended.
    rows = recorded(again.out)
    third = trial_config(again, rows[2]["values"]).out
    shutil.rmtree(third / "model", ignore_errors=True)
    (third / "outcome.json").unlink(missing_ok=True)
    third.with_suffix(".json").write_text(json.dumps({name: rows[2][name] for name in ("number", "values")}))
    for row in rows[3:]:
        later = trial_config(again, row["values"]).out
        shutil.rmtree(later, ignore_errors=True)
        later.with_suffix(".json").unlink()
    runs_tune.run(again)
    assert table(again) == table(clean)


def test_a_trial_that_fails_is_counted_and_the_others_finish(line: Any, tmp_path: Path) -> None:
    fields = HERE | {
        "halving": None,
        "search": {"optimiser.learning_rate": {"kind": "choice", "values": [1e-3, 1e30]}},
        "num_trials": 5,
    }
    config = line.tune(tmp_path / "run", **fields)
    lines = runs_tune.run(config)
    rows = {row["values"]["optimiser.learning_rate"]: row for row in table(config)["trials"]}
    assert rows[1e-3]["finished"]
    assert not rows[1e30]["finished"]
    assert rows[1e30]["failed"]
    assert "failed (trials.json says why)" in lines[0]


@pytest.mark.parametrize("kind", [PrecheckError, PrivacyError, ClusterError])
def test_what_is_none_of_a_trials_faults_ends_the_search_and_is_not_recorded(
    line: Any, finished: TuneRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[HemometricError]
) -> None:
    config = line.tune(tmp_path / "run", **HERE)
    began = []

    def broken(given: Any, *_: object) -> None:
        began.append(given.out)
        raise kind("no room left to write")

    with monkeypatch.context() as patched, pytest.raises(kind, match="no room left"):
        patched.setattr(runs_tune, "finetune", broken)
        runs_tune.run(config)
    assert len(began) == 1, "the search went on after the disk was full"
    assert [set(record) for record in recorded(config.out)] == [{"number", "values"}]
    # With room again, the same command finds what it finds anywhere.
    assert runs_tune.run(config)[0] == "3 trials, 3 finished, 0 stopped early"
    assert table(config) == table(finished)


def test_a_trial_that_finishes_later_is_neither_failed_nor_stopped(
    line: Any, finished: TuneRun, tmp_path: Path
) -> None:
    config = line.tune(tmp_path / "run", **HERE)
    shutil.copytree(finished.out, config.out)
    for left_over in ("model", "refit"):
        shutil.rmtree(config.out / left_over)
    (config.out / "trials.json").unlink()
    first, second, third = (trial_config(config, record["values"]).out for record in recorded(config.out))
    record_failure(first, IntegrityError("the loss was not finite"))
    record_stop(second, 4)
    shutil.rmtree(third)
    record_failure(third, UsageError("once"))
    assert row_of(first)["failed"] is None, "who has finished has not failed"
    assert runs_tune.run(config)[0] == "3 trials, 3 finished, 0 stopped early"
    assert all(set(record) == {"number", "values"} for record in recorded(config.out))
    assert table(config) == table(finished)


def test_what_the_model_brings_is_not_searched(line: Any, encoder: Path, tmp_path: Path) -> None:
    search = {"encoder.embedding_dim": {"kind": "choice", "values": [4, 8]}}
    with pytest.raises(UsageError, match="the model brings its own encoder"):
        line.tune(tmp_path / "run", **HERE, model=encoder, search=search)
