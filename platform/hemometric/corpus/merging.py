"""Corpora of one key, config and set of labels become one: no row changes, nobody moves to another split.

A patient whom two corpora put into different splits is decided for as `placement.place` decides within one: the
strictest split keeps them, their recordings of the others are left out and counted; so is what a corpus had in another
split before it left that. Call both steps while holding
`out`; see `runs.merge`::

    plan = prepare_merge(folders, out, key, shard_bytes)
    manifest = finish_merge(plan, list(regroup(plan.work)))
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hemometric import __version__
from hemometric.corpus.commit import added_within, split_counts, write_table
from hemometric.corpus.manifest import (
    LINKS,
    QUARANTINE,
    Counts,
    Manifest,
    Partitions,
    ShardEntry,
    TableEntry,
    write_manifest,
)
from hemometric.corpus.merged_duplicates import corpus_of_rows, duplicates_across, met_before
from hemometric.corpus.merged_quarantine import joined, was_elsewhere
from hemometric.corpus.notes import count
from hemometric.corpus.placement import ACROSS, DUPLICATE, PLACED_COLUMNS, Placement, place
from hemometric.corpus.pseudonyms import Key
from hemometric.corpus.reader import Corpus, open_corpus, open_parquet
from hemometric.corpus.regrouping import Regrouping, remove_scratch, rows_of_shards
from hemometric.corpus.schema import LINKS_SCHEMA, QUARANTINE_SCHEMA
from hemometric.corpus.settings import copy_settings, differences_of
from hemometric.corpus.shards import cut_shards
from hemometric.corpus.split import NUM_PARTITIONS
from hemometric.corpus.stamps import CHANGED
from hemometric.corpus.tidying import sweep
from hemometric.errors import IntegrityError, UsageError


@dataclass(frozen=True, eq=False)
class MergePlan:
    """What there is to do, and what will then be there.

    Attributes
    ----------
    work : Regrouping
        For `regroup`.
    rows : pyarrow.Table
        ``recording_id``, ``patient``, ``split`` and ``partition`` of every recording that will be there.
    rejected, links : pyarrow.Table
        The whole quarantine, and all links.
    num_twice : int
        How many recordings are met again in a later corpus.
    """

    corpora: tuple[Corpus, ...]
    work: Regrouping
    rows: pa.Table
    rejected: pa.Table
    links: pa.Table
    num_twice: int


def prepare_merge(
    folders: Sequence[Path], out: Path, key: Key, shard_bytes: int, *, find_duplicates: bool = True
) -> MergePlan:
    """Decide which recordings are kept and which rows make which shard.

    Of a recording that several corpora hold, the first one's row is kept; with `find_duplicates`, the same goes for
    one tracing under several names, whose patients are linked.

    Raises
    ------
    UsageError
        There is no corpus, or they were made with different keys, configs or labels.
    IntegrityError
        A corpus is damaged, or a recording has other content in another corpus.
    """
    corpora = tuple(open_corpus(folder) for folder in folders)
    check_alike(corpora, key)
    origins, rows = rows_of_shards(corpora)
    recording = rows["recording_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    again = _met_again(recording)
    _check_content(rows, again)
    same = np.concatenate([again, duplicates_across(corpora)]) if find_duplicates else again
    placed = _placed(rows, same, corpora, key)
    elsewhere = was_elsewhere(rows, corpora)
    is_across = elsewhere | pc.is_valid(placed.reason).to_numpy(zero_copy_only=False)
    is_left_out = is_across | met_before(same, corpus_of_rows(corpora), is_across)
    chosen = _one_of_each(recording, is_left_out)
    kept = rows.filter(pa.array(chosen & ~is_left_out))
    reason = pa.array(np.where(is_across, ACROSS, DUPLICATE), pa.string())
    left_out = rows.append_column("reason", reason).append_column("elsewhere", pa.array(elsewhere))
    rejected = joined(corpora, kept, left_out.filter(pa.array(chosen & is_left_out)))
    plans = cut_shards(kept, [origin.name for origin in origins], shard_bytes)
    return MergePlan(
        corpora=corpora,
        work=Regrouping(out, corpora[0].schema, origins, tuple(plans)),
        rows=kept.select(["recording_id", "patient", "split", "partition"]),
        rejected=rejected,
        links=placed.links,
        num_twice=sum(corpus.manifest.counts.found for corpus in corpora) - len(kept) - len(rejected),
    )


def finish_merge(plan: MergePlan, entries: Sequence[ShardEntry]) -> Manifest:
    """Write quarantine, links and manifest; the same bytes however often it was interrupted.

    Everything is counted anew.

    Raises
    ------
    IntegrityError
        The shards do not hold the rows that were planned.
    """
    out, before = plan.work.out, [corpus.manifest for corpus in plan.corpora]
    num_rows = sum(entry.num_rows for entry in entries)
    if num_rows != len(plan.rows):
        raise IntegrityError(
            f"{len(plan.rows)} recordings became {num_rows} rows, which does not add up; run the same command again"
        )
    is_same_table = len({manifest.measurements for manifest in before}) == 1
    measured = [manifest.counts.measurements for manifest in before]
    first = before[0]
    noted = count(_notes(out, plan.work.schema, entries), list(first.pairs))
    manifest = Manifest(
        schema_version=first.schema_version,
        package_version=__version__,
        key_id=first.key_id,
        crosswalk=first.crosswalk,
        num_ingests=sum(manifest.num_ingests for manifest in before),
        ingest_config=first.ingest_config,
        split=first.split,
        table=_table_of([manifest.table for manifest in before]),
        measurements=_hash_of([manifest.measurements for manifest in before]),
        pairs=first.pairs,
        labels=first.labels,
        counts=Counts(
            found=num_rows + len(plan.rejected),
            accepted=num_rows,
            rejected=dict(sorted(Counter(plan.rejected["reason"].to_pylist()).items())),
            unmatched=noted.unmatched,
            nulled=noted.nulled,
            measurements=measured[0] if is_same_table else added_within(*measured),
            paired=noted.paired,
            labels=_labels(plan.work.out, first, plan.work.schema, entries),
            splits=split_counts(plan.rows),
        ),
        partitions=Partitions(
            num=NUM_PARTITIONS,
            rows=tuple(np.bincount(plan.rows["partition"].to_numpy(), minlength=NUM_PARTITIONS).tolist()),
        ),
        quarantine=write_table(out, QUARANTINE, 0, plan.rejected, QUARANTINE_SCHEMA),
        links=write_table(out, LINKS, 0, plan.links, LINKS_SCHEMA),
        shards=tuple(entries),
    )
    write_manifest(out, manifest)
    copy_settings(plan.corpora[0].path, out)
    sweep(out, manifest)
    remove_scratch(out)
    return manifest


def check_alike(corpora: Sequence[Corpus], key: Key) -> None:
    """Refuse corpora whose patients, labels or rules cannot be told to be the same.

    Raises
    ------
    UsageError
        They differ in key, config or labels, or the key is another one.
    """
    first = corpora[0].manifest
    if key.key_id != first.key_id:
        raise UsageError(
            f"{corpora[0].path} was made with key {first.key_id} and this one is {key.key_id}; give the key file that "
            "made it with --key"
        )
    for corpus in corpora[1:]:
        other = corpus.manifest
        alike = {
            "key": (first.key_id, other.key_id),
            "crosswalk": (first.crosswalk, other.crosswalk),
            "config": ((first.ingest_config, first.split), (other.ingest_config, other.split)),
            "set of labels": (first.labels, other.labels),
        }
        for what, (one, another) in alike.items():
            if one != another:
                told = ""
                if what == "config":
                    told = differences_of(corpora[0].path, first.ingest_config, corpus.path, other.ingest_config)
                raise UsageError(
                    f"{corpora[0].path} and {corpus.path} were made with different {what}s"
                    f"{f' ({told})' if told else ''}; ingest the sources of one again as those of the other were"
                )


def _met_again(recording: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """Give int64 [pair, 2]: the first row of a recording, and each later one of it."""
    _, first, inverse = np.unique(recording, return_index=True, return_inverse=True)
    later = np.flatnonzero(first[inverse] != np.arange(len(recording)))
    return np.stack([first[inverse][later], later], axis=1).astype(np.int64)


def _check_content(rows: pa.Table, again: npt.NDArray[np.int64]) -> None:
    some = rows.select(["content", "facts"])
    one, other = some.take(pa.array(again[:, 0])), some.take(pa.array(again[:, 1]))
    is_unknown = pc.or_(pc.equal(one["content"], CHANGED), pc.equal(other["content"], CHANGED))
    if num_unknown := pc.sum(is_unknown).as_py():
        raise IntegrityError(
            f"{num_unknown} recordings of several corpora changed while they were read, so that nobody knows whether "
            "their content is the same; ingest their sources again, into each corpus"
        )
    for column, what in (("content", "content"), ("facts", "facts in its table")):
        num_differ = pc.sum(pc.not_equal(one[column], other[column])).as_py() or 0
        if num_differ:
            raise IntegrityError(
                f"{num_differ} recordings have other {what} in another corpus; ingest their sources again, so that all "
                "say the same"
            )


def _placed(rows: pa.Table, same: npt.NDArray[np.int64], corpora: Sequence[Corpus], key: Key) -> Placement:
    """Decide as for rows of one corpus, none of which is new."""
    is_old = pa.array(np.ones(len(rows), dtype=bool))
    known = rows.append_column("is_old", is_old).append_column("was_in", pa.nulls(len(rows), pa.string()))
    known = known.select(PLACED_COLUMNS.names).cast(PLACED_COLUMNS)
    links = pa.concat_tables([LINKS_SCHEMA.empty_table(), *(corpus.links().cast(LINKS_SCHEMA) for corpus in corpora)])
    return place(known.combine_chunks(), same, links, corpora[0].manifest.split, key)


def _one_of_each(recording: npt.NDArray[np.int32], is_left_out: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Choose one row of each recording: one that is kept, then the first; bool [row]."""
    order = np.lexsort((np.arange(len(recording)), is_left_out))
    _, first = np.unique(recording[order], return_index=True)
    chosen = np.zeros(len(recording), bool)
    chosen[order[first]] = True
    return chosen


