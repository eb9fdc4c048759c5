"""Columns of a table into the fields of `metadata.MetadataTable`; what is not believed is remembered, to be counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hemometric.corpus.clocks import TIMESTAMP
from hemometric.corpus.coded_cells import Likelihoods
from hemometric.corpus.labels import LabelSpec
from hemometric.corpus.metadata import UNREADABLE
from hemometric.corpus.quantities import factor
from hemometric.corpus.typed_columns import TypedColumns
from hemometric.ecg import Sex

MAX_AGE_YEARS = 130


class MetadataColumns:
    """Reads the columns of one table, and remembers in which rows a value was refused."""

    def __init__(self, table: TypedColumns) -> None:
        self._table = table
        self._refused: dict[str, pa.Array] = {}

    def text(self, column: str | None) -> pa.Array:
        """Give trimmed text."""
        return self._absent(pa.string()) if column is None else self._table.text(column)

    def age(self, column: str | None) -> pa.Array:
        """Give years, 90 for all above 89."""
        if column is None:
            return self._absent(pa.float64())
        age, unread = self._table.numbers(column)
        age, beyond = kept_within(age, 0, MAX_AGE_YEARS)
        self.refuse("age_years", beyond, unread)
        return pc.if_else(pc.greater(age, 89.0), 90.0, age)

    def sex(self, column: str | None, sexes: Mapping[str, Sex]) -> pa.Array:
        """Give ``female`` and ``male``, by what stands for them."""
        if column is None:
            return self._absent(pa.string())
        meaning = {word.casefold(): sex for word, sex in sexes.items()}
        text = self._table.text(column)
        sex = pa.array(
            [None if word is None else meaning.get(word.casefold()) for word in text.to_pylist()], pa.string()
        )
        self._refused["sex" + UNREADABLE] = pc.and_(pc.is_valid(text), pc.is_null(sex))
        return sex

    def fold(self, column: str | None) -> pa.Array:
        """Give whole numbers."""
        if column is None:
            return self._absent(pa.int32())
        numbers, self._refused["fold" + UNREADABLE] = self._table.whole(column)
        return numbers

    def acquired(self, column: str | None, time_format: str, time_zone: str | None) -> pa.Array:
        """Give the wall clock of each recording."""
        if column is None:
            return self._absent(TIMESTAMP)
        times, self._refused["acquired" + UNREADABLE] = self._table.times(column, time_format, time_zone)
        return times

    def label(self, name: str, spec: LabelSpec) -> dict[str, pa.Array]:
        """Give the columns of one label."""
        made = spec.made(name)
        column = made[0].column
        if spec.kind == "number":
            numbers, beyond, unread = in_unit(self._table, spec)
            self.refuse(column, beyond, unread)
            return {column: numbers}
        if spec.columns:
            codes, self._refused[column + UNREADABLE] = _flagged(self._table, spec.columns)
            return {column: codes}
        if not spec.likelihoods:
            return {column: self._table.codes(spec.column, spec.separator)}
        cells, self._refused[column + UNREADABLE] = self._table.likelihoods(spec.column, spec.separator)
        kept = [_at_least(cell, spec.min_likelihood) for cell in cells]
        return dict(zip((column, made[1].column), as_columns(kept), strict=True))

    def refuse(self, field: str, beyond: pa.Array, unread: pa.Array) -> None:
        """Remember in which rows a field's value was out of range, and in which it could not be read, bool [row]."""
        self._refused |= {field: beyond, field + UNREADABLE: unread}

    def nulled(self) -> pa.Array:
        """Give the names of the refused fields of each row."""
        lists: list[list[str]] = [[] for _ in range(self._table.num_rows)]
        for field, refused in self._refused.items():
            for row in np.flatnonzero(refused.to_numpy(zero_copy_only=False)):
                lists[row].append(field)
        return pa.array(lists, pa.list_(pa.string()))

    def _absent(self, kind: pa.DataType) -> pa.Array:
        return pa.nulls(self._table.num_rows, kind)


def in_unit(table: TypedColumns, spec: LabelSpec) -> tuple[pa.Array, pa.Array, pa.Array]:
    """Give a column in the label's unit, null where it is out of range; where it was, and where it cannot be read."""
    numbers, unread = table.numbers(spec.column)
    numbers = pc.multiply(numbers, factor(spec.source_unit or spec.unit, spec.unit) or 1.0)
    return *kept_within(numbers, spec.low, spec.high), unread


def kept_within(numbers: pa.Array, low: float | None, high: float | None) -> tuple[pa.Array, pa.Array]:
    """Give numbers, null where they are out of range; and where they were."""
    kept = pa.array(within(numbers.to_numpy(zero_copy_only=False), low, high))
    return pc.if_else(kept, numbers, None), pc.and_(pc.is_valid(numbers), pc.invert(kept))


def within(numbers: npt.NDArray[np.float64], low: float | None, high: float | None) -> npt.NDArray[np.bool_]:
    """Find the finite numbers from `low` to `high`; float64 [row] with NaN where there is none."""
    found: npt.NDArray[np.bool_] = np.isfinite(numbers)
    if low is not None:
        found &= numbers >= low
    if high is not None:
        found &= numbers <= high
    return found


def as_columns(cells: Sequence[Likelihoods | None]) -> tuple[pa.Array, pa.Array]:
    """Turn codes with likelihoods into sorted codes, and the likelihood of each in that order."""
    codes = [None if cell is None else sorted(cell) for cell in cells]
    numbers = [None if cell is None else [cell[code] for code in sorted(cell)] for cell in cells]
    return pa.array(codes, pa.list_(pa.string())), pa.array(numbers, pa.list_(pa.float64()))


def _at_least(cell: Likelihoods | None, low: float | None) -> Likelihoods | None:
    if cell is None or low is None:
        return cell
    return {code: likelihood for code, likelihood in cell.items() if likelihood is not None and likelihood >= low}


def _flagged(table: TypedColumns, columns: Sequence[str]) -> tuple[pa.Array, pa.Array]:
    """Turn columns that say yes or no into sets of their names, absent where one of them says neither."""
    answers = [table.yes_no(column) for column in columns]
    refused = np.any([bad.to_numpy(zero_copy_only=False) for _, bad in answers], axis=0)
    rows = zip(*(answer.to_pylist() for answer, _ in answers), strict=True)
    sets = [
        None if None in row else sorted(name for name, is_set in zip(columns, row, strict=True) if is_set)
        for row in rows
    ]
    return pa.array(sets, pa.list_(pa.string())), pa.array(refused, pa.bool_())
