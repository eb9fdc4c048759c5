"""A corpus that has grown by many ingests, written again into the shards that a single one would have made.

Rows stay what they are, bit for bit. New shards get new numbers and lie beside the old ones until the manifest names
them; who was killed anywhere runs it again. Call both steps under `ingest_lock`::

    with ingest_lock(folder):
        plan = prepare_compaction(folder, shard_bytes)
        if plan is not None:                                          # else: compact already
            manifest = finish_compaction(plan, list(regroup(plan.work)))
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hemometric.corpus.manifest import Manifest, ShardEntry, write_manifest
from hemometric.corpus.reader import Corpus, open_corpus
from hemometric.corpus.regrouping import Regrouping, regroup, remove_scratch, rows_of_shards, spread_name
from hemometric.corpus.shards import ShardPlan, cut_shards
from hemometric.corpus.split import SPLITS, Split
from hemometric.corpus.tidying import sweep
from hemometric.errors import IntegrityError

__all__ = ["CompactionPlan", "finish_compaction", "prepare_compaction", "regroup"]


@dataclass(frozen=True, eq=False)
class CompactionPlan:
    """What there is to do.

    Attributes
    ----------
    work : Regrouping
        For `regroup`.
    untouched : tuple of ShardEntry
        Shards of splits that are compact already.
    """

    corpus: Corpus
    work: Regrouping
    untouched: tuple[ShardEntry, ...]


def prepare_compaction(folder: Path, shard_bytes: int) -> CompactionPlan | None:
    """Decide which rows make which shard; None where they do already, after tidying up.

    Parameters
    ----------
    shard_bytes : int
        Aim for the counts of one shard before compression.

    Raises
    ------
    UsageError
        There is no corpus, or it is not finished.
    IntegrityError
        It is damaged.
    """
    corpus = open_corpus(folder)
    origins, rows = rows_of_shards([corpus])
    names = [origin.name for origin in origins]
    plans = cut_shards(rows, names, shard_bytes, _next_numbers(corpus))
    changed = [split for split in SPLITS if not _are_these(_of(split, plans), corpus.shards([split]))]
    if not changed:
        write_manifest(folder, corpus.manifest)  # whose marker holds two hashes after a kill at the wrong instant
        sweep(folder, corpus.manifest)
        remove_scratch(folder)
        return None
    work = Regrouping(
        out=folder,
        schema=corpus.schema,
        origins=tuple(origin for origin in origins if origin.shard.split in changed),
        plans=tuple(plan for plan in plans if plan.split in changed),
    )
    return CompactionPlan(corpus, work, tuple(shard for shard in corpus.manifest.shards if shard.split not in changed))


def finish_compaction(plan: CompactionPlan, entries: Sequence[ShardEntry]) -> Manifest:
    """Put the new shards in place of the old ones at once, then remove these.

    Parameters
    ----------
    entries : sequence of ShardEntry
        What `regroup` gave.

    Raises
    ------
    IntegrityError
        They do not hold the rows of the corpus.
    """
    before = plan.corpus.manifest
    shards = sorted((*entries, *plan.untouched), key=lambda entry: (SPLITS.index(entry.split), entry.path))
    num_rows = sum(entry.num_rows for entry in shards)
    if num_rows != before.counts.accepted:
        raise IntegrityError(
            f"{before.counts.accepted} recordings became {num_rows} rows, which does not add up; run the same command "
            "again"
        )
    manifest = before.model_copy(update={"shards": tuple(shards)})
    write_manifest(plan.work.out, manifest)
    sweep(plan.work.out, manifest)
    remove_scratch(plan.work.out)
    return manifest


def _next_numbers(corpus: Corpus) -> dict[Split, int]:
    return {split: max((shard.number + 1 for shard in corpus.shards([split])), default=0) for split in SPLITS}


def _of(split: str, plans: Sequence[ShardPlan]) -> list[ShardPlan]:
    return [plan for plan in plans if plan.split == split]


def _are_these(plans: Sequence[ShardPlan], shards: Sequence[ShardEntry]) -> bool:
    """Whether shards that are planned are those that lie there: each takes one of them whole, in order."""
    if len(plans) != len(shards):
        return False
    for plan, shard in zip(plans, shards, strict=True):
        if plan.units != (spread_name(shard),) or plan.num_rows != shard.num_rows:
            return False
        if not np.array_equal(plan.rows["row"].to_numpy(), np.arange(shard.num_rows)):
            return False
    return True
