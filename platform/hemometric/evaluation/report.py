"""A report: one HTML file that holds all it shows, opens anywhere and loads nothing.

The content is plain frozen values, so that a report can be put together and tested without drawing it.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from hemometric.evaluation.atomic import write_whole
from hemometric.evaluation.figures.style import to_png, to_svg
from hemometric.evaluation.inline_svg import inline_svg
from hemometric.evaluation.table import Table, laid_out

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Text:
    """Paragraphs, parted by empty lines; ``note`` and ``warning`` stand in a box."""

    body: str
    kind: Literal["plain", "note", "warning"] = "plain"


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


@dataclass(frozen=True)
class Questions:
    """Questions with their answers, one below the other."""

    answers: tuple[tuple[str, str], ...]


Part = Text | Table | Picture | Questions


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
    notes_title : str
        Heading of these.
    facts : tuple of (str, str)
        How the numbers were made: hashes, seeds, commands. Shown at the end.
    """

    title: str
    subtitle: str
    summary: tuple[str, ...]
    sections: tuple[Section, ...]
    key_figures: tuple[KeyFigure, ...] = ()
    notes: tuple[str, ...] = ()
    notes_title: str = "What limits these findings"
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
        paragraphs=paragraphs,
        signed=_signed,
        drawn=_drawn,
        laid_out=laid_out,
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


def paragraphs(body: str) -> list[str]:
    """Part a text at its empty lines."""
    return [" ".join(part.split()) for part in re.split(r"\n\s*\n", body) if part.strip()]


def _signed(line: str) -> str:
    """Negative numbers with a minus sign, as in the tables; hyphens stay."""
    return re.sub(r"(?<!\w)-(?=\d)", "−", line)


def _drawn(shown: Picture, prefix: str) -> Markup:
    if isinstance(shown.content, str):
        return Markup(inline_svg(shown.content, prefix, shown.alt))  # noqa: S704 (checked and rewritten there)
    data = base64.b64encode(shown.content).decode()
    return Markup('<img src="data:image/png;base64,{}" alt="{}">').format(data, shown.alt)
