"""What became of each shard of a shard-wise run: a note beside its file, believed for that file alone."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from hemometric.corpus.files import sha256_of
from hemometric.runs.shapes import Count, Shape


class Done(Shape):
    """What became of a shard, as its note beside the file says it.

    Attributes
    ----------
    identity : str
        As `Shardwise.identity` gives it: which model's output on which corpus.
    """

    path: str
    num_rows: Count
    sha256: str
    rejected: dict[str, Count]
    num_recordings: Count
    identity: str


def output_path(out: Path, shard_path: str) -> Path:
    """Say where a shard's file lies: ``train/part-00000.parquet`` for ``shards/train/part-00000.parquet``."""
    return out / Path(shard_path).relative_to("shards")


def note_of(target: Path) -> Path:
    """Say where the note of a file lies: beside it, passed over by readers of Parquet folders."""
    return target.with_name(f"_{target.stem}.json")


def finished(out: Path, shard_path: str, identity: str) -> Done | None:
    """Read the note of a finished shard; None where there is none of this identity, or its file is another."""
    target = output_path(out, shard_path)
    try:
        done = Done.model_validate_json(note_of(target).read_bytes())
        digest = sha256_of(target)
    except (OSError, ValidationError):
        return None
    written = (digest, target.relative_to(out).as_posix(), identity)
    return done if written == (done.sha256, done.path, done.identity) else None
