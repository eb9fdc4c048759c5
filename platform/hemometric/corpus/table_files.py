"""CSV and Parquet tables as columns of text or numbers, read as they are written: ``00123`` stays ``00123``."""

from __future__ import annotations

import csv
import difflib
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from hemometric.corpus.schema import refuse_extensions
from hemometric.errors import UsageError

_ABSENT = ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "<NA>"]
_NUMBER = r"^[ ]*[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?[ ]*$"
_WHOLE_AS_FLOAT = r"^[-+]?[0-9]+\.0$"
_PARQUET_MAGIC = b"PAR1"


def read_columns(path: Path, columns: Sequence[str], *, delimiter: str = ",") -> pa.Table:
    """Read named columns of a CSV (all as text) or Parquet file (as typed there).

    Raises
    ------
    UsageError
        The file is missing, damaged or not a table, or lacks a column; the message proposes the nearest name.
    """
    if not path.is_file():
        raise UsageError(f"table {path} does not exist")
    wanted = list(dict.fromkeys(columns))
    try:
        with path.open("rb") as file:
            is_parquet = file.read(4) == _PARQUET_MAGIC
        return _read_parquet(path, wanted) if is_parquet else _read_csv(path, wanted, delimiter)
    except UnicodeDecodeError:
        raise UsageError(f"table {path} is not UTF-8 text; save it as UTF-8") from None
    except (pa.ArrowException, csv.Error) as error:
        sentence = str(error).splitlines()[0][:200] if isinstance(error, pa.ArrowInvalid) and is_parquet else "damaged"
        raise UsageError(f"table {path} cannot be read as {'Parquet' if is_parquet else 'CSV'}: {sentence}") from None
    except OSError as error:
        raise UsageError(f"table {path} cannot be read: {error.strerror or 'damaged'}") from None


def _read_csv(path: Path, wanted: list[str], delimiter: str) -> pa.Table:
    with path.open(encoding="utf-8-sig", newline="") as file:
        header = next(csv.reader(file, delimiter=delimiter), [])
    _need(path, wanted, header)
    doubled = sorted({name for name in wanted if header.count(name) > 1})
    if doubled:
        raise UsageError(f"table {path}: column {doubled[0]!r} stands twice in its header; rename one")
    return pacsv.read_csv(
        path,
        parse_options=pacsv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        convert_options=pacsv.ConvertOptions(
            column_types=dict.fromkeys(wanted, pa.string()),
            include_columns=wanted,
            null_values=_ABSENT,
            strings_can_be_null=True,
        ),
    )


def _read_parquet(path: Path, wanted: list[str]) -> pa.Table:
    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow
        _need(path, wanted, schema.names)
        refuse_extensions(pa.schema([schema.field(name) for name in wanted]), f"table {path}")
        return file.read(columns=wanted)


def _need(path: Path, wanted: Sequence[str], found: Sequence[str]) -> None:
    missing = [name for name in wanted if name not in found]
    if not missing:
        return
    close = difflib.get_close_matches(missing[0], found, n=1, cutoff=0.6)
    hint = f"did you mean {close[0]!r}?" if close else f"it has {', '.join(map(str, found)) or 'none'}"
    raise UsageError(f"table {path} has no column {missing[0]!r}; {hint}")


def as_text(column: pa.ChunkedArray) -> pa.Array:
    """Give text, null where empty; a column of whole numbers kept as floats (``15709.0``) loses its ``.0``."""
    column = _plain(column)
    if pa.types.is_floating(column.type):
        whole = pc.all(pc.equal(pc.floor(column), column)).as_py()
        column = pc.cast(column, pa.int64()) if whole else column
    text = pc.utf8_trim_whitespace(pc.cast(column, pa.string()))
    text = pc.if_else(pc.equal(text, ""), None, text)
    if pc.all(pc.match_substring_regex(text, _WHOLE_AS_FLOAT)).as_py():
        text = pc.utf8_slice_codeunits(text, 0, -2)
    return text


def as_numbers(column: pa.ChunkedArray) -> tuple[pa.Array, pa.Array]:
    """Give finite float64 numbers, and where a value stood that is none."""
    column = _plain(column)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        readable = pc.fill_null(pc.match_substring_regex(column, _NUMBER), False)
        numbers = pc.cast(pc.utf8_trim_whitespace(pc.if_else(readable, column, None)), pa.float64())
    else:
        numbers = pc.cast(column, pa.float64(), safe=False)
        column = pc.if_else(pc.is_nan(numbers), None, numbers)  # a Parquet NaN is how pandas writes "absent"
    numbers = pc.if_else(pc.fill_null(pc.is_finite(numbers), False), numbers, None)
    return numbers, pc.and_(pc.is_valid(column), pc.is_null(numbers))


def within(numbers: pa.Array, refused: pa.Array, low: float | None, high: float | None) -> tuple[pa.Array, pa.Array]:
    """Null the numbers outside of [low, high]; the second array says where a value was refused."""
    outside = pa.array([False] * len(numbers)) if len(numbers) else pa.array([], pa.bool_())
    if low is not None:
        outside = pc.or_(outside, pc.fill_null(pc.less(numbers, low), False))
    if high is not None:
        outside = pc.or_(outside, pc.fill_null(pc.greater(numbers, high), False))
    return pc.if_else(outside, None, numbers), pc.or_(refused, outside)


def as_codes(column: pa.ChunkedArray, separator: str) -> pa.Array:
    """Give sorted sets of codes, from lists or from text with a separator; null where there is no cell."""
    column = _plain(column)
    is_text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    sets: list[list[str] | None] = []
    for value in column.to_pylist():
        parts = value.split(separator) if is_text and value is not None else value
        sets.append(None if parts is None else sorted({str(part).strip() for part in parts if str(part or "").strip()}))
    return pa.array(sets, pa.list_(pa.string()))


def _plain(column: pa.ChunkedArray) -> pa.Array:
    """Join the chunks and unpack a dictionary encoding."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return pc.cast(array, array.type.value_type) if pa.types.is_dictionary(array.type) else array
