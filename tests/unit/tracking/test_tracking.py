"""MLflow on SQLite: found or created by identity, told in batches, never in the way of a run."""

from __future__ import annotations

import logging
import socket
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from hemometric import tracking
from hemometric.config import decode
from hemometric.errors import UsageError
from hemometric.tracker import NullTracker
from hemometric.tracking import IDENTITY_TAG, PARENT_TAG, MlflowTracker, TrackingConfig, open_tracker, run_id_of


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One database for the module: making its tables takes seconds. Tests differ by identity."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def client(store: Path) -> MlflowClient:
    return MlflowClient(TrackingConfig().address(store))


def opened(store: Path, identity: str, **given: Any) -> MlflowTracker:
    tracker = open_tracker(TrackingConfig(), store, identity=identity, name=f"name of {identity}", **given)
    assert isinstance(tracker, MlflowTracker)
    assert tracker.run_id is not None
    return tracker


def runs_of(client: MlflowClient, identity: str) -> list[Any]:
    experiment = client.get_experiment_by_name("hemometric")
    return list(client.search_runs([experiment.experiment_id], filter_string=f"tags.`{IDENTITY_TAG}` = '{identity}'"))


def test_a_restart_goes_on_in_the_same_run(store: Path, client: MlflowClient) -> None:
    first = opened(store, "restart")
    first.params({"seed": 1, "long": "x" * 9000, "absent": None})
    first.metrics({"loss": 2.0}, step=1)
    first.finish("interrupted")
    assert client.get_run(first.run_id).info.status == "KILLED"
    second = opened(store, "restart")
    assert second.run_id == first.run_id
    assert client.get_run(first.run_id).info.status == "RUNNING"
    second.params({"seed": 2, "new": 3})
    second.metrics({"loss": 1.0}, step=2)
    second.finish("finished")
    (run,) = runs_of(client, "restart")
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "name of restart"
    assert run.data.params == {"seed": "1", "long": "x" * 500, "absent": "None", "new": "3"}
    assert [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, "loss")] == [(1, 2.0), (2, 1.0)]


def test_another_identity_is_another_run(store: Path) -> None:
    assert opened(store, "one").run_id != opened(store, "two").run_id


def test_a_trial_names_its_parent(store: Path, client: MlflowClient) -> None:
    parent = opened(store, "parent")
    child = opened(store, "child", parent=parent.run_id)
    child.tags({"began_anew": "embedding"})
    tags = client.get_run(child.run_id).data.tags
    assert tags[PARENT_TAG] == parent.run_id
    assert tags["began_anew"] == "embedding"
    assert PARENT_TAG not in client.get_run(parent.run_id).data.tags


def test_many_metrics_and_params_go_in_batches(store: Path, client: MlflowClient, monkeypatch: Any) -> None:
    tracker = opened(store, "batches")
    sizes = []
    send = MlflowClient.log_batch

    def counted(self: Any, run_id: str, metrics: Any = (), params: Any = (), tags: Any = (), **more: Any) -> None:
        sizes.append((len(metrics), len(params)))
        send(self, run_id, metrics=metrics, params=params, tags=tags, **more)

    monkeypatch.setattr(MlflowClient, "log_batch", counted)
    tracker.metrics({f"m{n}": float(n) for n in range(1100)}, step=3)
    tracker.params({f"p{n}": n for n in range(150)})
    assert sizes == [(1000, 0), (100, 0), (0, 100), (0, 50)]
    data = client.get_run(tracker.run_id).data
    assert data.metrics == {f"m{n}": float(n) for n in range(1100)}
    assert data.params == {f"p{n}": str(n) for n in range(150)}


def test_an_artifact_is_a_file_or_a_folder(store: Path, client: MlflowClient, tmp_path: Path) -> None:
    tracker = opened(store, "artifacts")
    (tmp_path / "folder").mkdir()
    for name in ("one.txt", "folder/two.txt"):
        (tmp_path / name).write_text(name)
    tracker.artifact(tmp_path / "one.txt")
    tracker.artifact(tmp_path / "folder")
    assert {found.path for found in client.list_artifacts(tracker.run_id)} == {"one.txt", "two.txt"}
    assert (store / "mlartifacts").is_dir()


