"""What every config shares: frozen, strict, closed, and hashed by what it computes rather than by where it runs."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, field_validator

MAX_NAME_BYTES = 255
"""Of one file or folder, on every file system in use."""


class _Placement:
    """Marks a field that says where or how wide a run goes, not what it computes."""


PLACEMENT = _Placement()
"""Annotate a field with it (``Annotated[int, PLACEMENT]``) to leave it out of the fingerprint."""


@dataclass(frozen=True)
class Added:
    """Marks a field that came later: the fingerprint leaves it out where it says what every config meant before.

    Whatever was hashed without the field, such as a checkpoint or a table of neighbours, so keeps its hash.

    Attributes
    ----------
    meant : object
        The value that configs without this field have; it stays, even if the default changes.
    """

    meant: Any


class Config(BaseModel):
    """Base of all configs: fields cannot be set twice, guessed at, or converted in silence."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    @field_validator("*", mode="after")
    @classmethod
    def _can_be_a_path(cls, value: Any) -> Any:
        """Refuse what no file system takes, before anything asks one."""
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, (str, Path)) and "\0" in str(item):
                raise ValueError("it holds the character NUL, which no path or name may hold; leave it out")
            if isinstance(item, Path):
                check_names(item)
        return value


def check_names(path: Path) -> None:
    """Refuse a path with a name in it that is longer than file systems take.

    Raises
    ------
    ValueError
        Its remedy is a shorter name.
    """
    longest = max((len(os.fsencode(name)) for name in path.parts), default=0)
    if longest > MAX_NAME_BYTES:
        raise ValueError(f"a name in this path has {longest} bytes, and at most {MAX_NAME_BYTES} are taken; shorten it")


def checked_path(value: object, what: str) -> Path:
    """Give the path that a caller from Python means.

    Raises
    ------
    TypeError
        It is none.
    """
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"{what} is given by its path, a str or a Path; this is of type {type(value).__name__}")
    return Path(value)


def fingerprint(config: Config) -> str:
    """Hash what a config computes: 16 hex digits that leave out every `PLACEMENT` field.

    A run may therefore go on with other workers, paths, addresses and tracking, and nothing else. `Added` fields count
    where they change what is computed.
    """
    return hash_of_essence(essence(config))


def hash_of_essence(value: Any) -> str:
    """Hash plain JSON values as `essence` gives them; see `fingerprint`."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def essence(value: Any) -> Any:
    """Give what a config computes as plain JSON values, without any `PLACEMENT` field: no path, address or width."""
    if isinstance(value, Config):
        fields = type(value).model_fields
        return {
            name: essence(getattr(value, name))
            for name, field in fields.items()
            if PLACEMENT not in field.metadata and Added(getattr(value, name)) not in field.metadata
        }
    if isinstance(value, dict):
        return {str(key): essence(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [essence(item) for item in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
