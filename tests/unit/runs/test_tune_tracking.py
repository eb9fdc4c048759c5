"""A search in MLflow: one run a trial under a parent, however often it is started, and no place among the settings."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from mlflow import MlflowClient

from hemometric.runs import tune as runs_tune
from hemometric.runs.tune import read_trials
from hemometric.tracking import PARENT_TAG


def test_each_trial_is_one_run_under_the_parent(line: Any, tmp_path: Path) -> None:
    config = line.tune(
        tmp_path / "run", workers=0, num_trials=2, trial_steps=4, num_steps=6, tracking={"kind": "mlflow"}
    )
    runs_tune.run(config)
    # A search that was cut off after its trials, and started again.
    shutil.rmtree(config.out / "model")
    shutil.rmtree(config.out / "refit")
    runs_tune.run(config)
    client = MlflowClient(f"sqlite:///{config.out / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("hemometric")
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    table = read_trials(config.out)
    trials = {row["trial"]: row for row in table["trials"]}
    assert set(runs) == {"tune", "refit", *trials}
    assert len(client.search_runs([experiment.experiment_id])) == len(runs), "a restart makes no second run"
    parent = runs.pop("tune")
    assert PARENT_TAG not in parent.data.tags
    assert parent.data.tags["best_trial"] == table["best"]
    assert parent.data.metrics["best_validation_loss"] == min(row["validation_loss"] for row in trials.values())
    for name, run in runs.items():
        assert run.data.tags[PARENT_TAG] == parent.info.run_id
        assert run.info.status == "FINISHED"
        assert str(tmp_path) not in json.dumps(run.data.params)
        if name in trials:
            alpha = trials[name]["values"]["objective.alpha"]
            assert float(run.data.params["objective.alpha"]) == alpha
            last = {m.step: m.value for m in client.get_metric_history(run.info.run_id, "validation_loss")}
            assert min(last.values()) == trials[name]["validation_loss"]