class Down:
    """Makes every call to the server fail while `down`; counts them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.down = False
        self.num_calls = 0
        for name in ("log_batch", "set_terminated", "log_artifact", "get_run"):
            monkeypatch.setattr(MlflowClient, name, self.failing(getattr(MlflowClient, name)))

    def failing(self, method: Any) -> Any:
        def call(*words: Any, **named: Any) -> Any:
            self.num_calls += 1
            if self.down:
                raise MlflowException("API request failed")
            return method(*words, **named)

        return call


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """The tracker's clock, in a list of one."""
    now = [1000.0]
    monkeypatch.setattr(tracking.time, "monotonic", lambda: now[0])
    return now


def test_what_a_silent_server_missed_is_sent_later(
    store: Path, client: MlflowClient, monkeypatch: Any, clock: list[float], caplog: Any, tmp_path: Path
) -> None:
    server = Down(monkeypatch)
    tracker = opened(store, "silent")
    tracker.metrics({"loss": 3.0}, step=1)
    server.down = True
    (tmp_path / "file.txt").write_text("x")
    tracker.metrics({"loss": 2.0}, step=2)
    tracker.tags({"late": "yes"})
    tracker.params({"seed": 1})
    tracker.artifact(tmp_path / "file.txt")
    for step in range(3, 50):
        tracker.metrics({"loss": 2.0}, step)
    assert tracker.num_waiting == 48
    assert server.num_calls == 2, "a silent server is left alone for a while"
    assert len([r for r in caplog.records if "tracking does not answer" in r.message]) == 1
    clock[0] += tracking.RETRY_S + 1
    tracker.metrics({"loss": 1.0}, 50)
    assert server.num_calls == 3
    server.down = False
    clock[0] += tracking.RETRY_S + 1
    tracker.metrics({"loss": 0.5}, 51)
    assert tracker.num_waiting == 0
    tracker.finish("finished")
    run = client.get_run(tracker.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.tags["late"] == "yes"
    assert run.data.params == {"seed": "1"}
    history = client.get_metric_history(tracker.run_id, "loss")
    assert [metric.step for metric in history] == list(range(1, 52))


def test_a_server_that_stays_silent_to_the_end_stops_nobody(store: Path, monkeypatch: Any, caplog: Any) -> None:
    server = Down(monkeypatch)
    tracker = opened(store, "lost")
    server.down = True
    tracker.metrics({"loss": 3.0, "rate": 1.0}, step=1)
    tracker.finish("finished")
    assert "the tracking server never took 2 metric values of this run" in caplog.text


def test_a_server_that_is_not_there_at_the_start_stops_nobody(tmp_path: Path, caplog: Any) -> None:
    with socket.socket() as held:  # a port that is taken and does not listen refuses at once
        held.bind(("127.0.0.1", 0))
        config = TrackingConfig(uri=f"http://127.0.0.1:{held.getsockname()[1]}")
        tracker = open_tracker(config, tmp_path, identity="absent", name="n", parent="p")
        tracker.params({"seed": 1})
        tracker.metrics({"loss": 1.0}, 1)
        assert run_id_of(tracker) is None
        tracker.finish("finished")
    assert caplog.text.count("tracking does not answer (MlflowException)") <= 2


class DriverError(Exception):
    """Such as Alembic's CommandError, which is of no kind that MLflow knows."""


@pytest.mark.parametrize("error", [DriverError("no such revision"), KeyError("x"), RuntimeError("x")])
def test_no_error_of_the_tracking_stops_a_run(caplog: Any, error: Exception) -> None:
    def find() -> tuple[MlflowClient, str]:
        raise error

    tracker = MlflowTracker(find)
    tracker.metrics({"loss": 1.0}, 1)
    tracker.params({"seed": 1})
    assert tracker.run_id is None
    tracker.finish("finished")
    assert f"tracking does not answer ({type(error).__name__}); the run goes on, 1 values wait" in caplog.text


def test_a_database_of_another_mlflow_stops_nobody(store: Path, tmp_path: Path, caplog: Any) -> None:
    opened(store, "newer").finish("finished")
    (tmp_path / "mlflow.db").write_bytes((store / "mlflow.db").read_bytes())
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        database.execute("UPDATE alembic_version SET version_num = 'fffffffffff0'")
    database.close()
    tracker = open_tracker(TrackingConfig(), tmp_path, identity="newer", name="n")
    tracker.metrics({"loss": 1.0}, 1)
    assert run_id_of(tracker) is None
    assert "tracking does not answer" in caplog.text


def test_what_a_user_must_mend_is_said() -> None:
    def find() -> tuple[MlflowClient, str]:
        raise UsageError("tracking.uri needs the Python package psycopg2; install it")

    with pytest.raises(UsageError, match="psycopg2"):
        MlflowTracker(find).metrics({"loss": 1.0}, 1)


def test_what_is_refused_for_good_holds_up_nothing(store: Path, client: MlflowClient, caplog: Any) -> None:
    tracker = opened(store, "refused")
    tracker.tags({"": "a tag needs a name"})
    tracker.tags({"fine": "yes"})
    tracker.metrics({"loss": 1.0}, 1)
    assert "tracking refused something of this run" in caplog.text
    data = client.get_run(tracker.run_id).data
    assert data.tags["fine"] == "yes"
    assert data.metrics == {"loss": 1.0}


def test_no_tracking_is_a_null_tracker(tmp_path: Path) -> None:
    tracker = open_tracker(TrackingConfig(kind="none"), tmp_path / "run", identity="a", name="n")
    assert isinstance(tracker, NullTracker)
    assert run_id_of(tracker) is None
    tracker.metrics({"loss": 1.0}, 1)
    tracker.finish("finished")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("uri", ["mlruns", "/data/mlruns", "file:///data", "htp://host", ""])
def test_what_is_no_address_is_refused_with_the_config(uri: str) -> None:
    with pytest.raises(UsageError, match="field 'uri': give an MLflow address, such as http://host:5000 or sqlite:///"):
        decode(TrackingConfig, {"uri": uri})


def test_a_missing_driver_is_said(tmp_path: Path, monkeypatch: Any) -> None:
    def missing(self: Any, tracking_uri: str) -> None:
        raise ModuleNotFoundError("No module named 'psycopg'", name="psycopg")

    monkeypatch.setattr(MlflowClient, "__init__", missing)
    with pytest.raises(UsageError, match=r"tracking\.uri needs the Python package psycopg"):
        open_tracker(TrackingConfig(uri="postgresql://host/db"), tmp_path, identity="a", name="n")


def test_the_database_of_a_run_lies_in_its_folder(tmp_path: Path) -> None:
    assert TrackingConfig().address(tmp_path) == f"sqlite:///{tmp_path / 'mlflow.db'}"
    assert TrackingConfig(uri="http://host").address(tmp_path) == "http://host"


def test_nothing_is_said_while_tables_are_made(store: Path, caplog: Any) -> None:
    opened(store, "quiet")
    assert not [record for record in caplog.records if record.name.startswith(("mlflow", "alembic"))]
    assert logging.getLogger("mlflow").level == logging.ERROR


def test_a_folder_with_an_odd_name_holds_its_database(store: Path, tmp_path: Path) -> None:
    """A database address has an escape of its own; the tables are copied, since making them takes seconds."""
    opened(store, "odd")
    folder = tmp_path / "run #1, 50% ä"
    folder.mkdir()
    with sqlite3.connect(store / "mlflow.db") as source, sqlite3.connect(folder / "mlflow.db") as target:
        source.backup(target)
    target.close()
    source.close()
    tracker = open_tracker(TrackingConfig(), folder, identity="odd", name="n")
    assert run_id_of(tracker) == opened(store, "odd").run_id
    assert [path.name for path in folder.iterdir()] == ["mlflow.db"]
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


def test_a_database_that_cannot_be_opened_holds_nobody_up(tmp_path: Path) -> None:
    """MLflow itself tries ten times, for more than a minute."""
    (tmp_path / "m.db").mkdir()
    config = TrackingConfig(uri=f"sqlite:///{tmp_path / 'm.db'}")
    began_s = time.monotonic()
    tracker = open_tracker(config, tmp_path / "run", identity="a", name="run")
    tracker.metrics({"loss": 1.0}, 1)
    tracker.finish("finished")
    assert time.monotonic() - began_s < 60
