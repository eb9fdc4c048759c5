"""Progress of a search: trials ended of all, the best validation loss so far, and the time left."""

from __future__ import annotations

import math
import time
from types import TracebackType

from hemometric.progress import as_clock
from hemometric.runs.pace import Display

_LEAST_WORK = 1.0
"""Trials' worth of work before which nothing is said of the time left: starting a trial takes longer than its steps."""


class SearchPace:
    """Shows a search whose trials tell of themselves; use it as a context manager.

    The time left is that of the work left at the rate so far, where a trial is one unit of work however it ends. It
    is reckoned when work is heard of, and runs down until the next word; once it has run out, nothing is said of it.

    Parameters
    ----------
    num_trials, num_steps : int
        Of the search, and of a trial that nothing stops.
    num_known : int
        Trials that an earlier start ended: they answer from their folders, at no rate that could be counted on.
    """

    def __init__(self, num_trials: int, num_steps: int, num_known: int = 0) -> None:
        self._num_trials = num_trials
        self._num_steps = num_steps
        self._num_known = num_known
        self._shares: dict[str, float] = {}
        self._num_ended = 0
        self._num_failed = 0
        self._best = math.inf
        self._began_s = time.monotonic()
        self._reckoned: tuple[float, float] | None = None  # the work that was done, and when all of it should be
        self._display = Display("search", num_trials)

    def __enter__(self) -> SearchPace:
        self._display.__enter__()
        self.show()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._display.__exit__(kind, error, traceback)

    def began(self, trial: str) -> None:
        """Count a trial as running."""
        self._shares[trial] = 0.0
        self.show()

    def reported(self, trial: str, step: int, loss: float) -> None:
        """Hear of a validation: after which step, and its loss."""
        self._shares[trial] = min(1.0, step / self._num_steps)
        is_first = math.isinf(self._best) and math.isfinite(loss)
        self._best = min(self._best, loss) if math.isfinite(loss) else self._best
        self.show(is_news=is_first)

    def ended(self, trial: str, *, failed: bool = False) -> None:
        """Count a trial as ended: finished, stopped early, or failed."""
        self._shares.pop(trial, None)
        self._num_ended += 1
        self._num_failed += failed
        self.show(is_news=True)

    def show(self, *, is_news: bool = False) -> None:
        """Show the state; what is not known yet is left out."""
        partly = sum(self._shares.values())
        facts: dict[str, float] = {"running": len(self._shares)}
        told = [f"{len(self._shares)} running"]
        if self._num_failed:
            facts["failed"] = self._num_failed
            told.append(f"{self._num_failed} failed")
        if math.isfinite(self._best):
            facts["best_validation_loss"] = round(self._best, 6)
            told.append(f"best loss {self._best:.4f}")
        left_s = self._left_s(self._num_ended + partly)
        if left_s is not None:
            facts["time_left_s"] = round(left_s, 1)
            told.append(f"{as_clock(left_s)} left")
        self._display.show(self._num_ended, facts, " · ".join(told), partly=partly, is_news=is_news)

    def _left_s(self, work: float) -> float | None:
        counted = work - self._num_known
        if counted < _LEAST_WORK:
            return None
        now_s = time.monotonic()
        if self._reckoned is None or self._reckoned[0] != work:
            left_s = (now_s - self._began_s) / counted * max(0.0, self._num_trials - work)
            self._reckoned = work, now_s + left_s
        left_s = self._reckoned[1] - now_s
        return max(0.0, left_s) if left_s > 0 or work >= self._num_trials else None
