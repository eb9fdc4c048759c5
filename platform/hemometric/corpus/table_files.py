"""CSV and Parquet files into named columns, read as they are written: ``00123`` stays ``00123``."""

from __future__ import annotations

import csv
import difflib
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from hemometric.corpus.schema import refuse_extensions
from hemometric.corpus.typed_columns import ABSENT, TypedColumns
from hemometric.errors import UsageError

_PARQUET_MAGIC = b"PAR1"


def read_columns(path: Path, columns: Sequence[str], *, delimiter: str = ",") -> TypedColumns:
    """Read named columns of a CSV (all as text) or Parquet file (as typed there).

    Raises
    ------
    UsageError
        The file is missing, damaged or not a table, or lacks a column or has it twice; the message proposes the
        nearest name.
    """
    wanted = list(dict.fromkeys(columns))
    is_parquet = False
    try:
        if not path.is_file():
            raise UsageError(f"table {path} does not exist")
        with path.open("rb") as file:
            is_parquet = file.read(4) == _PARQUET_MAGIC
        table = _read_parquet(path, wanted) if is_parquet else _read_csv(path, wanted, delimiter)
    except UnicodeDecodeError:
        raise UsageError(f"table {path} is not UTF-8 text; save it as UTF-8") from None
    except (pa.ArrowException, csv.Error) as error:
        sentence = str(error).splitlines()[0][:200] if isinstance(error, pa.ArrowInvalid) and is_parquet else "damaged"
        raise UsageError(f"table {path} cannot be read as {'Parquet' if is_parquet else 'CSV'}: {sentence}") from None
    except OSError as error:
        raise UsageError(f"table {path} cannot be read: {error.strerror or 'damaged'}") from None
    return TypedColumns(table, path)


def _read_csv(path: Path, wanted: list[str], delimiter: str) -> pa.Table:
    with path.open(encoding="utf-8-sig", newline="") as file:
        header = next(csv.reader(file, delimiter=delimiter), [])
    _need(path, wanted, header)
    return pacsv.read_csv(
        path,
        parse_options=pacsv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        convert_options=pacsv.ConvertOptions(
            column_types=dict.fromkeys(wanted, pa.string()),
            include_columns=wanted,
            null_values=list(ABSENT),
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
    doubled = sorted(name for name in wanted if found.count(name) > 1)
    if doubled:
        raise UsageError(f"table {path}: column {doubled[0]!r} stands twice in its header; rename one")
    missing = [name for name in wanted if name not in found]
    if not missing:
        return
    close = difflib.get_close_matches(missing[0], found, n=1, cutoff=0.6)
    hint = f"did you mean {close[0]!r}?" if close else f"it has {', '.join(map(str, found)) or 'none'}"
    raise UsageError(f"table {path} has no column {missing[0]!r}; {hint}")
