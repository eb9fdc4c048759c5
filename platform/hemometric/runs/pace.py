"""Progress of counted work: a bar with rate and time left on a terminal, JSON lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Column

from hemometric.progress import as_clock, tell

INTERVAL_S = 10.0


class Display:
    """Shows how much of a known total is done; use it as a context manager.

    Parameters
    ----------
    title : str
        What is being done.
    total : int
    told_s : float
        When the last line was written, on the clock of `time.monotonic`; the next one comes `INTERVAL_S` later.
    """

    def __init__(self, title: str, total: int, told_s: float = -float("inf")) -> None:
        self._title = title
        self._total = total
        self._told_s = told_s
        self._bar: Progress | None = None
        if sys.stderr.isatty():
            self._bar = Progress(
                TextColumn(title),
                BarColumn(),
                # On a narrow terminal the bar gives way, not the count.
                MofNCompleteColumn(table_column=Column(min_width=2 * len(str(total)) + 1)),
                TextColumn("{task.fields[told]}"),
                console=Console(stderr=True),
            )
            self._bar.add_task(title, total=total, told="")

    def __enter__(self) -> Display:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(
        self, done: int, facts: Mapping[str, float], told: str, *, partly: float = 0.0, is_news: bool = False
    ) -> None:
        """Move the bar, or write a line if one is due.

        Parameters
        ----------
        facts : mapping
            What a line says besides ``done`` and ``total``.
        told : str
            The same, for whoever looks at the bar.
        partly : float
            What is under way, in units of the total; it moves the bar and counts nothing.
        is_news : bool
            A line is due at once.
        """
        now_s = time.monotonic()
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=done + min(partly, 0.999), told=told)
        elif is_news or now_s - self._told_s >= INTERVAL_S:
            self._told_s = now_s
            tell({"run": self._title, "done": done, "total": self._total, **facts})


class Pace:
    """Counts ECGs of a known total; use it as a context manager.

    Parameters
    ----------
    title : str
        What is being done.
    total : int
        ECGs in all.
    """

    def __init__(self, title: str, total: int) -> None:
        self.total = total
        self.num_done = 0
        self._began_s = time.monotonic()
        self._display = Display(title, total, self._began_s)

    def __enter__(self) -> Pace:
        self._display.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._display.__exit__(kind, error, traceback)

    def add(self, num: int) -> None:
        """Count `num` more."""
        self.num_done += num
        per_s = self.num_done / max(time.monotonic() - self._began_s, 1e-9)
        left_s = max(0, self.total - self.num_done) / max(per_s, 1e-9)
        self._display.show(
            self.num_done,
            {"ecg_per_s": round(per_s, 1), "time_left_s": round(left_s, 1)},
            f"{per_s:,.0f} ECG/s · {as_clock(left_s)} left",
        )
