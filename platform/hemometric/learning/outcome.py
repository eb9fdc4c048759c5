"""What the loop tells while it runs, and what it leaves."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from hemometric.learning.state import Weights


@dataclass(frozen=True)
class Report:
    """What every rank hears at the same steps: after a validation, a checkpoint, and the last step.

    Attributes
    ----------
    step : int
        Steps done.
    metrics : dict
        The same on every rank.
    checkpoint : Path or None
        The folder written at this step; on the main rank only.
    is_best : bool
        The validation at this step was the best so far.
    """

    step: int
    metrics: dict[str, float]
    checkpoint: Path | None
    is_best: bool


@dataclass(frozen=True)
class Fit:
    """What a finished run leaves; the same on every rank, and the same whether or not it was ever interrupted.

    Attributes
    ----------
    losses : list of float
        One a step, NaN where skipped.
    validations : list of (step, metrics)
    num_skipped : int
    best_step, best_validation_loss : int and float, or None
        None without a (finite) validation.
    weights, best_weights : dict of Tensor
        Copies of the learner's state on the CPU, after the last step and at `best_step` (the last ones without a
        validation); ``learner.load_state_dict(fit.best_weights)`` puts the best back.
    resumed_from : int
        The step this process began at.
    metrics : dict
        Of the last report; empty if nothing was left to do.
    """

    losses: list[float]
    validations: list[tuple[int, dict[str, float]]]
    num_skipped: int
    best_step: int | None
    best_validation_loss: float | None
    weights: Weights
    best_weights: Weights
    resumed_from: int
    metrics: dict[str, float] = field(default_factory=dict)
