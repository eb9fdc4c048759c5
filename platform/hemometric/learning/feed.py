"""Takes batches from their iterator, in order, and knows how long the step waited for them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from types import TracebackType

import torch

from hemometric.errors import IntegrityError
from hemometric.learning.batch import TrainingBatch

Batches = Callable[[int], Iterator[TrainingBatch]]
"""From the first step to an iterator of this rank's batches; it may have `stalled_s` (a total) and `close()`."""


class Feed:
    """An iterator of batches that is opened at a step and closed whatever happens."""

    def __init__(self, batches: Batches, first_step: int, device: torch.device) -> None:
        self._batches = batches
        self._first_step = first_step
        self._device = device
        self._stalled_s = 0.0

    def __enter__(self) -> Feed:
        self._source = self._batches(self._first_step)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        close = getattr(self._source, "close", None)
        if close is not None:
            close()

    def next(self, step: int) -> tuple[TrainingBatch, float]:
        """Give the batch of `step` on the device, and the seconds that its absence cost.

        The iterator's own `stalled_s` counts where it has one; else all the time spent in it does.

        Raises
        ------
        IntegrityError
            The batches end early, or another step's comes.
        """
        began_s = time.perf_counter()
        batch = next(self._source, None)
        stalled_s = time.perf_counter() - began_s
        if batch is None:
            raise IntegrityError(f"the batches end before step {step}; they must go on for all steps of the run")
        if batch.step != step:
            raise IntegrityError(f"batch {batch.step} came at step {step}; the order must be a function of the step")
        total_s = getattr(self._source, "stalled_s", None)
        if total_s is not None:
            stalled_s, self._stalled_s = float(total_s) - self._stalled_s, float(total_s)
        return batch.to(self._device), stalled_s
