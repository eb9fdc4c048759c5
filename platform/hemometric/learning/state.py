"""All that a run needs to go on: weights, optimiser, the step (which is schedule, order and generators too), the best.

The best-so-far weights are a copy in every checkpoint, so that no damage to another one can lose them.
"""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from hemometric.errors import IntegrityError
from hemometric.learning.checkpoints import State

Weights = dict[str, Tensor]


@dataclass
class Best:
    """The lowest validation loss so far, where it was, and the weights that had it: a copy on the CPU."""

    step: int
    validation_loss: float
    weights: Weights


@dataclass
class RunState:
    """What changes while a run goes on, beside the model and the optimiser.

    Attributes
    ----------
    step : int
        Steps done; the next batch is batch number `step`.
    losses : array of float
        One for each step done, NaN where it was skipped.
    num_skipped, num_skipped_in_a_row : int
        Steps without an update since something was not finite.
    best : Best or None
    validations : list of (step, metrics)
    """

    step: int = 0
    losses: array[float] = field(default_factory=lambda: array("d"))
    num_skipped: int = 0
    num_skipped_in_a_row: int = 0
    best: Best | None = None
    validations: list[tuple[int, dict[str, float]]] = field(default_factory=list)

    @property
    def validation_loss_now(self) -> float | None:
        """The finite validation loss of the weights as they are after `step` steps, if they were validated."""
        if not self.validations or self.validations[-1][0] != self.step:
            return None
        loss = self.validations[-1][1]["validation_loss"]
        return loss if math.isfinite(loss) else None

    def consider(self, learner: nn.Module, metrics: dict[str, float]) -> bool:
        """Note a validation after `step` steps; True where it is the best so far (never where it is not finite)."""
        self.validations.append((self.step, metrics))
        loss = metrics["validation_loss"]
        if not math.isfinite(loss) or (self.best is not None and loss >= self.best.validation_loss):
            return False
        self.best = Best(self.step, loss, copied_weights(learner))
        return True


def copied_weights(module: nn.Module) -> Weights:
    """Parameters and buffers as they are now; later steps do not change the copy."""
    return {name: value.detach().to("cpu", copy=True) for name, value in module.state_dict().items()}


def to_state(run: RunState, learner: nn.Module, optimiser: torch.optim.Optimizer) -> State:
    """Collect a run into tensors and plain values."""
    return {
        "step": run.step,
        "losses": torch.tensor(run.losses, dtype=torch.float64),
        "num_skipped": run.num_skipped,
        "num_skipped_in_a_row": run.num_skipped_in_a_row,
        "validations": [[step, dict(metrics)] for step, metrics in run.validations],
        "best": None
        if run.best is None
        else {"step": run.best.step, "validation_loss": run.best.validation_loss, "weights": run.best.weights},
        "learner": learner.state_dict(),
        "optimiser": optimiser.state_dict(),
    }


def from_state(state: State, learner: nn.Module, optimiser: torch.optim.Optimizer) -> RunState:
    """Put a collected run back into `learner` and `optimiser`, and return the rest.

    Raises
    ------
    IntegrityError
        The state is of another model, or lacks something.
    """
    try:
        learner.load_state_dict(state["learner"])
        optimiser.load_state_dict(state["optimiser"])
        best = state["best"]
        run = RunState(
            step=int(state["step"]),
            losses=array("d", state["losses"].tolist()),
            num_skipped=int(state["num_skipped"]),
            num_skipped_in_a_row=int(state["num_skipped_in_a_row"]),
            best=None if best is None else Best(int(best["step"]), float(best["validation_loss"]), best["weights"]),
            validations=[(int(step), dict(metrics)) for step, metrics in state["validations"]],
        )
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise IntegrityError(f"the checkpoint does not fit this model: {str(error).splitlines()[0]}") from error
    if len(run.losses) != run.step:
        raise IntegrityError(f"the checkpoint holds {len(run.losses)} losses for {run.step} steps; delete it")
    return run
