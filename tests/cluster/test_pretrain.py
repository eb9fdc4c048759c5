"""Pretraining on Ray Train: equal to one process, and whole again after a rank or the driver was killed."""

import json
import os
import shutil
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from mlflow import MlflowClient

from hemometric.encoders import load
from hemometric.errors import UsageError
from hemometric.runs import neighbours
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


def times_told(out: Path, *, step: int) -> int:
    """How often a run came past a step, in all of its processes."""
    rows = [json.loads(row) for row in (out / "metrics.jsonl").read_text().splitlines()]
    return sum(row["step"] == step for row in rows)


def newest_checkpoint(out: Path) -> int:
    """The step of the newest whole checkpoint, 0 without any."""
    found = (out / "checkpoints").glob("step-*/_SUCCESS")
    return max((int(path.parent.name.removeprefix("step-")) for path in found), default=0)


@pytest.fixture(scope="module")
def clean(line: Any, tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    """Losses of the long run, in one process, never killed."""
    out = tmp_path_factory.mktemp("clean") / "run"
    plain.run(line.pretrain(out, workers=0, **LONG))
    return losses(out)


def test_two_workers_learn_what_one_process_learns(line: Any, two_cpus: object, tmp_path: Path) -> None:
    out = tmp_path / "ray"
    config = line.pretrain(out, tracking={"kind": "mlflow"})
    told = pretrain.run(config)
    plain.run(line.pretrain(tmp_path / "plain", workers=0))

    assert len(losses(out)) == 16
    np.testing.assert_allclose(losses(out), losses(tmp_path / "plain"), rtol=0, atol=1e-5)
    ray_model, plain_model = load(out / "model"), load(tmp_path / "plain" / "model")
    signals = np.random.default_rng(0).normal(size=(3, 12, 400)).astype(np.float32)
    np.testing.assert_allclose(ray_model.embed_prepared(signals), plain_model.embed_prepared(signals), rtol=1e-3)
    metrics = read_metrics(out / "metrics.jsonl")
    assert [row["step"] for row in metrics] == [2, 4, 6, 8, 10, 12, 14, 16]
    assert all(0 <= row["stalled_share"] <= 1 and row["ecg_per_s"] > 0 for row in metrics)
    assert any("validation_loss" in row for row in metrics)
    assert f"model: {out / 'model'}" in told
    assert not (out / "ray").exists()

    (run,) = mlflow_runs(out)
    assert run.info.status == "FINISHED"
    assert run.data.params["batch_size"] == "8"
    assert run.data.params["encoder.embedding_dim"] == "8"
    assert run.data.metrics["loss"] == pytest.approx(metrics[-1]["loss"])
    assert "stalled_share" in run.data.metrics
    assert run.data.tags["fingerprint"] == (out / ".identity").read_text().strip()

    # The same again is a no-op.
    files = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    assert pretrain.run(config) == [f"{config.out} is finished already; nothing to do", *told]
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()} == files


def test_two_workers_mine_alike_by_a_graph_two_rates_and_beats(line: Any, two_cpus: object, tmp_path: Path) -> None:
    preparation = {"rate_hz": 100, "duration_s": 4}
    graph = {"corpus": line.real, "out": tmp_path / "graph", "workers": 0, "k": 8, "preparation": preparation}
    neighbours.run(line.made("neighbours", graph | {"compared": {"kind": "whole", "rate_hz": 25}}))
    by_graph_at_two_rates = {
        "compared": {"kind": "whole", "rate_hz": 25},
        "refine": {"compared": {"kind": "whole", "rate_hz": 100, "leads": "reduced"}, "candidates": 3},
        "miner": {
            "kind": "nearest",
            "positives": {"kind": "graph"},
            "negatives": {"kind": "semihard_rank"},
            "scaling": "archive",
        },
        "graph": {"path": str(tmp_path / "graph" / neighbours.TABLE)},
    }
    beats = {"compared": {"kind": "median_beat", "rate_hz": 50}, "miner": {"kind": "nearest", "scaling": "local"}}
    cases: dict[str, dict[str, Any]] = {
        "graph": {"mining": by_graph_at_two_rates, "batches": {"kind": "neighbours"}},
        "beats": {"mining": beats, "objective": {"kind": "relative"}},
    }
    for name, case in cases.items():
        pretrain.run(line.pretrain(tmp_path / f"{name}-ray", **case))
        plain.run(line.pretrain(tmp_path / f"{name}-plain", workers=0, **case))
        np.testing.assert_allclose(
            losses(tmp_path / f"{name}-ray"), losses(tmp_path / f"{name}-plain"), rtol=0, atol=1e-5, err_msg=name
        )
        tables = [pq.read_table(tmp_path / out / "triplets.parquet") for out in (f"{name}-ray", f"{name}-plain")]
        assert tables[0].equals(tables[1]), name
        assert all(0 <= row["stalled_share"] <= 1 for row in read_metrics(tmp_path / f"{name}-ray" / "metrics.jsonl"))


