"""What a head is to learn: which rows carry the label, the scale that they fix, and the scores of a validation."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field

from hemometric.config import Config
from hemometric.corpus import Cache
from hemometric.ecg import Float32, Float64
from hemometric.encoders import Task
from hemometric.errors import UsageError
from hemometric.evaluation import binary_scores, regression_scores

MIN_LABELLED = 8


class RegressionTask(Config):
    """Estimate a number, such as mPCWP in mmHg."""

    kind: Literal["regression"] = "regression"
    label: str
    unit: str = ""


class ThresholdTask(Config):
    """Estimate the probability that a number lies above a threshold, such as mPCWP > 18 mmHg."""

    kind: Literal["threshold"] = "threshold"
    label: str
    unit: str = ""
    threshold: float


TaskConfig = Annotated[RegressionTask | ThresholdTask, Field(discriminator="kind")]


def labelled_rows(cache: Cache, task: TaskConfig, split: str) -> npt.NDArray[np.int64]:
    """Find the rows of a split that carry the label.

    Raises
    ------
    UsageError
        The corpus has no such label, or too few recordings of the split carry it.
    """
    rows = cache.rows(split)
    values = cache.column(task.label)[rows]
    found: npt.NDArray[np.int64] = rows[np.isfinite(values)]
    if len(found) < MIN_LABELLED:
        raise UsageError(
            f"task.label {task.label!r}: {len(found)} recordings of the {split} split carry it, at least "
            f"{MIN_LABELLED} are needed; see `hemometric inspect` for the labels of a corpus"
        )
    return found


def scaled(config: TaskConfig, train_values: Float64) -> Task:
    """Fix a task's scale on the training labels: targets of a regression have mean 0 and SD 1 there.

    Raises
    ------
    UsageError
        All training labels are equal, or lie on one side of the threshold.
    """
    if config.kind == "threshold":
        share = float(np.mean(train_values > config.threshold))
        if share in (0.0, 1.0):
            raise UsageError(
                f"task.threshold {config.threshold:g}: every training label of {config.label!r} lies on one side of it"
            )
        return Task(kind="threshold", label=config.label, unit=config.unit, threshold=config.threshold)
    spread = float(np.std(train_values))
    if spread == 0.0:
        raise UsageError(f"task.label {config.label!r}: all training values are equal; there is nothing to learn")
    return Task(
        kind="regression",
        label=config.label,
        unit=config.unit,
        scale_mean=float(np.mean(train_values)),
        scale_sd=spread,
    )


def validation_metrics(task: Task, values: Float64, outputs: Float32) -> dict[str, float]:
    """Score one split; ``validation_loss`` is the RMSE in the label's unit, or the cross-entropy in nats."""
    estimates = task.estimates(torch.from_numpy(outputs)).double().numpy()
    if not np.isfinite(estimates).all():
        return {"validation_loss": float("nan")}  # a run that diverged: never the best, and said so at the end
    if task.threshold is not None:
        truth = values > task.threshold
        clipped = np.clip(estimates, 1e-7, 1 - 1e-7)
        loss = float(-np.mean(np.where(truth, np.log(clipped), np.log1p(-clipped))))
        scores = binary_scores(truth, estimates)
    else:
        scores = regression_scores(values, estimates)
        loss = scores["rmse"]
    return {"validation_loss": loss} | {f"validation_{name}": value for name, value in scores.items()}
