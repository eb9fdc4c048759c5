"""Merge: several corpora of one key and config into one."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from hemometric.config import PLACEMENT, Config
from hemometric.corpus import default_key_path, load_or_create_key, open_corpus
from hemometric.corpus.files import usable
from hemometric.corpus.manifest import SUCCESS
from hemometric.corpus.merging import finish_merge, prepare_merge
from hemometric.corpus.placement import ACROSS, DUPLICATE
from hemometric.corpus.regrouping import regroup, remove_scratch
from hemometric.corpus.removal import check_removed
from hemometric.corpus.tidying import sweep
from hemometric.runs.folder import claimed_folder
from hemometric.runs.ingest_summary import summary
from hemometric.runs.pace import Pace
from hemometric.runs.words import counted, finished_already

_LEFT_OUT = {
    ACROSS: "of patients who are in another split elsewhere",
    DUPLICATE: "the same ECG is kept under another name",
}


class MergeRun(Config):
    """One merge.

    Attributes
    ----------
    corpora : tuple of Path
        They stay as they are. Of a recording that several hold, the first one's row is taken.
    out : Path
        Folder of the new corpus.
    key : Path or None
        Key file that made the corpora; None takes the one of the user's config folder.
    shard_bytes : int
        Aim for the counts of one shard before compression.
    find_duplicates : bool
        Whether one tracing that two corpora hold under different names is kept once, and its patients are linked.
    """

    job: Literal["merge"] = "merge"
    corpora: Annotated[tuple[Path, ...], PLACEMENT] = Field(min_length=2)
    out: Annotated[Path, PLACEMENT]
    key: Annotated[Path | None, PLACEMENT] = None
    shard_bytes: int = Field(256 << 20, ge=1 << 16, le=1 << 40)
    find_duplicates: bool = True

    @field_validator("corpora")
    @classmethod
    def _distinct(cls, corpora: tuple[Path, ...]) -> tuple[Path, ...]:
        if len(set(corpora)) < len(corpora):
            raise ValueError("one corpus stands there twice; name each once")
        return corpora


def run(config: MergeRun) -> list[str]:
    """Write the corpus that holds what all of them hold.

    Raises
    ------
    UsageError
        A corpus is none, they do not fit together, one holds what was removed from another, the key is another one or
        missing, or `out` holds something else.
    PrecheckError
        Another command is writing there, or the disk is too small.
    IntegrityError
        A corpus is damaged, or a recording has other content in another corpus.
    """
    key = load_or_create_key(config.key or default_key_path())
    corpora = [open_corpus(folder) for folder in config.corpora]
    check_removed(corpora)
    hashes = (corpus.hash for corpus in corpora)
    identity = hashlib.sha256(" ".join(["merge", str(config.find_duplicates), *hashes]).encode()).hexdigest()[:16]
    with claimed_folder(config.out, identity, "something other than these corpora"), usable(config.out, "out"):
        if (config.out / SUCCESS).is_file():
            manifest = open_corpus(config.out).manifest
            sweep(config.out, manifest)
            remove_scratch(config.out)
            return [finished_already(config.out), *summary(manifest)]
        plan = prepare_merge(
            config.corpora, config.out, key, config.shard_bytes, find_duplicates=config.find_duplicates
        )
        entries = []
        with Pace("merge", plan.work.num_rows) as pace:
            for entry in regroup(plan.work):
                entries.append(entry)
                pace.add(entry.num_rows)
        manifest = finish_merge(plan, entries)
    lines = [f"{counted(plan.num_twice, 'recording')} met again in a later corpus, kept once"] if plan.num_twice else []
    for reason, why in _LEFT_OUT.items():
        before = sum(corpus.manifest.counts.rejected.get(reason, 0) for corpus in plan.corpora)
        if (num_left_out := manifest.counts.rejected.get(reason, 0) - before) > 0:
            lines.append(f"{counted(num_left_out, 'recording')} left out: {why}")
    return [*summary(manifest), *lines, f"corpus: {config.out}"]
