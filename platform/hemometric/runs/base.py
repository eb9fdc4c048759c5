"""What the configs of all jobs share, and where a run keeps its files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, TypeVar

import platformdirs
from pydantic import Field

from hemometric.batches import BatchesConfig, RandomBatches
from hemometric.config import PLACEMENT, Config, dump
from hemometric.errors import UsageError
from hemometric.learning import OptimiserConfig, ScheduleConfig
from hemometric.learning.schedule import ConstantSchedule
from hemometric.tracking import TrackingConfig
from hemometric.waveform import Preparation


class Workers(Config):
    """How wide a run goes; never what it computes.

    Attributes
    ----------
    workers : int
        Processes of Ray; 0 runs in this process, without Ray.
    cpus_per_worker : float
        CPUs that each worker asks for. Mining takes as many threads as this has whole CPUs.
    gpus_per_worker : float or None
        GPUs that each worker asks for; None takes one each where the cluster has enough.
    """

    workers: Annotated[int, PLACEMENT] = Field(default=2, ge=0)
    cpus_per_worker: Annotated[float, PLACEMENT] = Field(default=1.0, gt=0)
    gpus_per_worker: Annotated[float | None, PLACEMENT] = Field(default=None, ge=0)


class TrainingRun(Workers):
    """The fields that pretraining and fine-tuning share."""

    corpus: Annotated[Path, PLACEMENT]
    out: Annotated[Path, PLACEMENT]
    cache: Annotated[Path | None, PLACEMENT] = None
    seed: int = 0
    preparation: Preparation = Preparation()
    batches: BatchesConfig = RandomBatches()
    batch_size: int = Field(default=64, ge=2)
    num_steps: int = Field(default=1000, ge=1)
    optimiser: OptimiserConfig = OptimiserConfig()
    schedule: ScheduleConfig = ConstantSchedule()
    validate_every_steps: int = Field(default=100, ge=1)
    log_every_steps: Annotated[int, PLACEMENT] = Field(default=10, ge=1)
    checkpoint_every_steps: Annotated[int, PLACEMENT] = Field(default=100, ge=1)
    tracking: Annotated[TrackingConfig, PLACEMENT] = TrackingConfig()

    @property
    def cache_folder(self) -> Path:
        """Node-local folder of prepared signals."""
        return self.cache or platformdirs.user_cache_path("hemometric") / "prepared"


C = TypeVar("C", bound=Config)


def with_absolute_paths(config: C) -> C:
    """Resolve every path of a config against the current folder: workers run in folders of their own."""
    updates = {name: _absolute(getattr(config, name)) for name in type(config).model_fields}
    return config.model_copy(update=updates)


def _absolute(value: Any) -> Any:
    if isinstance(value, Path):
        return value.expanduser().absolute()
    if isinstance(value, Config):
        return with_absolute_paths(value)
    if isinstance(value, tuple):
        return tuple(_absolute(item) for item in value)
    return value


def open_run_folder(config: TrainingRun, identity: str) -> Path:
    """Make or reopen the folder of a run, and refuse one that holds another run.

    Raises
    ------
    UsageError
        `out` holds a run of another config, corpus or model.
    """
    folder = config.out
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"out: cannot make the folder {folder}: {error.strerror}") from None
    marker = folder / "identity"
    if marker.is_file() and marker.read_text().strip() != identity:
        raise UsageError(
            f"out: {folder} holds a run of another config, corpus or model; choose another out, or remove the folder"
        )
    if not marker.is_file() and any(
        path.name != "mlflow.db" for path in folder.iterdir() if not path.name.startswith(".")
    ):
        raise UsageError(f"out: {folder} is not empty and holds no run; choose another folder")
    write_text(folder / "config.yaml", dump(config))
    write_text(marker, identity + "\n")
    return folder


def write_text(path: Path, text: str) -> None:
    """Write a file so that it is either whole or not there."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("w", encoding="utf-8") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())
    temporary.replace(path)
