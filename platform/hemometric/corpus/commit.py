"""The last step of an ingest: quarantine, manifest, and the marker that says it is all there."""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hemometric import __version__
from hemometric.config import fingerprint
from hemometric.corpus.files import replacing, sha256_of, write_bytes
from hemometric.corpus.ingest import IngestPlan
from hemometric.corpus.manifest import (
    MANIFEST,
    QUARANTINE,
    SUCCESS,
    Counts,
    FileEntry,
    Manifest,
    Partitions,
    ShardEntry,
    SplitCounts,
    manifest_bytes,
)
from hemometric.corpus.schema import QUARANTINE_SCHEMA, SCHEMA_VERSION
from hemometric.corpus.shards import SHARDS, staged_rows
from hemometric.corpus.split import NUM_PARTITIONS, SPLITS, Split
from hemometric.corpus.stamps import Stamps, join_contents, write_stamps
from hemometric.corpus.units import open_staged, read_note
from hemometric.errors import IntegrityError


def commit(plan: IngestPlan, entries: Sequence[ShardEntry]) -> Manifest:
    """Finish the corpus; its manifest has the same bytes for any number of workers, kills and reruns.

    Parameters
    ----------
    entries : sequence of ShardEntry
        What `write_shard` gave for each shard of `plan_shards`, in any order.

    Raises
    ------
    IntegrityError
        The shards do not hold the rows that were staged.
    PrecheckError
        The disk is full.
    """
    context = plan.context
    out = context.out
    notes = [read_note(context.staging, name) for name in plan.unit_names]
    rejected = sorted(tuple(item) for note in notes for item in note["rejected"])
    shards = sorted(entries, key=lambda entry: (SPLITS.index(entry.split), entry.path))
    rows = staged_rows(context.staging, plan.unit_names)
    if sum(entry.num_rows for entry in shards) != len(rows) or len(rows) + len(rejected) != plan.num_found:
        raise IntegrityError(
            f"{plan.num_found} sources became {sum(entry.num_rows for entry in shards)} rows and {len(rejected)} "
            "rejections, which do not add up; run the same command again"
        )
    _remove_others(out, shards)
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        package_version=__version__,
        key_id=context.key.key_id,
        inputs=plan.inputs,
        ingest_config=fingerprint(context.config),
        split=context.config.split,
        table=plan.table,
        labels=tuple(sorted(context.labels, key=lambda label: label.name)),
        counts=Counts(
            found=plan.num_found,
            accepted=len(rows),
            rejected=dict(sorted(Counter(reason for _, reason, _ in rejected).items())),
            unmatched=sum(note["num_unmatched"] for note in notes) if context.has_table else 0,
            nulled=dict(sorted(sum((Counter(note["nulled"]) for note in notes), Counter[str]()).items())),
            labels=_present(plan),
            splits=_split_counts(rows),
        ),
        partitions=Partitions(
            num=NUM_PARTITIONS,
            rows=tuple(np.bincount(rows["partition"].to_numpy(), minlength=NUM_PARTITIONS).tolist()),
        ),
        quarantine=_write_quarantine(out, rejected),
        shards=tuple(shards),
    )
    content = manifest_bytes(manifest)
    write_bytes(out / MANIFEST, content)
    contents = [content for note in notes for content in note["contents"]]
    write_stamps(out, Stamps(times=plan.times, content=join_contents(contents, context.key)))
    shutil.rmtree(context.staging)
    write_bytes(out / SUCCESS, hashlib.sha256(content).hexdigest().encode() + b"\n")
    return manifest


def _present(plan: IngestPlan) -> dict[str, int]:
    """Count the recordings that have each label."""
    present = dict.fromkeys(sorted(label.name for label in plan.context.labels), 0)
    columns = [label.column for label in plan.context.labels]
    for name in plan.unit_names if columns else ():
        staged = open_staged(plan.context.staging, name, columns)
        for label in plan.context.labels:
            present[label.name] += len(staged) - staged[label.column].null_count
    return present


def _split_counts(rows: pa.Table) -> dict[Split, SplitCounts]:
    counts: dict[Split, SplitCounts] = {}
    for split in SPLITS:
        inside = rows.filter(pc.equal(rows["split"], split))
        counts[split] = SplitCounts(recordings=len(inside), patients=pc.count_distinct(inside["patient"]).as_py())
    return counts


def _write_quarantine(out: Path, rejected: Sequence[Sequence[str]]) -> FileEntry:
    columns = list(zip(*rejected, strict=True)) or [(), (), ()]
    table = pa.table([pa.array(column, pa.string()) for column in columns], schema=QUARANTINE_SCHEMA)
    path = out / QUARANTINE
    with replacing(path) as temporary:
        pq.write_table(table, temporary, compression="zstd", write_page_checksum=True)
    return FileEntry(path=QUARANTINE, num_rows=len(table), num_bytes=path.stat().st_size, sha256=sha256_of(path))


def _remove_others(out: Path, shards: Sequence[ShardEntry]) -> None:
    """Remove shards that an earlier try with another config has left."""
    ours = {out / entry.path for entry in shards}
    for path in (out / SHARDS).rglob("*.parquet"):
        if path not in ours:
            path.unlink()
