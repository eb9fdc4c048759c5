"""Several systems on the same recordings: their scores with intervals, and what each gains over the controls."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from hemometric.ecg import Float64
from hemometric.evaluation.classes import ClassScores, class_notes, counted_classes, scored_classes
from hemometric.evaluation.intervals import Interval, Statistic, interval, replicates
from hemometric.evaluation.scores import (
    BINARY_SCORES,
    MULTILABEL_SCORES,
    REGRESSION_SCORES,
    Score,
    checked_binary,
    checked_multilabel,
    checked_regression,
    why_undefined,
)
from hemometric.evaluation.table import Cell, Column, Table

TaskKind = Literal["regression", "threshold", "multilabel"]

_TASKS = {
    "regression": (REGRESSION_SCORES, checked_regression),
    "threshold": (BINARY_SCORES, checked_binary),
    "multilabel": (MULTILABEL_SCORES, checked_multilabel),
}


@dataclass(frozen=True)
class SystemScores:
    """One system's row.

    Attributes
    ----------
    system : str
    scores : mapping
        Score name -> its interval.
    differences : mapping
        Control -> score name -> this system minus that control, on the same resamples; a control has none to itself.
    """

    system: str
    scores: Mapping[str, Interval]
    differences: Mapping[str, Mapping[str, Interval]]


@dataclass(frozen=True)
class Comparison:
    """Systems side by side, on the same recordings.

    Attributes
    ----------
    task : str
        ``regression``, ``threshold`` or ``multilabel``.
    scores : tuple of Score
        The first is the one that systems are compared by, and that `table` shows differences of.
    rows : tuple of SystemScores
        In the order given.
    controls : tuple of str
        Systems that the others must beat.
    num_recordings, num_patients : int
        With a label: what the scores are computed on.
    num_unlabelled : int
        Recordings left out because they have no label.
    num_resamples : int
    level : float
        Share of resampled values inside each interval.
    classes : tuple of ClassScores
        Of a multilabel task, in the columns' order.
    """

    task: TaskKind
    scores: tuple[Score, ...]
    rows: tuple[SystemScores, ...]
    controls: tuple[str, ...]
    num_recordings: int
    num_patients: int
    num_unlabelled: int
    num_resamples: int
    level: float
    classes: tuple[ClassScores, ...] = ()

    def row(self, system: str) -> SystemScores:
        """Return the row of a system.

        Raises
        ------
        KeyError
            There is none of that name.
        """
        for row in self.rows:
            if row.system == system:
                return row
        raise KeyError(system)

    def strongest_control(self) -> str | None:
        """Name the control with the best estimate of the first score; None where no control has one."""
        first = self.scores[0]
        found = {name: self.row(name).scores[first.name].estimate for name in self.controls}
        defined = {name: value for name, value in found.items() if math.isfinite(value)}
        if not defined:
            return None
        return (max if first.higher_is_better else min)(defined, key=lambda name: defined[name])

    def flat(self) -> dict[str, float]:
        """Give ``system/score``, ``system/score_minus_control``, ``system/auroc_class``; ``…_low``, ``…_high`` of each.

        What is undefined is left out.
        """
        values: dict[str, float] = {}
        for row in self.rows:
            found = {f"{_key(row.system)}/{name}": score for name, score in row.scores.items()}
            for control, differences in row.differences.items():
                found |= {f"{_key(row.system)}/{name}_minus_{_key(control)}": gap for name, gap in differences.items()}
            for name, one in found.items():
                values |= {name: one.estimate, f"{name}_low": one.low, f"{name}_high": one.high}
        for kind in self.classes:
            for system, one in kind.aurocs.items():
                name = f"{_key(system)}/auroc_{kind.name}"
                values |= {name: one.estimate, f"{name}_low": one.low, f"{name}_high": one.high}
        return {name: value for name, value in values.items() if math.isfinite(value)}

    def table(self, caption: str, unit: str = "") -> Table:
        """Lay the scores out for a report: a row for each system, with the first score's difference to each control.

        Parameters
        ----------
        caption : str
        unit : str
            The label's unit, for the scores that carry it.
        """

        def column(score: Score, control: str | None = None) -> Column:
            return Column(
                title=score.title if control is None else f"Δ {score.title} to {control}",
                unit=unit if score.in_label_unit else "",
                digits=score.digits,
                signed=control is not None,
                best=None if control is not None else ("highest" if score.higher_is_better else "lowest"),
            )

        first = self.scores[0]
        columns = [Column("System"), *map(column, self.scores), *(column(first, control) for control in self.controls)]
        rows: list[tuple[Cell, ...]] = []
        for row in self.rows:
            differences = [row.differences.get(control, {}).get(first.name) for control in self.controls]
            rows.append((row.system, *(row.scores[score.name] for score in self.scores), *differences))
        return Table(caption=caption, columns=tuple(columns), rows=tuple(rows), notes=self.notes())

    def notes(self) -> tuple[str, ...]:
        """Sentences that a reader needs beside the numbers."""
        counted = f"{self.num_recordings:,} recordings of {self.num_patients:,} patients"
        resampled = f"{self.level * 100:g} % intervals from {self.num_resamples:,} resamples of patients"
        notes = [f"{counted}; in brackets {resampled}."]
        if self.controls:
            better = "higher is better" if self.scores[0].higher_is_better else "lower is better"
            notes.append(
                f"Δ: the system minus the control, on the same resamples; {better} for {self.scores[0].title}."
            )
        if self.num_unlabelled:
            notes.append(f"{self.num_unlabelled:,} recordings without a label were left out.")
        first = self.scores[0]
        found = [row.scores[first.name] for row in self.rows]
        if num := max((one.num_undefined for one in found if math.isfinite(one.estimate)), default=0):
            drawn = f"{num:,} of {self.num_resamples:,} resamples"
            notes.append(
                f"{drawn} lack positives or negatives, so have no {first.title}, and are left out of intervals."
            )
        notes += class_notes(self.classes)
        return tuple(notes)


def compare(
    task: TaskKind,
    true: npt.ArrayLike,
    predicted: Mapping[str, npt.ArrayLike],
    patients: Sequence[str] | npt.NDArray[np.generic],
    *,
    controls: Sequence[str] = (),
    classes: Sequence[str] | None = None,
    rankings: Collection[str] = (),
    num_resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Comparison:
    """Score several systems on the same recordings, with intervals over patients, and pair them with the controls.

    Parameters
    ----------
    task : str
        ``regression`` (numbers [n] in the label's unit), ``threshold`` (classes [n] and probabilities) or
        ``multilabel`` ([n, label]).
    true : float [n] or [n, label]
        NaN where unlabelled: such recordings (any label of the row) are left out for all systems and counted.
    predicted : mapping
        System -> predictions, shaped as `true`.
    patients : [n]
        The patient of each recording.
    controls : sequence of str
        Systems that every other is compared with.
    classes : sequence of str, optional
        Names of the columns of a multilabel task. Those that too few patients have (see `evaluation.classes`) are
        counted and left out of its scores.
    rankings : collection of str
        Systems of a threshold task whose predictions, in [0, 1] too, say the order and no probability: they get no
        score of probabilities.

    Raises
    ------
    ValueError
        No system, a control that is none of them, or arrays that do not fit (see `regression_scores`,
        `binary_scores`, `multilabel_scores`).
    """
    scores, checked = _TASKS[task]
    truth = np.asarray(true, dtype=np.float64)
    if not predicted:
        raise ValueError("predicted is empty; give at least one system")
    for control in controls:
        if control not in predicted:
            raise ValueError(f"control {control!r} is none of the systems {', '.join(predicted)}")
    if truth.ndim == 0 or len(patients) != len(truth):
        raise ValueError(f"{len(patients)} patients for labels of shape {truth.shape}")
    labelled = ~np.isnan(truth).any(axis=tuple(range(1, truth.ndim)))
    kept = np.asarray(patients)[labelled]
    num_patients = len(set(kept.tolist()))
    values: dict[str, tuple[Float64, Float64]] = {}
    for system, guesses in predicted.items():
        guesses = np.asarray(guesses, dtype=np.float64)
        if guesses.shape != truth.shape:
            raise ValueError(
                f"{system}: predictions have shape {guesses.shape} and labels {truth.shape}; they must be the same"
            )
        values[system] = checked(truth[labelled], guesses[labelled])
    of_classes: tuple[ClassScores, ...] = ()
    if task == "multilabel":
        names = classes if classes is not None else [f"label {number}" for number in range(truth.shape[1])]
        of_classes = counted_classes(truth[labelled], kept, names)
        of_classes = scored_classes(of_classes, values, kept, num_resamples=num_resamples, seed=seed, level=level)
        enough = np.array([one.counts for one in of_classes], dtype=bool)
        values = {system: (pair[0][:, enough], pair[1][:, enough]) for system, pair in values.items()}
    statistics = {
        f"{system}/{score.name}": _statistic(score, *pair) for system, pair in values.items() for score in scores
    }
    resampled = replicates(kept, statistics, num_resamples, seed)

    def found(score: Score, system: str, other: str | None = None) -> Interval:
        if score.needs_probability and (system in rankings or other in rankings):
            return Interval(math.nan, math.nan, math.nan, 0, "a ranking is no probability")
        estimate, drawn = score(*values[system]), resampled[f"{system}/{score.name}"]
        reason = why_undefined(*values[system])
        if other is not None:
            estimate, drawn = estimate - score(*values[other]), drawn - resampled[f"{other}/{score.name}"]
            reason = "undefined for one of the two systems"
        return interval(estimate, drawn, level, num_patients=num_patients, reason=reason)

    rows = tuple(
        SystemScores(
            system,
            {score.name: found(score, system) for score in scores},
            {
                control: {score.name: found(score, system, control) for score in scores}
                for control in controls
                if control != system
            },
        )
        for system in predicted
    )
    return Comparison(
        task,
        scores,
        rows,
        tuple(controls),
        len(kept),
        num_patients,
        int((~labelled).sum()),
        num_resamples,
        level,
        classes=of_classes,
    )


def _statistic(score: Score, true: Float64, predicted: Float64) -> Statistic:
    return lambda weights: score.weighted(true, predicted, weights)


def _key(system: str) -> str:
    return system.replace(" + ", "_").replace("+", "_").replace(" ", "_")
