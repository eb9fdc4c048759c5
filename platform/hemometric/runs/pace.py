"""Progress of counted work: a bar with rate and time left on a terminal, JSON lines elsewhere."""

from __future__ import annotations

import json
import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

INTERVAL_S = 10.0


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
        self.title = title
        self.total = total
        self.num_done = 0
        self._began_s = time.monotonic()
        self._told_s = self._began_s
        self._bar: Progress | None = None
        if sys.stderr.isatty():
            self._bar = Progress(
                TextColumn(title),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]} ECG/s"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
            )
            self._bar.add_task(title, total=total, rate="-")

    def __enter__(self) -> Pace:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def add(self, num: int) -> None:
        """Count `num` more."""
        self.num_done += num
        now_s = time.monotonic()
        per_s = self.num_done / max(now_s - self._began_s, 1e-9)
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=self.num_done, rate=f"{per_s:,.0f}")
        elif now_s - self._told_s >= INTERVAL_S:
            self._told_s = now_s
            left_s = max(0, self.total - self.num_done) / max(per_s, 1e-9)
            line = {"run": self.title, "done": self.num_done, "total": self.total}
            rates = {"ecg_per_s": round(per_s, 1), "time_left_s": round(left_s, 1)}
            sys.stderr.write(json.dumps(line | rates) + "\n")
            sys.stderr.flush()
