"""The last step of an ingest: quarantine, manifest, and the marker that says it is all there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hemometric import __version__
from hemometric.corpus.files import replacing, sha256_of
from hemometric.corpus.ingest import IngestPlan
from hemometric.corpus.manifest import (
    LINKS,
    QUARANTINE,
    Counts,
    FileEntry,
    Manifest,
    Partitions,
    ShardEntry,
    SplitCounts,
)
from hemometric.corpus.measured_rows import hash_of
from hemometric.corpus.planned import Planned
from hemometric.corpus.schema import LINKS_SCHEMA, QUARANTINE_SCHEMA, SCHEMA_VERSION
from hemometric.corpus.split import NUM_PARTITIONS, SPLITS, Split
from hemometric.corpus.survey import settled
from hemometric.corpus.tidying import tidy
from hemometric.corpus.units import open_staged, read_note
from hemometric.errors import IntegrityError


def commit(plan: IngestPlan, planned: Planned, entries: Sequence[ShardEntry]) -> Manifest:
    """Finish the corpus; its manifest has the same bytes for any number of workers, kills and reruns.

    Parameters
    ----------
    entries : sequence of ShardEntry
        What `write_shard` and `rewrite_shard` gave for the work of `plan_shards`, in any order.

    Raises
    ------
    IntegrityError
        The shards do not hold the rows that were staged.
    PrecheckError
        The disk is full.
    """
    context, base = plan.context, plan.base
    shards = sorted((*entries, *planned.untouched), key=lambda entry: (SPLITS.index(entry.split), entry.path))
    num_rows = sum(entry.num_rows for entry in shards)
    if num_rows != len(planned.rows):
        raise IntegrityError(
            f"{len(planned.rows)} recordings became {num_rows} rows, which does not add up; run the same command again"
        )
    number = 0 if base is None else base.manifest.num_ingests
    notes = [read_note(context.staging, name) for name in plan.unit_names]
    before = None if base is None else base.manifest.counts
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        package_version=__version__,
        key_id=context.key.key_id,
        crosswalk=plan.names.id,
        num_ingests=number + 1,
        ingest_config=settled(context.config),
        split=context.config.split,
        table=plan.table,
        measurements=hash_of(context.config.measurements),
        pairs={name: table.pair for table in context.config.measurements for name in table.labels},
        labels=tuple(sorted(context.labels, key=lambda label: label.name)),
        counts=Counts(
            found=num_rows + len(planned.rejected),
            accepted=num_rows,
            rejected=dict(sorted(Counter(planned.rejected["reason"].to_pylist()).items())),
            unmatched=(before.unmatched if before else 0)
            + (sum(note["num_unmatched"] for note in notes) if context.has_table else 0),
            nulled=added(before.nulled if before else {}, *(note["nulled"] for note in notes)),
            measurements={} if context.measured is None else context.measured.counts,
            paired=added_within(_paired_before(plan), *(note["paired"] for note in notes)),
            labels=_labels(plan, planned),
            splits=split_counts(planned.rows),
        ),
        partitions=Partitions(
            num=NUM_PARTITIONS,
            rows=tuple(np.bincount(planned.rows["partition"].to_numpy(), minlength=NUM_PARTITIONS).tolist()),
        ),
        quarantine=write_table(context.out, QUARANTINE, number, planned.rejected, QUARANTINE_SCHEMA),
        links=write_table(context.out, LINKS, number, planned.links, LINKS_SCHEMA),
        shards=tuple(shards),
    )
    tidy(context.out, manifest, plan.ledger)
    return manifest


def _paired_before(plan: IngestPlan) -> dict[str, dict[str, int]]:
    """Give the outcomes that still hold: with other tables of measurements, every recording is paired anew."""
    before = None if plan.base is None else plan.base.manifest
    is_same = before is not None and before.measurements == hash_of(plan.context.config.measurements)
    return before.counts.paired if before is not None and is_same else {}


def added(*counts: dict[str, int]) -> dict[str, int]:
    """Add counts by name, names sorted."""
    total = sum(map(Counter, counts), Counter[str]())
    return dict(sorted(total.items()))


def added_within(*counts: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
    """Add counts of counts by both names."""
    names = sorted({name for one in counts for name in one})
    return {name: added(*(one.get(name, {}) for one in counts)) for name in names}


def _labels(plan: IngestPlan, planned: Planned) -> dict[str, int]:
    """Count the recordings that have each label."""
    labels = sorted(plan.context.labels, key=lambda label: label.name)
    present = dict.fromkeys((label.name for label in labels), 0)
    if not labels:
        return present
    refused = pa.array(sorted(planned.left_out), pa.string())
    columns = ["recording_id", *(label.column for label in labels)]
    tables = [open_staged(plan.context.staging, name, columns) for name in plan.unit_names]
    tables = [table.filter(pc.invert(pc.is_in(table["recording_id"], refused))) for table in tables]
    if plan.base is not None:
        table = plan.base.table(columns=columns)
        dropped = pa.array(sorted(planned.dropped), pa.string())
        tables.append(table.filter(pc.invert(pc.is_in(table["recording_id"], dropped))))
    for table in tables:
        for label in labels:
            present[label.name] += len(table) - table[label.column].null_count
    return present


def split_counts(rows: pa.Table) -> dict[Split, SplitCounts]:
    """Count recordings and patients of each split; `rows` has ``split`` and ``patient``."""
    counts: dict[Split, SplitCounts] = {}
    for split in SPLITS:
        inside = rows.filter(pc.equal(rows["split"], split))
        counts[split] = SplitCounts(recordings=len(inside), patients=pc.count_distinct(inside["patient"]).as_py())
    return counts


def write_table(out: Path, name: str, number: int, table: pa.Table, schema: pa.Schema) -> FileEntry:
    """Write a table beside the shards, under a name that the corpus does not use yet."""
    path = out / (f"{name}-{number:05d}.parquet" if number else f"{name}.parquet")
    with replacing(path) as temporary:
        pq.write_table(table.cast(schema).combine_chunks(), temporary, compression="zstd", write_page_checksum=True)
    return FileEntry(path=path.name, num_rows=len(table), num_bytes=path.stat().st_size, sha256=sha256_of(path))
