"""A recording and its nearest neighbours as they were compared: a panel for each lead, and the warp of the nearest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MultipleLocator

from hemometric.ecg import Float64
from hemometric.evaluation.figures.style import (
    HAIRLINE,
    INK,
    MUTED,
    SMALL_PT,
    TEXT_PT,
    dress,
    minus,
    new_figure,
    series_color,
)

# Inches on A4 landscape.
_WIDTH, _HEIGHT = 11.69, 8.27
_LEFT, _RIGHT, _TOP, _BOTTOM = 0.7, 0.2, 1.12, 0.5
_ACROSS, _BETWEEN, _WARP, _ABOVE_WARP = 0.46, 0.42, 2.3, 0.78
_COLUMNS = 4
_SHORT_S = 2.0  # up to here, time is written in milliseconds
_MOST_LINES = 80
_APART = 0.2
_HEADING_PT = 13.0


@dataclass(frozen=True)
class Warp:
    """What the last panel shows.

    Attributes
    ----------
    lead : str
    steps : int64 [step, 2]
        Sample of the recording, sample of its nearest neighbour; as `hemometric.distances.path` gives them.
    title : str
    """

    lead: str
    steps: npt.NDArray[np.int64]
    title: str = ""


def neighbours_figure(
    signals: npt.ArrayLike,
    rate_hz: float,
    leads: Sequence[str],
    names: Sequence[str],
    *,
    title: str = "",
    note: str = "",
    start_s: float = 0.0,
    time: str = "time",
    unit: str = "mV",
    stacked: bool = False,
    warp: Warp | None = None,
) -> Figure:
    """Draw a recording in black and its neighbours in colours, A4 landscape; leads go down the columns.

    Parameters
    ----------
    signals : float [1 + neighbour, lead, sample]
        The recording first, then its neighbours, nearest first.
    rate_hz : float
        Samples per second.
    leads : sequence of str
        Names of the leads.
    names : sequence of str
        What the legend says of each signal.
    title, note : str
        Heading, and a line below it; without what identifies a patient.
    start_s : float
        Time of the first sample.
    time, unit : str
        What the axes show; times are in ms where there are less than 2 s.
    stacked : bool
        Below each other instead of over each other: for signals whose beats are not aligned.
    warp : Warp, optional
        A last panel, in which lines join what was compared with what.

    Raises
    ------
    ValueError
        The signals are not finite [signal, lead, sample] with a name for each signal and lead, or the rate is not
        above zero.
    """
    drawn = np.asarray(signals, dtype=np.float64)
    if drawn.ndim != 3 or 0 in drawn.shape or drawn.shape[:2] != (len(names), len(leads)):
        raise ValueError(f"signals have shape {drawn.shape}; expected [{len(names)} names, {len(leads)} leads, sample]")
    if not np.isfinite(drawn).all():
        raise ValueError("signals hold NaN or infinity")
    if not rate_hz > 0:
        raise ValueError(f"rate_hz={rate_hz} must be above zero")
    times = _Times.of(start_s, drawn.shape[2], rate_hz, time)
    figure = new_figure(_WIDTH, _HEIGHT)
    figure.set_layout_engine("none")
    _head(figure, title, note, names)
    panels = _panels(figure, len(leads), has_warp=warp is not None)
    for place, (axes, is_lowest) in enumerate(panels):
        if stacked:
            _draw(axes, times, drawn[:, place] - _levels(drawn[:, place]))
            _scale_bar(axes, unit)
        else:
            _draw(axes, times, drawn[:, place])
            _scale(axes, drawn, place)
            if axes.get_position().x0 <= _LEFT / _WIDTH:
                axes.set_ylabel(unit, fontsize=SMALL_PT, color=INK, labelpad=1)
        times.show(axes, named=is_lowest)
        axes.set_title(leads[place], fontsize=TEXT_PT + 1, fontweight="bold", color=INK, loc="left", pad=3)
    if warp is not None:
        _draw_warp(figure, times, drawn[:2, leads.index(warp.lead)], warp, unit)
    return figure


@dataclass(frozen=True)
class _Times:
    """The axis of time: where samples lie on it, and what it says."""

    points: Float64
    label: str
    square: float
    """A square of ECG paper, small in milliseconds and large in seconds; every fifth line has a number."""

    @classmethod
    def of(cls, start_s: float, num_samples: int, rate_hz: float, name: str) -> _Times:
        seconds = start_s + np.arange(num_samples) / rate_hz
        if num_samples / rate_hz <= _SHORT_S:
            return cls(seconds * 1000, f"{name} (ms)", 40.0)
        return cls(seconds, f"{name} (s)", 0.2)

    def show(self, axes: Axes, *, named: bool) -> None:
        first, last = float(self.points[0]), float(self.points[-1])
        axes.set_xlim(first, last if last > first else first + self.square)
        axes.xaxis.set_major_locator(MultipleLocator(5 * self.square))
        axes.xaxis.set_minor_locator(MultipleLocator(self.square))
        axes.xaxis.grid(visible=True, which="minor", color=HAIRLINE, linewidth=0.3)
        axes.tick_params(axis="x", which="minor", length=0)
        axes.xaxis.set_major_formatter(_plain())
        if named:
            axes.set_xlabel(self.label, fontsize=SMALL_PT, color=INK, labelpad=1)


def _head(figure: Figure, title: str, note: str, names: Sequence[str]) -> None:
    left = _LEFT / _WIDTH
    figure.text(
        left,
        1 - 0.22 / _HEIGHT,
        title,
        fontsize=_HEADING_PT,
        fontweight="bold",
        color=INK,
        va="center",
        parse_math=False,
    )
    figure.text(left, 1 - 0.47 / _HEIGHT, note, fontsize=TEXT_PT, color=MUTED, va="center", parse_math=False)
    figure.text(
        1 - _RIGHT / _WIDTH,
        1 - 0.22 / _HEIGHT,
        "for research, not for diagnosis",
        fontsize=SMALL_PT,
        color=MUTED,
        ha="right",
        va="center",
    )
    handles = [Line2D([], [], color=_color(row), linewidth=2.2) for row in range(len(names))]
    figure.legend(
        handles,
        names,
        loc="center left",
        bbox_to_anchor=(left, 1 - 0.74 / _HEIGHT),
        borderaxespad=0,
        borderpad=0,
        ncols=len(names),
        columnspacing=1.2,
        handlelength=1.3,
        fontsize=TEXT_PT,
        labelcolor=INK,
        frameon=False,
    )


def _panels(figure: Figure, num_leads: int, *, has_warp: bool) -> list[tuple[Axes, bool]]:
    """Axes of the leads, down the columns, and whether each is the lowest of its own."""
    num_columns = min(_COLUMNS, num_leads)
    num_rows = math.ceil(num_leads / num_columns)
    bottom = _BOTTOM + (_WARP + _ABOVE_WARP if has_warp else 0.0)
    width = (_WIDTH - _LEFT - _RIGHT - (num_columns - 1) * _ACROSS) / num_columns
    height = (_HEIGHT - _TOP - bottom - (num_rows - 1) * _BETWEEN) / num_rows
    found = []
    for place in range(num_leads):
        column, row = divmod(place, num_rows)
        left, low = _LEFT + column * (width + _ACROSS), _HEIGHT - _TOP - height - row * (height + _BETWEEN)
        axes = _axes(figure, left, low, width, height)
        found.append((axes, row == num_rows - 1 or place == num_leads - 1))
    return found


def _axes(figure: Figure, left: float, low: float, width: float, height: float) -> Axes:
    axes = figure.add_axes((left / _WIDTH, low / _HEIGHT, width / _WIDTH, height / _HEIGHT))
    dress(axes)
    return axes


def _draw(axes: Axes, times: _Times, traces: Float64) -> None:
    """Draw one lead of all signals, the recording above the others."""
    for row, trace in enumerate(traces):
        axes.plot(
            times.points,
            trace,
            color=_color(row),
            linewidth=1.1 if row else 1.6,
            solid_joinstyle="round",
            zorder=3 if row else 4,
        )


def _scale(axes: Axes, drawn: Float64, place: int) -> None:
    """Give amplitudes a scale that is the same in all panels, each about the middle of its own lead."""
    span = 1.1 * float(np.ptp(drawn, axis=(0, 2)).max()) or 1.0
    low, high = float(drawn[:, place].min()), float(drawn[:, place].max())
    axes.set_ylim((low + high - span) / 2, (low + high + span) / 2)
    axes.yaxis.set_major_locator(MultipleLocator(_round_step(span / 4)))
    axes.yaxis.set_major_formatter(_plain())


def _levels(traces: Float64) -> Float64:
    """Say by how much each trace is lowered, float64 [signal, 1]: so that each just clears the one above."""
    middles = np.median(traces, axis=1)
    ups, downs = traces.max(axis=1) - middles, middles - traces.min(axis=1)
    return np.asarray(middles + np.cumsum([0.0, *(downs[:-1] + ups[1:])]))[:, None]


def _scale_bar(axes: Axes, unit: str) -> None:
    """Stand a bar for the amplitude beside traces that have no common zero."""
    low, high = axes.get_ylim()
    axes.set_ylim(low, high)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    length = _round_step((high - low) / 6)
    beside = axes.get_yaxis_transform()
    width = axes.get_position().width * _WIDTH
    axes.plot([-0.06 / width] * 2, [low, low + length], transform=beside, color=INK, linewidth=1.6, clip_on=False)
    axes.text(
        -0.1 / width,
        low,
        f"{length:g} {unit}",
        transform=beside,
        rotation=90,
        ha="right",
        va="bottom",
        fontsize=SMALL_PT,
        color=INK,
    )


def _draw_warp(figure: Figure, times: _Times, traces: Float64, warp: Warp, unit: str) -> None:
    """Draw the recording above its nearest neighbour, and lines from samples to those that they are compared with."""
    axes = _axes(figure, _LEFT, _BOTTOM, _WIDTH - _LEFT - _RIGHT, _WARP)
    # One trace follows the other, so that far less room between them than their height keeps them apart.
    apart = traces - np.median(traces, axis=1)[:, None]
    apart[1] -= max(0.0, float((apart[1] - apart[0]).max())) + _APART * float(np.ptp(apart, axis=1).max())
    chosen = warp.steps[:: math.ceil(len(warp.steps) / _MOST_LINES)]
    ends = [np.stack([times.points[chosen[:, row]], apart[row, chosen[:, row]]], axis=1) for row in (0, 1)]
    lines = list(np.stack(ends, axis=1))
    axes.add_collection(LineCollection(lines, colors=MUTED, linewidths=0.5, alpha=0.7, zorder=2), autolim=False)
    _draw(axes, times, apart)
    axes.margins(y=0.03)
    _scale_bar(axes, unit)
    times.show(axes, named=True)
    axes.set_title(warp.title, fontsize=TEXT_PT, color=INK, loc="left", pad=3, parse_math=False)


def _plain() -> FuncFormatter:
    return FuncFormatter(lambda value, _: minus(f"{value:g}"))


def _round_step(about: float) -> float:
    """Give the largest of 1, 2 and 5 times a power of ten that is not above a length."""
    decade = 10.0 ** math.floor(math.log10(about))
    return max(step * decade for step in (1, 2, 5) if step * decade <= about * (1 + 1e-9))


def _color(row: int) -> str:
    return series_color(row - 1) if row else "black"
