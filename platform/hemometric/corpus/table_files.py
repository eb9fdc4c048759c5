"""CSV and Parquet files into named columns, read as they are written: ``00123`` stays ``00123``."""

from __future__ import annotations

import csv
import difflib
import gzip
import io
import re
import zlib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from pydantic import field_validator, model_validator

from hemometric.config import PLACEMENT, Added, Config
from hemometric.corpus.clocks import ISO, check_clock
from hemometric.corpus.schema import refuse_extensions
from hemometric.corpus.typed_columns import ABSENT, Decimal, TypedColumns
from hemometric.errors import UsageError

_PARQUET_MAGIC = b"PAR1"
_GZIP_MAGIC = b"\x1f\x8b"
_MAX_HEADER = 1 << 20
_NUMERIC = re.compile(r"[-+]?[0-9][-0-9.,:/ ]*")


class TableFile(Config):
    """Where a table lies, and how its text is to be read.

    Attributes
    ----------
    path : Path
        CSV, also packed with gzip, or Parquet.
    time_format, time_zone : str
        See `clocks.wall_clock`: ``iso`` or a format of `strptime`; the clock to which times with a zone are brought.
    delimiter : str
        What stands between the columns of a CSV file.
    decimal : "." or ","
        ``,`` reads the numbers of columns that say ``26,2``; another delimiter is needed then.
    """

    path: Annotated[Path, PLACEMENT]
    time_format: str = ISO
    time_zone: str | None = None
    delimiter: str = ","
    decimal: Annotated[Decimal, Added(".")] = "."

    @field_validator("delimiter")
    @classmethod
    def _one_sign(cls, delimiter: str) -> str:
        if len(delimiter) != 1 or not delimiter.isascii() or delimiter in '"\r\n':
            raise ValueError('delimiter must be one ASCII character, such as "," or ";" or a tab, and no quote')
        return delimiter

    @model_validator(mode="after")
    def _readable(self) -> Self:
        check_clock(self.time_format, self.time_zone)
        if self.decimal == self.delimiter:
            raise ValueError(f'decimal and delimiter are both {self.decimal!r}; such tables mostly have delimiter ";"')
        return self


def read_columns(
    path: Path,
    columns: Sequence[str],
    *,
    delimiter: str = ",",
    decimal: Decimal = ".",
    only: tuple[str, Collection[str]] | None = None,
) -> TypedColumns:
    """Read named columns of a CSV (all as text; gzip is seen through) or Parquet file (as typed there).

    Parameters
    ----------
    decimal : "." or ","
        Of numbers that are text; see `TypedColumns`.
    only : (str, collection of str) or None
        A column, and what must stand in it: other rows are left out while reading, so that the file may be far
        larger than the memory.

    Raises
    ------
    UsageError
        The file is missing, damaged or not a table, or lacks a column or has it twice; the message proposes the
        nearest name.
    """
    wanted = list(dict.fromkeys(columns))
    kind = "CSV"
    try:
        if not path.is_file():
            raise UsageError(f"table {path} does not exist")
        with path.open("rb") as file:
            magic = file.read(4)
        kind = "Parquet" if magic == _PARQUET_MAGIC else "CSV"
        if kind == "Parquet":
            table = _read_parquet(path, wanted, only)
        else:
            table = _read_csv(path, wanted, delimiter, only, is_gzip=magic.startswith(_GZIP_MAGIC))
    except UnicodeDecodeError:
        raise UsageError(f"table {path} is not UTF-8 text; save it as UTF-8") from None
    except (pa.ArrowException, csv.Error, EOFError, zlib.error) as error:
        sentence = str(error).splitlines()[0][:200] if isinstance(error, pa.ArrowInvalid) else "damaged"
        sentence = sentence if kind == "Parquet" else "damaged"  # a parser of text quotes the row that it stumbled at
        raise UsageError(f"table {path} cannot be read as {kind}: {sentence}") from None
    except OSError as error:
        raise UsageError(f"table {path} cannot be read: {error.strerror or 'damaged'}") from None
    return TypedColumns(table, path, decimal)


def _read_csv(
    path: Path, wanted: list[str], delimiter: str, only: tuple[str, Collection[str]] | None, *, is_gzip: bool
) -> pa.Table:
    with path.open("rb") as raw:
        binary = gzip.GzipFile(fileobj=raw) if is_gzip else raw
        file = io.TextIOWrapper(binary, encoding="utf-8-sig", newline="")
        # No header is longer, and a file without line ends would be read to its end.
        header = next(csv.reader(io.StringIO(file.read(_MAX_HEADER), newline=""), delimiter=delimiter), [])
    _need(path, wanted, header)
    options = {
        "parse_options": pacsv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        "convert_options": pacsv.ConvertOptions(
            column_types=dict.fromkeys(wanted, pa.string()),
            include_columns=wanted,
            null_values=list(ABSENT),
            strings_can_be_null=True,
        ),
    }
    with pa.input_stream(str(path), compression="gzip" if is_gzip else None) as stream:
        if only is None:
            return pacsv.read_csv(stream, **options)
        with pacsv.open_csv(stream, **options) as batches:
            return pa.Table.from_batches(
                [_only(batch, only, path) for batch in batches], pa.schema([(name, pa.string()) for name in wanted])
            )


def _read_parquet(path: Path, wanted: list[str], only: tuple[str, Collection[str]] | None) -> pa.Table:
    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow
        _need(path, wanted, schema.names)
        refuse_extensions(pa.schema([schema.field(name) for name in wanted]), f"table {path}")
        if only is None:
            return file.read(columns=wanted)
        batches = [_only(batch, only, path).select(wanted) for batch in file.iter_batches(columns=wanted)]
        return pa.Table.from_batches(batches, None if batches else pa.schema([schema.field(name) for name in wanted]))


def _only(batch: pa.RecordBatch, only: tuple[str, Collection[str]], path: Path) -> pa.RecordBatch:
    column, values = only
    text = TypedColumns(pa.Table.from_batches([batch]), path).text(column)
    return batch.filter(pc.is_in(text, pa.array(sorted(values), pa.string())))


def _need(path: Path, wanted: Sequence[str], found: Sequence[str]) -> None:
    doubled = sorted(name for name in wanted if found.count(name) > 1)
    if doubled:
        raise UsageError(f"table {path}: column {doubled[0]!r} stands twice in its header; rename one")
    missing = [name for name in wanted if name not in found]
    if not missing:
        return
    close = difflib.get_close_matches(missing[0], found, n=1, cutoff=0.6)
    hint = f"did you mean {close[0]!r}?" if close else f"it has {', '.join(map(str, found)) or 'none'}"
    if not close and any(map(_NUMERIC.fullmatch, found)):  # without a header, these would be the values of a patient
        hint = f"some of the {len(found)} names in its first row are numbers: give it a header, if it has none"
    raise UsageError(f"table {path} has no column {missing[0]!r}; {hint}")
