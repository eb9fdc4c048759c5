"""Adam and AdamW over everything that should learn, and the proof that nothing was forgotten."""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from hemometric.config import Config
from hemometric.errors import IntegrityError, UsageError


class OptimiserConfig(Config):
    """How weights move.

    The published recipe (Jeong et al. 2023) is ``kind: adam, weight_decay: 0.1, decay_all: true``: there the decay is
    added to the gradient, and so rescaled by Adam's second moment. ``adamw`` takes it off the weights directly
    (Loshchilov and Hutter 2019, algorithm 2).

    Attributes
    ----------
    learning_rate : float
        The rate that the schedule's factor multiplies.
    weight_decay : float
        On matrices and kernels only: gains and shifts of norms, biases and scalars of the loss are left alone, since
        pulling them to zero does not make a model simpler; `decay_all` includes them.
    clip_norm : float or None
        Scale the gradient down to this Euclidean norm where it is longer.
    """

    kind: Literal["adam", "adamw"] = "adamw"
    learning_rate: float = Field(default=1e-4, gt=0.0)
    weight_decay: float = Field(default=0.01, ge=0.0)
    decay_all: bool = False
    beta1: float = Field(default=0.9, ge=0.0, lt=1.0)
    beta2: float = Field(default=0.999, ge=0.0, lt=1.0)
    epsilon: float = Field(default=1e-8, gt=0.0)
    clip_norm: float | None = Field(default=None, gt=0.0)

    def build(self, module: nn.Module) -> torch.optim.Optimizer:
        """Make the optimiser of every trainable parameter of `module`; `set_learning_rate` moves its rate.

        Raises
        ------
        UsageError
            The module has no trainable parameter.
        """
        trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
        if not trainable:
            raise UsageError("the model has no trainable parameter; unfreeze the encoder or add a head")
        decayed = [parameter for parameter in trainable if self.decay_all or parameter.ndim >= 2]
        spared = [parameter for parameter in trainable if not (self.decay_all or parameter.ndim >= 2)]
        groups: list[dict[str, Any]] = [
            {"params": parameters, "weight_decay": weight_decay}
            for parameters, weight_decay in ((decayed, self.weight_decay), (spared, 0.0))
            if parameters
        ]
        make = torch.optim.AdamW if self.kind == "adamw" else torch.optim.Adam
        optimiser = make(groups, lr=self.learning_rate, betas=(self.beta1, self.beta2), eps=self.epsilon)
        check_covers(optimiser, module)
        return optimiser


def set_learning_rate(optimiser: torch.optim.Optimizer, learning_rate: float) -> None:
    """Give every group the rate of this step."""
    for group in optimiser.param_groups:
        group["lr"] = learning_rate


def check_covers(optimiser: torch.optim.Optimizer, module: nn.Module) -> None:
    """Refuse an optimiser that does not hold each trainable parameter of `module` exactly once, and no other.

    Raises
    ------
    IntegrityError
        It names the parameters that are missing, or counts those that are foreign or frozen.
    """
    held = [id(parameter) for group in optimiser.param_groups for parameter in group["params"]]
    trainable = {id(parameter): name for name, parameter in module.named_parameters() if parameter.requires_grad}
    missing = [name for key, name in trainable.items() if key not in held]
    if missing:
        raise IntegrityError(f"parameters that should learn are not in the optimiser: {', '.join(missing)}")
    num_foreign = len([key for key in held if key not in trainable])
    if num_foreign or len(held) != len(set(held)):
        raise IntegrityError(f"the optimiser holds {num_foreign} foreign or frozen parameters, or some twice")


def unreached(loss: Tensor, module: nn.Module) -> list[str]:
    """Names of the trainable parameters of `module` that `loss` does not depend on, by its graph."""
    seen = set()
    leaves = set()
    waiting = [loss.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            leaves.add(id(node.variable))
        waiting.extend(below for below, _ in node.next_functions)
    return [name for name, value in module.named_parameters() if value.requires_grad and id(value) not in leaves]
