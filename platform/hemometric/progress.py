"""How a person sees a run: a bar on a terminal, JSON lines elsewhere."""

from __future__ import annotations

import contextlib
import json
import math
import sys
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Protocol, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

NO_PARTS: Mapping[str, float] = MappingProxyType({})

SHOWN = {"active": "active {:.0%}", "z_rank": "rank {:.1f}", "stalled": "waited {:.0%}"}
"""Parts that a bar has room for, and how: triplets that are active, dimensions that embeddings fill, time waited."""


class Progress(Protocol):
    """Takes one line a step from the main rank."""

    def start(self, step: int, num_steps: int) -> None:
        """Begin at `step` steps done."""

    def update(
        self, step: int, loss: float, ecg_per_s: float, time_left_s: float, parts: Mapping[str, float] = NO_PARTS
    ) -> None:
        """Show the state after `step` steps; the loss is NaN where the step was skipped.

        `parts` are what else a step tells: the parts of its loss, triplets that are active, how far embeddings spread,
        the share of its time that it waited for its batch.
        """

    def close(self) -> None:
        """End, whether finished or not."""


class NullProgress:
    """Shows nothing."""

    def start(self, step: int, num_steps: int) -> None:
        """Show nothing."""

    def update(
        self, step: int, loss: float, ecg_per_s: float, time_left_s: float, parts: Mapping[str, float] = NO_PARTS
    ) -> None:
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
            TextColumn("loss {task.fields[loss]}{task.fields[parts]}"),
            TextColumn("{task.fields[rate]} ECG/s · {task.fields[left]} left"),
            TimeElapsedColumn(),
            console=console or Console(stderr=True),
        )
        self._title = title
        self._task: TaskID | None = None

    def start(self, step: int, num_steps: int) -> None:
        """Draw the bar."""
        self._task = self._bar.add_task(
            self._title, total=num_steps, completed=step, loss="-", rate="-", left="-", parts=""
        )
        self._bar.start()

    def update(
        self, step: int, loss: float, ecg_per_s: float, time_left_s: float, parts: Mapping[str, float] = NO_PARTS
    ) -> None:
        """Move the bar."""
        if self._task is not None:
            told = "".join(f" · {words.format(parts[name])}" for name, words in SHOWN.items() if name in parts)
            rate, left = f"{ecg_per_s:,.0f}", as_clock(time_left_s)
            self._bar.update(self._task, completed=step, loss=f"{loss:.4f}", parts=told, rate=rate, left=left)

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

    def update(
        self, step: int, loss: float, ecg_per_s: float, time_left_s: float, parts: Mapping[str, float] = NO_PARTS
    ) -> None:
        """Write a line when one is due."""
        now = self._clock()
        is_last = step >= self._num_steps
        # A step that was skipped has no loss, and no log begins with one.
        is_untold = math.isinf(self._told_s) and math.isnan(loss)
        if not is_last and (is_untold or now - self._told_s < self._interval_s):
            return
        self._told_s = now
        line: dict[str, object] = {
            "run": self._title,
            "step": step,
            "num_steps": self._num_steps,
            "loss": None if math.isnan(loss) else round(loss, 6),  # JSON has no NaN
            "ecg_per_s": round(ecg_per_s, 1),
            "time_left_s": round(time_left_s, 1),
        }
        line |= {name: float(f"{value:.4g}") for name, value in parts.items() if math.isfinite(value)}
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
