"""Tables of a report: what stands in them, and how numbers are written."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from hemometric.evaluation.intervals import Interval
from hemometric.evaluation.spark import Spark

Cell = str | int | float | Interval | Spark | None
"""What a table holds: text, a number, an estimate with its interval, a small histogram, or nothing."""


@dataclass(frozen=True)
class Column:
    """A table's column.

    Attributes
    ----------
    title : str
    unit : str
        Shown below the title.
    digits : int
        Decimals of its numbers; whole numbers given as int keep none.
    signed : bool
        Show the sign of positive numbers: for differences.
    best : str or None
        ``highest`` or ``lowest``: the best estimate of the column is emphasised.
    numeric : bool
        It holds numbers, though they may come as text; columns with a number are such in any case.
    """

    title: str
    unit: str = ""
    digits: int = 2
    signed: bool = False
    best: Literal["highest", "lowest"] | None = None
    numeric: bool = False


@dataclass(frozen=True)
class Table:
    """A table with its caption; `notes` stand below it."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"table {self.caption!r}: a row has {len(row)} cells for {len(self.columns)} columns")


def laid_out(table: Table) -> dict[str, Any]:
    """Give columns (title, unit, numeric), rows of cells (text, interval, best), and notes that explain what is NaN."""
    by_column = list(zip(*table.rows, strict=True)) or [()] * len(table.columns)
    numeric = [
        column.numeric or any(isinstance(cell, (int, float, Interval)) for cell in cells)
        for column, cells in zip(table.columns, by_column, strict=True)
    ]
    best = [_best(column, cells) for column, cells in zip(table.columns, by_column, strict=True)]
    reasons: dict[str, dict[str, list[str]]] = {}
    rows = []
    for row in table.rows:
        cells = []
        for column, cell, top in zip(table.columns, row, best, strict=True):
            estimate = _number(cell)
            cells.append(
                {
                    "text": _cell_text(column, cell),
                    "interval": _interval_text(column, cell),
                    "drawn": cell.markup() if isinstance(cell, Spark) else "",
                    "best": estimate is not None and estimate == top,
                }
            )
            if isinstance(cell, Interval) and cell.reason:
                reasons.setdefault(cell.reason, {}).setdefault(column.title, []).append(str(row[0]))
        rows.append(cells)
    notes = list(table.notes)
    for reason, where in reasons.items():
        places = [title if len(of) == len(rows) else f"{title} of {' and '.join(of)}" for title, of in where.items()]
        notes.append(f"{', '.join(places)}: {reason}.")
    columns = [
        {"title": column.title, "unit": column.unit, "numeric": is_numeric}
        for column, is_numeric in zip(table.columns, numeric, strict=True)
    ]
    return {"columns": columns, "rows": rows, "notes": notes}


def _number(cell: Cell) -> float | None:
    """The cell's number if it has a finite one."""
    value = cell.estimate if isinstance(cell, Interval) else cell
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None


def _best(column: Column, cells: Sequence[Cell]) -> float | None:
    numbers = [number for number in map(_number, cells) if number is not None]
    if column.best is None or len(numbers) < 2:
        return None
    return max(numbers) if column.best == "highest" else min(numbers)


def _cell_text(column: Column, cell: Cell) -> str:
    if cell is None:
        return "–"
    if isinstance(cell, (str, Spark)):
        return str(cell)
    number = _number(cell)
    if number is None:
        return "n/a"
    return f"{cell:,}" if isinstance(cell, int) else _formatted(column, number)


def _interval_text(column: Column, cell: Cell) -> str:
    if not isinstance(cell, Interval) or math.isnan(cell.low):
        return ""
    return f"[{_formatted(column, cell.low)}, {_formatted(column, cell.high)}]"


def _formatted(column: Column, number: float) -> str:
    text = f"{number:{'+' if column.signed else ''},.{column.digits}f}"
    # What rounds to zero has no sign.
    if not text.strip("+-0.,"):
        text = text.lstrip("+-")
    return text.replace("-", "−")
