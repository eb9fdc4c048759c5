"""A study: systems side by side on one corpus, from embeddings and metadata to scores on the test split."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field

from hemometric.config import PLACEMENT, Config
from hemometric.corpus import Corpus
from hemometric.ecg import Float64
from hemometric.encoders import Model
from hemometric.errors import UsageError
from hemometric.evaluation import AgeSexFeatures, Comparison, Probe, compare, logistic_probe, ridge_probe
from hemometric.runs.tasks import RegressionTask, ThresholdTask
from hemometric.runs.training import check_unit

AGE_SEX = "age + sex"
RANDOM = "random encoder + probe"
PRETRAINED = "pretrained encoder + probe"
TRAINED = "fine-tuned model"

CONTROLS = (AGE_SEX, RANDOM)
"""What a system must beat: what is known without an ECG, and what an encoder gives that has learnt nothing."""

TITLES = {"mpcwp_mmhg": "mPCWP", "mpap_mmhg": "mPAP", "co_l_min": "cardiac output"}
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
    tasks : tuple
        Labels to estimate.
    """

    name: str
    corpus: Annotated[Path, PLACEMENT]
    encoder: Annotated[Path, PLACEMENT]
    predictor: Annotated[Path | None, PLACEMENT] = None
    reachable: Annotated[Path | None, PLACEMENT] = None
    tasks: tuple[StudyTask, ...] = Field(min_length=1)


@dataclass(frozen=True, eq=False)
class Rows:
    """The recordings of a study, in one order for everything.

    Attributes
    ----------
    table : pa.Table
        Columns of the corpus.
    embeddings : dict
        From a system to float32 [n, dim].
    estimates : float64 [n] or None
        Of the predictor.
    num_refused : int
        Recordings of the corpus that are left out, because some model's preparation refused them.
    """

    table: pa.Table
    embeddings: dict[str, npt.NDArray[np.float32]]
    estimates: Float64 | None = None
    num_refused: int = 0

    def column(self, name: str) -> npt.NDArray[Any]:
        """Give a column as an array."""
        return np.asarray(self.table[name].to_pylist(), dtype=object)

    def mask(self, split: str) -> npt.NDArray[np.bool_]:
        """Say which rows lie in a split."""
        found: npt.NDArray[np.bool_] = self.column("split") == split
        return found


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


def joined(
    corpus: Corpus,
    embeddings: dict[str, tuple[npt.NDArray[Any], npt.NDArray[np.float32]]],
    estimates: tuple[npt.NDArray[Any], npt.NDArray[np.float32]] | None,
) -> Rows:
    """Join everything by recording id; a recording that some system refused is left out for all."""
    table = corpus.table()
    ids = table["recording_id"].to_pylist()
    held = [set(found.tolist()) for found, _ in embeddings.values()]
    held += [set(estimates[0].tolist())] if estimates is not None else []
    keep = [position for position, name in enumerate(ids) if all(name in known for known in held)]
    table = table.take(keep)
    order = table["recording_id"].to_pylist()

    def aligned(found: npt.NDArray[Any], values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        place = {name: position for position, name in enumerate(found.tolist())}
        return values[[place[name] for name in order]]

    return Rows(
        table,
        {system: aligned(*pair) for system, pair in embeddings.items()},
        None if estimates is None else aligned(*estimates).astype(np.float64),
        num_refused=len(ids) - len(keep),
    )


def labels_of(rows: Rows, task: StudyTask) -> tuple[Float64, tuple[str, ...]]:
    """Give what is to be estimated: numbers, 0/1, or a 0/1 column a code; NaN where there is no label.

    Raises
    ------
    UsageError
        Nobody carries it.
    """
    values = rows.table[f"label.{task.label}"].to_pylist()
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
    """Fit probes on the training split, choose their penalty on the validation split, score on the test split."""
    labels, codes = labels_of(rows, task)
    train, validation, test = (rows.mask(split) for split in ("train", "validation", "test"))
    if np.isnan(labels[test]).reshape(int(test.sum()), -1).any(axis=1).all():
        raise UsageError(f"tasks: no recording of the test split carries {task.label!r}; there is nothing to score")
    fit: Callable[..., Probe] = ridge_probe if task.kind == "regression" else logistic_probe
    ages = np.asarray([np.nan if age is None else float(age) for age in rows.column("age_years")])
    sexes = rows.column("sex")
    simple = AgeSexFeatures.fit(ages[train], sexes[train])(ages, sexes)
    features = {AGE_SEX: simple} | dict(rows.embeddings.items())
    predicted: dict[str, Float64] = {}
    notes: list[str] = []
    for system, values in features.items():
        probe = fit(values[train], labels[train], values[validation], labels[validation], values[test])
        predicted[system] = probe.predicted
        notes += [note for note in probe.notes if note not in notes]
    if predictor is not None and rows.estimates is not None and fits(predictor, task):
        predicted[TRAINED] = rows.estimates[test]
    kinds = {"regression": "regression", "threshold": "threshold", "codes": "multilabel"}
    comparison = compare(
        kinds[task.kind],  # type: ignore[arg-type]  # the three values of TaskKind
        labels[test],
        predicted,
        rows.column("patient")[test].astype(str),
        controls=CONTROLS,
        num_resamples=num_resamples,
        seed=seed,
    )
    return Outcome(task, comparison, labels[test], predicted, codes, tuple(notes))


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


def check(study: Study, corpus: Corpus, predictor: Model | None) -> None:
    """Refuse a study that could not be scored, before anything is embedded for it.

    Raises
    ------
    UsageError
        The corpus lacks a label, holds it as another kind, or the predictor estimates what no task asks for.
    """
    for task in study.tasks:
        label = corpus.manifest.label(task.label)
        if label is None:
            known = ", ".join(found.name for found in corpus.manifest.labels)
            raise UsageError(f"tasks: the corpus has no label {task.label!r}; it has: {known or 'none'}")
        if (label.kind == "codes") != (task.kind == "codes"):
            fitting = "codes" if label.kind == "codes" else "regression or threshold"
            raise UsageError(f"tasks: label {task.label!r} holds {label.kind}, for a task of kind {fitting}")
        if task.kind != "codes":
            check_unit(label.name, label.unit, task.unit)
    if predictor is not None:
        if predictor.task is None:
            raise UsageError(f"predictor {study.predictor} has no head; fine-tune or tune one")
        if not any(fits(predictor, task) for task in study.tasks):
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
