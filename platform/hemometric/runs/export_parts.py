"""One file of an export, whole or not at all: Parquet, or a tar of arrays and JSON as WebDataset reads it."""

from __future__ import annotations

import io
import json
import math
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from hemometric.corpus import Corpus, ShardEntry, Split
from hemometric.corpus.files import replacing, sha256_of
from hemometric.corpus.schema import SIGNAL, recording_of, rows_of
from hemometric.ecg import Rejected
from hemometric.runs.export_selection import Selection, selected_groups
from hemometric.waveform import Preparation, prepare

Array = npt.NDArray[Any]
Batch = tuple[pa.Table, list[Array]]
"""Rows without signals, and the signal of each: float32 [lead, sample] mV, or int16 [lead, sample] counts."""
ABOUT = "hemometric.export"
_ROWS = 256


@dataclass(frozen=True, eq=False)
class Source:
    """Where an export takes its rows from, and as what.

    Attributes
    ----------
    preparation : Preparation or None
        None takes native counts.
    columns : tuple of str
        Beside the signal.
    about : mapping
        What a file says of itself.
    """

    corpus: Corpus
    selection: Selection
    preparation: Preparation | None
    columns: tuple[str, ...]
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def row_schema(self) -> pa.Schema:
        """The columns beside the signal."""
        text = json.dumps(dict(self.about), sort_keys=True)
        return pa.schema([self.corpus.schema.field(name) for name in self.columns], metadata={ABOUT: text})

    @property
    def schema(self) -> pa.Schema:
        """The columns with the signal last: [lead][sample]."""
        return self.row_schema.append(pa.field(SIGNAL, self.signal_type, nullable=False))

    @property
    def signal_type(self) -> pa.DataType:
        """Lists of a fixed length, where all signals have one."""
        if self.preparation is None:
            return pa.list_(pa.list_(pa.int16()))
        return pa.list_(pa.list_(pa.float32(), self.preparation.num_samples), len(self.preparation.leads))

    def batches(self, shard: ShardEntry, rejected: Counter[str]) -> Iterator[Batch]:
        """Read the rows of a shard that are taken, a row group at a time; what cannot be prepared is counted.

        Raises
        ------
        IntegrityError
            The shard is missing or damaged.
        """
        for table in selected_groups(self.corpus, shard, self.selection):
            kept, signals = [], []
            source = str(self.corpus.path / shard.path)
            counts = table[SIGNAL].combine_chunks()
            for place, row in enumerate(rows_of(table.drop_columns([SIGNAL]), source)):
                recording = recording_of(row, counts[place].as_buffer(), source)
                signal = recording.counts if self.preparation is None else prepare(recording, self.preparation)
                if isinstance(signal, Rejected):
                    rejected[signal.reason] += 1
                    continue
                kept.append(place)
                signals.append(signal)
            rows = table.select(list(self.columns)).take(pa.array(kept, pa.int64()))
            yield pa.table(rows.columns, schema=self.row_schema), signals


@dataclass(frozen=True)
class Part:
    """A file to write.

    Attributes
    ----------
    path : str
        Within the folder of the export.
    shard : ShardEntry
        Whose recordings it holds.
    """

    path: str
    split: Split
    shard: ShardEntry


Write = Callable[[Source, Part, Path, Counter[str]], int]
"""``write(source, part, file, rejected)``: the number of rows that the file holds."""


def write_parquet(source: Source, part: Part, file: Path, rejected: Counter[str]) -> int:
    """Write a Parquet file with the signal as a column of lists, [lead][sample]."""
    words = [name for name in source.columns if name != "recording_id" and _is_word(source.schema.field(name).type)]
    options: dict[str, Any] = {"compression": "zstd", "use_dictionary": words, "write_page_checksum": True}
    num_rows = 0
    with pq.ParquetWriter(file, source.schema, **options) as writer:
        for rows, signals in source.batches(part.shard, rejected):
            columns = [*rows.columns, _signal_column(signals, source)]
            writer.write_table(pa.table(columns, schema=source.schema), row_group_size=_ROWS)
            num_rows += len(rows)
    return num_rows


def write_tar(source: Source, part: Part, file: Path, rejected: Counter[str]) -> int:
    """Write ``<recording_id>.npy`` and ``<recording_id>.json`` of each recording, without clock or owner."""
    num_rows = 0
    with tarfile.open(file, "w", format=tarfile.USTAR_FORMAT) as tar:
        for rows, signals in source.batches(part.shard, rejected):
            for row, signal in zip(rows.to_pylist(), signals, strict=True):
                array = io.BytesIO()
                np.lib.format.write_array(array, np.ascontiguousarray(signal), version=(1, 0), allow_pickle=False)
                _add(tar, f"{row['recording_id']}.npy", array.getvalue())
                _add(tar, f"{row['recording_id']}.json", json.dumps(plain(row), sort_keys=True).encode())
            num_rows += len(rows)
    return num_rows


def write_part(source: Source, part: Part, out: Path, write: Write) -> tuple[int, dict[str, int], str]:
    """Write a file under its name, whole or not at all.

    Returns
    -------
    num_rows : int
    rejected : dict
        From a reason code to recordings that could not be prepared.
    sha256 : str

    Raises
    ------
    IntegrityError
        The shard is missing or damaged.
    PrecheckError
        The disk is full.
    """
    rejected: Counter[str] = Counter()
    with replacing(out / part.path) as temporary:
        num_rows = write(source, part, temporary, rejected)
        digest = sha256_of(temporary)
    return num_rows, dict(sorted(rejected.items())), digest


def plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """Give a row as JSON has it: times as text, what is no number as null."""
    return {name: _plain(value) for name, value in row.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, date):
        return value.isoformat()
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _is_word(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_integer(kind))


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))


def _signal_column(signals: Sequence[Array], source: Source) -> pa.Array:
    """Lay signals one after the other, and say where leads and recordings begin."""
    dtype = np.int16 if source.preparation is None else np.float32
    flat = np.concatenate([np.empty(0, dtype), *(signal.reshape(-1) for signal in signals)])
    if source.preparation is not None:
        leads = pa.FixedSizeListArray.from_arrays(pa.array(flat), source.preparation.num_samples)
        return pa.FixedSizeListArray.from_arrays(leads, len(source.preparation.leads))
    lengths = [length for signal in signals for length in [signal.shape[1]] * signal.shape[0]]
    leads = pa.ListArray.from_arrays(_offsets(lengths), pa.array(flat, pa.int16()))
    return pa.ListArray.from_arrays(_offsets([signal.shape[0] for signal in signals]), leads)


def _offsets(lengths: Sequence[int]) -> pa.Array:
    return pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
