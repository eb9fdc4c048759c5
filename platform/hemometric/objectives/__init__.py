"""What training minimises, always over the whole global batch: metric losses, task losses, and the gather before them.

`gather` brings every rank's rows to every rank, in the global order; an objective then sees all B rows, so that its
value and, after the ranks' gradients are averaged, its gradient are those of one process. Metric losses come from
pytorch-metric-learning where it has them. Parameters that a loss learns are parameters of its module.
"""

from typing import Annotated

from pydantic import Field

from hemometric.objectives.gather import gather
from hemometric.objectives.margin import MarginLoss, MarginObjective
from hemometric.objectives.relative import RelativeLoss, RelativeObjective
from hemometric.objectives.supervised import MetricConfig, NoMetric, SupervisedLoss, SupervisedObjective
from hemometric.objectives.triplet import TripletLoss, TripletObjective

PretrainObjectiveConfig = Annotated[TripletObjective | RelativeObjective | MarginObjective, Field(discriminator="kind")]
"""Objectives ``forward(z_all [B, dim], mined) -> (loss, parts)``."""

__all__ = [
    "MarginLoss",
    "MarginObjective",
    "MetricConfig",
    "NoMetric",
    "PretrainObjectiveConfig",
    "RelativeLoss",
    "RelativeObjective",
    "SupervisedLoss",
    "SupervisedObjective",
    "TripletLoss",
    "TripletObjective",
    "gather",
]
