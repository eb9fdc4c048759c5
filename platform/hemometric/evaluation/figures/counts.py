"""Counts: histograms of several groups over one axis, and bars of a few counts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from hemometric.evaluation.figures.style import (
    BAND,
    BLUE,
    INK,
    SMALL_PT,
    add_legend,
    label,
    line_style,
    minus,
    new_axes,
    say_nothing_to_show,
    series_color,
)

_TICKS = 7
_OPEN_WIDTH = 10.0


def histograms(edges: Sequence[float], shares: Mapping[str, Sequence[float]], *, x: str) -> Figure:
    """Draw one histogram for each group; as shares of the group, so that groups of other sizes compare.

    Parameters
    ----------
    edges : float [bin + 1]
        Ascending; the last may be infinite, as for ages from 90 years on, and is drawn ten wide.
    shares : mapping
        Group -> percent of it in each bin, [bin]; NaN leaves a gap. Groups without any are left out, and so are bins
        at the ends that no group has.
    x : str
        What the axis is, with its unit.
    """
    figure, (axes,) = new_axes(4.6, 2.9)
    drawn = {name: np.asarray(share, dtype=np.float64) for name, share in shares.items() if np.nansum(share) > 0}
    if not drawn:
        say_nothing_to_show(axes, "Too few patients to show")
        return figure
    filled = np.flatnonzero(np.any([np.nan_to_num(share) > 0 for share in drawn.values()], axis=0))
    kept = slice(int(filled[0]), int(filled[-1]) + 1)
    edges = edges[kept.start : kept.stop + 1]
    drawn = {name: share[kept] for name, share in drawn.items()}
    finite = list(edges)
    if math.isinf(finite[-1]):
        finite[-1] = finite[-2] + _OPEN_WIDTH
    for position, (name, share) in enumerate(drawn.items()):
        if position == 0:
            axes.stairs(share, finite, fill=True, color=BAND, linewidth=0)
        axes.stairs(
            share,
            finite,
            color=series_color(position),
            linestyle=line_style(position),
            linewidth=1.5,
            label=name,
            baseline=None,
        )
    if math.isinf(edges[-1]):
        ticks = finite[-2 :: -math.ceil(len(finite) / _TICKS)]
        axes.set_xticks(ticks, [f"{ticks[0]:g}+", *(f"{tick:g}" for tick in ticks[1:])])
    else:
        place = finite[0] / (finite[1] - finite[0])
        if math.isclose(place, round(place), abs_tol=1e-6):
            axes.set_xticks(finite[:: math.ceil(len(finite) / _TICKS)])
        else:
            axes.xaxis.set_major_locator(MaxNLocator(_TICKS))  # bins around whole numbers end between them
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: minus(f"{value:,.6g}")))
    axes.grid(visible=False, axis="x")
    axes.set(xlim=(finite[0], finite[-1]), ylim=(0, None))
    label(axes, x=x, y="share of recordings (%)")
    if len(drawn) > 1:
        add_legend(axes)
    return figure


def bars(counts: Mapping[str, int], *, x: str) -> Figure:
    """Draw a bar for each name, the first at the top, with its count at its end; a sentence where all are 0."""
    figure, (axes,) = new_axes(4.6, 0.75 + 0.24 * max(len(counts), 2))
    if not any(counts.values()):
        say_nothing_to_show(axes, "Too few patients to show")
        return figure
    names, values = list(counts), list(counts.values())
    places = np.arange(len(names))
    axes.barh(places, values, height=0.66, color=BLUE)
    for place, value in zip(places, values, strict=True):
        axes.annotate(
            f"{value:,}",
            (value, place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=SMALL_PT,
            color=INK,
        )
    axes.set_yticks(places, [_shortened(name) for name in names], parse_math=False)
    axes.set(ylim=(len(names) - 0.4, -0.6), xlim=(0, 1.16 * max(values)))
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    label(axes, x=x)
    return figure


def _shortened(name: str, limit: int = 28) -> str:
    return name if len(name) <= limit else name[: limit - 1] + "…"
