"""A mined triplet as a person can judge it: the three ECGs beside each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from hemometric.ecg import INDEPENDENT_LEADS, LEADS, Float64
from hemometric.evaluation.figures.style import BLUE, INK, PAPER_LINE, TEXT_PT, VERMILLION, new_figure

SHOWN_LEADS = ("I", "II", "V1", "V5")


def triplet_figure(
    anchor: npt.ArrayLike,
    positive: npt.ArrayLike,
    negative: npt.ArrayLike,
    rate_hz: float,
    distances: tuple[float, float] | None = None,
    *,
    leads: Sequence[str] | None = None,
    shown: Sequence[str] = SHOWN_LEADS,
    seconds: float = 4.0,
    names: tuple[str, str, str] = ("anchor", "positive", "negative"),
    details: tuple[str, str, str] = ("", "", ""),
) -> Figure:
    """Draw anchor, positive and negative side by side, lead by lead, on one scale: 0.2 s and 0.5 mV a square.

    Parameters
    ----------
    anchor, positive, negative : float [lead, sample] mV
        Twelve leads in the order of `LEADS`, or the eight of `INDEPENDENT_LEADS`; others with `leads`.
    rate_hz : float
        Samples per second.
    distances : (float, float), optional
        Anchor to positive, anchor to negative, as the miner saw them.
    leads : sequence of str, optional
        Names of the rows of the arrays.
    shown : sequence of str
        Which leads to draw; those that are absent are left out.
    seconds : float
        How much of the beginning is drawn.
    names, details : (str, str, str)
        Heading of each ECG, and a second line, such as what is known of it.

    Raises
    ------
    ValueError
        Shapes that differ or do not fit the leads; none of `shown` is there; rate or seconds not above zero.
    """
    signals = [np.asarray(signal, dtype=np.float64) for signal in (anchor, positive, negative)]
    if leads is None:
        leads = {len(LEADS): LEADS, len(INDEPENDENT_LEADS): INDEPENDENT_LEADS}.get(len(signals[0]), ())
    if any(signal.ndim != 2 or signal.shape != signals[0].shape or len(signal) != len(leads) for signal in signals):
        shapes = ", ".join(str(signal.shape) for signal in signals)
        raise ValueError(
            f"the signals have shapes {shapes}; expected one [lead, sample] with {len(leads)} leads for all"
        )
    rows = [leads.index(lead) for lead in shown if lead in leads]
    if not rows:
        raise ValueError(f"none of the leads {', '.join(shown)} is among {', '.join(leads)}")
    if not (rate_hz > 0 and seconds > 0):
        raise ValueError(f"rate_hz={rate_hz} and seconds={seconds} must be above zero")
    cut = [signal[rows, : max(2, round(seconds * rate_hz))] for signal in signals]
    cut = [signal - np.nan_to_num(_median(signal))[:, None] for signal in cut]
    heights_mv = [_range_mv([signal[row] for signal in cut]) for row in range(len(rows))]
    figure, grid = _panels(cut[0].shape[1] / rate_hz, heights_mv)
    headings = (
        [names[0], *(f"{name}\u2003d = {d:.3g}" for name, d in zip(names[1:], distances, strict=True))]
        if distances
        else list(names)
    )
    for column, color in enumerate((INK, BLUE, VERMILLION)):
        for row, lead_row in enumerate(rows):
            axes = grid[row][column]
            axes.plot(
                np.arange(cut[column].shape[1]) / rate_hz,
                cut[column][row],
                color=color,
                linewidth=0.9,
                solid_joinstyle="round",
            )
            if column == 0:
                axes.set_ylabel(
                    leads[lead_row], rotation=0, ha="right", va="center", fontsize=TEXT_PT, color=INK, fontweight="bold"
                )
        heading = headings[column] + (f"\n{details[column]}" if details[column] else "")
        grid[0][column].set_title(heading, fontsize=TEXT_PT, color=color, loc="left", parse_math=False)
    return figure


def _median(signal: Float64) -> Float64:
    """Median of each lead [lead], NaN for a lead without samples."""
    return np.array([np.median(lead[~np.isnan(lead)]) if (~np.isnan(lead)).any() else np.nan for lead in signal])


def _range_mv(traces: Sequence[Float64]) -> tuple[float, float]:
    """Common range of the traces of one lead, in whole squares of 0.5 mV and at least three of them."""
    values = np.concatenate(traces)
    values = values[np.isfinite(values)]
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 0.0)
    return min(-0.5, 0.5 * np.floor((low - 0.05) / 0.5)), max(1.0, 0.5 * np.ceil((high + 0.05) / 0.5))


def _panels(duration_s: float, heights_mv: Sequence[tuple[float, float]]) -> tuple[Figure, list[list[Axes]]]:
    """Axes [lead][ECG] of ECG paper, where a millivolt is as high as 0.4 s is long; all lengths in inches."""
    width, left, gap, top = 8.6, 0.4, 0.07, 0.45
    column_width = (width - left - 2 * gap) / 3
    inches_per_mv = column_width / duration_s * 0.4
    height = top + sum(high - low for low, high in heights_mv) * inches_per_mv + 0.02
    figure = new_figure(width, height)
    figure.set_layout_engine("none")
    grid, upper = [], height - top
    for low, high in heights_mv:
        lower = upper - (high - low) * inches_per_mv
        places = [(left + column * (column_width + gap), lower, column_width, upper - lower) for column in range(3)]
        grid.append(
            [figure.add_axes((x / width, y / height, w / width, h / height), ylim=(low, high)) for x, y, w, h in places]
        )
        upper = lower
    for axes in (axes for row in grid for axes in row):
        axes.set_xlim(0.0, duration_s)
        _paper(axes)
    return figure, grid


def _paper(axes: Axes) -> None:
    """Squares of 0.2 s by 0.5 mV; drawn as one collection, because an axis of so many ticks is slow."""
    (_, duration_s), (low, high) = axes.get_xlim(), axes.get_ylim()
    upright = [[(x, low), (x, high)] for x in np.arange(0.0, duration_s + 1e-9, 0.2)]
    level = [[(0.0, y), (duration_s, y)] for y in np.arange(low, high + 1e-9, 0.5)]
    axes.add_collection(LineCollection(upright + level, colors=PAPER_LINE, linewidths=0.5, zorder=0), autolim=False)
    axes.patch.set_alpha(0.0)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(color=PAPER_LINE, linewidth=0.5)
