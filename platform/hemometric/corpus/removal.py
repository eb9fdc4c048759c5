"""Recordings taken out of a corpus for good, as when a patient withdraws.

Their rows leave the shards, which are written again, and stand in the quarantine as ``removed``, by key alone: so no
later ingest reads them again, even where their files are still there or a table says something new of them. Call it
under `ingest_lock`; who was killed anywhere runs it again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hemometric.corpus.commit import split_counts, write_table
from hemometric.corpus.crosswalk import KeyedNames, Names, crosswalk_of
from hemometric.corpus.ledger import links_of, with_keyed
from hemometric.corpus.manifest import QUARANTINE, Manifest, Partitions, ShardEntry, write_manifest
from hemometric.corpus.notes import count
from hemometric.corpus.own_files import staged_files
from hemometric.corpus.pseudonyms import Key
from hemometric.corpus.reader import Corpus
from hemometric.corpus.rewrites import Rewrite, rewritten
from hemometric.corpus.schema import QUARANTINE_SCHEMA, REMOVED
from hemometric.corpus.settings import id_rules
from hemometric.corpus.split import NUM_PARTITIONS, SPLITS
from hemometric.corpus.tidying import sweep
from hemometric.errors import UsageError

_DETAIL = "taken out on request"
_UNSAID = "f" * 32  # in place of the hashes of its bytes and its row; not `stamps.CHANGED`, which is read again


@dataclass(frozen=True)
class Chosen:
    """What is to be taken out.

    Attributes
    ----------
    recordings : frozenset of str
        By the names that the corpus shows; duplicates of them, which it has refused, go with them.
    num_unknown : int
        Ids that were given and have no recording in the corpus.
    """

    recordings: frozenset[str]
    num_unknown: int = 0


def of_patients(corpus: Corpus, ids: Iterable[str], key: Key) -> Chosen:
    """Find all recordings of patients, by their ids as the files or the table write them.

    Patients who are linked are one person: all of them go.

    Raises
    ------
    UsageError
        The corpus was made with another key, or does not say how its ids are spelt.
    """
    manifest = corpus.manifest
    if key.key_id != manifest.key_id:
        raise UsageError(
            f"the corpus was made with key {manifest.key_id} and this one is {key.key_id}; give it as --key"
        )
    rules = id_rules(corpus.path, manifest.ingest_config)
    if rules is None:
        raise UsageError(f"{corpus.path} has lost the rules of its ids; give keys of recordings instead of --patients")
    names: Names = crosswalk_of(key) if manifest.crosswalk else KeyedNames()
    links = links_of(corpus, names)
    known_as = dict(zip(links["patient"].to_pylist(), links["known_as"].to_pylist(), strict=True))
    spelt = replace(key, rules=rules)
    wanted = {known_as.get(name, name) for name in map(spelt.patient, set(ids))}
    shown = corpus.table(columns=["recording_id", "patient"]).combine_chunks()
    patients = with_keyed(shown.select(["patient"]), names)["patient"]
    found = pc.is_in(patients, pa.array(sorted(wanted), pa.string()))
    num_unknown = len(wanted - set(patients.filter(found).to_pylist()))
    return Chosen(frozenset(shown["recording_id"].filter(found).to_pylist()), num_unknown)


def remove(corpus: Corpus, recordings: Collection[str]) -> Manifest:
    """Take recordings out of a corpus; those that it holds neither accepted nor refused are passed over.

    Raises
    ------
    UsageError
        Nothing would be left.
    IntegrityError
        A shard is missing or damaged.
    PrecheckError
        The disk is full.
    """
    out, before = corpus.path, corpus.manifest
    dropped = pa.array(sorted(recordings), pa.string())
    rows = corpus.table(columns=["recording_id", "patient", "split", "partition"]).combine_chunks()
    is_gone = pc.is_in(rows["recording_id"], dropped)
    gone, kept = rows["recording_id"].filter(is_gone), rows.filter(pc.invert(is_gone))
    quarantine = _quarantine(corpus.quarantine(), gone, dropped)
    if not len(kept):
        raise UsageError(f"these are all recordings of {out}; delete the folder instead")
    if not len(gone) and quarantine.equals(corpus.quarantine().sort_by("recording_id")):
        write_manifest(out, before)  # whose marker holds two hashes after a kill at the wrong instant
        _clear(out, before)
        return before
    shards = [entry for split in SPLITS for entry in _shards(corpus, split, gone)]
    counts = before.counts
    reasons = Counter(quarantine["reason"].to_pylist())
    labels = dict.fromkeys((label.name for label in before.labels), 0)
    notes = []
    for entry in before.shards:
        table = corpus.shard_table(entry, ["recording_id", "notes", *(label.column for label in before.labels)])
        table = table.filter(pc.invert(pc.is_in(table["recording_id"], dropped)))
        notes.append(table["notes"])
        for label in before.labels:
            labels[label.name] += len(table) - table[label.column].null_count
    noted = count(notes, list(before.pairs))
    told = {
        "found": len(kept) + len(quarantine),
        "accepted": len(kept),
        "rejected": dict(sorted(reasons.items())),
        "unmatched": noted.unmatched,
        "nulled": noted.nulled,
        "paired": noted.paired,
        "labels": labels,
        "splits": split_counts(kept),
    }
    in_partitions = np.bincount(kept["partition"].to_numpy(), minlength=NUM_PARTITIONS).tolist()
    manifest = before.model_copy(
        update={
            "num_ingests": before.num_ingests + 1,
            "counts": counts.model_copy(update=told),
            "partitions": Partitions(num=NUM_PARTITIONS, rows=tuple(in_partitions)),
            "quarantine": write_table(out, QUARANTINE, before.num_ingests, quarantine, QUARANTINE_SCHEMA),
            "shards": tuple(shards),
        }
    )
    write_manifest(out, manifest)
    _clear(out, manifest)
    return manifest


def check_removed(corpora: Sequence[Corpus]) -> None:
    """Refuse to bring together a corpus that recordings were taken out of with one that still holds them.

    Raises
    ------
    UsageError
        Its remedy is to take them out of both.
    """
    tables = [corpus.quarantine() for corpus in corpora]
    ids = pa.concat_arrays(
        [table["recording_id"].filter(pc.equal(table["reason"], REMOVED)).combine_chunks() for table in tables]
    )
    for corpus in corpora if len(ids) else ():
        held = corpus.table(columns=["recording_id"])["recording_id"]
        if num_held := pc.sum(pc.is_in(held, ids)).as_py():
            raise UsageError(
                f"{corpus.path} holds {num_held} recordings that were removed from another of these corpora; run "
                "`hemometric remove` on it for the same patients first"
            )


def _quarantine(before: pa.Table, gone: pa.ChunkedArray, dropped: pa.Array) -> pa.Table:
    """Put the key of each recording that goes into the quarantine, and nothing else of it."""
    own, same_as = (pc.is_in(before[name], dropped) for name in ("recording_id", "same_as"))
    is_meant = pc.or_(own, pc.fill_null(same_as, False))
    names = sorted({*gone.to_pylist(), *before["recording_id"].filter(is_meant).to_pylist()})
    columns = {"recording_id": names, "reason": [REMOVED] * len(names), "detail": [_DETAIL] * len(names)}
    columns |= {"content": [_UNSAID] * len(names), "facts": [_UNSAID] * len(names), "same_as": [None] * len(names)}
    rest = before.filter(pc.invert(is_meant))
    return (
        pa.concat_tables([rest, pa.table(columns, schema=QUARANTINE_SCHEMA)]).sort_by("recording_id").combine_chunks()
    )


def _shards(corpus: Corpus, split: str, gone: pa.ChunkedArray) -> list[ShardEntry]:
    """Give the shards of a split without what goes: as they are, written again, or left out where nothing is left."""
    there = corpus.shards([split])
    number = max((shard.number for shard in there), default=-1)
    entries = []
    for shard in there:
        ids = corpus.shard_table(shard, ["recording_id"])["recording_id"]
        leaves = ids.filter(pc.is_in(ids, gone.combine_chunks()))
        if not len(leaves):
            entries.append(shard)
        elif len(leaves) < len(ids):
            number += 1
            path = f"{Path(shard.path).parent.as_posix()}/part-{number:05d}.parquet"
            rewrite = Rewrite(shard, path, tuple(leaves.to_pylist()))
            entries.append(rewritten(corpus.path, corpus.schema, rewrite))
    return sorted(entries, key=lambda entry: entry.path)


def _clear(out: Path, manifest: Manifest) -> None:
    """Remove the shards of before, and all staged work of killed runs, which may hold the same recordings."""
    sweep(out, manifest)
    for path in staged_files(out):
        path.unlink()
