"""From staged units to shards: a plan that is a pure function of the staged rows, and one shard at a time.

Rows are sorted by split, partition, patient and recording. A shard holds one split, and part of one partition or
several whole small ones, so that a node can fetch the patients it owns and little else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
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
from hemometric.errors import IntegrityError, UsageError

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
    ranges : int64 [unit, 2]
        First row and the row after the last, for each of them.
    """

    path: str
    split: Split
    partitions: tuple[int, ...]
    num_rows: int
    units: tuple[str, ...]
    ranges: npt.NDArray[np.int64]

    @property
    def hash(self) -> str:
        """Tells whether a shard that lies there is this one."""
        content = json.dumps([self.path, self.split, self.partitions, self.units, self.ranges.tolist()])
        return hashlib.sha256(content.encode()).hexdigest()


def staged_rows(staging: Path, units: Sequence[str]) -> pa.Table:
    """Gather who is where, without signals: the columns of `ROW_ORDER`, and `bytes`, `unit` and `row`."""
    tables = []
    for number, name in enumerate(units):
        staged = open_staged(staging, name)
        rows = staged.select(ROW_ORDER)
        rows = rows.append_column("bytes", pc.cast(pc.binary_length(staged[SIGNAL]), pa.int64()))
        rows = rows.append_column("unit", pa.array(np.full(len(rows), number, dtype=np.int32)))
        tables.append(rows.append_column("row", pa.array(np.arange(len(rows), dtype=np.int32))))
    return pa.concat_tables(tables).combine_chunks()


def check_rows(rows: pa.Table) -> None:
    """Check what only all units together can show.

    Raises
    ------
    UsageError
        Two sources have the same name.
    IntegrityError
        A patient lies in two splits.
    """
    num_twice = len(rows) - pc.count_distinct(rows["recording_id"]).as_py()
    if num_twice:
        raise UsageError(
            f"{num_twice} sources have the name of another one; give source folders whose names differ, "
            "or their common parent"
        )
    splits = rows.group_by("patient").aggregate([("split", "count_distinct")])["split_count_distinct"]
    num_across = pc.sum(pc.greater(splits, 1)).as_py() or 0
    if num_across:
        raise IntegrityError(
            f"the folds put {num_across} patients into more than one split; put all recordings of a patient into "
            "the same fold, or use split.kind: hash"
        )


def cut_shards(rows: pa.Table, units: Sequence[str], shard_bytes: int) -> list[ShardPlan]:
    """Decide which rows make which shard; depends on the rows alone, not on who staged them or when."""
    rows = rows.take(pc.sort_indices(rows, sort_keys=_SORT_KEYS))
    partition = rows["partition"].to_numpy()
    size = rows["bytes"].to_numpy()
    unit, row = rows["unit"].to_numpy(), rows["row"].to_numpy()
    patient = pc.rank(rows["patient"].combine_chunks(), tiebreaker="dense").to_numpy()
    plans: list[ShardPlan] = []
    for name in SPLITS:
        inside = np.flatnonzero(
            pc.equal(rows["split"], name).to_numpy()
        )  # contiguous, for rows are sorted by split first
        if not inside.size:
            continue
        spans = [
            (inside[0] + start, inside[0] + stop)
            for start, stop in _spans(partition[inside], patient[inside], size[inside], shard_bytes)
        ]
        for number, (start, stop) in enumerate(spans):
            chosen, ranges = _unit_ranges(unit[start:stop], row[start:stop])
            plans.append(
                ShardPlan(
                    path=f"{SHARDS}/{name}/part-{number:05d}.parquet",
                    split=name,
                    partitions=tuple(int(p) for p in np.unique(partition[start:stop])),
                    num_rows=int(stop - start),
                    units=tuple(units[u] for u in chosen),
                    ranges=ranges,
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


def _unit_ranges(unit: npt.NDArray[Any], row: npt.NDArray[Any]) -> tuple[list[int], npt.NDArray[np.int64]]:
    """Turn rows into one range for each unit: a unit is sorted as the shards are, so its share is contiguous."""
    order = np.lexsort((row, unit))
    unit, row = unit[order], row[order]
    chosen, first, count = np.unique(unit, return_index=True, return_counts=True)
    ranges = np.stack([row[first], row[first] + count], axis=1).astype(np.int64)
    if np.any(row[first + count - 1] + 1 != ranges[:, 1]):
        raise IntegrityError("a staged unit is not sorted; delete the staging folder and run the same command again")
    return chosen.tolist(), ranges


def write_shard(context: IngestContext, plan: ShardPlan) -> ShardEntry:
    """Write one shard from the row ranges of its units; one that lies there undamaged is left as it is.

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
    entry = _finished(path, note_path, plan.hash)
    if entry is not None:
        return entry
    parts = [
        open_staged(context.staging, name).slice(start, stop - start)
        for name, (start, stop) in zip(plan.units, plan.ranges.tolist(), strict=True)
    ]
    places = pa.concat_tables([part.select(ROW_ORDER) for part in parts])
    order = pc.sort_indices(places, sort_keys=_SORT_KEYS).to_numpy()
    part_of = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    row_of = np.concatenate([np.arange(len(part)) for part in parts])
    schema = corpus_schema(context.labels)
    with replacing(path) as temporary:
        with pq.ParquetWriter(temporary, schema, **_writer_options(schema)) as writer:
            for start in range(0, len(order), ROW_GROUP_ROWS):
                group = order[start : start + ROW_GROUP_ROWS]
                pieces = [parts[part_of[index]].slice(row_of[index], 1) for index in group]
                writer.write_table(pa.concat_tables(pieces).combine_chunks(), row_group_size=ROW_GROUP_ROWS)
        entry = ShardEntry(
            path=plan.path,
            num_rows=len(order),
            num_bytes=temporary.stat().st_size,
            sha256=sha256_of(temporary),
            split=plan.split,
            partitions=plan.partitions,
        )
    if entry.num_rows != plan.num_rows:
        raise IntegrityError(f"{path} got {entry.num_rows} rows instead of {plan.num_rows}; run the same command again")
    write_bytes(note_path, json.dumps({"plan": plan.hash, "entry": entry.model_dump_json()}).encode())
    return entry


def _writer_options(schema: pa.Schema) -> dict[str, Any]:
    return {
        "compression": "zstd",
        "use_dictionary": [name for name in _DICTIONARY if name in schema.names],
        "write_statistics": ["recording_id", "patient", "partition"],
        "write_page_checksum": True,
        "store_schema": True,
    }


def _finished(path: Path, note_path: Path, plan_hash: str) -> ShardEntry | None:
    try:
        note = json.loads(note_path.read_bytes())
        entry = ShardEntry.model_validate_json(note["entry"])
        whole = note["plan"] == plan_hash and path.is_file() and sha256_of(path) == entry.sha256
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return entry if whole else None
