"""Columns of table files, a part at a time: Parquet, Arrow, NumPy, SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

_BATCH_BYTES = 1 << 23
_MAX_BATCH_ROWS = 1 << 16
_SQLITE_ROWS = 1000


@dataclass(frozen=True, eq=False)
class Column:
    """Some values of a column.

    Attributes
    ----------
    part : str
        What of the column it is, where these are not its rows.
    table : str
        Where a file holds several.
    """

    name: str
    values: pa.Array
    first_row: int
    part: str = ""
    table: str = ""


def parquet_columns(file: IO[bytes]) -> Iterator[Column]:
    """Give all values, and the dictionaries of row groups, which may hold values that no row has any more.

    Names, metadata and statistics are not packed: they are found among the file's bytes.
    """
    with pq.ParquetFile(file) as table:
        metadata = table.metadata
        size = sum(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
        row_bytes = max(1, size // max(1, metadata.num_rows))
        yield from batch_columns(
            table.iter_batches(batch_size=max(16, min(_MAX_BATCH_ROWS, _BATCH_BYTES // row_bytes)))
        )
        named = [
            {metadata.row_group(group).column(leaf).path_in_schema
             for leaf in range(metadata.num_columns) if _has_dictionary(metadata.row_group(group).column(leaf))}
            for group in range(metadata.num_row_groups)
        ]  # fmt: skip
    if any(named):
        file.seek(0)
        with pq.ParquetFile(file, read_dictionary=sorted(set().union(*named))) as table:
            for group, names in enumerate(named):
                # The first row comes with the whole dictionary.
                for name in sorted(names):
                    for batch in table.iter_batches(batch_size=1, row_groups=[group], columns=[name]):
                        for values in batch.columns:
                            yield from (
                                Column(name, one, 0, f", dictionary of row group {group}")
                                for one in _dictionaries(values)
                            )
                        break


def _has_dictionary(chunk: pq.ColumnChunkMetaData) -> bool:
    return chunk.physical_type == "BYTE_ARRAY" and bool(chunk.has_dictionary_page)


def _dictionaries(array: pa.Array) -> Iterator[pa.Array]:
    """Give the dictionaries in an array, however nested."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        yield array.dictionary
    elif pa.types.is_struct(kind):
        for child in array.flatten():
            yield from _dictionaries(child)
    elif pa.types.is_map(kind):
        yield from _dictionaries(array.keys)
        yield from _dictionaries(array.items)
    elif kind.num_fields == 1:
        yield from _dictionaries(array.values)


def batch_columns(batches: Iterable[pa.RecordBatch]) -> Iterator[Column]:
    """Give the columns of record batches."""
    first_row = 0
    for batch in batches:
        for name, values in zip(batch.schema.names, batch.columns, strict=True):
            yield Column(name, values, first_row)
        first_row += batch.num_rows


def npy_values(file: IO[bytes]) -> Iterator[tuple[int, pa.Array]]:
    """Give the numbers and times of a NumPy file with the place of the first of each part.

    Raises
    ------
    ValueError
        It is none.
    """
    version = np.lib.format.read_magic(file)
    read_header: Any = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    _, _, dtype = read_header(file)
    if dtype.hasobject or dtype.kind not in "iufM":
        return
    first = 0
    while chunk := _read_whole(file, _MAX_BATCH_ROWS * dtype.itemsize):
        values = np.frombuffer(chunk, dtype, len(chunk) // dtype.itemsize)
        values = values.astype(dtype.newbyteorder("="))
        if dtype.kind == "M":
            values = values.astype("datetime64[D]")
        yield first, pa.array(values)
        first += len(values)


def _read_whole(file: IO[bytes], num_bytes: int) -> bytes:
    """Read so many bytes, fewer only at the end."""
    parts = []
    while num_bytes and (part := file.read(num_bytes)):
        parts.append(part)
        num_bytes -= len(part)
    return b"".join(parts)


def sqlite_columns(database: sqlite3.Connection) -> Iterator[Column]:
    """Give the values of all tables, texts and blobs as bytes beside whole numbers and others."""
    database.text_factory = bytes
    names = database.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall()
    for (raw,) in names:
        table = raw.decode("utf-8", "replace")
        quoted = '"' + table.replace('"', '""') + '"'
        cursor = database.execute(f"SELECT * FROM {quoted}")  # noqa: S608 - quoted, and the database is read only
        columns = [str(item[0]) for item in cursor.description]
        first_row = 0
        while rows := cursor.fetchmany(_SQLITE_ROWS):
            for name, values in zip(columns, zip(*rows, strict=True), strict=True):
                for kind, arrow in ((bytes, pa.large_binary()), (int, pa.int64()), (float, pa.float64())):
                    if any(isinstance(value, kind) for value in values):
                        chosen = [value if isinstance(value, kind) else None for value in values]
                        yield Column(name, pa.array(chosen, arrow), first_row, table=table)
            first_row += len(rows)
