"""MLflow behind the `Tracker` protocol: the only module that imports mlflow, inside its functions.

Runs are found or created by tag, so a restarted job goes on in the same MLflow run. What reaches MLflow are numbers,
configs and files that we name; never a recording, a patient or a path that could name one.
"""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import urlsplit

from pydantic import field_validator

from hemometric.config import PLACEMENT, Config
from hemometric.errors import HemometricError, UsageError
from hemometric.tracker import NullTracker, Plain, Status, Tracker

if TYPE_CHECKING:
    from mlflow import MlflowClient

log = logging.getLogger(__name__)

IDENTITY_TAG = "hemometric.identity"
PARENT_TAG = "mlflow.parentRunId"
RETRY_S = 60.0
"""How long a server that did not answer is left alone: each try may hold up a training step for seconds."""
_MAX_PARAM_LENGTH = 500
_METRICS_PER_CALL, _PARAMS_PER_CALL = 1000, 100
_STATUS = {"finished": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}
_SCHEMES = ("http", "https", "sqlite", "postgresql", "mysql", "mssql", "databricks")


class TrackingConfig(Config):
    """Where metrics go.

    Attributes
    ----------
    kind : str
        ``mlflow``, or ``none`` for no tracking.
    uri : str or None
        An MLflow tracking address; None means SQLite in the run's own folder.
    experiment : str
        The MLflow experiment.
    """

    kind: Literal["mlflow", "none"] = "mlflow"
    uri: Annotated[str | None, PLACEMENT] = None
    experiment: str = "hemometric"

    @field_validator("uri")
    @classmethod
    def _is_an_address(cls, uri: str | None) -> str | None:
        if uri is not None and urlsplit(uri).scheme.partition("+")[0] not in _SCHEMES:
            raise ValueError("give an MLflow address, such as http://host:5000 or sqlite:///mlflow.db")
        if uri is not None and "\0" in uri:
            raise ValueError("it holds a NUL character; leave that out")
        return uri

    def address(self, folder: Path) -> str:
        """Give the tracking address of a run that lives in `folder`."""
        return self.uri or f"sqlite:///{(folder / 'mlflow.db').resolve()}"


Action = Callable[["MlflowClient", str], None]


