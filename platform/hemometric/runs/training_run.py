"""What the configs of pretraining and fine-tuning share, and where such a run keeps its files."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Self

import platformdirs
from pydantic import Field, model_validator

from hemometric.batches import BatchesConfig, RandomBatches
from hemometric.config import PLACEMENT, dump
from hemometric.corpus.files import usable
from hemometric.learning import OptimiserConfig, ScheduleConfig
from hemometric.learning.schedule import ConstantSchedule
from hemometric.runs.base import Workers
from hemometric.runs.folder import claimed_folder, write_text
from hemometric.tracking import TrackingConfig
from hemometric.waveform import Preparation


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
