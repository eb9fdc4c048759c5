"""Measurements with a time, such as a catheter's, that become labels of the ECGs taken near them.

`measured_rows` reads and cleans the tables once, `pairing` finds the partners of an ECG.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, model_validator

from hemometric.config import Config
from hemometric.corpus.labels import Label, check_distinct, check_range
from hemometric.corpus.quantities import check_units
from hemometric.corpus.table_files import TableFile

DELTA_H = "_delta_h"
"""Ends the name of the label that holds how many hours after the ECG a measurement was taken (negative: before it)."""


class Pair(Config):
    """Which measurements of the same patient belong to an ECG: this is part of what a label means.

    Attributes
    ----------
    before_h, after_h : float
        How many hours before the ECG, and after it, a measurement may have been taken; both ends are within.
        ``before_h: 0`` takes only ECGs that came before the catheter.
    choose : str
        ``nearest`` in time (of two equally near ones the earlier), ``first`` or ``last`` of the window, their
        ``mean``, or ``all``: then the label is a list, which no head learns.
    """

    before_h: float = Field(ge=0)
    after_h: float = Field(ge=0)
    choose: Literal["nearest", "first", "last", "mean", "all"] = "nearest"


class ItemLabel(Config):
    """A label of a long table.

    Attributes
    ----------
    items : tuple of str or int
        What stands in the table's item column: one or several names or numbers of the same quantity.
    unit, source_unit, low, high
        As in `LabelSpec`; the unit column of the table, where a row fills it, goes before `source_unit`.
    """

    items: tuple[str | int, ...] = Field(min_length=1)
    unit: str
    source_unit: str = ""
    low: float | None = None
    high: float | None = None

    @model_validator(mode="after")
    def _sensible(self) -> ItemLabel:
        _check(self)
        return self


class ColumnLabel(Config):
    """A label of a wide table; see `ItemLabel`."""

    column: str
    unit: str
    source_unit: str = ""
    low: float | None = None
    high: float | None = None

    @model_validator(mode="after")
    def _sensible(self) -> ColumnLabel:
        _check(self)
        return self


class LongTable(TableFile):
    """One row is one value: patient, time, item, value, such as MIMIC-IV's ``chartevents``.

    Rows of other items are left out while reading, so that the file may be larger than the memory.

    Attributes
    ----------
    unit : str or None
        Column with the unit of each row.
    """

    kind: Literal["long"] = "long"
    patient: str
    time: str
    item: str
    value: str
    unit: str | None = None
    labels: dict[str, ItemLabel] = Field(min_length=1)
    pair: Pair

    @model_validator(mode="after")
    def _sensible(self) -> LongTable:
        items = [str(item) for spec in self.labels.values() for item in spec.items]
        twice = sorted({item for item in items if items.count(item) > 1})
        if twice:
            raise ValueError(f"item {twice[0]} stands in two places; each item belongs to one label")
        labels_of([self])
        return self


class WideTable(TableFile):
    """One row is one procedure: patient, time, and a column for each value."""

    kind: Literal["wide"] = "wide"
    patient: str
    time: str
    labels: dict[str, ColumnLabel] = Field(min_length=1)
    pair: Pair

    @model_validator(mode="after")
    def _sensible(self) -> WideTable:
        labels_of([self])
        return self


MeasurementTable = Annotated[LongTable | WideTable, Field(discriminator="kind")]


def labels_of(tables: Sequence[LongTable | WideTable]) -> tuple[Label, ...]:
    """Give the labels that an ingest gets from measurement tables: each value, and its distance in hours.

    Raises
    ------
    ValueError
        Two tables give one label.
    """
    labels: list[Label] = []
    for table in tables:
        kind: Literal["numbers", "number"] = "numbers" if table.pair.choose == "all" else "number"
        for name, spec in table.labels.items():
            labels.append(Label(name=name, kind=kind, unit=spec.unit, low=spec.low, high=spec.high))
            labels.append(Label(name=name + DELTA_H, kind=kind, unit="h"))
    check_distinct(tuple(labels))
    return tuple(labels)


def _check(spec: ItemLabel | ColumnLabel) -> None:
    check_range("number", spec.low, spec.high)
    check_units(spec.unit, spec.source_unit)
