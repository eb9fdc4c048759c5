"""From staged units to shards: a plan that is a pure function of the placed rows, and one shard at a time.

Rows are sorted by split, partition, patient and recording. A shard holds one split, and part of one partition or
several whole small ones, so that a node can fetch the patients it owns and little else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hemometric.corpus.files import replacing, sha256_of, write_bytes
from hemometric.corpus.manifest import ShardEntry
from hemometric.corpus.schema import ROW_ORDER, SIGNAL, corpus_schema
from hemometric.corpus.split import SPLITS, Split
from hemometric.corpus.units import IngestContext, open_staged
from hemometric.errors import UsageError

ROW_GROUP_ROWS = 256
SHARDS = "shards"
_SORT_KEYS = [(name, "ascending") for name in ROW_ORDER]
_DICTIONARY = ["split", "partition", "source_format", "rate_hz", "num_samples", "sex", "site", "fold"]


@dataclass(frozen=True, eq=False)
class ShardPlan:
    """One shard to write.

    Attributes
    ----------
    path : str
        Within the corpus folder, such as ``shards/train/part-00000.parquet``.
    units : tuple of str
        Names of the staged units that it takes rows from.
    rows : pyarrow.Table
        Of each row in its order: ``unit`` (its place in `units`), ``row`` (in the unit), ``recording_id``, ``patient``
        and ``partition`` as the corpus shows them, and ``shift_days``, by which its time is moved on.
    """

    path: str
    split: Split
    units: tuple[str, ...]
    rows: pa.Table

    @property
    def num_rows(self) -> int:
        """Recordings of the shard."""
        return int(self.rows.num_rows)

    @property
    def partitions(self) -> tuple[int, ...]:
        """Keyed patient partitions of which it holds rows, sorted."""
        return tuple(sorted(pc.unique(self.rows["partition"]).to_pylist()))

    @property
    def hash(self) -> str:
        """Tells whether a shard that lies there is this one."""
        digest = hashlib.sha256(json.dumps([self.path, self.split, self.units]).encode())
        for name in self.rows.column_names:
            digest.update(json.dumps(self.rows[name].to_pylist()).encode())
        return digest.hexdigest()


def staged_rows(staging: Path, units: Sequence[str]) -> pa.Table:
    """Gather what is known of each staged row without its signal.

    Returns
    -------
    pyarrow.Table
        The columns of `placement.PLACED_COLUMNS`, and ``bytes``, ``unit`` and ``row``.
    """
    tables = []
    for number, name in enumerate(units):
        staged = open_staged(staging, name)
        names = ("recording_id", "patient", "split", "rate_hz", "num_samples")
        columns = {name: staged[name] for name in names}
        columns |= {
            "is_old": pa.array(np.zeros(len(staged), dtype=bool)),
            "num_leads": pc.list_value_length(staged["leads"]),
            "bytes": pc.cast(pc.binary_length(staged[SIGNAL]), pa.int64()),
            "unit": pa.array(np.full(len(staged), number, dtype=np.int32)),
            "row": pa.array(np.arange(len(staged), dtype=np.int32)),
        }
        tables.append(pa.table(columns))
    return pa.concat_tables(tables).combine_chunks()


def check_rows(rows: pa.Table) -> None:
    """Check what only all units together can show.

    Raises
    ------
    UsageError
        Two sources have the same name.
    """
    num_twice = len(rows) - pc.count_distinct(rows["recording_id"]).as_py()
    if num_twice:
        raise UsageError(
            f"{num_twice} sources have the name of another one; give source folders whose names differ, "
            "or their common parent"
        )


def cut_shards(
    rows: pa.Table, units: Sequence[str], shard_bytes: int, first_numbers: Mapping[Split, int] | None = None
) -> list[ShardPlan]:
    """Decide which rows make which shard; depends on the rows alone, not on who staged them or when.

    Parameters
    ----------
    rows : pyarrow.Table
        ``recording_id``, ``patient``, ``split`` and ``partition`` as they shall be, ``bytes``, ``unit``, ``row`` and
        ``shift_days``.
    first_numbers : mapping
        Number of the first new shard of a split; 0 where it is not said.
    """
    rows = rows.take(pc.sort_indices(rows, sort_keys=_SORT_KEYS))
    partition = rows["partition"].to_numpy()
    size = rows["bytes"].to_numpy()
    patient = pc.rank(rows["patient"].combine_chunks(), tiebreaker="dense").to_numpy()
    plans: list[ShardPlan] = []
    for name in SPLITS:
        inside = np.flatnonzero(pc.equal(rows["split"], name).to_numpy())  # contiguous: rows are sorted by split first
        if not inside.size:
            continue
        first = (first_numbers or {}).get(name, 0)
        for number, (start, stop) in enumerate(
            _spans(partition[inside], patient[inside], size[inside], shard_bytes), start=first
        ):
            chosen = rows.slice(inside[0] + start, stop - start)
            used, local = np.unique(chosen["unit"].to_numpy(), return_inverse=True)
            plans.append(
                ShardPlan(
                    path=f"{SHARDS}/{name}/part-{number:05d}.parquet",
                    split=name,
                    units=tuple(units[unit] for unit in used),
                    rows=chosen.select(["row", "recording_id", "patient", "partition", "shift_days"])
                    .append_column("unit", pa.array(local.astype(np.int32)))
                    .combine_chunks(),
                )
            )
    return plans


def _spans(
    partition: npt.NDArray[Any], patient: npt.NDArray[Any], size: npt.NDArray[np.int64], target: int
) -> list[tuple[int, int]]:
    """Cut sorted rows: whole partitions are joined up to the target; a larger one is cut between patients."""
    edges = [0, *(np.flatnonzero(np.diff(partition)) + 1).tolist(), len(partition)]
    spans: list[tuple[int, int]] = []
    begin, held = 0, 0
    for start, stop in pairwise(edges):
        total = int(size[start:stop].sum())
        if held and held + total > target:
            spans.append((begin, start))
            begin, held = start, 0
        if total <= target:
            held += total
            continue
        num_parts = -(-total // target)
        filled = np.cumsum(size[start:stop])
        new_patient = np.flatnonzero(np.diff(patient[start:stop])) + 1
        for part in range(1, num_parts):
            wanted = int(np.searchsorted(filled, part * total / num_parts, side="left")) + 1
            later = new_patient[np.searchsorted(new_patient, wanted) :]
            if later.size and start + later[0] > begin:
                spans.append((begin, start + int(later[0])))
                begin = start + int(later[0])
        spans.append((begin, stop))
        begin = stop
    if held:
        spans.append((begin, len(partition)))
    return spans


def write_shard(context: IngestContext, plan: ShardPlan) -> ShardEntry:
    """Write one shard from the rows of its units; one that lies there undamaged is left as it is.

    At most one row group of signals is in memory at a time.

    Raises
    ------
    IntegrityError
        A staged unit is missing or damaged.
    PrecheckError
        The disk is full.
    """
    note_path = context.staging / f"{plan.split}-{Path(plan.path).stem}.json"
    path = context.out / plan.path
    entry = finished_shard(path, note_path, plan.hash)
    if entry is not None:
        return entry
    units = [open_staged(context.staging, name) for name in plan.units]
    schema = corpus_schema(context.labels)
    with replacing(path) as temporary:
        with pq.ParquetWriter(temporary, schema, **writer_options(schema)) as writer:
            for start in range(0, plan.num_rows, ROW_GROUP_ROWS):
                group = plan.rows.slice(start, ROW_GROUP_ROWS)
                writer.write_table(_group(plan.split, units, group, schema), row_group_size=ROW_GROUP_ROWS)
        entry = entry_of(plan, temporary)
    write_bytes(note_path, json.dumps({"plan": plan.hash, "entry": entry.model_dump_json()}).encode())
    return entry


def _group(split: Split, units: Sequence[pa.Table], rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Take staged rows, and give each the patient, the split and the partition that were decided for it."""
    places = zip(rows["unit"].to_pylist(), rows["row"].to_pylist(), strict=True)
    staged = pa.concat_tables([units[unit].slice(row, 1) for unit, row in places]).combine_chunks()
    columns = {name: staged[name] for name in staged.column_names}
    shifts = pc.multiply(rows["shift_days"], pa.scalar(timedelta(days=1), pa.duration("us")))
    columns["acquired"] = pc.add(columns["acquired"], shifts)
    columns |= {name: rows[name] for name in ("recording_id", "patient", "partition")}
    columns["split"] = pa.array([split] * len(staged), pa.string())
    return pa.table([columns[name] for name in schema.names], schema=schema)


def entry_of(plan: ShardPlan, written: Path) -> ShardEntry:
    """Describe a shard by what was planned and by the file that was written."""
    return ShardEntry(
        path=plan.path,
        num_rows=plan.num_rows,
        num_bytes=written.stat().st_size,
        sha256=sha256_of(written),
        split=plan.split,
        partitions=plan.partitions,
    )


def writer_options(schema: pa.Schema) -> dict[str, Any]:
    """Give how a shard is written."""
    return {
        "compression": "zstd",
        "use_dictionary": [name for name in _DICTIONARY if name in schema.names],
        "write_statistics": ["recording_id", "patient", "partition"],
        "write_page_checksum": True,
        "store_schema": True,
    }


def finished_shard(path: Path, note_path: Path, plan_hash: str) -> ShardEntry | None:
    """Give the entry of a shard that lies there undamaged, as its note says; None where it is to be written."""
    try:
        note = json.loads(note_path.read_bytes())
        entry = ShardEntry.model_validate_json(note["entry"])
        whole = note["plan"] == plan_hash and path.is_file() and sha256_of(path) == entry.sha256
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return entry if whole else None
