"""Tuning with nested Train runs: a killed search goes on, and nothing that was finished is trained again."""

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient

from hemometric.corpus import open_corpus
from hemometric.encoders import load
from hemometric.errors import PrecheckError
from hemometric.runs import tune as plain
from hemometric.runs.outcome import read_outcome
from hemometric.runs.records import read_progress
from hemometric.runs.trials import recorded
from hemometric.runs.tune import read_trials
from hemometric.runtime import tune

pytestmark = pytest.mark.timeout(400)


def mlflow_runs(out: Path) -> list[Any]:
    client = MlflowClient(tracking_uri=f"sqlite:///{out / 'mlflow.db'}")
    return list(client.search_runs([found.experiment_id for found in client.search_experiments()]))


def finished(out: Path) -> dict[Path, int]:
    """When the model of each finished trial was written."""
    return {path: path.stat().st_mtime_ns for path in (out / "trials").glob("*/model/_SUCCESS")}


def going_on(out: Path) -> bool:
    """Whether a trial that has not finished is at some step."""
    running = [path.parent for path in (out / "trials").glob("*/progress.json")]
    states = [read_progress(folder / "progress.json") for folder in running if not (folder / "outcome.json").exists()]
    return any(state is not None and state["step"] > 0 for state in states)


def told(output: str, run: str) -> list[dict[str, Any]]:
    """The lines of progress of a run among what a driver said."""
    lines = [json.loads(line) for line in output.splitlines() if line.startswith('{"run"') and line.endswith("}")]
    return [line for line in lines if line["run"] == run]


def test_a_killed_search_goes_on_and_loses_nothing(
    line: Any, two_cpus: dict[str, str], tmp_path: Path, start: Any, config_file: Any
) -> None:
    out = tmp_path / "run"
    config = line.tune(out, num_steps=24, trial_steps=120, tracking={"kind": "mlflow"})
    job = ["jobs/tune.py", "--config", config_file(config)]
    driver = start(*job, env=two_cpus)
    driver.until(
        lambda: finished(out) and going_on(out) and told(driver.output, "search")[-1]["done"],
        "a trial is done and another under way",
        timeout_s=200,
    )
    driver.kill()
    before = finished(out)
    progress = told(driver.output, "search")
    assert progress[0] == {"run": "search", "done": 0, "total": 4, "running": 0}
    assert progress[-1]["best_validation_loss"] > 0
    assert "time_left_s" in progress[-1]
    assert 0 < len(before) < 4
    assert not (out / "trials.json").exists()

    # Ctrl-C is no early end: nothing counts as stopped, and nothing is refitted.
    driver = start(*job, env=two_cpus)
    driver.until(
        lambda: told(driver.output, "search")[-1:] and going_on(out), "another trial is under way", timeout_s=200
    )
    driver.interrupt(signal.SIGINT)
    assert driver.wait() == 130, driver.output
    assert "interrupted; the same command goes on where it stopped" in driver.output
    assert not (out / "trials.json").exists()
    assert not (out / "refit").exists()

    said = start(*job, env=two_cpus).finish(timeout_s=300)
    assert before.items() <= finished(out).items(), "a finished trial was trained again"
    table = read_trials(out)
    assert len(table["trials"]) == table["num_trials"] == 4
    assert all(row["finished"] for row in table["trials"])
    assert len({json.dumps(row["values"], sort_keys=True) for row in table["trials"]}) == 4
    best = min(table["trials"], key=lambda row: row["validation_loss"])
    assert table["best"] == best["trial"]
    assert "4 trials, 4 finished" in said
    end = told(said, "search")[-1]
    assert (end["done"], end["running"]) == (4, 0)
    assert end["best_validation_loss"] == pytest.approx(best["validation_loss"], abs=1e-5)
    assert told(said, "refit")[0]["loss"] is not None

    # The best settings trained again for all steps, on the scale of the training labels.
    assert len(read_outcome(out / "refit")["losses"]) == 24
    model = load(out / "model")
    assert model.description.encoder.embedding_dim == best["values"]["embedding_dim"]
    labels = open_corpus(line.labelled).table(["train"], ["label.mpcwp_mmhg"])["label.mpcwp_mmhg"].to_numpy()
    assert model.task is not None
    assert (model.task.label, model.task.unit, model.task.kind) == ("mpcwp_mmhg", "mmHg", "regression")
    assert model.task.scale_mean == pytest.approx(np.mean(labels), abs=1e-4)
    assert model.task.scale_sd == pytest.approx(np.std(labels), abs=1e-4)

    runs = {run.info.run_name: run for run in mlflow_runs(out)}
    assert len(mlflow_runs(out)) == len(runs) == 6, "the search, its four trials, the refit"
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    parent = runs.pop("tune")
    assert set(runs) == {row["trial"] for row in table["trials"]} | {"refit"}
    assert {run.data.tags["mlflow.parentRunId"] for run in runs.values()} == {parent.info.run_id}
    assert parent.data.tags["best_trial"] == best["trial"]

    # The same again is a no-op, and needs no session.
    assert tune.run(config)[0].startswith("4 trials")


def test_a_full_disk_ends_the_search_and_is_no_trials_failure(
    line: Any, two_cpus: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trial_on_a_full_disk(values: Any, *, base: str, parent: str | None) -> None:
        from hemometric.errors import PrecheckError
        from hemometric.runtime import tune as there

        def full(*_: object, **__: object) -> None:
            raise PrecheckError("no room left to write")

        there.train_on_ray = full  # in Tune's own process of this trial
        there._trial(values, base=base, parent=parent)

    config = line.tune(tmp_path / "run", tracking={"kind": "none"})
    monkeypatch.setattr(tune, "_trial", trial_on_a_full_disk)
    with pytest.raises(PrecheckError, match="no room left to write"):
        tune.run(config)
    begun = recorded(config.out)
    assert 0 < len(begun) < config.num_trials
    assert all(set(record) == {"number", "values"} for record in begun)


def test_the_test_split_is_never_read(line: Any, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    shutil.copytree(line.labelled, corpus)
    shutil.rmtree(corpus / "shards" / "test")
    tables = []
    for name, fields in (("blind", {"corpus": corpus, "cache": tmp_path / "cache"}), ("seeing", {})):
        plain.run(line.tune(tmp_path / name, workers=0, num_trials=3, **fields))
        tables.append(read_trials(tmp_path / name))
        assert (tmp_path / name / "model" / "_SUCCESS").is_file()
    assert tables[0] == tables[1]
    first, second = (tmp_path / name / "model" / "head.safetensors" for name in ("blind", "seeing"))
    assert first.read_bytes() == second.read_bytes()
