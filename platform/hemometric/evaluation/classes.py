"""Classes one by one: how many patients have each, which are enough for a score, and their AUROCs.

An AUROC of one or two patients is an anecdote, and a resample that draws none of them has none. So a class counts only
where at least `MIN_PATIENTS` patients have a recording with it and as many have one without it; the others are named
with their number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from hemometric.ecg import Float64
from hemometric.evaluation.intervals import Interval, Statistic, interval, replicates
from hemometric.evaluation.scores import BINARY_SCORES
from hemometric.evaluation.table import Cell, Column, Table

MIN_PATIENTS = 5
"""A resample of patients misses five of them with a probability of 0.7 % at most, so few resamples have no score."""


@dataclass(frozen=True)
class ClassScores:
    """One class of a multilabel task.

    Attributes
    ----------
    name : str
    num_positive, num_negative : int
        Recordings with and without it.
    num_positive_patients, num_negative_patients : int
        Patients with at least one such recording; a patient may be among both.
    aurocs : mapping
        System -> AUROC with its interval; empty where the class does not count.
    """

    name: str
    num_positive: int
    num_negative: int
    num_positive_patients: int
    num_negative_patients: int
    aurocs: Mapping[str, Interval]

    @property
    def counts(self) -> bool:
        """Whether enough patients have it, and have it not."""
        return min(self.num_positive_patients, self.num_negative_patients) >= MIN_PATIENTS


def counted_classes(true: Float64, patients: npt.NDArray[np.generic], names: Sequence[str]) -> tuple[ClassScores, ...]:
    """Count each class, without scores.

    Parameters
    ----------
    true : 0 / 1 [n, class]
    patients : [n]
    names : sequence of str
        One for each column.

    Raises
    ------
    ValueError
        Their number differs.
    """
    if len(names) != true.shape[1]:
        raise ValueError(f"{len(names)} names for {true.shape[1]} classes")
    found = []
    for name, column in zip(names, true.T, strict=True):
        positive, negative = patients[column == 1], patients[column == 0]
        nums = (len(positive), len(negative), len(set(positive.tolist())), len(set(negative.tolist())))
        found.append(ClassScores(name, *nums, {}))
    return tuple(found)


def scored_classes(
    classes: Sequence[ClassScores],
    values: Mapping[str, tuple[Float64, Float64]],
    patients: npt.NDArray[np.generic],
    *,
    num_resamples: int,
    seed: int,
    level: float,
) -> tuple[ClassScores, ...]:
    """Give those that count their AUROCs, on the resamples of (seed, patients).

    Parameters
    ----------
    values : mapping
        System -> true 0 / 1 [n, class] and probabilities, likewise.
    """
    auroc = BINARY_SCORES[0]
    columns = {
        (system, number): (true[:, number], predicted[:, number])
        for system, (true, predicted) in values.items()
        for number, one in enumerate(classes)
        if one.counts
    }
    statistics = {f"{system}/{number}": _statistic(*pair) for (system, number), pair in columns.items()}
    drawn = replicates(patients, statistics, num_resamples, seed)
    num_patients = len(set(patients.tolist()))
    aurocs: list[dict[str, Interval]] = [{} for _ in classes]
    for (system, number), pair in columns.items():
        estimates = drawn[f"{system}/{number}"]
        aurocs[number][system] = interval(auroc(*pair), estimates, level, num_patients=num_patients)
    return tuple(replace(one, aurocs=found) for one, found in zip(classes, aurocs, strict=True))


def _statistic(true: Float64, predicted: Float64) -> Statistic:
    return lambda weights: BINARY_SCORES[0].weighted(true, predicted, weights)


def class_table(classes: Sequence[ClassScores], systems: Sequence[str], caption: str) -> Table:
    """Lay out the classes for a report: a row each, with its positives and the AUROC of each system."""
    columns = [
        Column("Class"),
        Column("Positives", unit="recordings"),
        Column("Positives", unit="patients"),
        *(Column(system, unit="AUROC", digits=3) for system in systems),
    ]
    rows: list[tuple[Cell, ...]] = [
        (
            one.name,
            one.num_positive,
            one.num_positive_patients,
            *(one.aurocs.get(system) for system in systems),
        )
        for one in classes
    ]
    notes = (
        ()
        if all(one.counts for one in classes)
        else (f"–: fewer than {MIN_PATIENTS} test patients with it, or without it.",)
    )
    return Table(caption=caption, columns=tuple(columns), rows=tuple(rows), notes=notes)


def class_notes(classes: Sequence[ClassScores]) -> tuple[str, ...]:
    """Say which classes do not count, with their patients; nothing where all do."""
    left_out = [one for one in classes if not one.counts]
    if not left_out:
        return ()
    listed = ", ".join(
        f"{one.name} ({one.num_positive_patients} with it, {one.num_negative_patients} without)" for one in left_out
    )
    return (
        f"Left out of the macro AUROC, for fewer than {MIN_PATIENTS} test patients with it or without it: {listed}.",
    )
