"""Laying a cache: row groups in, prepared rows out to their place on the disk, nothing kept in memory."""

from __future__ import annotations

import json
import os
import shutil
import uuid
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hemometric.corpus.files import NO_ROOM, TEMPORARY, need_room, no_room, sha256_of, sync_folder
from hemometric.corpus.reader import Corpus
from hemometric.ecg import Recording, Rejected
from hemometric.errors import IntegrityError
from hemometric.waveform import Preparation, prepare

SIGNALS = "signals.npy"
ROWS = "rows.arrow"
NOTE = "cache.json"
CRC = "signal_crc32"
_CHUNK = 64


def write_cache(
    corpus: Corpus, preparation: Preparation, splits: Sequence[str], place: Path, *, threads: int = 1
) -> None:
    """Lay a cache at `place`, under a temporary name until it is whole; see `cache.lay_cache` for what it raises."""
    table = corpus.table(splits)
    table = table.take(pc.sort_indices(table["recording_id"]))
    row_bytes = len(preparation.leads) * preparation.num_samples * np.dtype(np.float32).itemsize
    need_room(place.parent, len(table) * row_bytes + table.nbytes, f"the cache of {len(table)} recordings")
    temporary = place.with_name(f".{place.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}{TEMPORARY}")
    temporary.mkdir()
    try:
        _fill(corpus, preparation, splits, table, temporary, threads)
        temporary.replace(place)
        sync_folder(place.parent)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        if error.errno in NO_ROOM:
            raise no_room(place.parent, error) from None
        raise
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _fill(
    corpus: Corpus, preparation: Preparation, splits: Sequence[str], table: pa.Table, folder: Path, threads: int
) -> None:
    shape = (len(preparation.leads), preparation.num_samples)
    # Bytes, not str: a quarter of the memory, and the search below compares them faster.
    ids = np.asarray(table["recording_id"].to_pylist(), dtype=np.bytes_)
    sums = np.zeros(len(ids), dtype=np.uint32)
    kept = np.zeros(len(ids), dtype=bool)
    rejected: Counter[str] = Counter()
    with (folder / SIGNALS).open("w+b") as file:
        head = _write_header(file, (len(ids), *shape))
        row_bytes = 4 * shape[0] * shape[1]
        for recording_id, signal in _prepared(corpus.recordings(splits), preparation, threads):
            if isinstance(signal, Rejected):
                rejected[signal.reason] += 1
                continue
            row = int(np.searchsorted(ids, recording_id.encode()))
            if row == len(ids) or ids[row] != recording_id.encode() or kept[row]:
                raise IntegrityError(f"corpus {corpus.path} changed while it was read; run the same command again")
            content = signal.data
            # Written, not mapped: pages of a mapping would count as this process's memory.
            _write_at(file.fileno(), content, head + row * row_bytes)
            sums[row] = zlib.crc32(content)
            kept[row] = True
        if rejected.total() + int(kept.sum()) != len(ids):
            raise IntegrityError(f"corpus {corpus.path} changed while it was read; run the same command again")
        _close_gaps(file.fileno(), kept, head, row_bytes)
        file.seek(0)
        if _write_header(file, (int(kept.sum()), *shape)) != head:
            raise IntegrityError("the header of the cache changed its length; this is a fault of this program")
        file.truncate(head + int(kept.sum()) * row_bytes)
        file.flush()
        os.fsync(file.fileno())
    rows = table.append_column(CRC, pa.array(sums)).filter(pa.array(kept)).combine_chunks()
    with pa.OSFile(str(folder / ROWS), "wb") as sink, pa.ipc.new_file(sink, rows.schema) as writer:
        writer.write_table(rows)
    note = {
        "rows_sha256": sha256_of(folder / ROWS),
        "signals_bytes": (folder / SIGNALS).stat().st_size,
        "rejected": dict(sorted(rejected.items())),
        "splits": list(splits),
        "preparation": preparation.model_dump(mode="json"),
    }
    (folder / NOTE).write_text(json.dumps(note))


def _prepared(
    recordings: Iterator[tuple[dict[str, Any], Recording]], preparation: Preparation, threads: int
) -> Iterator[tuple[str, npt.NDArray[np.float32] | Rejected]]:
    """Prepare recordings in order, a few dozen at once."""
    if threads <= 1:
        yield from ((recording.key, prepare(recording, preparation)) for _, recording in recordings)
        return
    with ThreadPoolExecutor(threads) as pool:
        while some := [recording for _, recording in islice(recordings, _CHUNK)]:
            signals = pool.map(lambda recording: prepare(recording, preparation), some)
            yield from zip((recording.key for recording in some), signals, strict=True)


def _write_header(file: Any, shape: tuple[int, ...]) -> int:
    """Write the head of a .npy file and give its length, which numpy pads so that the first axis may change."""
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
    file.flush()
    return int(file.tell())


def _close_gaps(handle: int, kept: npt.NDArray[np.bool_], head: int, row_bytes: int) -> None:
    """Move rows down over those that were rejected; in ascending order no row is overwritten before it moved."""
    rows = np.flatnonzero(kept)
    for place in np.flatnonzero(rows != np.arange(len(rows))):
        content = os.pread(handle, row_bytes, head + int(rows[place]) * row_bytes)
        _write_at(handle, memoryview(content), head + int(place) * row_bytes)


def _write_at(handle: int, content: memoryview, offset: int) -> None:
    view = memoryview(content).cast("B")
    while view:
        written = os.pwrite(handle, view, offset)
        view, offset = view[written:], offset + written
