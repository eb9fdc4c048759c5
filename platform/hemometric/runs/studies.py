"""A study: systems side by side on one corpus, from embeddings and metadata to scores on the test split."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from hemometric.config import PLACEMENT, Added, Config
from hemometric.corpus import SPLITS, Corpus
from hemometric.ecg import Float64
from hemometric.encoders import Model
from hemometric.errors import UsageError
from hemometric.evaluation import AgeSexFeatures, Comparison, Probe, compare, logistic_probe, ridge_probe
from hemometric.runs.landmark_control import LandmarkControl
from hemometric.runs.study_rows import Rows
from hemometric.runs.tasks import RegressionTask, ThresholdTask
from hemometric.runs.training import METADATA_UNITS, check_unit

AGE_SEX = "age + sex"
SEX = "sex"
RANDOM = "random encoder + probe"
PRETRAINED = "pretrained encoder + probe"
TRAINED = "fine-tuned model"
LANDMARKS = "DTW to landmarks + probe"

CONTROLS = (AGE_SEX, RANDOM)
"""What a system must beat: what is known without an ECG, and what an encoder gives that has learnt nothing."""

AGE = "age_years"
"""Of every corpus, no label: it may be estimated, and is then no control of itself."""

TITLES = {"mpcwp_mmhg": "mPCWP", "mpap_mmhg": "mPAP", "co_l_min": "cardiac output", AGE: "age"}
"""How a report names the labels that this field knows; others keep their own name."""


class CodesTask(Config):
    """Estimate which codes of a set a recording carries, such as PTB-XL's superclasses."""

    kind: Literal["codes"] = "codes"
    label: str


StudyTask = Annotated[RegressionTask | ThresholdTask | CodesTask, Field(discriminator="kind")]


class Study(Config):
    """What is compared, and on what.

    Attributes
    ----------
    name : str
        Heading in the report.
    corpus : Path
    encoder : Path
        Model folder whose frozen embeddings are probed, beside a random encoder of the same architecture.
    predictor : Path or None
        Model folder with a head, scored where its label and kind are the task's.
    reachable : Path or None
        ``reachable.json`` of a synthetic cohort: the best that any estimator could reach.
    landmarks : config or None
        Probe distances to landmarks too, the control without a network.
    tasks : tuple
        Labels to estimate.
    """

    name: str
    corpus: Annotated[Path, PLACEMENT]
    encoder: Annotated[Path, PLACEMENT]
    predictor: Annotated[Path | None, PLACEMENT] = None
    reachable: Annotated[Path | None, PLACEMENT] = None
    landmarks: Annotated[LandmarkControl | None, Added(None)] = None
    tasks: tuple[StudyTask, ...] = Field(min_length=1)


@dataclass(frozen=True, eq=False)
class Outcome:
    """What one task of a study gave.

    Attributes
    ----------
    truth : float64 [test] or [test, code]
    predicted : dict
        From a system to what it said of the test split.
    codes : tuple of str
        Names of the columns, for a codes task.
    """

    task: StudyTask
    comparison: Comparison
    truth: Float64
    predicted: dict[str, Float64]
    codes: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())


def labels_of(rows: Rows, task: StudyTask) -> tuple[Float64, tuple[str, ...]]:
    """Give what is to be estimated: numbers, 0/1, or a 0/1 column a code; NaN where there is no label.

    Raises
    ------
    UsageError
        Nobody carries it.
    """
    values = rows.labels(task.label)
    if task.kind == "codes":
        codes = tuple(sorted({code for found in values for code in found or ()}))
        if not codes:
            raise UsageError(f"tasks: no recording carries a code of {task.label!r}")
        matrix = [[np.nan if found is None else float(code in found) for code in codes] for found in values]
        return np.asarray(matrix, dtype=np.float64), codes
    numbers = np.asarray([np.nan if value is None else float(value) for value in values])
    if task.kind == "threshold":
        numbers = np.where(np.isnan(numbers), np.nan, (numbers > task.threshold).astype(np.float64))
    return numbers, ()


def score(rows: Rows, task: StudyTask, predictor: Model | None, *, num_resamples: int, seed: int) -> Outcome:
    """Fit probes on the training split, choose their penalty on the validation split, score on the test split.

    Raises
    ------
    UsageError
        A split holds no recording, or no recording of the test split carries the label.
    """
    masks = {split: rows.mask(split) for split in SPLITS}
    refuse_empty({split: int(mask.sum()) for split, mask in masks.items()})
    train, validation, test = (masks[split] for split in SPLITS)
    labels, codes = labels_of(rows, task)
    if np.isnan(labels[test]).reshape(int(test.sum()), -1).any(axis=1).all():
        raise UsageError(f"tasks: no recording of the test split carries {task.label!r}; there is nothing to score")
    fit: Callable[..., Probe] = ridge_probe if task.kind == "regression" else logistic_probe
    without_ecg, simple = _without_ecg(rows, task, train)
    features = {without_ecg: simple} | dict(rows.embeddings.items())
    predicted: dict[str, Float64] = {}
    notes = [] if without_ecg == AGE_SEX else [f"The control is {SEX} alone: age is what is estimated."]
    rankings: list[str] = []
    for system, values in features.items():
        probe = fit(values[train], labels[train], values[validation], labels[validation], values[test])
        predicted[system] = probe.predicted
        notes += [note for note in probe.notes if note not in notes]
    if predictor is not None and rows.estimates is not None:
        if fits(predictor, task):
            predicted[TRAINED] = rows.estimates[test]
        elif ranks(predictor, task):
            predicted[TRAINED] = _ranked(rows.estimates[test])
            rankings.append(TRAINED)
            notes.append(f"The {TRAINED} estimates the number itself: its estimates are scored by their order alone.")
    kinds = {"regression": "regression", "threshold": "threshold", "codes": "multilabel"}
    comparison = compare(
        kinds[task.kind],  # type: ignore[arg-type]  # the three values of TaskKind
        labels[test],
        predicted,
        rows.column("patient")[test].astype(str),
        controls=(without_ecg, RANDOM),
        classes=codes or None,
        rankings=rankings,
        num_resamples=num_resamples,
        seed=seed,
    )
    return Outcome(task, comparison, labels[test], predicted, codes, tuple(notes))


