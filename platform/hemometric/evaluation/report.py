"""A report: one HTML file that holds all it shows, opens anywhere and loads nothing.

The content is plain frozen values, so that a report can be put together and tested without drawing it.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from hemometric.evaluation.atomic import write_whole
from hemometric.evaluation.figures.style import to_png, to_svg
from hemometric.evaluation.inline_svg import inline_svg
from hemometric.evaluation.intervals import Interval

Cell = str | int | float | Interval | None
"""What a table holds: text, a number, an estimate with its interval, or nothing."""

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Text:
    """Paragraphs, parted by empty lines; ``note`` and ``warning`` stand in a box."""

    body: str
    kind: Literal["plain", "note", "warning"] = "plain"


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
    """

    title: str
    unit: str = ""
    digits: int = 2
    signed: bool = False
    best: Literal["highest", "lowest"] | None = None


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


@dataclass(frozen=True)
class Picture:
    """A picture with what it shows (`alt`, for those who cannot see it) and its caption.

    Attributes
    ----------
    content : str or bytes
        SVG text or PNG bytes.
    alt, caption : str
    width : str
        ``full`` or ``half`` of the column; two halves in a row stand side by side.
    """

    content: str | bytes
    alt: str
    caption: str
    width: Literal["full", "half"] = "full"

    def __post_init__(self) -> None:
        if not self.alt.strip():
            raise ValueError(f"picture {self.caption!r}: alt is empty; say in a sentence what it shows")
        if isinstance(self.content, bytes) and not self.content.startswith(_PNG_SIGNATURE):
            raise ValueError(f"picture {self.caption!r}: the bytes are not a PNG")


Part = Text | Table | Picture


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it."""

    title: str
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class KeyFigure:
    """One of the few numbers to take home: ``6.84 mmHg``, ``RMSE on the test split``, ``95 % interval 6.3 to 7.4``."""

    value: str
    label: str
    detail: str = ""


@dataclass(frozen=True)
class Report:
    """All that a report shows.

    Attributes
    ----------
    title, subtitle : str
    summary : tuple of str
        Sentences: what was found, the most important first.
    sections : tuple of Section
    key_figures : tuple of KeyFigure
        At most four read well.
    notes : tuple of str
        What limits the findings; shown right below the summary, not at the end.
    facts : tuple of (str, str)
        How the numbers were made: hashes, seeds, commands. Shown at the end.
    """

    title: str
    subtitle: str
    summary: tuple[str, ...]
    sections: tuple[Section, ...]
    key_figures: tuple[KeyFigure, ...] = ()
    notes: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()


def picture(
    figure: Figure,
    alt: str,
    caption: str,
    *,
    kind: Literal["svg", "png"] = "svg",
    width: Literal["full", "half"] = "full",
    dpi: float = 160,
) -> Picture:
    """Make a `Picture` of a figure: SVG follows the light or dark page; PNG is for very many points."""
    return Picture(to_svg(figure) if kind == "svg" else to_png(figure, dpi), alt, caption, width)


def write_report(report: Report, path: Path) -> Path:
    """Write a report as one self-contained HTML file, whole or not at all.

    Raises
    ------
    ValueError
        A picture holds a script or refers to something outside of it.
    OSError
        The folder cannot be written.
    """
    return write_whole(Path(path), render(report).encode())


def render(report: Report) -> str:
    """Render a report as HTML text; all text in it is escaped."""
    # S701 is about autoescape, which is on.
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(
        paragraphs=_paragraphs,
        signed=_signed,
        drawn=_drawn,
        laid_out=_laid_out,
        kind=lambda part: type(part).__name__,
    )
    template = environment.from_string(resources.files(__package__).joinpath("report.html").read_text(encoding="utf-8"))
    return template.render(report=report, anchors=_anchors([section.title for section in report.sections]))


def _anchors(titles: Sequence[str]) -> list[str]:
    """Ids of the sections: their titles in small letters, with a number where two would be the same."""
    anchors: list[str] = []
    for title in titles:
        anchor = "s-" + (re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or "section")
        repeats = sum(other == anchor or other.startswith(f"{anchor}--") for other in anchors)
        anchors.append(f"{anchor}--{repeats + 1}" if repeats else anchor)
    return anchors


def _paragraphs(body: str) -> list[str]:
    return [" ".join(part.split()) for part in re.split(r"\n\s*\n", body) if part.strip()]


def _signed(line: str) -> str:
    """Negative numbers with a minus sign, as in the tables; hyphens stay."""
    return re.sub(r"(?<!\w)-(?=\d)", "−", line)


def _drawn(shown: Picture, prefix: str) -> Markup:
    if isinstance(shown.content, str):
        return Markup(inline_svg(shown.content, prefix, shown.alt))  # noqa: S704 (checked and rewritten there)
    data = base64.b64encode(shown.content).decode()
    return Markup('<img src="data:image/png;base64,{}" alt="{}">').format(data, shown.alt)


def _laid_out(table: Table) -> dict[str, Any]:
    """Give columns (title, unit, numeric), rows of cells (text, interval, best), and notes that explain what is NaN."""
    by_column = list(zip(*table.rows, strict=True)) or [()] * len(table.columns)
    numeric = [any(isinstance(cell, (int, float, Interval)) for cell in cells) for cells in by_column]
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
    if isinstance(cell, str):
        return cell
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
