"""What the configs of all jobs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Field

from hemometric.config import PLACEMENT, Config
from hemometric.tracking import TrackingConfig

SQLITE = "sqlite:///"


class Workers(Config):
    """How wide a run goes; never what it computes.

    Attributes
    ----------
    workers : int
        Processes of Ray; 0 runs in this process, without Ray.
    cpus_per_worker : float
        CPUs that each worker asks for. Mining takes as many threads as this has whole CPUs.
    gpus_per_worker : float or None
        GPUs that each worker asks for; None takes one each where the cluster has enough.
    """

    workers: Annotated[int, PLACEMENT] = Field(default=2, ge=0)
    cpus_per_worker: Annotated[float, PLACEMENT] = Field(default=1.0, gt=0)
    gpus_per_worker: Annotated[float | None, PLACEMENT] = Field(default=None, ge=0)


C = TypeVar("C", bound=Config)


def with_absolute_paths(config: C) -> C:
    """Resolve every path of a config against the current folder: workers run in folders of their own.

    A field that nobody wrote stays unwritten: `model_fields_set` tells what was asked for.
    """
    updates = {name: absolute for name, value in config if (absolute := _absolute(value)) != value}
    if (database := _database(config)) is not None:
        updates["uri"] = f"{SQLITE}{database.expanduser().absolute()}"
    return config.model_copy(update=updates)


def _absolute(value: Any) -> Any:
    if isinstance(value, Path):
        return value.expanduser().absolute()
    if isinstance(value, Config):
        return with_absolute_paths(value)
    if isinstance(value, tuple):
        return tuple(_absolute(item) for item in value)
    return value


def _database(config: Config) -> Path | None:
    """Give the file of a tracking config's SQLite database, where its address names one."""
    if isinstance(config, TrackingConfig) and config.uri is not None and config.uri.startswith(SQLITE):
        return Path(config.uri.removeprefix(SQLITE))
    return None


def relative_paths(config: Config, prefix: str = "") -> dict[str, str]:
    """Collect the paths that mean something else in another folder: from their dotted field to an absolute example."""
    found: dict[str, str] = {}
    database = _database(config)
    if database is not None and not database.is_absolute():
        found[f"{prefix}uri"] = f"{SQLITE}/…/{database}"
    for name, value in config:
        items = enumerate(value) if isinstance(value, tuple) else ((None, value),)
        for position, item in items:
            field = f"{prefix}{name}" if position is None else f"{prefix}{name}.{position}"
            if isinstance(item, Config):
                found |= relative_paths(item, f"{field}.")
            elif isinstance(item, Path) and not item.is_absolute():
                found[field] = f"/…/{item}"
    return found
