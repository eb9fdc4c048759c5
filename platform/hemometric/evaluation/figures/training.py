"""How training and the search went."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from hemometric.ecg import Float64
from hemometric.evaluation.figures.style import (
    BLUE,
    HAIRLINE,
    INK,
    SMALL_PT,
    VERMILLION,
    dress,
    label,
    minus,
    new_axes,
    say_nothing_to_show,
)

_MOST_PLACES = 6
_TICKS_OF_A_DECADE = ((1.0, 1.5, 2.0, 3.0, 5.0, 7.0), (1.0, 2.0, 5.0), (1.0,))

Point = tuple[int, float]
"""(step, value)."""


@dataclass(frozen=True)
class Trial:
    """One trial of a search.

    Attributes
    ----------
    parameters : mapping
        Number or choice by name.
    score : float
        NaN if the trial never got one.
    stopped_early : bool
        The scheduler ended it before its last step, so its score is of a shorter training.
    name : str
    """

    parameters: Mapping[str, float | int | str | bool]
    score: float
    stopped_early: bool = False
    name: str = ""


def loss_curves(
    train: Sequence[Point],
    validation: Sequence[Point] = (),
    *,
    train_label: str = "training loss",
    validation_label: str = "validation loss",
    same_quantity: bool = True,
    lower_is_better: bool = True,
) -> Figure:
    """Draw training and validation values over steps.

    Training values of single batches jump about: they are drawn faintly, with a running mean above them. The best
    validation point is marked.

    Parameters
    ----------
    train, validation : sequence of (step, value)
        Values that are not finite are left out.
    train_label, validation_label : str
    same_quantity : bool
        Validation is the same loss as in training; otherwise (an AUROC, an error in mmHg) it gets a panel of its own.
    lower_is_better : bool
        For the best validation value.
    """
    steps, values = _finite(train)
    validation_steps, validation_values = _finite(validation)
    own_axis = bool(len(validation_steps)) and len(steps) > 0 and not same_quantity
    figure, all_axes = new_axes(7.2, 4.4 if own_axis else 3.4, 2 if own_axis else 1)
    axes, validation_axes = all_axes[0], all_axes[-1]
    if not len(steps) and not len(validation_steps):
        say_nothing_to_show(axes, "No step was recorded")
        return figure
    if len(steps):
        smooth = _running_mean(values, max(1, len(values) // 40))
        axes.plot(steps, values, color=BLUE, alpha=0.25, linewidth=0.8)
        axes.plot(steps, smooth, color=BLUE, linewidth=1.8, label=f"{train_label} (running mean)")
    if len(validation_steps):
        best = int(np.argmin(validation_values) if lower_is_better else np.argmax(validation_values))
        validation_axes.plot(
            validation_steps,
            validation_values,
            color=VERMILLION,
            linewidth=1.5,
            marker="o",
            markersize=3.5,
            label=validation_label,
        )
        validation_axes.plot(
            validation_steps[best],
            validation_values[best],
            marker="o",
            markersize=9,
            markerfacecolor="none",
            markeredgecolor=VERMILLION,
            markeredgewidth=1.4,
            linestyle="none",
            label=f"best {minus(f'{validation_values[best]:.3g}')} at step {int(validation_steps[best]):,}",
        )
    if own_axis:
        label(axes, y=train_label)
        label(validation_axes, y=validation_label)
        validation_axes.sharex(axes)
    else:
        both = len(steps) and len(validation_steps)
        label(axes, y="loss" if both else train_label if len(steps) else validation_label)
    label(validation_axes, x="step")
    # Above the axes, where no curve is.
    figure.legend(loc="outside upper left", ncols=3, fontsize=SMALL_PT, labelcolor=INK, frameon=False)
    return figure


def tuning_trials(
    trials: Sequence[Trial],
    score_label: str,
    *,
    lower_is_better: bool = True,
    parameters: Sequence[str] | None = None,
    logarithmic: Collection[str] = (),
) -> Figure:
    """Draw the score of each trial against each searched parameter, a panel each; the best trial is marked.

    Parameters
    ----------
    trials : sequence of Trial
    score_label : str
        Name and unit of the score, such as ``validation RMSE (mmHg)``.
    parameters : sequence of str, optional
        Which parameters, in which order; all of them otherwise. Choices and a few whole numbers get a place each.
    logarithmic : collection of str
        Parameters that were searched evenly over their logarithm, and are drawn so.
    """
    scored = [trial for trial in trials if math.isfinite(trial.score)]
    names = (
        list(parameters)
        if parameters is not None
        else list(dict.fromkeys(name for trial in trials for name in trial.parameters))
    )
    num_columns = max(1, min(3, len(names)))
    num_rows = max(1, math.ceil(len(names) / num_columns))
    figure, all_axes = new_axes(2.2 + 2.1 * num_columns, 0.9 + 2.1 * num_rows, num_rows, num_columns)
    if not scored or not names:
        for axes in all_axes[1:]:
            axes.set_axis_off()
        say_nothing_to_show(all_axes[0], "No trial has a score")
        return figure
    best = (min if lower_is_better else max)(scored, key=lambda trial: trial.score)
    for position, axes in enumerate(all_axes):
        if position >= len(names):
            axes.set_axis_off()
            continue
        _draw_parameter(axes, names[position], scored, best, is_log=names[position] in logarithmic)
        if position % num_columns:
            axes.sharey(all_axes[position - position % num_columns])
            axes.tick_params(labelleft=False)
        else:
            label(axes, y=score_label)
    handles, labels = all_axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=3, fontsize=SMALL_PT, labelcolor=INK, frameon=False)
    return figure


def _draw_parameter(axes: Axes, name: str, scored: Sequence[Trial], best: Trial, *, is_log: bool) -> None:
    dress(axes)
    with_it = [trial for trial in scored if name in trial.parameters]
    values = [trial.parameters[name] for trial in with_it]
    numeric = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)
    distinct = sorted(set(values)) if numeric else sorted(set(values), key=str)
    # A few whole numbers are choices; fractions were drawn from a range, and have their place on it.
    continuous = numeric and (len(distinct) > _MOST_PLACES or any(float(value) % 1 for value in distinct))
    if continuous:
        numbers = [float(value) for value in values]
    else:
        numbers = [float(distinct.index(value)) for value in values]
        axes.set_xticks(range(len(distinct)), [f"{value:g}" if numeric else str(value) for value in distinct])
        axes.set_xlim(-0.5, len(distinct) - 0.5)
    for stopped_early, face, text in ((False, BLUE, "trial"), (True, "none", "stopped early")):
        points = [(x, t.score) for x, t in zip(numbers, with_it, strict=True) if t.stopped_early == stopped_early]
        if points:
            axes.scatter(
                [x for x, _ in points],
                [y for _, y in points],
                s=26,
                facecolors=face,
                edgecolors=BLUE,
                linewidths=1.1,
                alpha=0.85,
                label=text,
                zorder=3,
            )
    if name in best.parameters:
        x = numbers[with_it.index(best)]
        axes.axhline(best.score, color=HAIRLINE, linewidth=1.0, zorder=1)
        axes.scatter(
            [x],
            [best.score],
            s=150,
            marker="*",
            color=VERMILLION,
            edgecolors="white",
            linewidths=0.8,
            label=f"best ({best.score:.3g})",
            zorder=4,
        )
    if continuous and is_log and min(numbers) > 0:
        axes.set_xscale("log")
        # Few trials may lie within a fraction of a decade, where ticks at its powers alone would be one or none.
        spread = max(numbers) / min(numbers)
        axes.xaxis.set_major_locator(LogLocator(subs=_TICKS_OF_A_DECADE[(spread > 5) + (spread > 50)]))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_locator(NullLocator())
    label(axes, x=name)


def _finite(points: Sequence[Point]) -> tuple[Float64, Float64]:
    table = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    table = table[np.isfinite(table).all(axis=1)]
    return table[:, 0], table[:, 1]


def _running_mean(values: npt.NDArray[np.float64], half_width: int) -> Float64:
    """Mean over up to `half_width` neighbours on each side; windows shrink at the ends instead of inventing values."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    place = np.arange(len(values))
    low, high = np.maximum(place - half_width, 0), np.minimum(place + half_width + 1, len(values))
    return np.asarray((total[high] - total[low]) / (high - low), dtype=np.float64)
