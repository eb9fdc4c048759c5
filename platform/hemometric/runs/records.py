"""What a run writes beside its checkpoints: metrics for the report, and its state for whoever watches it."""

from __future__ import annotations

import hashlib
import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from hemometric.errors import IntegrityError
from hemometric.progress import NO_PARTS
from hemometric.runs.folder import write_text
from hemometric.runs.shapes import ProgressState
from hemometric.tracker import Plain, Status, Tracker

SEAL = "sha256"
"""Key of a sealed file's own hash, over all of its other keys."""
_MAX_STEP = 2**63
_SHOWN_LENGTH = 80

S = TypeVar("S", bound=BaseModel)


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

    A line that is not finite numbers by name at a step is left out: a kill cut it short, and the restarted run told it
    again.

    Raises
    ------
    IntegrityError
        It cannot be read.
    """
    by_step: dict[int, dict[str, float]] = {}
    if path.is_file():
        for line in _content(path).splitlines():
            try:
                values = from_json(line)
            except ValueError:
                continue
            if _is_reading(values):
                by_step.setdefault(values["step"], {}).update(values)
    return [by_step[step] for step in sorted(by_step)]


def _is_reading(values: Any) -> bool:
    if not isinstance(values, dict) or type(values.get("step")) is not int or not 0 <= values["step"] < _MAX_STEP:
        return False
    return all(type(value) in (int, float) and abs(value) <= sys.float_info.max for value in values.values())


class ProgressFile:
    """A progress that a driver elsewhere can follow: the last state in one small file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._num_steps = 0

    def start(self, step: int, num_steps: int) -> None:
        """Write the first state."""
        self._num_steps = num_steps
        self._write({"step": step, "loss": None, "ecg_per_s": 0.0, "time_left_s": 0.0})

    def update(
        self, step: int, loss: float, ecg_per_s: float, time_left_s: float, parts: Mapping[str, float] = NO_PARTS
    ) -> None:
        """Write the state after a step."""
        finite = loss if math.isfinite(loss) else None
        known = {name: value for name, value in parts.items() if math.isfinite(value)}
        self._write({"step": step, "loss": finite, "ecg_per_s": ecg_per_s, "time_left_s": time_left_s, "parts": known})

    def close(self) -> None:
        """Leave the last state."""

    def _write(self, state: dict[str, Any]) -> None:
        # No fsync: nothing depends on it, and it is written every step.
        temporary = self._path.with_name(f".{self._path.name}.tmp")
        temporary.write_text(json.dumps({**state, "num_steps": self._num_steps}), encoding="utf-8")
        temporary.replace(self._path)


def read_progress(path: Path) -> dict[str, Any] | None:
    """Read what a `ProgressFile` wrote, if it is there and whole."""
    try:
        return ProgressState.model_validate_json(path.read_bytes()).model_dump()
    except (OSError, ValidationError):
        return None


def read_record(path: Path, shape: type[S], *, remove: Path | None = None) -> S:
    """Read a JSON file that `write_summary` wrote.

    Parameters
    ----------
    shape : type
        What it must hold.
    remove : Path, optional
        What to remove where it holds something else; the run's folder unless given.

    Raises
    ------
    IntegrityError
        It is missing, damaged, or holds something else.
    """
    return _shaped(path, shape, _content(path, remove), remove)


def read_sealed(path: Path, shape: type[S]) -> S:
    """Read a JSON file that `write_sealed` wrote; see `read_record`.

    Raises
    ------
    IntegrityError
        Also where a figure in it was changed.
    """
    content = _content(path)
    try:
        values = from_json(content)
        seal = values.pop(SEAL)
        whole = seal == _seal(values)
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
        raise _damaged(path, "it bears no seal") from None
    if not whole:
        raise _damaged(path, "it is not the file that was written")
    return _shaped(path, shape, json.dumps(values).encode())


def write_summary(path: Path, values: Mapping[str, Any]) -> None:
    """Write a run's outcome as JSON."""
    write_text(path, json.dumps(dict(values), indent=2, sort_keys=True) + "\n")


def write_sealed(path: Path, values: Mapping[str, Any]) -> None:
    """Write figures that choose a model as JSON, with their own hash: a flipped digit must not choose another."""
    write_summary(path, {**values, SEAL: _seal(values)})


def _seal(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(dict(values), sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _content(path: Path, remove: Path | None = None) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _damaged(path, error.strerror or type(error).__name__, remove) from None


def _shaped(path: Path, shape: type[S], content: bytes, remove: Path | None = None) -> S:
    try:
        return shape.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])[:_SHOWN_LENGTH]
        raise _damaged(path, f"field {place!r} is not what belongs there" if place else first["msg"], remove) from None


def _damaged(path: Path, reason: str, remove: Path | None = None) -> IntegrityError:
    what = "its run's folder" if remove is None else str(remove)
    return IntegrityError(f"{path} is missing or damaged ({reason}); remove {what} and run the same command again")
