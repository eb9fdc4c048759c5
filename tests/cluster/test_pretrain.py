"""Pretraining on Ray Train: equal to one process, and whole again after a rank or the driver was killed."""

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient

from hemometric.encoders import load
from hemometric.errors import PrecheckError, UsageError
from hemometric.runs import pretrain as plain
from hemometric.runs.outcome import read_outcome
from hemometric.runs.records import read_metrics, read_progress
from hemometric.runtime import pretrain

pytestmark = pytest.mark.timeout(300)
LONG = {"num_steps": 240, "checkpoint_every_steps": 20, "validate_every_steps": 120}
"""Long enough that a kill at a fifth of it always comes before the end."""


def mlflow_runs(out: Path) -> list[Any]:
    client = MlflowClient(tracking_uri=f"sqlite:///{out / 'mlflow.db'}")
    return list(client.search_runs([found.experiment_id for found in client.search_experiments()]))


def losses(out: Path) -> list[float]:
    return [float(loss) for loss in read_outcome(out)["losses"]]


def step_of(out: Path) -> int:
    state = read_progress(out / "progress.json")
    return 0 if state is None else int(state["step"])


def num_checkpoints(out: Path) -> int:
    return len(list((out / "checkpoints").glob("step-*/_SUCCESS")))


@pytest.fixture(scope="module")
def clean(line: Any, tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    """Losses of the long run, in one process, never killed."""
    out = tmp_path_factory.mktemp("clean") / "run"
    plain.run(line.pretrain(out, workers=0, tracking={"kind": "none"}, **LONG))
    return losses(out)


def test_two_workers_learn_what_one_process_learns(line: Any, two_cpus: object, tmp_path: Path) -> None:
    told = pretrain.run(line.pretrain(tmp_path / "ray"))
    plain.run(line.pretrain(tmp_path / "plain", workers=0, tracking={"kind": "none"}))

    assert len(losses(tmp_path / "ray")) == 16
    np.testing.assert_allclose(losses(tmp_path / "ray"), losses(tmp_path / "plain"), rtol=0, atol=1e-5)
    ray_model, plain_model = load(tmp_path / "ray" / "model"), load(tmp_path / "plain" / "model")
    signals = np.random.default_rng(0).normal(size=(3, 12, 400)).astype(np.float32)
    np.testing.assert_allclose(ray_model.embed_prepared(signals), plain_model.embed_prepared(signals), rtol=1e-3)
    metrics = read_metrics(tmp_path / "ray" / "metrics.jsonl")
    assert [row["step"] for row in metrics] == [2, 4, 6, 8, 10, 12, 14, 16]
    assert all(0 <= row["stalled_share"] <= 1 and row["ecg_per_s"] > 0 for row in metrics)
    assert any("validation_loss" in row for row in metrics)
    assert f"model: {tmp_path / 'ray' / 'model'}" in told
    assert not (tmp_path / "ray" / "ray").exists()


def test_tracked_once_and_done_once(line: Any, two_cpus: object, tmp_path: Path) -> None:
    config = line.pretrain(tmp_path / "run")
    first = pretrain.run(config)
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert pretrain.run(config) == first
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*") if path.is_file()} == files

    (run,) = mlflow_runs(tmp_path / "run")
    assert run.info.status == "FINISHED"
    assert run.data.params["batch_size"] == "8"
    assert run.data.params["encoder.embedding_dim"] == "8"
    assert run.data.metrics["loss"] == pytest.approx(read_metrics(tmp_path / "run" / "metrics.jsonl")[-1]["loss"])
    assert "stalled_share" in run.data.metrics
    assert run.data.tags["fingerprint"] == (tmp_path / "run" / "identity").read_text().strip()


def test_a_killed_rank_goes_on_from_the_last_checkpoint(
    line: Any, two_cpus: object, tmp_path: Path, clean: list[float], until: Callable[..., Any]
) -> None:
    out = tmp_path / "run"
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(pretrain.run, line.pretrain(out, **LONG))
        until(lambda: step_of(out) >= 50, "step 50")
        killed = train_workers()[0]
        os.kill(killed, signal.SIGKILL)
        assert num_checkpoints(out) > 0
        assert not running.done()
        running.result(timeout=150)

    np.testing.assert_allclose(losses(out), clean, rtol=0, atol=1e-6)
    (run,) = mlflow_runs(out)
    assert run.info.status == "FINISHED"
    assert int(run.data.tags["resumed_from"]) >= 20


def train_workers() -> list[int]:
    """Process ids of the Train workers of this session."""
    from ray.util.state import list_actors

    actors = list_actors(filters=[("state", "=", "ALIVE")], detail=True)
    found = [actor.pid for actor in actors if "TrainWorker" in actor.class_name]
    assert len(found) == 2
    return found
