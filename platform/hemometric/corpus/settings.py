"""What of an ingest's config decides the content of a corpus: its hash, and how two of them differ, field by field.

The manifest holds the hash. The fields lie beside it, only so that a refusal can name them: a file that is gone, or is
not the one of that hash, is passed over.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hemometric.config import essence, fingerprint, hash_of_essence
from hemometric.corpus.files import write_bytes
from hemometric.corpus.identity import IdRules
from hemometric.corpus.ingest_config import IngestConfig

SETTINGS = ".settings"
_NEUTRAL = ("max_rejected_fraction", "unit_recordings", "unit_bytes", "shard_bytes", "guard")
_NUM_SHOWN, _SHOWN_LENGTH = 5, 60
_DEFAULT = object()
"""Stands for a field that came later than the config, which meant what it now says by default; see `config.Added`."""


def settled(config: IngestConfig) -> str:
    """Hash what of a config decides the content of a corpus: not how work is cut, guarded or given up."""
    return fingerprint(_deciding(config))


def keep_settings(out: Path, config: IngestConfig) -> None:
    """Keep the fields beside the manifest; no path or address is among them."""
    _write(out, (json.dumps(essence(_deciding(config)), indent=1, sort_keys=True) + "\n").encode())


def copy_settings(folder: Path, out: Path) -> None:
    """Keep those of another corpus, if it has them."""
    path = folder / SETTINGS
    if path.is_file():
        _write(out, path.read_bytes())


def differences(out: Path, settled_there: str, config: IngestConfig) -> str:
    """Say in which fields a config differs from the one that a corpus was made with; empty where that is not known."""
    there = _kept(out, settled_there)
    return "" if there is None else _told(there, essence(_deciding(config)), ("there", "here"))


def differences_of(one: Path, settled_one: str, other: Path, settled_other: str) -> str:
    """Say in which fields the configs of two corpora differ; empty where that is not known."""
    fields = _kept(one, settled_one), _kept(other, settled_other)
    return "" if None in fields else _told(*fields, ("in the first", "in the second"))


def id_rules(out: Path, settled_there: str) -> IdRules | None:
    """Give the rules by which ids of a corpus are spelt; None where they are not known."""
    there = _kept(out, settled_there)
    return None if there is None else IdRules.model_validate_json(json.dumps(there["identity"]["rules"]))


def _kept(out: Path, settled_there: str) -> Any:
    """Read the fields that lie beside a manifest; None where they are gone, or not those of its hash."""
    try:
        there = json.loads((out / SETTINGS).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return there if hash_of_essence(there) == settled_there else None


def _told(one: Any, other: Any, places: tuple[str, str]) -> str:
    found = list(_differing(one, other, "ingest"))
    told = [
        f"{field}: " + ", ".join(f"{_shown(value)} {place}" for value, place in zip(values, places, strict=True))
        for field, *values in found[:_NUM_SHOWN]
    ]
    more = [f"and {len(found) - _NUM_SHOWN} more fields"] if len(found) > _NUM_SHOWN else []
    return "; ".join([*told, *more])


def _deciding(config: IngestConfig) -> IngestConfig:
    plain = IngestConfig()
    return config.model_copy(update={name: getattr(plain, name) for name in _NEUTRAL})


def _write(out: Path, content: bytes) -> None:
    path = out / SETTINGS
    if not path.is_file() or path.read_bytes() != content:
        write_bytes(path, content)


def _differing(there: Any, here: Any, field: str) -> Iterator[tuple[str, Any, Any]]:
    if there == here:
        return
    if isinstance(there, dict) and isinstance(here, dict):
        names = sorted(there.keys() | here.keys())
        if there.get("kind") != here.get("kind"):  # of another kind, all else differs too
            names = ["kind"]
        for name in names:
            yield from _differing(there.get(name, _DEFAULT), here.get(name, _DEFAULT), f"{field}.{name}")
    elif isinstance(there, list) and isinstance(here, list) and len(there) == len(here):
        for number, pair in enumerate(zip(there, here, strict=True)):
            yield from _differing(*pair, f"{field}.{number}")
    else:
        yield field, there, here


def _shown(value: Any) -> str:
    if value is _DEFAULT:
        return "the default"
    text = value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN_LENGTH else f"{text[:_SHOWN_LENGTH]} …"
