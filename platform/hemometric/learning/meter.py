"""Means and rates between two reports."""

from __future__ import annotations

import statistics
from collections import defaultdict, deque

from hemometric.learning.batch import TrainingBatch, World
from hemometric.learning.collectives import maxima
from hemometric.learning.feed import Timing
from hemometric.learning.step import Step
from hemometric.mining import MiningTally

NUM_BARE = 8
"""Bare steps that are remembered: their median is what a step takes without mining."""


class Meter:
    """Gathers steps until it is read. Every checkpoint reads it, so nothing of it needs to be kept in one."""

    def __init__(self) -> None:
        self._bare_s: deque[float] = deque(maxlen=NUM_BARE)
        self._mining = MiningTally()
        self._begin()

    def _begin(self) -> None:
        self._sums: dict[str, float] = defaultdict(float)
        self._num_steps = 0
        self._num_skipped = 0
        self._num_recordings = 0
        self._step_s = 0.0
        self._stalled_s = 0.0
        self._making_s = 0.0

    def add(self, step: Step, batch: TrainingBatch, timing: Timing) -> None:
        """Count one step: its figures, what was mined for it, and where its time went."""
        self._num_steps += 1
        self._num_recordings += len(batch.recording_ids)
        self._step_s += timing.step_s
        self._stalled_s += timing.stalled_s
        if batch.mined is not None:
            self._mining.add(batch.mined)
            self._making_s += timing.making_s
            if timing.bare_s is not None:
                self._bare_s.append(timing.bare_s)
        if step.skipped:
            self._num_skipped += 1
            return
        for name, value in ({"loss": step.loss} | step.parts).items():
            self._sums[name] += value

    def read(self, world: World) -> dict[str, float]:
        """Give the figures since the last reading, the same on every rank (a collective), and begin anew.

        Means are over the steps that were not skipped; loss and parts are of global batches, so they need no
        reduction. Times are those of the slowest rank, which is the one that the others wait for.

        ``stalled_share``: of the time, waiting for batches. ``mining_s``: what making a batch takes in its thread,
        reading included, beside the step. ``step_inflation``: a step with all waiting, on average, over the median of
        the last few bare ones, beside which nothing was made (see `Timing`); so it says what mining costs in this
        run, on these cores. On a machine whose cores the step alone fills it cannot be below 1 + mining / step; where
        the step leaves them free, as on a GPU, it should be 1. It is told from the first bare step on. What else is
        told of mining: see `MiningTally`.
        """
        bare_s = statistics.median(self._bare_s) if self._bare_s else 0.0
        step_s, stalled_s, making_s, bare_s = maxima([self._step_s, self._stalled_s, self._making_s, bare_s], world)
        num_updates = self._num_steps - self._num_skipped
        values = {name: total / num_updates for name, total in self._sums.items()}
        values["ecg_per_s"] = self._num_recordings / step_s if step_s > 0 else 0.0
        values["stalled_share"] = min(1.0, stalled_s / step_s) if step_s > 0 else 0.0
        if making_s > 0:
            values["mining_s"] = making_s / self._num_steps
        if bare_s > 0:
            values["step_inflation"] = step_s / self._num_steps / bare_s
        values["skipped_steps"] = float(self._num_skipped)
        self._begin()
        return values | self._mining.read(warn=world.is_main)
