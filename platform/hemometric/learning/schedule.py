"""Learning-rate schedules as pure functions of the step, so that resuming needs nothing but the step.

The factor multiplies the optimiser's learning rate and is set anew before every step. A warm-up of w steps climbs
linearly, (step + 1) / w, and ends at 1; the decay then runs over the steps that remain.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import Field

from hemometric.config import Config

Schedule = Callable[[int], float]
"""From the step, counted from 0, to the factor on the learning rate."""


class ConstantSchedule(Config):
    """The same rate at every step after the warm-up."""

    kind: Literal["constant"] = "constant"
    warmup_steps: int = Field(default=0, ge=0)

    def build(self, num_steps: int) -> Schedule:
        """See `_with_warmup`."""
        return _with_warmup(self.warmup_steps, num_steps, lambda _: 1.0)


class CosineSchedule(Config):
    """Half a cosine from 1 to `final_factor`, without restarts (Loshchilov and Hutter 2017, equation 5)."""

    kind: Literal["cosine"] = "cosine"
    warmup_steps: int = Field(default=0, ge=0)
    final_factor: float = Field(default=0.0, ge=0.0, le=1.0)

    def build(self, num_steps: int) -> Schedule:
        """See `_with_warmup`."""
        span = 1.0 - self.final_factor
        return _with_warmup(
            self.warmup_steps, num_steps, lambda x: self.final_factor + span * 0.5 * (1.0 + math.cos(math.pi * x))
        )


class PolySchedule(Config):
    """From 1 to `final_factor` as (1 - x) ** power, x the share of the steps behind; power 1 is a straight line."""

    kind: Literal["poly"] = "poly"
    warmup_steps: int = Field(default=0, ge=0)
    final_factor: float = Field(default=0.0, ge=0.0, le=1.0)
    power: float = Field(default=1.0, gt=0.0)

    def build(self, num_steps: int) -> Schedule:
        """See `_with_warmup`."""
        span = 1.0 - self.final_factor
        return _with_warmup(self.warmup_steps, num_steps, lambda x: self.final_factor + span * (1.0 - x) ** self.power)


ScheduleConfig = Annotated[ConstantSchedule | CosineSchedule | PolySchedule, Field(discriminator="kind")]


def _with_warmup(warmup_steps: int, num_steps: int, decay: Callable[[float], float]) -> Schedule:
    """Join warm-up and decay.

    Raises
    ------
    ValueError
        The warm-up is as long as the run.
    """
    if warmup_steps >= num_steps:
        raise ValueError(f"schedule.warmup_steps is {warmup_steps} and the run has {num_steps} steps; give fewer")

    def factor(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / warmup_steps
        # The first step after the warm-up is at 1; a step past the end stays where the decay ends.
        return decay(min(1.0, (step - warmup_steps) / (num_steps - warmup_steps)))

    return factor