def _without_ecg(rows: Rows, task: StudyTask, train: npt.NDArray[np.bool_]) -> tuple[str, Float64]:
    """Give the control that needs no ECG, by its name, and its features [n, 4]; age never stands for itself."""
    ages = np.asarray([np.nan if age is None else float(age) for age in rows.column(AGE)])
    sexes = rows.column("sex")
    if task.label == AGE:
        ages = np.full_like(ages, np.nan)
    return SEX if task.label == AGE else AGE_SEX, AgeSexFeatures.fit(ages[train], sexes[train])(ages, sexes)


def _ranked(estimates: Float64) -> Float64:
    """Give the rank of each estimate [n] among all, in (0, 1]; equal ones share theirs."""
    _, places, counts = np.unique(estimates, return_inverse=True, return_counts=True)
    return np.asarray(np.cumsum(counts)[places] / len(estimates), dtype=np.float64)


def refuse_empty(recordings: Mapping[str, int]) -> None:
    """Refuse to score where a split has no recording.

    Raises
    ------
    UsageError
        It names the split.
    """
    needed = {"train": "fit probes on", "validation": "choose their penalty on", "test": "score"}
    for split, use in needed.items():
        if not recordings[split]:
            raise UsageError(
                f"the {split} split is empty, so there is nothing to {use}; ingest more patients, or set ingest.split"
            )


def titled(task: StudyTask) -> str:
    """Name what a task estimates."""
    name = TITLES.get(task.label, task.label)
    return f"{name} > {task.threshold:g} {task.unit}".strip() if task.kind == "threshold" else name


def fits(model: Model, task: StudyTask) -> bool:
    """Whether a model's head estimates what a task asks for."""
    if model.task is None or model.task.kind != task.kind or model.task.label != task.label:
        return False
    if task.unit and model.task.unit and model.task.unit != task.unit:
        return False
    return task.kind != "threshold" or model.task.threshold == task.threshold


def ranks(model: Model, task: StudyTask) -> bool:
    """Whether a model's head estimates the number that a task compares with a threshold: its order is a score too."""
    return task.kind == "threshold" and fits(model, RegressionTask(label=task.label, unit=task.unit))


def check(study: Study, corpus: Corpus, predictor: Model | None) -> None:
    """Refuse a study that could not be scored, before anything is embedded for it.

    Raises
    ------
    UsageError
        A split is empty; the corpus lacks a label or holds it as another kind; the predictor estimates what no task
        asks for.
    """
    refuse_empty({split: corpus.manifest.counts.splits[split].recordings for split in SPLITS})
    for task in study.tasks:
        if task.label in METADATA_UNITS and task.kind != "codes":
            check_unit(task.label, METADATA_UNITS[task.label], task.unit)
            continue
        label = corpus.manifest.label(task.label)
        if label is None:
            known = ", ".join([*(found.name for found in corpus.manifest.labels), *METADATA_UNITS])
            raise UsageError(f"tasks: the corpus has no label {task.label!r}; it has: {known}")
        if label.kind == "numbers":
            raise UsageError(f"tasks: label {task.label!r} holds several numbers for a recording, which no task takes")
        if (label.kind == "codes") != (task.kind == "codes"):
            fitting = "codes" if label.kind == "codes" else "regression or threshold"
            raise UsageError(f"tasks: label {task.label!r} holds {label.kind}, for a task of kind {fitting}")
        if task.kind != "codes":
            check_unit(label.name, label.unit, task.unit)
    if predictor is not None:
        if predictor.task is None:
            raise UsageError(f"predictor {study.predictor} has no head; fine-tune or tune one")
        if not any(fits(predictor, task) or ranks(predictor, task) for task in study.tasks):
            raise UsageError(
                f"predictor {study.predictor} gives {predictor.task.meaning}, which is none of the tasks; add that task"
            )


def read_reachable(path: Path | None) -> dict[str, float]:
    """Read what the best estimator could reach on a synthetic cohort; empty where it is not known."""
    if path is None:
        return {}
    if not path.is_file():
        raise UsageError(f"reachable: {path} does not exist; `hemometric synthesise` writes it beside its labels")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {name: float(found[name]) for name in ("rmse_mmhg", "r", "auroc_above_15", "auroc_above_18")}
    except (ValueError, KeyError, TypeError, OSError):
        raise UsageError(f"reachable: {path} is not the file that `hemometric synthesise` writes") from None
