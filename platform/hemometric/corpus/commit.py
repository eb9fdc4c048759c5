"""The last step of an ingest: quarantine, manifest, and the marker that says it is all there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
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
from hemometric.corpus.notes import count
from hemometric.corpus.planned import Planned
from hemometric.corpus.schema import LINKS_SCHEMA, QUARANTINE_SCHEMA, SCHEMA_VERSION
from hemometric.corpus.settings import keep_settings, settled
from hemometric.corpus.split import NUM_PARTITIONS, SPLITS, Split
from hemometric.corpus.tidying import tidy
from hemometric.corpus.units import open_staged
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
    pairs = {name: table.pair for table in context.config.measurements for name in table.labels}
    noted = count([table["notes"] for table in _kept(plan, planned, ["notes"])], list(pairs))
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
        pairs=pairs,
        labels=tuple(sorted(context.labels, key=lambda label: label.name)),
        counts=Counts(
            found=num_rows + len(planned.rejected),
            accepted=num_rows,
            rejected=dict(sorted(Counter(planned.rejected["reason"].to_pylist()).items())),
            unmatched=noted.unmatched,
            nulled=noted.nulled,
            measurements={} if context.measured is None else context.measured.counts,
            paired=noted.paired,
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
    tidy(context.out, manifest, plan.ledger.without_stamps(planned.kept_back))
    keep_settings(context.out, context.config)
    return manifest


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
    if labels:
        for table in _kept(plan, planned, [label.column for label in labels]):
            for label in labels:
                present[label.name] += len(table) - table[label.column].null_count
    return present


def _kept(plan: IngestPlan, planned: Planned, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Read columns of all recordings that will be there, staged ones and those that stay."""
    columns = ["recording_id", *columns]
    left_out = pa.array(sorted(planned.left_out), pa.string())
    for name in plan.unit_names:
        table = open_staged(plan.context.staging, name, columns)
        yield table.filter(pc.invert(pc.is_in(table["recording_id"], left_out)))
    if plan.base is not None:
        dropped = pa.array(sorted(planned.dropped), pa.string())
        for shard in plan.base.manifest.shards:
            table = plan.base.shard_table(shard, columns)
            yield table.filter(pc.invert(pc.is_in(table["recording_id"], dropped)))


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
