"""The ECG as a clinician reads it: a 12-lead page at 25 mm/s and 10 mm/mV, in true millimetres.

The page is one pair of axes whose unit is the millimetre, so each length below is the length on paper. Leads stand in
three rows of four columns, 2.5 s each, above a rhythm strip of 10 s. As on a usual printout the columns follow each
other in time; in a recording that does not fill the page each column starts at its beginning instead, and the footer
says so.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from hemometric.ecg import LEADS, Float64
from hemometric.errors import UsageError
from hemometric.evaluation.atomic import write_whole
from hemometric.evaluation.figures.style import to_png, to_svg
from hemometric.evaluation.free_place import Box, Line, free_box

PAGE_WIDTH_MM, PAGE_HEIGHT_MM = 297.0, 210.0
SPEED_MM_PER_S = 25.0
COLUMNS = (("I", "II", "III"), ("aVR", "aVL", "aVF"), ("V1", "V2", "V3"), ("V4", "V5", "V6"))
RHYTHM_LEAD = "II"
COLUMN_S, PAGE_S = 2.5, 10.0
PAGE_DPI = 254.0
"""Ten pixels a millimetre: grid lines fall on whole pixels."""

PageKind = Literal["png", "pdf", "svg"]
_KINDS: dict[str, PageKind] = {".png": "png", ".pdf": "pdf", ".svg": "svg"}
# Wide spaces, not several: SVG and HTML fold those into one.
_GAP, _DOT = "\u2003\u2003", "\u2003·\u2003"
_MM_PER_INCH = 25.4
_POINTS_PER_MM = 72 / _MM_PER_INCH
_SEQUENTIAL_FROM_S = 9.5  # a recording that is a few samples short of 10 s still fills the page
_GRID_LEFT, _GRID_BOTTOM, _GRID_WIDTH, _GRID_HEIGHT = 11.0, 17.0, 275.0, 165.0
_PULSE_LEFT, _TRACE_LEFT = _GRID_LEFT + 10.0, _GRID_LEFT + 20.0
_PULSE_S = 0.2
_BASELINES = tuple(_GRID_BOTTOM + height for height in (140.0, 100.0, 60.0, 20.0))
_LABEL_MM = 3.4
# Where a lead's name may stand from the start of its baseline: above it as on any printout, else nearby.
_LABEL_PLACES = tuple((right, up) for right in (1.0, 4.0, 8.0, 14.0) for up in (13.5, 10.0, 17.0, -10.0))
_FINE, _COARSE, _TRACE, _MUTED = "#fadcdc", "#eeaaaa", "#101318", "#5a646f"


@dataclass(frozen=True)
class _Strip:
    """A stretch of one lead: where it stands on the page and which seconds it shows."""

    lead: str
    left_mm: float
    baseline_mm: float
    start_s: float
    length_s: float


def ecg_page(
    signal: npt.NDArray[np.floating],
    rate_hz: float,
    title: str = "",
    details: Sequence[str] = (),
    *,
    gain_mm_per_mv: float = 10.0,
) -> Figure:
    """Draw a clinical 12-lead page, A4 landscape, at true scale.

    Each lead is drawn around the median of its samples, as a device that does not pass DC would print it. Traces may
    run into their neighbours' rows, as on paper. Text is taken as it is; a title must not hold what identifies a
    patient.

    Parameters
    ----------
    signal : float [12, sample] mV
        Leads in the order of `LEADS`. NaN leaves a gap; a lead without any sample is marked "no signal".
    rate_hz : float
        Samples per second.
    title : str
        Heading of the page.
    details : sequence of str
        Shown in one line below the title: age, sex, quality flags.
    gain_mm_per_mv : float
        Height of a millivolt; 5 for very large complexes.

    Returns
    -------
    Figure
        297 x 210 mm. Save it with `save_page`, which keeps the scale.

    Raises
    ------
    ValueError
        The signal is not [12, sample], holds an infinity, or rate or gain is not above zero.
    """
    signal = np.asarray(signal, dtype=np.float64)
    if signal.ndim != 2 or signal.shape[0] != len(LEADS):
        raise ValueError(f"signal has shape {signal.shape}; expected [{len(LEADS)}, sample]")
    if np.isinf(signal).any():
        raise ValueError("signal holds an infinity; mark absent samples as NaN")
    if not (rate_hz > 0 and gain_mm_per_mv > 0):
        raise ValueError(f"rate_hz={rate_hz} and gain_mm_per_mv={gain_mm_per_mv} must be above zero")
    duration_s = signal.shape[1] / rate_hz
    figure, axes = _blank_page()
    strips = _strips(duration_s)
    traces = [_draw_strip(axes, signal[LEADS.index(strip.lead)], rate_hz, strip, gain_mm_per_mv) for strip in strips]
    for strip in strips:
        _write_lead(axes, strip, traces)
    for row, baseline in enumerate(_BASELINES):
        _draw_pulse(axes, row, baseline, gain_mm_per_mv)
    _write(axes, _GRID_LEFT, 195.5, _shortened(title, 95), size_mm=4.2, weight="bold")
    _write(axes, _GRID_LEFT, 187.5, _shortened(_DOT.join(details), 150), size_mm=3.0, color=_MUTED)
    _draw_footer(axes, rate_hz, duration_s, gain_mm_per_mv)
    return figure


def save_page(figure: Figure, path: Path, dpi: float = PAGE_DPI) -> Path:
    """Write a page as PNG, PDF or SVG, by the suffix.

    Its physical size is in the file, so that printing at 100 % is true to scale. The same page gives the same bytes.
    The file appears whole or not at all.

    Raises
    ------
    UsageError
        Another suffix.
    OSError
        The folder cannot be written.
    """
    path = Path(path)
    kind = _KINDS.get(path.suffix.lower())
    if kind is None:
        raise UsageError(
            f"{path.name}: an ECG page is written as .png, .pdf or .svg, not {path.suffix or 'without a suffix'}"
        )
    return write_whole(path, page_bytes(figure, kind, dpi))


def page_bytes(figure: Figure, kind: PageKind = "png", dpi: float = PAGE_DPI) -> bytes:
    """Draw a page as the bytes of a PNG, PDF or SVG file, without a date."""
    if kind == "svg":
        return to_svg(figure).encode()
    if kind == "png":
        return to_png(figure, dpi)
    buffer = io.BytesIO()
    FigureCanvasPdf(figure)
    figure.savefig(buffer, format="pdf", metadata={"Creator": None, "Producer": None, "CreationDate": None})
    return buffer.getvalue()


def _blank_page() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(PAGE_WIDTH_MM / _MM_PER_INCH, PAGE_HEIGHT_MM / _MM_PER_INCH), facecolor="white")
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set(xlim=(0, PAGE_WIDTH_MM), ylim=(0, PAGE_HEIGHT_MM))
    axes.set_axis_off()
    right, top = _GRID_LEFT + _GRID_WIDTH, _GRID_BOTTOM + _GRID_HEIGHT
    for coarse, color, width_mm in ((False, _FINE, 0.1), (True, _COARSE, 0.2)):
        columns = [mm for mm in range(int(_GRID_WIDTH) + 1) if (mm % 5 == 0) == coarse]
        rows = [mm for mm in range(int(_GRID_HEIGHT) + 1) if (mm % 5 == 0) == coarse]
        lines = [[(_GRID_LEFT + mm, _GRID_BOTTOM), (_GRID_LEFT + mm, top)] for mm in columns]
        lines += [[(_GRID_LEFT, _GRID_BOTTOM + mm), (right, _GRID_BOTTOM + mm)] for mm in rows]
        axes.add_collection(
            LineCollection(lines, colors=color, linewidths=width_mm * _POINTS_PER_MM, zorder=1, capstyle="projecting"),
            autolim=False,
        )
    return figure, axes


def _strips(duration_s: float) -> list[_Strip]:
    sequential = duration_s >= _SEQUENTIAL_FROM_S
    strips = [
        _Strip(
            lead=lead,
            left_mm=_TRACE_LEFT + column * COLUMN_S * SPEED_MM_PER_S,
            baseline_mm=_BASELINES[row],
            start_s=column * COLUMN_S if sequential else 0.0,
            length_s=COLUMN_S,
        )
        for column, leads in enumerate(COLUMNS)
        for row, lead in enumerate(leads)
    ]
    return [*strips, _Strip(RHYTHM_LEAD, _TRACE_LEFT, _BASELINES[-1], 0.0, PAGE_S)]


def _draw_strip(axes: Axes, trace: Float64, rate_hz: float, strip: _Strip, gain_mm_per_mv: float) -> Line:
    if strip.left_mm > _TRACE_LEFT:
        # Where one lead ends and the next begins, as a device marks it.
        for offset in (-6.0, 4.0):
            axes.plot([strip.left_mm] * 2, [strip.baseline_mm + offset, strip.baseline_mm + offset + 2.0], **_pen(0.2))
    present = ~np.isnan(trace)
    if not present.any():
        _write(
            axes,
            strip.left_mm + strip.length_s * SPEED_MM_PER_S / 2,
            strip.baseline_mm,
            "no signal",
            size_mm=3.2,
            color=_MUTED,
            align="center",
            haloed=True,
        )
        return np.empty(0), np.empty(0)
    # The last sample of a column is the first of the next, so that no gap shows between them.
    first = round(strip.start_s * rate_hz)
    last = min(round((strip.start_s + strip.length_s) * rate_hz), len(trace) - 1)
    samples = np.arange(first, last + 1)
    x = strip.left_mm + (samples / rate_hz - strip.start_s) * SPEED_MM_PER_S
    y = strip.baseline_mm + (trace[samples] - np.median(trace[present])) * gain_mm_per_mv
    (line,) = axes.plot(x, y, **_pen(0.3), gid=f"lead-{strip.lead}" if strip.length_s == COLUMN_S else "rhythm")
    paper = Rectangle((_GRID_LEFT, _GRID_BOTTOM), _GRID_WIDTH, _GRID_HEIGHT, transform=axes.transData)
    line.set_clip_path(paper)
    return x, y


def _write_lead(axes: Axes, strip: _Strip, traces: Sequence[Line]) -> None:
    """Name a lead beside its trace, where it covers no trace of any row."""
    size = (0.85 * _LABEL_MM * len(strip.lead) + 0.5, 1.3 * _LABEL_MM)
    box = free_box([Box(strip.left_mm + right, strip.baseline_mm + up, *size) for right, up in _LABEL_PLACES], traces)
    _write(axes, box.left, box.middle, strip.lead, size_mm=_LABEL_MM, weight="bold", haloed=True)


def _draw_pulse(axes: Axes, row: int, baseline_mm: float, gain_mm_per_mv: float) -> None:
    """One millivolt for 200 ms."""
    left, right, top = _PULSE_LEFT, _PULSE_LEFT + _PULSE_S * SPEED_MM_PER_S, baseline_mm + gain_mm_per_mv
    x = [left - 2.0, left, left, right, right, right + 2.0]
    axes.plot(x, [baseline_mm, baseline_mm, top, top, baseline_mm, baseline_mm], **_pen(0.3), gid=f"pulse-{row}")


def _draw_footer(axes: Axes, rate_hz: float, duration_s: float, gain_mm_per_mv: float) -> None:
    if duration_s >= _SEQUENTIAL_FROM_S:
        span = f"first {PAGE_S:g} s of {duration_s:.1f} s" if duration_s > PAGE_S + 0.5 else f"{duration_s:.1f} s"
        columns = "columns follow each other in time"
    else:
        span, columns = f"{duration_s:.1f} s recorded", "each column starts at 0 s"
    scale = f"{SPEED_MM_PER_S:g} mm/s{_GAP}{gain_mm_per_mv:g} mm/mV{_GAP}{rate_hz:g} Hz{_GAP}{span}"
    _write(axes, _GRID_LEFT, 9.5, scale, size_mm=3.0, weight="bold")
    right = _GRID_LEFT + _GRID_WIDTH
    note = _DOT.join((columns, "true scale when printed at 100 %", "for research, not for diagnosis"))
    _write(axes, right, 9.5, note, size_mm=2.7, color=_MUTED, align="right")


def _pen(width_mm: float) -> dict[str, Any]:
    return {
        "color": _TRACE,
        "linewidth": width_mm * _POINTS_PER_MM,
        "solid_joinstyle": "round",
        "solid_capstyle": "butt",
        "zorder": 3,
    }


def _write(
    axes: Axes,
    x_mm: float,
    y_mm: float,
    text: str,
    *,
    size_mm: float,
    color: str = _TRACE,
    weight: str = "normal",
    align: str = "left",
    haloed: bool = False,
) -> None:
    # A dollar sign in a title is a dollar sign: no mathematics.
    written = axes.text(
        x_mm,
        y_mm,
        text,
        fontsize=size_mm * _POINTS_PER_MM,
        color=color,
        weight=weight,
        ha=align,
        va="center",
        parse_math=False,
        zorder=4,
    )
    if haloed:
        written.set_path_effects([withStroke(linewidth=0.8 * _POINTS_PER_MM, foreground="white")])


def _shortened(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
