"""Any CSV or Parquet table, by the names of its columns."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, field_validator

from hemometric.config import PLACEMENT, Config
from hemometric.corpus.files import sha256_of
from hemometric.corpus.labels import LabelSpec, checked_name
from hemometric.corpus.metadata import NULLED, MetadataTable, metadata_schema
from hemometric.corpus.table_files import read_columns
from hemometric.corpus.typed_columns import TypedColumns
from hemometric.ecg import Sex
from hemometric.errors import UsageError

_EXTENSION = re.compile(r"\.[A-Za-z][A-Za-z0-9]{1,4}$")
_SEXES: dict[str, Sex] = {"female": "female", "f": "female", "male": "male", "m": "male"}


class ColumnsTable(Config):
    """A table of your own: say which column holds what.

    Attributes
    ----------
    record : str
        Column with each record's name: a path relative to the source folder, or its end; with or without extension.
    sexes : dict
        What stands in the sex column, case ignored. Other values become absent, and are counted.
    labels : dict
        From a label's name in the corpus to its column, kind, unit and plausible range.
    """

    kind: Literal["columns"] = "columns"
    path: Annotated[Path, PLACEMENT]
    record: str
    patient: str | None = None
    age: str | None = None
    sex: str | None = None
    site: str | None = None
    fold: str | None = None
    sexes: dict[str, Sex] = Field(default_factory=lambda: dict(_SEXES))
    labels: dict[str, LabelSpec] = Field(default_factory=dict)
    delimiter: str = ","

    @field_validator("delimiter")
    @classmethod
    def _one_sign(cls, delimiter: str) -> str:
        if len(delimiter) != 1 or not delimiter.isascii() or delimiter in '"\r\n':
            raise ValueError('delimiter must be one ASCII character, such as "," or ";" or a tab, and no quote')
        return delimiter

    @field_validator("labels")
    @classmethod
    def _named(cls, labels: dict[str, LabelSpec]) -> dict[str, LabelSpec]:
        for name in labels:
            checked_name(name)
        return labels

    def build(self, roots: Sequence[Path]) -> MetadataTable:  # noqa: ARG002 - one shape for all kinds
        """Read the table; see `read_table`."""
        return read_table(self)


def read_table(config: ColumnsTable) -> MetadataTable:
    """Read a table by the names of its columns.

    Raises
    ------
    UsageError
        The file is missing or damaged, lacks a column, or names a record twice.
    """
    wanted = [config.record, config.patient, config.age, config.sex, config.site, config.fold]
    wanted += [spec.column for spec in config.labels.values()]
    table = read_columns(config.path, [name for name in wanted if name is not None], delimiter=config.delimiter)
    labels = [spec.named(name) for name, spec in config.labels.items()]
    reading = _Reading(table)
    columns: dict[str, pa.Array] = {
        "patient_id": reading.text(config.patient),
        "age_years": reading.age(config.age),
        "sex": reading.sex(config.sex, config.sexes),
        "site": reading.text(config.site),
        "fold": reading.fold(config.fold),
    }
    for label, spec in zip(labels, config.labels.values(), strict=True):
        if spec.kind == "codes":
            columns[label.column] = table.codes(spec.column, spec.separator)
        else:
            columns[label.column] = reading.numbers(label.column, spec.column, spec.low, spec.high)
    columns[NULLED] = reading.nulled()
    names = [_normal(name) for name in table.text(config.record).to_pylist()]
    if not any(names):
        raise UsageError(f"table {config.path}: column {config.record!r} names no record")
    return MetadataTable(
        pa.table(columns, schema=metadata_schema(labels)),
        _records(names),
        labels=labels,
        kind="columns",
        files=(config.path.name,),
        sha256=sha256_of(config.path),
    )


class _Reading:
    """Reads the columns of one table, and remembers in which rows a value was refused."""

    def __init__(self, table: TypedColumns) -> None:
        self._table = table
        self._refused: dict[str, pa.Array] = {}

    def text(self, column: str | None) -> pa.Array:
        return self._absent(pa.string()) if column is None else self._table.text(column)

    def numbers(self, field: str, column: str, low: float | None, high: float | None) -> pa.Array:
        numbers, self._refused[field] = self._table.numbers(column, low, high)
        return numbers

    def age(self, column: str | None) -> pa.Array:
        if column is None:
            return self._absent(pa.float64())
        age = self.numbers("age_years", column, 0, 130)
        return pc.if_else(pc.greater(age, 89.0), 90.0, age)

    def sex(self, column: str | None, sexes: dict[str, Sex]) -> pa.Array:
        if column is None:
            return self._absent(pa.string())
        meaning = {word.casefold(): sex for word, sex in sexes.items()}
        text = self._table.text(column)
        sex = pa.array(
            [None if word is None else meaning.get(word.casefold()) for word in text.to_pylist()], pa.string()
        )
        self._refused["sex"] = pc.and_(pc.is_valid(text), pc.is_null(sex))
        return sex

    def fold(self, column: str | None) -> pa.Array:
        if column is None:
            return self._absent(pa.int32())
        numbers, self._refused["fold"] = self._table.whole(column)
        return numbers

    def nulled(self) -> pa.Array:
        """Give the names of the refused fields of each row."""
        lists: list[list[str]] = [[] for _ in range(self._table.num_rows)]
        for field, refused in self._refused.items():
            for row in np.flatnonzero(refused.to_numpy(zero_copy_only=False)):
                lists[row].append(field)
        return pa.array(lists, pa.list_(pa.string()))

    def _absent(self, kind: pa.DataType) -> pa.Array:
        return pa.nulls(self._table.num_rows, kind)


def _normal(name: str | None) -> str:
    return (name or "").replace("\\", "/").removeprefix("./").strip("/")


def _records(names: Sequence[str]) -> list[tuple[str, int]]:
    """Pair each name with its row, and again without an extension such as ``.hea``, where that stays one row's."""
    bare = [_EXTENSION.sub("", name) for name in names]
    count = Counter([*names, *(form for form, name in zip(bare, names, strict=True) if form != name)])
    full = [(name, row) for row, name in enumerate(names) if name]
    return full + [(form, row) for row, form in enumerate(bare) if form and form != names[row] and count[form] == 1]
