"""Shards written again from the rows of other shards, in another order: what compaction and merging have in common.

A shard of Parquet must be decompressed a row group at a time, and the rows of a small ingest go into many new shards.
So each old shard is spread once, uncompressed, into an Arrow file; new shards take their rows from these mappings, and
a spread shard is removed after its last row. Memory holds a row group, the disk what overlaps.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hemometric.corpus.files import became, need_room, replacing, write_bytes
from hemometric.corpus.manifest import ShardEntry
from hemometric.corpus.reader import Corpus, open_parquet
from hemometric.corpus.shards import ROW_GROUP_ROWS, ShardPlan, entry_of, finished_shard, writer_options
from hemometric.corpus.split import SPLITS
from hemometric.corpus.units import STAGING, open_staged, staged_path
from hemometric.errors import IntegrityError

FOLDER = "regrouped"
SCRATCH = re.compile(rf"from-[0-9a-f]{{32}}\.arrow|(?:{'|'.join(SPLITS)})-part-[0-9]+\.json")
"""What lies there: spread shards, and notes of finished ones."""

_ROW_BYTES = 4096  # of a row beside its signal, at most
_INDEXED = ("recording_id", "patient", "split", "partition", "rate_hz", "num_samples", "leads", "content", "facts")


@dataclass(frozen=True)
class Origin:
    """A shard that rows are taken from.

    Attributes
    ----------
    folder : Path
        Of its corpus.
    num_bytes : int
        Of the counts in it, before compression.
    """

    folder: Path
    shard: ShardEntry
    num_bytes: int

    @property
    def name(self) -> str:
        """Its name among the spread shards."""
        return spread_name(self.shard)


@dataclass(frozen=True, eq=False)
class Regrouping:
    """Which rows of which shards become which shards.

    Attributes
    ----------
    out : Path
        Folder of the corpus that gets the new shards.
    schema : pyarrow.Schema
        Of old and new shards.
    origins : tuple of Origin
    plans : tuple of ShardPlan
        Units of a plan are names of origins.
    """

    out: Path
    schema: pa.Schema
    origins: tuple[Origin, ...]
    plans: tuple[ShardPlan, ...]

    @property
    def num_rows(self) -> int:
        """Recordings of all new shards."""
        return sum(plan.num_rows for plan in self.plans)

    @property
    def folder(self) -> Path:
        """Where spread shards and notes of finished ones lie."""
        return self.out / STAGING / FOLDER


def spread_name(shard: ShardEntry) -> str:
    """Name a shard among the spread ones; equal bytes have one name."""
    return f"from-{shard.sha256[:32]}"


def rows_of_shards(corpora: Sequence[Corpus]) -> tuple[tuple[Origin, ...], pa.Table]:
    """Say of each row where it lies and what decides where it goes, in the order of corpora and shards.

    Returns
    -------
    origins : tuple of Origin
    rows : pyarrow.Table
        What `shards.cut_shards` asks for, ``unit`` being the origin's place; and ``content``, ``facts``, ``rate_hz``,
        ``num_samples`` and ``num_leads``.

    Raises
    ------
    IntegrityError
        A shard is missing or damaged.
    """
    origins: list[Origin] = []
    tables = []
    everything = [(corpus, shard) for corpus in corpora for shard in corpus.manifest.shards]
    for held_by, shard in everything:
        table = held_by.shard_table(shard, _INDEXED)
        num_leads = pc.list_value_length(table["leads"])
        counts = pc.multiply(pc.cast(num_leads, pa.int64()), pc.cast(table["num_samples"], pa.int64()))
        added = {
            "num_leads": num_leads,
            "bytes": pc.multiply(counts, 2),
            "unit": pa.array(np.full(len(table), len(origins), np.int32)),
            "row": pa.array(np.arange(len(table), dtype=np.int32)),
            "shift_days": pa.array(np.zeros(len(table), np.int64)),
        }
        origins.append(Origin(held_by.path, shard, pc.sum(added["bytes"]).as_py() or 0))
        table = table.drop_columns(["leads"])
        for name, column in added.items():
            table = table.append_column(name, column)
        tables.append(table.replace_schema_metadata())
    return tuple(origins), pa.concat_tables(tables).combine_chunks()


def regroup(work: Regrouping) -> Iterator[ShardEntry]:
    """Write the new shards one after the other; one that lies there undamaged is left as it is.

    Raises
    ------
    IntegrityError
        A shard that rows are taken from is missing or damaged.
    PrecheckError
        The disk is too small.
    """
    known = [finished_shard(work.out / plan.path, _note_path(work, plan), plan.hash) for plan in work.plans]
    todo = [plan for plan, entry in zip(work.plans, known, strict=True) if entry is None]
    origins = {origin.name: origin for origin in work.origins}
    last_use = {name: plan.path for plan in todo for name in plan.units}
    work.folder.mkdir(parents=True, exist_ok=True)
    _clear(work, last_use)
    _check_room(work, todo, last_use)
    for plan, entry in zip(work.plans, known, strict=True):
        if entry is not None:
            yield entry
            continue
        for name in plan.units:
            if not staged_path(work.folder, name).is_file():
                _spread(work, origins[name])
        yield _write(work, plan)
        for name in plan.units:
            if last_use[name] == plan.path:
                staged_path(work.folder, name).unlink()


def remove_scratch(out: Path) -> None:
    """Remove what `regroup` has left; the staged units of an ingest that was killed stay."""
    folder = out / STAGING / FOLDER
    for path in folder.iterdir() if folder.is_dir() else ():
        if SCRATCH.fullmatch(became(path.name)):
            path.unlink()
    for emptied in (folder, out / STAGING):
        with suppress(OSError):  # it is gone, or not empty
            emptied.rmdir()


def _spread(work: Regrouping, origin: Origin) -> None:
    """Write a shard uncompressed, a row group in memory at a time."""
    with (
        open_parquet(origin.folder, origin.shard, work.schema) as file,
        replacing(staged_path(work.folder, origin.name)) as temporary,
        pa.OSFile(str(temporary), "wb") as sink,
        pa.ipc.new_file(sink, work.schema) as writer,
    ):
        for group in range(file.num_row_groups):
            table = file.read_row_group(group)
            writer.write_table(pa.table(table.columns, schema=work.schema))


def _write(work: Regrouping, plan: ShardPlan) -> ShardEntry:
    path = work.out / plan.path
    with replacing(path) as temporary:
        with pq.ParquetWriter(temporary, work.schema, **writer_options(work.schema)) as writer:
            for start in range(0, plan.num_rows, ROW_GROUP_ROWS):
                writer.write_table(_gathered(work, plan, start), row_group_size=ROW_GROUP_ROWS)
        entry = entry_of(plan, temporary)
    note = {"plan": plan.hash, "entry": entry.model_dump_json()}
    write_bytes(_note_path(work, plan), json.dumps(note).encode())
    return entry


def _gathered(work: Regrouping, plan: ShardPlan, start: int) -> pa.Table:
    """Take the rows of one row group; the mappings are let go with it, so that their pages do not add up."""
    rows = plan.rows.slice(start, ROW_GROUP_ROWS)
    units = {unit: open_staged(work.folder, plan.units[unit]) for unit in pc.unique(rows["unit"]).to_pylist()}
    places = zip(rows["unit"].to_pylist(), rows["row"].to_pylist(), strict=True)
    table = pa.concat_tables([units[unit].slice(row, 1) for unit, row in places]).combine_chunks()
    if not table["recording_id"].equals(pa.chunked_array(rows["recording_id"])):
        raise IntegrityError(f"{work.out}: a corpus changed while it was read; run the same command again")
    return table


def _note_path(work: Regrouping, plan: ShardPlan) -> Path:
    return work.folder / f"{plan.split}-{Path(plan.path).stem}.json"


def _clear(work: Regrouping, needed: Mapping[str, str]) -> None:
    """Remove spread shards that nothing needs any more, such as those of another plan that was killed."""
    for path in work.folder.glob("*.arrow"):
        if SCRATCH.fullmatch(path.name) and path.stem not in needed:
            path.unlink()


def _check_room(work: Regrouping, todo: Sequence[ShardPlan], last_use: Mapping[str, str]) -> None:
    """Refuse to begin where the new shards, and at worst the spread ones beside them, find no room."""
    sizes = {origin.name: origin.shard.num_rows * _ROW_BYTES + origin.num_bytes for origin in work.origins}
    spread = {path.stem: path.stat().st_size for path in work.folder.glob("*.arrow")}
    held: set[str] = set()
    most = 0
    for plan in todo:
        held |= set(plan.units)
        most = max(most, sum(sizes[name] - spread.get(name, 0) for name in held))
        held -= {name for name in plan.units if last_use[name] == plan.path}
    share = sum(plan.num_rows for plan in todo) / max(1, work.num_rows)
    written = sum(origin.shard.num_bytes for origin in work.origins) * share
    need_room(work.out, int(written) + max(0, most), "writing these shards again")
