"""Predictions against the truth."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from hemometric.evaluation.figures.style import (
    BAND,
    BLUE,
    HAIRLINE,
    INK,
    MUTED,
    SMALL_PT,
    add_legend,
    label,
    line_style,
    minus,
    new_axes,
    say_nothing_to_show,
    series_color,
    with_unit,
)
from hemometric.evaluation.intervals import Interval
from hemometric.evaluation.scores import checked_binary, regression_scores, roc_points

_RASTER_FROM = 2000  # more points than this would make an SVG that no browser likes


def predicted_against_true(
    true: npt.ArrayLike,
    predicted: npt.ArrayLike,
    *,
    name: str = "mPCWP",
    unit: str = "mmHg",
    origin: str = "true",
) -> Figure:
    """Draw predictions over true values, with the identity line, the mean error and its SD as a band, r and RMSE.

    Parameters
    ----------
    true, predicted : float [n]
        In `unit`.
    origin : str
        How the true values came to be, for their axis: ``measured``, or ``planted`` in synthetic ECGs.

    Raises
    ------
    ValueError
        As `regression_scores`.
    """
    scores = regression_scores(true, predicted)
    true, predicted = np.asarray(true, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    figure, (axes,) = new_axes(4.6, 4.4)
    if not len(true):
        say_nothing_to_show(axes, "No labelled recording")
        return figure
    low, high = float(min(true.min(), predicted.min())), float(max(true.max(), predicted.max()))
    margin = 0.05 * (high - low) or 1.0
    ends = np.array([low - margin, high + margin])
    bias, spread = float(np.mean(predicted - true)), float(np.std(predicted - true))
    axes.fill_between(
        ends,
        ends + bias - spread,
        ends + bias + spread,
        color=BAND,
        linewidth=0,
        label=f"mean error {minus(f'{bias:+.2f}')} ± SD {spread:.2f}",
    )
    axes.plot(ends, ends, color=MUTED, linewidth=1.0, label="identity")
    many = len(true) > _RASTER_FROM
    axes.scatter(
        true,
        predicted,
        s=10 if many else 16,
        color=BLUE,
        alpha=0.2 if many else 0.55,
        linewidths=0,
        rasterized=many,
        zorder=3,
    )
    axes.set(xlim=ends, ylim=ends, aspect="equal")
    found = [
        f"n = {len(true):,}",
        *(f"{title} {minus(f'{scores[key]:.2f}')}" for key, title in (("r", "r ="), ("rmse", "RMSE"))),
    ]
    if unit and not math.isnan(scores["rmse"]):
        found[-1] += f" {unit}"
    axes.text(
        0.97,
        0.04,
        "\n".join(found),
        transform=axes.transAxes,
        ha="right",
        va="bottom",
        fontsize=SMALL_PT,
        color=INK,
        linespacing=1.5,
    )
    label(axes, x=with_unit(f"{origin} {name}", unit), y=with_unit(f"predicted {name}", unit))
    add_legend(axes, "upper left")
    return figure


def roc_curve(
    true: npt.ArrayLike, probabilities: Mapping[str, npt.ArrayLike], intervals: Mapping[str, Interval] | None = None
) -> Figure:
    """Draw the ROC curve of each system, with its AUROC and interval in the legend.

    Parameters
    ----------
    true : bool or 0 / 1 [n]
    probabilities : mapping
        System -> probability of 1, [n].
    intervals : mapping, optional
        System -> AUROC with its interval, as `compare` gives it; systems without one show their curve only.

    Raises
    ------
    ValueError
        As `binary_scores`.
    """
    figure, (axes,) = new_axes(4.6, 4.4)
    points = {system: roc_points(*checked_binary(true, probability)) for system, probability in probabilities.items()}
    if not any(len(false_rate) for false_rate, _ in points.values()):
        say_nothing_to_show(axes, "No ROC curve: both classes are needed")
        return figure
    axes.plot([0, 1], [0, 1], color=HAIRLINE, linewidth=1.0)
    for position, (system, (false_rate, true_rate)) in enumerate(points.items()):
        auroc = (intervals or {}).get(system)
        axes.plot(
            false_rate,
            true_rate,
            color=series_color(position),
            linestyle=line_style(position),
            linewidth=1.8,
            label=system if auroc is None else f"{system}\u2002{_with_interval(auroc)}",
        )
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    label(axes, x="false positive rate (1 − specificity)", y="true positive rate (sensitivity)")
    add_legend(axes, "lower right")
    return figure


def _with_interval(found: Interval) -> str:
    if math.isnan(found.low):
        return f"{found.estimate:.2f}"
    return f"{found.estimate:.2f} [{found.low:.2f}, {found.high:.2f}]"
