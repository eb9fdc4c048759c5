"""MLflow behind the `Tracker` protocol of `learning`: the only module that imports mlflow, inside its functions.

Runs are found or created by tag, so a restarted job goes on in the same MLflow run. What reaches MLflow are numbers,
configs and files that we name; never a recording, a patient or a path that could name one.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from hemometric.config import PLACEMENT, Config
from hemometric.learning.tracker import NullTracker, Plain, Status, Tracker

if TYPE_CHECKING:
    from mlflow import MlflowClient

log = logging.getLogger(__name__)

IDENTITY_TAG = "hemometric.identity"
PARENT_TAG = "mlflow.parentRunId"
_MAX_PARAM_LENGTH = 500
_STATUS = {"finished": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}


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

    def address(self, folder: Path) -> str:
        """Give the tracking address of a run that lives in `folder`."""
        return self.uri or f"sqlite:///{(folder / 'mlflow.db').resolve()}"


class MlflowTracker:
    """One MLflow run. A server that does not answer never stops the training: values are kept and sent later."""

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        self._client = client
        self.run_id = run_id
        self._waiting: list[tuple[str, float, int]] = []

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Log numbers of one step, and any that an earlier failure kept back."""
        from mlflow.entities import Metric
        from mlflow.exceptions import MlflowException

        self._waiting += [(name, float(value), step) for name, value in values.items()]
        batch = self._waiting[:1000]
        try:
            self._client.log_batch(self.run_id, metrics=[Metric(n, v, _now_ms(), s) for n, v, s in batch])
        except (MlflowException, OSError) as error:
            if len(self._waiting) == len(values):
                log.warning(
                    "tracking does not answer (%s); training goes on, %d values wait", type(error).__name__, len(batch)
                )
        else:
            self._waiting = self._waiting[1000:]

    def params(self, values: Mapping[str, Plain]) -> None:
        """Log settings that the run does not hold yet; a restart leaves those that it has."""
        known = self._client.get_run(self.run_id).data.params
        for name, value in values.items():
            if name not in known:
                self._client.log_param(self.run_id, name, str(value)[:_MAX_PARAM_LENGTH])

    def tags(self, values: Mapping[str, str]) -> None:
        """Set tags."""
        for name, value in values.items():
            self._client.set_tag(self.run_id, name, value)

    def artifact(self, path: Path) -> None:
        """Store a file or a folder with the run."""
        store = self._client.log_artifacts if path.is_dir() else self._client.log_artifact
        store(self.run_id, str(path))

    def finish(self, status: Status) -> None:
        """Send what waits and end the run."""
        while self._waiting:
            before = len(self._waiting)
            self.metrics({}, 0)
            if len(self._waiting) == before:
                log.warning("%d metric values were never taken by the tracking server", before)
                break
        self._client.set_terminated(self.run_id, _STATUS[status])


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
    """
    if config.kind == "none":
        return NullTracker()
    # Quiet and offline: no telemetry, no progress of schema migrations on a person's terminal.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    from mlflow import MlflowClient

    folder.mkdir(parents=True, exist_ok=True)
    client = MlflowClient(tracking_uri=config.address(folder))
    experiment_id = _experiment(client, config, folder)
    found = client.search_runs([experiment_id], filter_string=f"tags.`{IDENTITY_TAG}` = '{identity}'", max_results=1)
    if found:
        run_id = found[0].info.run_id
        client.update_run(run_id, status="RUNNING")
    else:
        tags = {IDENTITY_TAG: identity} | ({PARENT_TAG: parent} if parent else {})
        run_id = client.create_run(experiment_id, run_name=name, tags=tags).info.run_id
    return MlflowTracker(client, run_id)


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


def _now_ms() -> int:
    return int(time.time() * 1000)