class MlflowTracker:
    """One MLflow run. A server that does not answer never stops the training: what it was told waits for it.

    Parameters
    ----------
    find : callable
        Finds or creates the run; gives the client and the run's id.
    """

    def __init__(self, find: Callable[[], tuple[MlflowClient, str]]) -> None:
        self._find = find
        self._found: tuple[MlflowClient, str] | None = None
        self._actions: deque[Action] = deque()
        self._metrics: list[tuple[str, float, int, int]] = []
        self._retry_at_s = 0.0

    @property
    def run_id(self) -> str | None:
        """The id of the MLflow run; None while the server does not answer."""
        if self._found is None:
            self._send()
        return None if self._found is None else self._found[1]

    @property
    def num_waiting(self) -> int:
        """Metric values that the server has not taken yet."""
        return len(self._metrics)

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Log numbers of one step, and any that an earlier failure kept back."""
        now_ms = int(time.time() * 1000)
        self._metrics += [(name, float(value), now_ms, step) for name, value in values.items()]
        self._send()

    def params(self, values: Mapping[str, Plain]) -> None:
        """Log settings that the run does not hold yet; a restart leaves those that it has."""

        def send(client: MlflowClient, run_id: str) -> None:
            from mlflow.entities import Param

            known = client.get_run(run_id).data.params
            new = [Param(key, str(value)[:_MAX_PARAM_LENGTH]) for key, value in values.items() if key not in known]
            for start in range(0, len(new), _PARAMS_PER_CALL):
                client.log_batch(run_id, params=new[start : start + _PARAMS_PER_CALL])

        self._do(send)

    def tags(self, values: Mapping[str, str]) -> None:
        """Set tags."""

        def send(client: MlflowClient, run_id: str) -> None:
            from mlflow.entities import RunTag

            client.log_batch(run_id, tags=[RunTag(key, value) for key, value in values.items()])

        self._do(send)

    def artifact(self, path: Path) -> None:
        """Store a file or a folder with the run."""

        def send(client: MlflowClient, run_id: str) -> None:
            store = client.log_artifacts if path.is_dir() else client.log_artifact
            store(run_id, str(path))

        self._do(send)

    def finish(self, status: Status) -> None:
        """Send what waits and end the run."""
        self._retry_at_s = 0.0
        self._send()
        self._do(lambda client, run_id: client.set_terminated(run_id, _STATUS[status]))
        if self._metrics or self._actions:
            log.warning("the tracking server never took %d metric values of this run", len(self._metrics))

    def _do(self, action: Action) -> None:
        self._actions.append(action)
        self._send()

    def _send(self) -> None:
        """Send all that waits, unless the server was silent a moment ago."""
        if time.monotonic() < self._retry_at_s:
            return
        try:
            from mlflow.entities import Metric

            self._found = self._found or self._find()
            client, run_id = self._found
            while self._actions:
                self._try(client, run_id)
            while self._metrics:
                batch = [Metric(*values) for values in self._metrics[:_METRICS_PER_CALL]]
                client.log_batch(run_id, metrics=batch)
                del self._metrics[:_METRICS_PER_CALL]
        except HemometricError:
            raise
        # MLflow lets errors of SQLAlchemy, Alembic, its drivers and the network through: no list of them is whole.
        except Exception as error:  # noqa: BLE001 - whatever it is, training must go on
            self._retry_at_s = time.monotonic() + RETRY_S
            log.warning(
                "tracking does not answer (%s); the run goes on, %d values wait", type(error).__name__, self.num_waiting
            )

    def _try(self, client: MlflowClient, run_id: str) -> None:
        """Do the first action; one that is refused for good is passed over, or nothing behind it would be sent."""
        from mlflow.exceptions import MlflowException

        try:
            self._actions[0](client, run_id)
        except MlflowException as error:
            if error.error_code != "INVALID_PARAMETER_VALUE":
                raise
            log.warning("tracking refused something of this run (%s)", str(error).partition("\n")[0][:200])
        self._actions.popleft()


def open_tracker(
    config: TrackingConfig, folder: Path, *, identity: str, name: str, parent: str | None = None
) -> Tracker:
    """Find the MLflow run of an identity, or create it.

    Parameters
    ----------
    folder : Path
        The run's folder; holds the SQLite file where no address is configured.
    identity : str
        What makes the run the same run after a restart.
    parent : str, optional
        The MLflow run that this one belongs to.

    Raises
    ------
    UsageError
        The address needs a database driver that is not installed.
    """
    if config.kind == "none":
        return NullTracker()
    # Quiet and offline: no telemetry, no progress of schema migrations on a person's terminal, no minutes of retries.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    from mlflow import MlflowClient
    from mlflow.store.db import utils as databases

    databases.MAX_RETRY_COUNT = 1  # ten tries, each twice as long after the last, would hold a run up for minutes
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow").setLevel(logging.ERROR)

    def find() -> tuple[MlflowClient, str]:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            client = MlflowClient(tracking_uri=config.address(folder))
        except ModuleNotFoundError as error:
            raise UsageError(f"tracking.uri needs the Python package {error.name}; install it") from None
        experiment_id = _experiment(client, config, folder)
        found = client.search_runs(
            [experiment_id], filter_string=f"tags.`{IDENTITY_TAG}` = '{identity}'", max_results=1
        )
        if found:
            run_id = str(found[0].info.run_id)
            client.update_run(run_id, status="RUNNING")
        else:
            tags = {IDENTITY_TAG: identity} | ({PARENT_TAG: parent} if parent else {})
            run_id = str(client.create_run(experiment_id, run_name=name, tags=tags).info.run_id)
        return client, run_id

    tracker = MlflowTracker(find)
    if tracker.run_id is not None and parent:
        tracker.tags({PARENT_TAG: parent})
    return tracker


def run_id_of(tracker: Tracker) -> str | None:
    """Give the MLflow run id behind a tracker, if there is one."""
    return tracker.run_id if isinstance(tracker, MlflowTracker) else None


def _experiment(client: MlflowClient, config: TrackingConfig, folder: Path) -> str:
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(config.experiment)
    if found is None:
        # Without a place of its own, MLflow would put artifacts into the current folder.
        artifacts = (
            None if config.uri and not config.uri.startswith("sqlite:") else (folder / "mlartifacts").resolve().as_uri()
        )
        try:
            return str(client.create_experiment(config.experiment, artifact_location=artifacts))
        except MlflowException:  # another process was first
            found = client.get_experiment_by_name(config.experiment)
            if found is None:
                raise
    return str(found.experiment_id)
