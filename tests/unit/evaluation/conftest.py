"""A corpus written by hand, so that what a card must say of it is known."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from hemometric.corpus import SPLITS, Corpus, Label, open_corpus
from hemometric.corpus.manifest import FileEntry, ShardEntry, write_manifest
from hemometric.corpus.schema import LINKS_SCHEMA, QUARANTINE_SCHEMA, corpus_schema
from hemometric.ecg import LEADS

WriteCorpus = Callable[..., Corpus]
DEFAULTS: dict[str, Any] = {"source_format": "wfdb", "rate_hz": 500.0, "num_samples": 5000, "leads": list(LEADS)}


@pytest.fixture(scope="session")
def write_corpus(line: Any) -> WriteCorpus:
    """Write rows, of which only some columns are given, as a whole corpus of shards of so many rows."""
    template = open_corpus(line.real).manifest

    def write(
        path: Path,
        rows: Mapping[str, list[Any]],
        labels: tuple[Label, ...] = (),
        *,
        shard_rows: int = 50,
        links: int = 0,
        counts: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> Corpus:
        table = whole_table(rows, corpus_schema(labels))
        shards = [entry for split in SPLITS for entry in write_shards(path, split, table, shard_rows)]
        held = {
            split: {
                "recordings": pc.sum(pc.equal(table["split"], split)).as_py() or 0,
                "patients": pc.count_distinct(table.filter(pc.equal(table["split"], split))["patient"]).as_py(),
            }
            for split in SPLITS
        }
        own = {"found": len(table), "accepted": len(table), "rejected": {}, "unmatched": 0, "nulled": {}, "labels": {}}
        names = [f"{place:032x}" for place in range(links)]
        changed = {
            "labels": labels,
            "shards": tuple(shards),
            "counts": template.counts.model_validate({**own, "splits": held, **(counts or {})}),
            "quarantine": written(path, "quarantine.parquet", QUARANTINE_SCHEMA.empty_table()),
            "links": written(path, "links.parquet", pa.table({"patient": names, "known_as": names}, LINKS_SCHEMA)),
            **fields,
        }
        write_manifest(path, template.model_copy(update=changed))
        return open_corpus(path)

    return write


def whole_table(rows: Mapping[str, list[Any]], schema: pa.Schema) -> pa.Table:
    """Fill the columns that are not given: absent where that is allowed, else a plain value."""
    num = len(rows["recording_id"])
    columns = []
    for field in schema:
        if field.name in rows:
            values = rows[field.name]
        elif field.name in DEFAULTS:
            values = [DEFAULTS[field.name]] * num
        else:
            values = [None if field.nullable else plain(field.type)] * num
        columns.append(pa.array(values, field.type))
    return pa.table(columns, schema=schema)


def plain(kind: pa.DataType) -> Any:
    """Give a value of a type, whatever columns a corpus may come to have."""
    if pa.types.is_fixed_size_binary(kind):
        return bytes(kind.byte_width)
    if pa.types.is_nested(kind):
        return []
    return "" if pa.types.is_string(kind) else b"" if pa.types.is_binary(kind) else 0


def write_shards(path: Path, split: str, table: pa.Table, shard_rows: int) -> list[ShardEntry]:
    """Cut the rows of a split in the order in which they come, as several ingests would have left them."""
    mine = table.filter(pc.equal(table["split"], split))
    entries = []
    for number, start in enumerate(range(0, len(mine), shard_rows)):
        part = mine.slice(start, shard_rows)
        entry = written(path, f"shards/{split}/part-{number:05d}.parquet", part)
        partitions = tuple(sorted(pc.unique(part["partition"]).to_pylist()))
        entries.append(ShardEntry(**entry, split=split, partitions=partitions))
    return entries


def written(path: Path, name: str, table: pa.Table) -> Any:
    """Write a file of the corpus; an entry of the manifest for it."""
    place = path / name
    place.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, place)
    digest = hashlib.sha256(place.read_bytes()).hexdigest()
    entry = {"path": name, "num_rows": len(table), "num_bytes": place.stat().st_size, "sha256": digest}
    return entry if name.startswith("shards") else FileEntry(**entry)
