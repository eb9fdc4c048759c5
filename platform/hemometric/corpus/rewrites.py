"""Shards of a corpus that lose rows: to a recording that changed, or to a link between patients found later."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hemometric.corpus.files import replacing, sha256_of
from hemometric.corpus.manifest import ShardEntry
from hemometric.corpus.reader import open_parquet
from hemometric.corpus.schema import corpus_schema
from hemometric.corpus.shards import ROW_GROUP_ROWS, writer_options
from hemometric.corpus.units import IngestContext


@dataclass(frozen=True)
class Rewrite:
    """One shard of a corpus to write again without some rows.

    Attributes
    ----------
    shard : ShardEntry
        As it is.
    path : str
        Of its successor; the shard itself stays until the new manifest is there.
    dropped : tuple of str
        Recordings that leave it.
    """

    shard: ShardEntry
    path: str
    dropped: tuple[str, ...]


def rewrite_shard(context: IngestContext, rewrite: Rewrite) -> ShardEntry:
    """Write a shard again without some rows, a row group in memory at a time; see `shards.write_shard`."""
    return rewritten(context.out, corpus_schema(context.labels), rewrite)


def rewritten(out: Path, schema: pa.Schema, rewrite: Rewrite) -> ShardEntry:
    """Write a shard of the corpus in `out` again without some rows."""
    path = out / rewrite.path
    dropped = pa.array(rewrite.dropped, pa.string())
    num_rows, partitions = 0, set[int]()
    with replacing(path) as temporary:
        with (
            open_parquet(out, rewrite.shard, schema) as before,
            pq.ParquetWriter(temporary, schema, **writer_options(schema)) as writer,
        ):
            for group in range(before.num_row_groups):
                table = before.read_row_group(group)
                table = table.filter(pc.invert(pc.is_in(table["recording_id"], dropped)))
                writer.write_table(table.combine_chunks(), row_group_size=ROW_GROUP_ROWS)
                num_rows += len(table)
                partitions.update(table["partition"].to_pylist())
        return ShardEntry(
            path=rewrite.path,
            num_rows=num_rows,
            num_bytes=temporary.stat().st_size,
            sha256=sha256_of(temporary),
            split=rewrite.shard.split,
            partitions=tuple(sorted(partitions)),
        )
