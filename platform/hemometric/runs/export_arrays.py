"""One array of prepared signals per split, which numpy maps, and a Parquet file of its rows in the same order.

The array is written in place, shard after shard; what was done is told by a small file of rows for each shard, so that
a run that was killed goes on at the shard where it stopped.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hemometric.corpus import SPLITS, ShardEntry, Split
from hemometric.corpus.files import became, replacing, sync_folder
from hemometric.runs.export_parts import Source
from hemometric.runs.folder import DRAFTS

_SIGNALS = "signals.npy"
_DRAFT = re.compile(rf"{re.escape(_SIGNALS)}|[0-9a-f]{{32}}\.parquet")
_REJECTED = b"rejected"


def write_arrays(
    source: Source, split: Split, shards: Sequence[ShardEntry], out: Path, done: Callable[[ShardEntry], None]
) -> tuple[int, dict[str, int]]:
    """Write ``<split>.npy``, float32 [recording, lead, sample] mV, and ``<split>.parquet``.

    Parameters
    ----------
    done : callable
        Called after each shard, also after one that an earlier run has done.

    Returns
    -------
    num_rows : int
    rejected : dict
        From a reason code to recordings that could not be prepared.

    Raises
    ------
    IntegrityError
        A shard is missing or damaged.
    PrecheckError
        The disk is full.
    """
    drafts = out / DRAFTS / split
    drafts.mkdir(parents=True, exist_ok=True)
    array, target = drafts / _SIGNALS, out / f"{split}.npy"
    if not array.exists() and target.exists():  # killed after the rename and before the note
        target.replace(array)
    array.touch()
    rejected: Counter[str] = Counter()
    num_rows = 0
    shape = _shape(source)
    row_bytes = 4 * shape[0] * shape[1]
    with array.open("r+b") as file:
        size = os.fstat(file.fileno()).st_size
        head = _write_head(file, 0, shape)
        for shard in shards:
            path = drafts / f"{shard.sha256[:32]}.parquet"
            known = _read_done(path)
            if known is None or head + (num_rows + known[0]) * row_bytes > size:
                file.seek(head + num_rows * row_bytes)
                known = _append(source, shard, file, path)
                size = file.tell()
            num_rows += known[0]
            rejected.update(known[1])
            done(shard)
        file.truncate(head + num_rows * row_bytes)
        _write_head(file, num_rows, shape)
        file.flush()
        os.fsync(file.fileno())
    with replacing(out / f"{split}.parquet") as temporary, pq.ParquetWriter(temporary, source.row_schema) as writer:
        for shard in shards:
            table = pq.read_table(drafts / f"{shard.sha256[:32]}.parquet", partitioning=None)
            writer.write_table(pa.table(table.columns, schema=source.row_schema))
    array.replace(target)
    sync_folder(out)
    return num_rows, dict(sorted(rejected.items()))


def remove_drafts(out: Path) -> None:
    """Remove what is needed no more once all arrays are noted as finished."""
    folders = [out / DRAFTS / split for split in SPLITS]
    for folder in folders:
        for path in folder.iterdir() if folder.is_dir() else ():
            if _DRAFT.fullmatch(became(path.name)):
                path.unlink()
    for folder in (*folders, out / DRAFTS):
        with suppress(OSError):  # it is gone, or somebody has put something there
            folder.rmdir()


def _append(source: Source, shard: ShardEntry, file: BinaryIO, path: Path) -> tuple[int, dict[str, int]]:
    """Write the signals of a shard, make them safe, and only then say so."""
    rejected: Counter[str] = Counter()
    tables = [source.row_schema.empty_table()]
    for rows, signals in source.batches(shard, rejected):
        for signal in signals:
            file.write(np.ascontiguousarray(signal, dtype="<f4").data)
        tables.append(rows)
    file.flush()
    os.fsync(file.fileno())
    table = pa.concat_tables(tables)
    found = dict(sorted(rejected.items()))
    with replacing(path) as temporary:
        pq.write_table(table.replace_schema_metadata({_REJECTED: json.dumps(found)}), temporary)
    return len(table), found


def _read_done(path: Path) -> tuple[int, dict[str, int]] | None:
    try:
        with pq.ParquetFile(path) as file:
            found: dict[str, int] = json.loads((file.schema_arrow.metadata or {})[_REJECTED])
            return file.metadata.num_rows, found
    except (OSError, ValueError, KeyError, pa.ArrowException):
        return None


def _shape(source: Source) -> tuple[int, int]:
    if source.preparation is None:
        raise ValueError("signals of several lengths make no array")
    return len(source.preparation.leads), source.preparation.num_samples


def _write_head(file: BinaryIO, num_rows: int, shape: tuple[int, int]) -> int:
    """Write the head of a .npy file and give its length; numpy leaves room in it for the first axis to grow."""
    file.seek(0)
    described: dict[str, Any] = {"descr": "<f4", "fortran_order": False, "shape": (num_rows, *shape)}
    np.lib.format.write_array_header_1_0(file, described)
    return int(file.tell())
