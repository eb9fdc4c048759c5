"""Parquet and Arrow files as they may be read from a stranger: block by block, plain types only."""

from __future__ import annotations

from abc import abstractmethod
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import Any, Protocol

from hemometric.vendors.samples import check_num_items
from hemometric.vendors.source import ReadError, read_bounded

PARQUET_MAGIC = b"PAR1"
ARROW_MAGIC = b"ARROW1\0\0"
MAX_BLOCK_BYTES = 1 << 29
"""Of a row group or record batch, unpacked: its rows can only be reached one after the other, for each again."""

_ROWS_AT_ONCE = 16


class Blocks(Protocol):
    """A table in blocks of rows, of which only some columns are read.

    Attributes
    ----------
    rows, sizes : list of int
        Rows and about the bytes of each block.
    """

    rows: list[int]
    sizes: list[int]

    @abstractmethod
    def pieces(self, block: int, columns: Sequence[str]) -> Iterator[Any]:
        """Give a block as record batches, in order."""


@contextmanager
def opened(path: Path, is_parquet: bool, columns: Sequence[str]) -> Iterator[Blocks]:
    """Open a table that has these columns.

    Raises
    ------
    ReadError
        ``truncated``, ``unreadable``, ``unsafe`` where a column has a type that may carry code, ``no_waveform`` where
        it lacks a column, ``too_large``, ``too_long``: here and for all that is read within the block.
    OSError
        It is missing, no ordinary file, or may not be read.
    """
    import pyarrow as pa

    magic = PARQUET_MAGIC if is_parquet else ARROW_MAGIC
    head = read_bounded(path, len(magic))  # no pipe, no device
    if head != magic:
        raise ReadError("unreadable" if len(head) == len(magic) else "truncated", "the file does not bear its mark")
    num_bytes = path.stat().st_size
    if not read_bounded(path, 16, max(0, num_bytes - 16)).endswith(magic.rstrip(b"\0")):
        raise ReadError("truncated", "the file does not end as it should")
    try:
        with pa.OSFile(str(path)) as file:
            yield _Parquet(file, columns) if is_parquet else _Arrow(file, num_bytes, columns)
    except pa.ArrowMemoryError:
        raise
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError, IndexError):
        # Arrow's own text may hold the path, and values of the file.
        raise ReadError("unreadable", "the table is damaged") from None


def block_of(blocks: Blocks, row: int) -> tuple[int, int]:
    """Find the block of a row, and its place there."""
    ends = list(accumulate(blocks.rows))
    block = bisect_right(ends, row)
    return block, row - (ends[block] - blocks.rows[block])


class _Parquet:
    """A block is a row group."""

    def __init__(self, file: Any, columns: Sequence[str]) -> None:
        import pyarrow.parquet as pq

        self._file = pq.ParquetFile(file, pre_buffer=False, page_checksum_verification=True)
        _check_columns(self._file.schema_arrow, columns)
        groups = [self._file.metadata.row_group(index) for index in range(self._file.metadata.num_row_groups)]
        self.rows = [group.num_rows for group in groups]
        # Not by column: a damaged one ends the process there, since pyarrow 25 lets a C++ exception through.
        self.sizes = [group.total_byte_size for group in groups]
        if min([*self.rows, *self.sizes], default=0) < 0:
            raise ReadError("unreadable", "the table is damaged")
        check_num_items(sum(self.rows))

    def pieces(self, block: int, columns: Sequence[str]) -> Iterator[Any]:
        if self.sizes[block] > MAX_BLOCK_BYTES:
            raise ReadError("too_large", _too_large("a row group", "row_group_size"))
        for batch in self._file.iter_batches(_ROWS_AT_ONCE, [block], list(columns), use_threads=False):
            batch.validate(full=True)
            yield batch


class _Arrow:
    """A block is a record batch."""

    def __init__(self, file: Any, num_bytes: int, columns: Sequence[str]) -> None:
        import pyarrow as pa

        self._file = file
        with pa.ipc.open_file(file) as reader:
            self._schema = reader.schema
            num_blocks = reader.num_record_batches
        _check_columns(self._schema, columns)
        check_num_items(num_blocks)
        self.sizes = [num_bytes // max(1, num_blocks)] * num_blocks
        # The file does not say how many rows a batch has; a column without lists tells it with the least reading.
        flat = (name for name in columns if self._schema.field(name).type.num_fields == 0)
        first = next(flat, columns[0])
        self.rows = [sum(piece.num_rows for piece in self.pieces(block, [first])) for block in range(num_blocks)]
        check_num_items(sum(self.rows))

    def pieces(self, block: int, columns: Sequence[str]) -> Iterator[Any]:
        import pyarrow as pa

        if self.sizes[block] > MAX_BLOCK_BYTES:
            raise ReadError("too_large", _too_large("a record batch", "max_chunksize"))
        fields = [self._schema.get_field_index(name) for name in columns]
        options = pa.ipc.IpcReadOptions(included_fields=fields, use_threads=False)
        with pa.ipc.open_file(self._file, options=options) as reader:
            batch = reader.get_batch(block)
        batch.validate(full=True)  # offsets that leave their buffer would be followed
        yield batch


def _check_columns(schema: Any, columns: Sequence[str]) -> None:
    import pyarrow as pa

    waiting = list(schema)
    while waiting:
        field = waiting.pop()
        if isinstance(field.type, pa.BaseExtensionType):
            raise ReadError("unsafe", "a column has a type of its own, which may carry code")
        waiting += [field.type.field(index) for index in range(field.type.num_fields)]
    for name in columns:
        if schema.names.count(name) != 1:
            raise ReadError("no_waveform", "a column that the config names is not there, or there twice")


def _too_large(what: str, option: str) -> str:
    return f"{what} holds more than {MAX_BLOCK_BYTES >> 20} MB; write it again with {option} of a few hundred ECGs"
