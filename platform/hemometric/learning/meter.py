"""Means and rates between two reports."""

from __future__ import annotations

from collections import defaultdict

from hemometric.learning.batch import World
from hemometric.learning.collectives import maxima
from hemometric.learning.step import Step


class Meter:
    """Gathers steps until it is read. Every checkpoint reads it, so nothing of it needs to be kept in one."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._sums: dict[str, float] = defaultdict(float)
        self._num_updates = 0
        self._num_skipped = 0
        self._num_recordings = 0
        self._step_s = 0.0
        self._stalled_s = 0.0

    def add(self, step: Step, *, num_recordings: int, step_s: float, stalled_s: float) -> None:
        """Count one step: its figures, the global batch, its time, and how long of it was spent waiting for a batch."""
        self._num_recordings += num_recordings
        self._step_s += step_s
        self._stalled_s += stalled_s
        if step.skipped:
            self._num_skipped += 1
            return
        self._num_updates += 1
        for name, value in ({"loss": step.loss} | step.parts).items():
            self._sums[name] += value

    def read(self, world: World) -> dict[str, float]:
        """Give the figures since the last reading, the same on every rank (a collective), and begin anew.

        Means are over the steps that were not skipped; loss and parts are of global batches, so they need no
        reduction. Times are those of the slowest rank, which is the one that the others wait for.
        """
        step_s, stalled_s = maxima([self._step_s, self._stalled_s], world)
        values = {name: total / self._num_updates for name, total in self._sums.items()}
        values["ecg_per_s"] = self._num_recordings / step_s if step_s > 0 else 0.0
        values["stalled_share"] = min(1.0, stalled_s / step_s) if step_s > 0 else 0.0
        values["skipped_steps"] = float(self._num_skipped)
        self._begin()
        return values
