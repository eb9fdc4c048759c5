"""Takes batches from their iterator, in order, and times the step around them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType

import torch

from hemometric.errors import IntegrityError
from hemometric.learning.batch import TrainingBatch

Batches = Callable[[int], Iterator[TrainingBatch]]
"""From the first step to an iterator of this rank's batches.

It may have `stalled_s` (seconds waited for batches in all), `making_s` (seconds spent on making batches in all, in
whatever thread, standing still while none is made) and `close()`.
"""


@dataclass(frozen=True)
class Timing:
    """Where the time of one step went, in seconds.

    Attributes
    ----------
    step_s : float
        From asking for its batch to now.
    stalled_s : float
        Of that, what the absence of the batch cost.
    making_s : float
        Spent meanwhile on making batches, beside the step or before it.
    bare_s : float or None
        The step without its batch, where nothing was made beside it: what it takes when mining is not there. None
        where something was, or where the iterator does not tell.
    """

    step_s: float
    stalled_s: float
    making_s: float
    bare_s: float | None


class Feed:
    """An iterator of batches that is opened at a step and closed whatever happens."""

    def __init__(self, batches: Batches, first_step: int, device: torch.device) -> None:
        self._batches = batches
        self._first_step = first_step
        self._device = device
        self._total_stalled_s = 0.0
        self._total_making_s = 0.0

    def __enter__(self) -> Feed:
        self._source = self._batches(self._first_step)
        self._tells_making = hasattr(self._source, "making_s")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        close = getattr(self._source, "close", None)
        if close is not None:
            close()

    def next(self, step: int) -> TrainingBatch:
        """Give the batch of `step` on the device.

        Raises
        ------
        IntegrityError
            The batches end early, or another step's comes.
        """
        self._began_s = time.perf_counter()
        batch = next(self._source, None)
        if batch is None:
            raise IntegrityError(f"the batches end before step {step}; they must go on for all steps of the run")
        if batch.step != step:
            raise IntegrityError(f"batch {batch.step} came at step {step}; the order must be a function of the step")
        on_device = batch.to(self._device)
        self._taken_s, self._making_at_start_s = time.perf_counter(), self._making_s()
        return on_device

    def timing(self) -> Timing:
        """Time the step whose batch was taken last, which is over.

        The iterator's own `stalled_s` counts where it has one; else all the time spent in it does.
        """
        now_s, making_s = time.perf_counter(), self._making_s()
        total_s = getattr(self._source, "stalled_s", None)
        stalled_s = self._taken_s - self._began_s if total_s is None else float(total_s) - self._total_stalled_s
        self._total_stalled_s += stalled_s
        made_s, self._total_making_s = making_s - self._total_making_s, making_s
        is_bare = self._tells_making and making_s == self._making_at_start_s
        return Timing(now_s - self._began_s, stalled_s, made_s, now_s - self._taken_s if is_bare else None)

    def _making_s(self) -> float:
        return float(getattr(self._source, "making_s", 0.0))
