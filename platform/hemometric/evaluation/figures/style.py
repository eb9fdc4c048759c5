"""One look for all figures: calm axes, a palette that colour-blind readers can tell apart, the same bytes each time.

Figures are plain `matplotlib.figure.Figure` objects without pyplot: no global state, no window, safe in threads. The
colours are Okabe and Ito's (2008). A report swaps each of them for a CSS variable, so that one drawing serves a light
and a dark page.
"""

from __future__ import annotations

import io
from typing import Literal

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

INK = "#1b2430"
MUTED = "#5c6773"
HAIRLINE = "#d9dee4"
BLUE = "#0072b2"
VERMILLION = "#d55e00"
GREEN = "#009e73"
PINK = "#cc79a7"
SKY = "#56b4e9"
AMBER = "#e69f00"
BAND = "#e3eef6"
PAPER_LINE = "#f0cccc"

SERIES = (BLUE, VERMILLION, GREEN, PINK, AMBER, SKY)
"""Colours of systems and classes, in order; after the last they repeat, with other line styles or markers."""

LINE_STYLES = ("-", "--", ":", "-.")
MARKERS = ("o", "s", "^", "D", "v", "P")
SEQUENCE_MAP = ListedColormap(mpl.colormaps["viridis"](np.linspace(0.2, 0.95, 256)), name="sequence")
"""Viridis without its ends, which a dark or a white page would swallow."""

TEXT_PT = 9.0
SMALL_PT = 8.0
TITLE_PT = 10.0

_CREATOR_FREE = {"Creator": None, "Date": None, "Format": None, "Type": None}


def new_figure(width_in: float, height_in: float) -> Figure:
    """Return an empty figure with a transparent ground, so that it sits on any page."""
    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    figure.patch.set_alpha(0.0)
    return figure


def new_axes(width_in: float, height_in: float, num_rows: int = 1, num_columns: int = 1) -> tuple[Figure, list[Axes]]:
    """Return a figure and its dressed axes, row by row."""
    figure = new_figure(width_in, height_in)
    all_axes: list[Axes] = list(np.ravel(figure.subplots(num_rows, num_columns, squeeze=False)))
    for axes in all_axes:
        dress(axes)
    return figure, all_axes


def dress(axes: Axes, *, grid: bool = True) -> None:
    """Thin axes, no box, quiet grid behind the data."""
    axes.patch.set_alpha(0.0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)
    axes.spines[["left", "bottom"]].set_linewidth(0.8)
    axes.tick_params(colors=MUTED, labelcolor=INK, labelsize=SMALL_PT, width=0.8, length=3)
    axes.set_axisbelow(True)
    if grid:
        axes.grid(visible=True, color=HAIRLINE, linewidth=0.6)


def label(axes: Axes, *, x: str = "", y: str = "", title: str = "") -> None:
    """Name the axes; the title stands at the left."""
    if x:
        axes.set_xlabel(x, fontsize=TEXT_PT, color=INK)
    if y:
        axes.set_ylabel(y, fontsize=TEXT_PT, color=INK)
    if title:
        axes.set_title(title, fontsize=TITLE_PT, color=INK, loc="left", fontweight="bold")


def add_legend(axes: Axes, location: Literal["best", "upper left", "lower right"] = "best") -> None:
    """Legend without a box; nothing if nothing is labelled."""
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc=location, fontsize=SMALL_PT, labelcolor=INK, frameon=False, handlelength=1.8)


def say_nothing_to_show(axes: Axes, message: str) -> None:
    """Stand in for absent data by a sentence, instead of an empty frame that looks like a fault."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, message, transform=axes.transAxes, ha="center", va="center", fontsize=TEXT_PT, color=MUTED)


def with_unit(name: str, unit: str) -> str:
    """``name (unit)``, or the name alone."""
    return f"{name} ({unit})" if unit else name


def series_color(position: int) -> str:
    """Colour of the series at a position."""
    return SERIES[position % len(SERIES)]


def line_style(position: int) -> str:
    """Line style of the series at a position: the colours go round first."""
    return LINE_STYLES[position // len(SERIES) % len(LINE_STYLES)]


def minus(text: str) -> str:
    """Set a typographic minus in a formatted number."""
    return text.replace("-", "−")


def to_svg(figure: Figure) -> str:
    """Draw as SVG with live text; the same figure always gives the same text, without a date."""
    buffer = io.StringIO()
    FigureCanvasSVG(figure)
    with mpl.rc_context({"svg.hashsalt": "hemometric", "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata=_CREATOR_FREE)
    return buffer.getvalue()


def to_png(figure: Figure, dpi: float = 150, ground: str = "white") -> bytes:
    """Draw as PNG on an opaque ground, without a date or a version."""
    buffer = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(buffer, format="png", dpi=dpi, facecolor=ground, metadata={"Software": None})
    return buffer.getvalue()