def _labels(out: Path, first: Manifest, schema: pa.Schema, entries: Sequence[ShardEntry]) -> dict[str, int]:
    """Count the recordings that have each label, in the new shards."""
    present = dict.fromkeys((label.name for label in first.labels), 0)
    for entry in entries:
        with open_parquet(out, entry, schema) as file:
            table = file.read(columns=[label.column for label in first.labels])
        for label in first.labels:
            present[label.name] += len(table) - table[label.column].null_count
    return present


def _notes(out: Path, schema: pa.Schema, entries: Sequence[ShardEntry]) -> Iterator[pa.ChunkedArray]:
    for entry in entries:
        with open_parquet(out, entry, schema) as file:
            yield file.read(columns=["notes"])["notes"]


def _table_of(tables: Sequence[TableEntry]) -> TableEntry:
    """Name the tables together; the hash of several is that of none, so that an ingest compares row by row."""
    if len(set(tables)) == 1:
        return tables[0]
    return TableEntry(
        kind=tables[0].kind,
        files=tuple(sorted({name for table in tables for name in table.files})),
        sha256=_hash_of([table.sha256 for table in tables]),
    )


def _hash_of(hashes: Sequence[str]) -> str:
    distinct = sorted(set(hashes))
    return distinct[0] if len(distinct) == 1 else hashlib.sha256(" ".join(distinct).encode()).hexdigest()
