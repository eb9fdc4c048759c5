"""Compact: many small shards into a few of the usual size."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from hemometric.config import PLACEMENT, Config
from hemometric.corpus import ingest_lock, open_corpus
from hemometric.corpus.compaction import finish_compaction, prepare_compaction
from hemometric.corpus.files import usable
from hemometric.corpus.regrouping import regroup
from hemometric.runs.pace import Pace
from hemometric.runs.words import counted


class CompactRun(Config):
    """One compaction.

    Attributes
    ----------
    corpus : Path
        It is written again in its own folder.
    shard_bytes : int
        Aim for the counts of one shard before compression.
    """

    job: Literal["compact"] = "compact"
    corpus: Annotated[Path, PLACEMENT]
    shard_bytes: int = Field(256 << 20, ge=1 << 16, le=1 << 40)


def run(config: CompactRun) -> list[str]:
    """Write the shards of a corpus again; a compact one is left as it is.

    Raises
    ------
    UsageError
        There is no corpus, it is not finished, or its folder cannot be written.
    PrecheckError
        Another command is writing there, or the disk is too small.
    IntegrityError
        The corpus is damaged.
    """
    open_corpus(config.corpus)  # what is no corpus does not even get a lock
    with usable(config.corpus, "corpus"), ingest_lock(config.corpus):
        before = open_corpus(config.corpus).manifest
        plan = prepare_compaction(config.corpus, config.shard_bytes)
        if plan is None:
            held = f"{counted(before.counts.accepted, 'recording')} in {counted(len(before.shards), 'shard')}"
            return [f"{config.corpus} is compact already; nothing to do", held]
        entries = []
        with Pace("compact", plan.work.num_rows) as pace:
            for entry in regroup(plan.work):
                entries.append(entry)
                pace.add(entry.num_rows)
        manifest = finish_compaction(plan, entries)
    became = f"{counted(len(before.shards), 'shard')} became {len(manifest.shards)}"
    return [
        f"{counted(manifest.counts.accepted, 'recording')}: {became}; no row changed",
        "the corpus has a new hash: caches, and embeddings or predictions made of it, are made again when asked for",
        f"corpus: {config.corpus}",
    ]
