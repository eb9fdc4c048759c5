"""How a person sees a run: a bar on a terminal, JSON lines elsewhere."""

from __future__ import annotations

import contextlib
import json
import math
import sys
import time
from collections.abc import Callable, Mapping
from typing import Protocol, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar


class Progress(Protocol):
    """Takes one line a step from the main rank."""

    def start(self, step: int, num_steps: int) -> None:
        """Begin at `step` steps done."""

    def update(self, step: int, loss: float, ecg_per_s: float, time_left_s: float) -> None:
        """Show the state after `step` steps; the loss is NaN where the step was skipped."""

    def close(self) -> None:
        """End, whether finished or not."""


class NullProgress:
    """Shows nothing."""

    def start(self, step: int, num_steps: int) -> None:
        """Show nothing."""

    def update(self, step: int, loss: float, ecg_per_s: float, time_left_s: float) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Show nothing."""


class BarProgress:
    """A bar with loss, ECG/s and time left."""

    def __init__(self, title: str, console: Console | None = None) -> None:
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]} · {task.fields[rate]} ECG/s · {task.fields[left]} left"),
            TimeElapsedColumn(),
            console=console or Console(stderr=True),
        )
        self._title = title
        self._task: TaskID | None = None

    def start(self, step: int, num_steps: int) -> None:
        """Draw the bar."""
        self._task = self._bar.add_task(self._title, total=num_steps, completed=step, loss="-", rate="-", left="-")
        self._bar.start()

    def update(self, step: int, loss: float, ecg_per_s: float, time_left_s: float) -> None:
        """Move the bar."""
        if self._task is not None:
            self._bar.update(
                self._task, completed=step, loss=f"{loss:.4f}", rate=f"{ecg_per_s:,.0f}", left=as_clock(time_left_s)
            )

    def close(self) -> None:
        """Leave the bar as it is."""
        self._bar.stop()


class JsonLinesProgress:
    """One JSON object a line: the first step with a loss, the last, and one every `interval_s` between."""

    def __init__(
        self,
        title: str,
        stream: TextIO | None = None,
        *,
        interval_s: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._title = title
        self._stream = stream or sys.stderr
        self._interval_s = interval_s
        self._clock = clock
        self._told_s = -float("inf")
        self._num_steps = 0

    def start(self, step: int, num_steps: int) -> None:  # noqa: ARG002 - the Protocol's
        """Remember the length of the run."""
        self._num_steps = num_steps

    def update(self, step: int, loss: float, ecg_per_s: float, time_left_s: float) -> None:
        """Write a line when one is due."""
        now = self._clock()
        is_last = step >= self._num_steps
        # A step that was skipped has no loss, and no log begins with one.
        is_untold = math.isinf(self._told_s) and math.isnan(loss)
        if not is_last and (is_untold or now - self._told_s < self._interval_s):
            return
        self._told_s = now
        line = {
            "run": self._title,
            "step": step,
            "num_steps": self._num_steps,
            "loss": None if math.isnan(loss) else round(loss, 6),  # JSON has no NaN
            "ecg_per_s": round(ecg_per_s, 1),
            "time_left_s": round(time_left_s, 1),
        }
        tell(line, self._stream)

    def close(self) -> None:
        """Nothing is open."""


def tell(line: Mapping[str, object], stream: TextIO | None = None) -> None:
    """Write one JSON object a line to `stream` (stderr); that nobody reads it any more is no reason to end a run."""
    stream = stream or sys.stderr
    with contextlib.suppress(OSError, ValueError):
        stream.write(json.dumps(line) + "\n")
        stream.flush()


def progress_on(title: str, stream: TextIO | None = None) -> Progress:
    """Give a bar where `stream` (stderr) is a terminal, and JSON lines elsewhere."""
    stream = stream or sys.stderr
    if stream.isatty():
        return BarProgress(title, Console(file=stream))
    return JsonLinesProgress(title, stream)


def as_clock(seconds: float) -> str:
    """Write seconds as ``m:ss`` or ``h:mm:ss``."""
    minutes, whole = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{whole:02d}" if hours else f"{minutes}:{whole:02d}"
