"""What every config shares: frozen, strict, closed, and hashed by what it computes rather than by where it runs."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pydantic import BaseModel, ConfigDict


class _Placement:
    """Marks a field that says where or how wide a run goes, not what it computes."""


PLACEMENT = _Placement()
"""Annotate a field with it (``Annotated[int, PLACEMENT]``) to leave it out of the fingerprint."""


class Config(BaseModel):
    """Base of all configs: fields cannot be set twice, guessed at, or converted in silence."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def fingerprint(config: Config) -> str:
    """Hash what a config computes: 16 hex digits that leave out every `PLACEMENT` field.

    A run may therefore go on with other workers, paths, addresses and tracking, and nothing else.
    """
    canonical = json.dumps(essence(config), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def essence(value: Any) -> Any:
    """Give what a config computes as plain JSON values, without any `PLACEMENT` field: no path, address or width."""
    if isinstance(value, Config):
        fields = type(value).model_fields
        return {
            name: essence(getattr(value, name)) for name, field in fields.items() if PLACEMENT not in field.metadata
        }
    if isinstance(value, dict):
        return {str(key): essence(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [essence(item) for item in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