def test_a_killed_rank_goes_on_from_the_last_checkpoint(
    line: Any, two_cpus: object, tmp_path: Path, clean: list[float], until: Callable[..., Any]
) -> None:
    out = tmp_path / "run"
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(pretrain.run, line.pretrain(out, **LONG))
        until(lambda: step_of(out) >= 50, "step 50")
        os.kill(train_workers()[0], signal.SIGKILL)
        assert not running.done()
        running.result(timeout=150)

    np.testing.assert_allclose(losses(out), clean, rtol=0, atol=1e-6)
    assert times_told(out, step=2) == 1, "the workers went on from a checkpoint, not from the first step"


def test_a_driver_that_is_stopped_and_killed_on_a_cluster_goes_on(
    line: Any, two_cpus: dict[str, str], tmp_path: Path, clean: list[float], start: Any, config_file: Any
) -> None:
    out = tmp_path / "run"
    job = ["jobs/pretrain.py", "--config", config_file(line.pretrain(out, **LONG))]
    driver = start(*job, env=two_cpus)
    driver.until(lambda: step_of(out) >= 30, "step 30")
    driver.interrupt(signal.SIGTERM)
    assert_stopped(driver, out)

    driver = start(*job, env=two_cpus)
    driver.until(lambda: step_of(out) >= 90, "step 90")
    driver.kill()
    assert newest_checkpoint(out) >= 80
    assert not (out / "model").exists()
    # Nor does it matter what becomes of the files in which Ray itself keeps where a run stood.
    snapshots = [path for path in (out / "ray").rglob("*") if path.is_file()]
    for path in snapshots:
        path.write_bytes(path.read_bytes()[:-1])

    start(*job, env=two_cpus).finish()
    assert times_told(out, step=2) == 1
    np.testing.assert_allclose(losses(out), clean, rtol=0, atol=1e-6)


def test_a_driver_that_is_stopped_and_killed_with_its_own_session_goes_on(
    line: Any, tmp_path: Path, clean: list[float], start: Any, config_file: Any
) -> None:
    out = tmp_path / "run"
    job = ["jobs/pretrain.py", "--config", config_file(line.pretrain(out, tracking={"kind": "mlflow"}, **LONG))]
    driver = start(*job)
    driver.until(lambda: step_of(out) >= 30, "step 30")
    # As a terminal's Ctrl-C does: Ray's own processes, and the workers, get it too.
    driver.interrupt(signal.SIGINT, group=True)
    assert_stopped(driver, out)
    (run,) = mlflow_runs(out)
    assert run.info.status == "KILLED"

    driver = start(*job)
    driver.until(lambda: step_of(out) >= 90, "step 90")
    driver.kill()
    driver.clean()
    assert newest_checkpoint(out) >= 80
    shutil.rmtree(out / "ray")

    start(*job).finish()
    assert times_told(out, step=2) == 1
    np.testing.assert_allclose(losses(out), clean, rtol=0, atol=1e-6)
    (run,) = mlflow_runs(out)
    assert run.info.status == "FINISHED"
    assert int(run.data.tags["resumed_from"]) >= 80


def assert_stopped(driver: Any, out: Path) -> None:
    assert driver.wait() == 130, driver.output
    assert "the same command goes on" in driver.output
    assert "Traceback" not in driver.output
    assert newest_checkpoint(out) >= 30, "a checkpoint was taken when it was asked to stop, not on schedule"
    assert newest_checkpoint(out) % LONG["checkpoint_every_steps"]
    assert not (out / "model").exists()


def test_the_test_split_is_never_read(line: Any, two_cpus: object, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    shutil.copytree(line.real, corpus)
    shutil.rmtree(corpus / "shards" / "test")
    pretrain.run(line.pretrain(tmp_path / "blind", corpus=corpus, cache=tmp_path / "cache"))
    plain.run(line.pretrain(tmp_path / "seeing", workers=0))
    np.testing.assert_allclose(losses(tmp_path / "blind"), losses(tmp_path / "seeing"), rtol=0, atol=1e-5)


def test_too_few_cpus_are_said_before_anything_hangs(
    line: Any, two_cpus: dict[str, str], tmp_path: Path, start: Any, config_file: Any
) -> None:
    config = line.pretrain(tmp_path / "run", workers=64, batch_size=64, cpus_per_worker=1)
    driver = start("jobs/pretrain.py", "--config", config_file(config), env=two_cpus)
    assert driver.wait(timeout_s=30) == 5
    assert "asks for 64 CPUs and the cluster has 2; take fewer workers" in driver.output
    assert "Traceback" not in driver.output


def test_a_batch_that_the_workers_cannot_share_is_refused(line: Any, two_cpus: object, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="batch_size 9 cannot be dealt to 2 workers"):
        pretrain.run(line.pretrain(tmp_path / "run", batch_size=9))


def train_workers() -> list[int]:
    """Process ids of the Train workers of this session."""
    from ray.util.state import list_actors

    actors = list_actors(filters=[("state", "=", "ALIVE")], detail=True)
    found = [actor.pid for actor in actors if "TrainWorker" in actor.class_name]
    assert len(found) == 2
    return found
