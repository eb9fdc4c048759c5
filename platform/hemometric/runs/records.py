"""What a run writes beside its checkpoints: metrics for the report, and its state for whoever watches it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hemometric.errors import IntegrityError
from hemometric.learning.tracker import Plain, Status, Tracker
from hemometric.runs.base import write_text


class MetricsFile:
    """A tracker that appends to ``metrics.jsonl``, so that a report needs no tracking server."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._is_clean = False

    def params(self, values: Mapping[str, Plain]) -> None:
        """Nothing: the run folder holds its config."""

    def tags(self, values: Mapping[str, str]) -> None:
        """Nothing: tags are for finding runs on a server."""

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Append one line."""
        finite = {name: float(value) for name, value in values.items() if math.isfinite(value)}
        with self._path.open("a", encoding="utf-8") as handle:
            if not self._is_clean and not _ends_a_line(self._path):
                handle.write("\n")  # a kill cut the last line short; the next one must not hang on to it
            self._is_clean = True
            handle.write(json.dumps({"step": step, **finite}) + "\n")

    def artifact(self, path: Path) -> None:
        """Nothing: the file lies in the run folder already."""

    def finish(self, status: Status) -> None:
        """Nothing is open."""


def _ends_a_line(path: Path) -> bool:
    with path.open("rb") as handle:
        size = handle.seek(0, 2)
        handle.seek(max(0, size - 1))
        return handle.read() in (b"", b"\n")


@dataclass(frozen=True)
class Both:
    """Tells several trackers the same."""

    trackers: Sequence[Tracker]

    def params(self, values: Mapping[str, Plain]) -> None:
        """Tell each."""
        for tracker in self.trackers:
            tracker.params(values)

    def tags(self, values: Mapping[str, str]) -> None:
        """Tell each."""
        for tracker in self.trackers:
            tracker.tags(values)

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Tell each."""
        for tracker in self.trackers:
            tracker.metrics(values, step)

    def artifact(self, path: Path) -> None:
        """Tell each."""
        for tracker in self.trackers:
            tracker.artifact(path)

    def finish(self, status: Status) -> None:
        """Tell each."""
        for tracker in self.trackers:
            tracker.finish(status)


def read_metrics(path: Path) -> list[dict[str, float]]:
    """Read ``metrics.jsonl``: one dict a step, in order; what a restarted run told again counts once.

    A line that a kill cut short is left out: the restarted run told it again.
    """
    by_step: dict[int, dict[str, float]] = {}
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                values = json.loads(line)
            except json.JSONDecodeError:
                continue
            if isinstance(values, dict) and isinstance(values.get("step"), int):
                by_step.setdefault(values["step"], {}).update(values)
    return [by_step[step] for step in sorted(by_step)]


class ProgressFile:
    """A progress that a driver elsewhere can follow: the last state in one small file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._num_steps = 0

    def start(self, step: int, num_steps: int) -> None:
        """Write the first state."""
        self._num_steps = num_steps
        self._write({"step": step, "loss": None, "ecg_per_s": 0.0, "time_left_s": 0.0})

    def update(self, step: int, loss: float, ecg_per_s: float, time_left_s: float) -> None:
        """Write the state after a step."""
        finite = loss if math.isfinite(loss) else None
        self._write({"step": step, "loss": finite, "ecg_per_s": ecg_per_s, "time_left_s": time_left_s})

    def close(self) -> None:
        """Leave the last state."""

    def _write(self, state: dict[str, Any]) -> None:
        # No fsync: nothing depends on it, and it is written every step.
        temporary = self._path.with_name(f".{self._path.name}.tmp")
        temporary.write_text(json.dumps({**state, "num_steps": self._num_steps}), encoding="utf-8")
        temporary.replace(self._path)


def read_progress(path: Path) -> dict[str, Any] | None:
    """Read what a `ProgressFile` wrote, if it is there."""
    try:
        state: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return None
    return state


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that `write_summary` wrote.

    Raises
    ------
    IntegrityError
        It is missing, damaged, or no mapping.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict):
        raise IntegrityError(f"{path} is missing or damaged; remove its run's folder and run the same command again")
    return found


def write_summary(path: Path, values: Mapping[str, Any]) -> None:
    """Write a run's outcome as JSON."""
    write_text(path, json.dumps(dict(values), indent=2, sort_keys=True) + "\n")
