"""Where a run's parameters and metrics go; the loop knows only this Protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

Status = Literal["finished", "failed", "interrupted"]
Plain = str | int | float | bool | None


class Tracker(Protocol):
    """Takes what a run says about itself. Only the main rank speaks; a step may be told twice after a restart."""

    def params(self, values: Mapping[str, Plain]) -> None:
        """Take the resolved config, flat."""

    def tags(self, values: Mapping[str, str]) -> None:
        """Take words to find the run by."""

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Take figures as they are after `step` steps."""

    def artifact(self, path: Path) -> None:
        """Take a file or a folder."""

    def finish(self, status: Status) -> None:
        """Close the run."""


class NullTracker:
    """Takes everything and keeps nothing."""

    def params(self, values: Mapping[str, Plain]) -> None:
        """Keep nothing."""

    def tags(self, values: Mapping[str, str]) -> None:
        """Keep nothing."""

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Keep nothing."""

    def artifact(self, path: Path) -> None:
        """Keep nothing."""

    def finish(self, status: Status) -> None:
        """Keep nothing."""


@dataclass
class MemoryTracker:
    """Keeps everything in lists, for tests and notebooks."""

    params_seen: dict[str, Plain] = field(default_factory=dict)
    tags_seen: dict[str, str] = field(default_factory=dict)
    metrics_seen: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    artifacts_seen: list[Path] = field(default_factory=list)
    status: Status | None = None

    def params(self, values: Mapping[str, Plain]) -> None:
        """Add to `params_seen`."""
        self.params_seen.update(values)

    def tags(self, values: Mapping[str, str]) -> None:
        """Add to `tags_seen`."""
        self.tags_seen.update(values)

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Append to `metrics_seen`."""
        self.metrics_seen.append((step, dict(values)))

    def artifact(self, path: Path) -> None:
        """Append to `artifacts_seen`."""
        self.artifacts_seen.append(path)

    def finish(self, status: Status) -> None:
        """Set `status`."""
        self.status = status

    def series(self, name: str) -> list[tuple[int, float]]:
        """(step, value) of one metric, in the order told."""
        return [(step, values[name]) for step, values in self.metrics_seen if name in values]
