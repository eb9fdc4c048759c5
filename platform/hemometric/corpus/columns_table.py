"""Any CSV or Parquet table, by the names of its columns."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Literal

import pyarrow as pa
from pydantic import Field, model_validator

from hemometric.corpus.files import sha256_of
from hemometric.corpus.labels import LabelSpec, check_distinct, made_labels
from hemometric.corpus.metadata import NULLED, MetadataTable, metadata_schema
from hemometric.corpus.metadata_columns import MetadataColumns
from hemometric.corpus.table_files import TableFile, read_columns
from hemometric.ecg import Sex
from hemometric.errors import UsageError
from hemometric.vendors import Root, Source

_EXTENSION = re.compile(r"\.[A-Za-z][A-Za-z0-9]{1,4}$")
_SEXES: dict[str, Sex] = {"female": "female", "f": "female", "male": "male", "m": "male"}


class ColumnsTable(TableFile):
    """A table of your own: say which column holds what.

    Attributes
    ----------
    record : str
        Column with each record's name: a path relative to the source folder, or its end; with or without extension.
    sexes : dict
        What stands in the sex column, case ignored. Other values become absent, and are counted.
    acquired : str or None
        Column with the time of each recording, by which `measurements` are joined; without it, the file's own time.
    labels : dict
        From a label's name in the corpus to where it stands; see `LabelSpec`.
    """

    kind: Literal["columns"] = "columns"
    record: str
    patient: str | None = None
    age: str | None = None
    sex: str | None = None
    site: str | None = None
    fold: str | None = None
    acquired: str | None = None
    sexes: dict[str, Sex] = Field(default_factory=lambda: dict(_SEXES))
    labels: dict[str, LabelSpec] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _sensible(self) -> ColumnsTable:
        check_distinct(made_labels(self.labels))
        return self

    def build(
        self,
        roots: Sequence[Root],  # noqa: ARG002 - one shape for all kinds
        sources: Sequence[Source] = (),  # noqa: ARG002
    ) -> MetadataTable:
        """Read the table; see `read_table`."""
        return read_table(self)


def read_table(config: ColumnsTable) -> MetadataTable:
    """Read a table by the names of its columns.

    Raises
    ------
    UsageError
        The file is missing or damaged, lacks a column, names a record twice and says different things of it, or has
        times of several clocks.
    """
    wanted = [config.record, config.patient, config.age, config.sex, config.site, config.fold, config.acquired]
    wanted += [column for spec in config.labels.values() for column in spec.read_from()]
    columns_read = [name for name in wanted if name is not None]
    table = read_columns(config.path, columns_read, delimiter=config.delimiter, decimal=config.decimal)
    reading = MetadataColumns(table)
    columns: dict[str, pa.Array] = {
        "patient_id": reading.text(config.patient),
        "age_years": reading.age(config.age),
        "sex": reading.sex(config.sex, config.sexes),
        "site": reading.text(config.site),
        "fold": reading.fold(config.fold),
        "acquired": reading.acquired(config.acquired, config.time_format, config.time_zone),
    }
    for name, spec in config.labels.items():
        columns |= reading.label(name, spec)
    columns[NULLED] = reading.nulled()
    labels = made_labels(config.labels)
    rows = pa.table(columns, schema=metadata_schema(labels))
    names = [_normal(name) for name in table.text(config.record).to_pylist()]
    if not any(names):
        raise UsageError(f"table {config.path}: column {config.record!r} names no record")
    repeated = _repeated(names, rows)
    return MetadataTable(
        rows,
        _records(["" if row in repeated else name for row, name in enumerate(names)]),
        labels=labels,
        kind="columns",
        files=(config.path.name,),
        sha256=sha256_of(config.path),
        num_repeated=len(repeated),
    )


def _repeated(names: Sequence[str], rows: pa.Table) -> set[int]:
    """Find the rows that say again what the first row of their record says."""
    count = Counter(names)
    again = [row for row, name in enumerate(names) if name and count[name] > 1]
    said = dict(zip(again, rows.take(pa.array(again, pa.int64())).to_pylist(), strict=True))
    first: dict[str, int] = {}
    return {row for row in again if first.setdefault(names[row], row) != row and said[row] == said[first[names[row]]]}


def _normal(name: str | None) -> str:
    return (name or "").replace("\\", "/").removeprefix("./").strip("/")


def _records(names: Sequence[str]) -> list[tuple[str, int]]:
    """Pair each name with its row, and again without an extension such as ``.hea``, where that stays one row's."""
    bare = [_EXTENSION.sub("", name) for name in names]
    count = Counter([*names, *(form for form, name in zip(bare, names, strict=True) if form != name)])
    full = [(name, row) for row, name in enumerate(names) if name]
    return full + [(form, row) for row, form in enumerate(bare) if form and form != names[row] and count[form] == 1]
