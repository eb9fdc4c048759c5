"""What the configs of all jobs share, and where a run keeps its files."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

import platformdirs
from pydantic import Field, model_validator

from hemometric.batches import BatchesConfig, RandomBatches
from hemometric.config import PLACEMENT, Config, dump
from hemometric.corpus.files import usable
from hemometric.learning import OptimiserConfig, ScheduleConfig
from hemometric.learning.schedule import ConstantSchedule
from hemometric.runs.folder import claimed_folder, write_text
from hemometric.tracking import TrackingConfig
from hemometric.waveform import Preparation

SQLITE = "sqlite:///"


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
    seed: int = Field(default=0, ge=0, lt=2**63)
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

    @model_validator(mode="after")
    def _warmup_fits(self) -> Self:
        self.schedule.build(self.num_steps)
        return self

    @property
    def cache_folder(self) -> Path:
        """Node-local folder of prepared signals."""
        return self.cache or platformdirs.user_cache_path("hemometric") / "prepared"


C = TypeVar("C", bound=Config)


def with_absolute_paths(config: C) -> C:
    """Resolve every path of a config against the current folder: workers run in folders of their own.

    A field that nobody wrote stays unwritten: `model_fields_set` tells what was asked for.
    """
    updates = {name: absolute for name, value in config if (absolute := _absolute(value)) != value}
    if (database := _database(config)) is not None:
        updates["uri"] = f"{SQLITE}{database.expanduser().absolute()}"
    return config.model_copy(update=updates)


def _absolute(value: Any) -> Any:
    if isinstance(value, Path):
        return value.expanduser().absolute()
    if isinstance(value, Config):
        return with_absolute_paths(value)
    if isinstance(value, tuple):
        return tuple(_absolute(item) for item in value)
    return value


def _database(config: Config) -> Path | None:
    """Give the file of a tracking config's SQLite database, where its address names one."""
    if isinstance(config, TrackingConfig) and config.uri is not None and config.uri.startswith(SQLITE):
        return Path(config.uri.removeprefix(SQLITE))
    return None


def relative_paths(config: Config, prefix: str = "") -> dict[str, str]:
    """Collect the paths that mean something else in another folder: from their dotted field to an absolute example."""
    found: dict[str, str] = {}
    database = _database(config)
    if database is not None and not database.is_absolute():
        found[f"{prefix}uri"] = f"{SQLITE}/…/{database}"
    for name, value in config:
        items = enumerate(value) if isinstance(value, tuple) else ((None, value),)
        for position, item in items:
            field = f"{prefix}{name}" if position is None else f"{prefix}{name}.{position}"
            if isinstance(item, Config):
                found |= relative_paths(item, f"{field}.")
            elif isinstance(item, Path) and not item.is_absolute():
                found[field] = f"/…/{item}"
    return found


@contextlib.contextmanager
def run_folder(config: TrainingRun, identity: str) -> Iterator[Path]:
    """Make or reopen the folder of a run and hold it: refuse one that holds another run, or that another process has.

    Raises
    ------
    UsageError, PrecheckError
        See `claimed_folder`.
    """
    with claimed_folder(config.out, identity, "a run of another config, corpus or model"):
        with usable(config.out, "out"):
            write_text(config.out / "config.yaml", dump(config))
        yield config.out
