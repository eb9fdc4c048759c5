"""Several systems on the same recordings: their scores with intervals, and what each gains over a baseline."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from hemometric.ecg import Float64
from hemometric.evaluation.intervals import Interval, Statistic, interval, replicates
from hemometric.evaluation.report import Cell, Column, Table
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
        Score name -> this system minus the baseline, on the same resamples; empty for the baseline itself and where
        there is none.
    """

    system: str
    scores: Mapping[str, Interval]
    differences: Mapping[str, Interval]


@dataclass(frozen=True)
class Comparison:
    """Systems side by side, on the same recordings.

    Attributes
    ----------
    task : str
        ``regression``, ``threshold`` or ``multilabel``.
    scores : tuple of Score
        The first is the one that `table` shows differences of.
    rows : tuple of SystemScores
        In the order given.
    baseline : str or None
    num_recordings, num_patients : int
        With a label: what the scores are computed on.
    num_unlabelled : int
        Recordings left out because they have no label.
    num_resamples : int
    level : float
        Share of resampled values inside each interval.
    """

    task: TaskKind
    scores: tuple[Score, ...]
    rows: tuple[SystemScores, ...]
    baseline: str | None
    num_recordings: int
    num_patients: int
    num_unlabelled: int
    num_resamples: int
    level: float

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

    def flat(self) -> dict[str, float]:
        """Scores as ``system/score`` and ``…_low``, ``…_high``, for a tracker; what is undefined is left out."""
        values: dict[str, float] = {}
        for row in self.rows:
            system = row.system.replace(" + ", "_").replace("+", "_").replace(" ", "_")
            for name, found in row.scores.items():
                values |= {
                    f"{system}/{name}": found.estimate,
                    f"{system}/{name}_low": found.low,
                    f"{system}/{name}_high": found.high,
                }
        return {name: value for name, value in values.items() if math.isfinite(value)}

    def table(self, caption: str, unit: str = "", digits: int = 2) -> Table:
        """Lay the scores out for a report: a row for each system, with the first score's difference to the baseline.

        Parameters
        ----------
        caption : str
        unit : str
            The label's unit, for the scores that carry it.
        digits : int
            Decimals of those scores; the others have three.
        """

        def column(score: Score, *, difference: bool) -> Column:
            return Column(
                title=f"Δ {score.title}" if difference else score.title,
                unit=unit if score.in_label_unit else "",
                digits=digits if score.in_label_unit else 3,
                signed=difference,
                best=None if difference else ("highest" if score.higher_is_better else "lowest"),
            )

        columns = [Column("System"), *(column(score, difference=False) for score in self.scores)]
        if self.baseline is not None:
            columns.append(column(self.scores[0], difference=True))
        rows: list[tuple[Cell, ...]] = []
        for row in self.rows:
            cells: list[Cell] = [row.system, *(row.scores[score.name] for score in self.scores)]
            if self.baseline is not None:
                cells.append(row.differences.get(self.scores[0].name))
            rows.append(tuple(cells))
        return Table(caption=caption, columns=tuple(columns), rows=tuple(rows), notes=self.notes())

    def notes(self) -> tuple[str, ...]:
        """Sentences that a reader needs beside the numbers."""
        counted = f"{self.num_recordings:,} recordings of {self.num_patients:,} patients"
        resampled = f"{self.level * 100:g} % intervals from {self.num_resamples:,} resamples of patients"
        notes = [f"{counted}; in brackets {resampled}."]
        if self.baseline is not None:
            better = "higher is better" if self.scores[0].higher_is_better else "lower is better"
            notes.append(f"Δ: minus “{self.baseline}”, on the same resamples; {better} for {self.scores[0].title}.")
        if self.num_unlabelled:
            notes.append(f"{self.num_unlabelled:,} recordings without a label were left out.")
        return tuple(notes)


def compare(
    task: TaskKind,
    true: npt.ArrayLike,
    predicted: Mapping[str, npt.ArrayLike],
    patients: Sequence[str] | npt.NDArray[np.generic],
    *,
    baseline: str | None = None,
    num_resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Comparison:
    """Score several systems on the same recordings, with intervals over patients and paired differences to one of them.

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
    baseline : str, optional
        System that the others are compared with.

    Raises
    ------
    ValueError
        No system, a baseline that is none of them, or arrays that do not fit (see `regression_scores`,
        `binary_scores`, `multilabel_scores`).
    """
    scores, checked = _TASKS[task]
    truth = np.asarray(true, dtype=np.float64)
    if not predicted:
        raise ValueError("predicted is empty; give at least one system")
    if baseline is not None and baseline not in predicted:
        raise ValueError(f"baseline {baseline!r} is none of the systems {', '.join(predicted)}")
    if truth.ndim == 0 or len(patients) != len(truth):
        raise ValueError(f"{len(patients)} patients for labels of shape {truth.shape}")
    labelled = ~np.isnan(truth).reshape(len(truth), -1).any(axis=1)
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
    statistics = {
        f"{system}/{score.name}": _statistic(score, *pair) for system, pair in values.items() for score in scores
    }
    resampled = replicates(kept, statistics, num_resamples, seed)

    def found(score: Score, system: str, other: str | None = None) -> Interval:
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
            {score.name: found(score, system, baseline) for score in scores} if baseline not in (None, system) else {},
        )
        for system in predicted
    )
    return Comparison(
        task, scores, rows, baseline, len(kept), num_patients, int((~labelled).sum()), num_resamples, level
    )


def _statistic(score: Score, true: Float64, predicted: Float64) -> Statistic:
    return lambda weights: score.weighted(true, predicted, weights)
