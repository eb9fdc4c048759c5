"""What training minimises, always over the whole global batch: metric losses, task losses, and the gather before them.

`gather` brings every rank's rows to every rank, in the global order; an objective then sees all B rows, so that its
value and, after the ranks' gradients are averaged, its gradient are those of one process. Metric losses come from
pytorch-metric-learning where it has them. Parameters that a loss learns are parameters of its module.
"""

from hemometric.objectives.angular import AngularLoss, AngularObjective
from hemometric.objectives.gather import gather
from hemometric.objectives.global_batch import GlobalBatch
from hemometric.objectives.koleo import KoLeoLoss, KoLeoObjective
from hemometric.objectives.landmark import LandmarkLoss, LandmarkObjective
from hemometric.objectives.margin import MarginLoss, MarginObjective
from hemometric.objectives.multi_similarity import MultiSimilarityLoss, MultiSimilarityObjective
from hemometric.objectives.nt_xent import NtXentLoss, NtXentObjective
from hemometric.objectives.pretraining import (
    PretrainLoss,
    PretrainObjectiveConfig,
    SumObjective,
    Term,
    num_landmarks,
    pretrain_loss,
)
from hemometric.objectives.relative import RelativeLoss, RelativeObjective
from hemometric.objectives.spread import spread
from hemometric.objectives.supervised import MetricConfig, NoMetric, SupervisedLoss, SupervisedObjective
from hemometric.objectives.triplet import TripletLoss, TripletObjective

__all__ = [
    "AngularLoss",
    "AngularObjective",
    "GlobalBatch",
    "KoLeoLoss",
    "KoLeoObjective",
    "LandmarkLoss",
    "LandmarkObjective",
    "MarginLoss",
    "MarginObjective",
    "MetricConfig",
    "MultiSimilarityLoss",
    "MultiSimilarityObjective",
    "NoMetric",
    "NtXentLoss",
    "NtXentObjective",
    "PretrainLoss",
    "PretrainObjectiveConfig",
    "RelativeLoss",
    "RelativeObjective",
    "SumObjective",
    "SupervisedLoss",
    "SupervisedObjective",
    "Term",
    "TripletLoss",
    "TripletObjective",
    "gather",
    "num_landmarks",
    "pretrain_loss",
    "spread",
]
