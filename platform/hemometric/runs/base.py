"""What the configs of all jobs share, and where a run keeps its files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, TypeVar

import platformdirs
from pydantic import Field

from hemometric.batches import BatchesConfig, RandomBatches
from hemometric.config import PLACEMENT, Config, dump
from hemometric.corpus.files import NO_ROOM
from hemometric.errors import PrecheckError, UsageError
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
    """Make or reopen the folder of a run, and refuse one that holds another run; see `claim_folder`."""
    claim_folder(config.out, identity, "a run of another config, corpus or model")
    write_text(config.out / "config.yaml", dump(config))
    return config.out


def claim_folder(folder: Path, identity: str, other: str) -> None:
    """Make or reopen a folder of output and mark whose it is.

    Parameters
    ----------
    identity : str
        What must be in the marker of a folder that is there already.
    other : str
        What the folder holds where the marker has something else in it.

    Raises
    ------
    UsageError
        The folder cannot be written, holds something else, or holds the output of another identity.
    PrecheckError
        The disk is full.
    """
    marker = folder / "identity"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if marker.is_file():
            if marker.read_text(encoding="utf-8").strip() == identity:
                return
            if not all(_is_beginning(path) for path in folder.iterdir()):
                raise UsageError(f"out: {folder} holds {other}; choose another out, or remove the folder")
        foreign = sorted(path.name for path in folder.iterdir() if not _is_beginning(path))
        if foreign:
            raise UsageError(f"out: {folder} is not empty and holds no run ({foreign[0]} is there); choose another out")
        write_text(marker, identity + "\n")
    except OSError as error:
        if error.errno in NO_ROOM:
            raise PrecheckError(f"out: no room left to write in {folder} ({error.strerror}); free some space") from None
        raise UsageError(f"out: {folder} cannot be written: {error.strerror}; choose another out") from None


def _is_beginning(path: Path) -> bool:
    """Whether this is what a run leaves that ended before it computed anything: its folder may become another's."""
    return path.name in ("identity", "config.yaml", "mlartifacts") or path.name.startswith((".", "mlflow.db"))


def write_text(path: Path, text: str) -> None:
    """Write a file so that it is either whole or not there."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8") as handle:
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
