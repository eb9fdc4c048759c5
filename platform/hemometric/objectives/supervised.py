"""The objective of supervised metric learning: alpha times a metric loss on the embedding, plus a task loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from hemometric.config import Added, Config
from hemometric.mining import LabelMiner, LabelMinerConfig, LabelSelection
from hemometric.objectives.embeddings import check_embeddings
from hemometric.objectives.global_batch import GlobalBatch
from hemometric.objectives.label_distance import LabelDistanceLoss, LabelDistanceObjective
from hemometric.objectives.margin import MarginLoss, MarginObjective
from hemometric.objectives.rank_n_contrast import RankNContrastLoss, RankNContrastObjective
from hemometric.objectives.triplet import TripletLoss, TripletObjective

TaskLoss = Literal["rmse", "mse", "huber", "bce"]


class SupervisedLoss(nn.Module):
    """``alpha * metric(z, label triplets) + task(outputs, targets)``; see `SupervisedObjective`."""

    def __init__(
        self,
        metric: TripletLoss | MarginLoss | RankNContrastLoss | LabelDistanceLoss | None,
        miner: LabelSelection,
        *,
        alpha: float,
        task_loss: TaskLoss,
        scale_mean: float,
        scale_sd: float,
        threshold: float | None,
        positive_weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.metric = metric
        self.miner = miner
        self.alpha = alpha
        self.task_loss: TaskLoss = task_loss
        self.scale_mean = scale_mean
        self.scale_sd = scale_sd
        self.threshold = threshold
        self.positive_weight = positive_weight

    def forward(
        self,
        z_all: Tensor,
        outputs_all: Tensor,
        targets_all: Tensor,
        recording_ids: Sequence[str],
        patients: Sequence[str],
        seed: int,
        epoch: int,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the loss of a global batch.

        Parameters
        ----------
        z_all : float [B, dim]
            Embeddings in the global order of the batch.
        outputs_all : float [B]
            Of the head: labels on the standardised scale, or logits.
        targets_all : float [B]
            Labels in their own unit, NaN where missing; for a classification without a threshold 0 or 1.
        recording_ids, patients : B str
        seed, epoch : int
            What label mining's draws are keyed by.

        Returns
        -------
        loss : float []
            0, with a gradient of 0, where no recording has a label.
        parts : dict of float []
            ``task``, ``metric``, ``num_labels``, those of the metric loss as ``metric_…``, and for a regression
            ``rmse``, in the unit of the label.

        Raises
        ------
        ValueError
            The shapes do not fit (nothing is ever broadcast), or a class is neither 0 nor 1.
        """
        num = len(recording_ids)
        check_embeddings(z_all, num)
        for name, values in (("outputs", outputs_all), ("targets", targets_all)):
            if values.shape != (num,):
                raise ValueError(f"{name} have shape {tuple(values.shape)}; expected [{num}], one for each recording")
        task, parts = self._task(outputs_all, targets_all)
        loss = task
        if self.metric is not None:
            if isinstance(self.metric, (RankNContrastLoss, LabelDistanceLoss)):
                labels = (targets_all - self.scale_mean) / self.scale_sd
                who = GlobalBatch.of(recording_ids, patients, z_all.device).patients
                metric, metric_parts = self.metric.of_labels(z_all, labels, who)
            else:
                distances = self.metric.distances(z_all) if self.miner.needs_distances else None
                triplets = self.miner.select(targets_all, recording_ids, patients, seed, epoch, distances)
                metric, metric_parts = self.metric.of_triplets(z_all, triplets)
            loss = self.alpha * metric + task
            parts |= {"metric": metric.detach()} | {f"metric_{name}": value for name, value in metric_parts.items()}
        return loss, parts

    def _task(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        known = ~torch.isnan(targets)
        num_known = known.sum()
        predicted, true = outputs[known], targets[known].to(outputs.dtype)
        parts = {"num_labels": num_known.to(torch.float32)}
        if not len(true):
            task = outputs.sum() * 0.0
        elif self.task_loss == "bce":
            classes = self._classes(true)
            weights = torch.where(classes > 0, self.positive_weight, 1.0)
            each = functional.binary_cross_entropy_with_logits(predicted, classes, reduction="none")
            task = (weights * each).sum() / weights.sum()
        else:
            standard = (true - self.scale_mean) / self.scale_sd
            square = functional.mse_loss(predicted, standard)
            # The root's slope is infinite at zero; a perfect batch has no gradient instead.
            root = torch.sqrt(square.clamp(min=torch.finfo(square.dtype).tiny))
            huber = functional.huber_loss(predicted, standard)
            task = {"rmse": root, "mse": square, "huber": huber}[self.task_loss]
            parts["rmse"] = self.scale_sd * square.detach().sqrt()
        parts["task"] = task.detach()
        return task, parts

    def _classes(self, true: Tensor) -> Tensor:
        if self.threshold is not None:
            return (true > self.threshold).to(true.dtype)
        if not ((true == 0) | (true == 1)).all():
            raise ValueError("a class is neither 0 nor 1; give the threshold that makes classes of this label")
        return true


class NoMetric(Config):
    """The task alone: the supervised baseline."""

    kind: Literal["none"] = "none"

    def build(self) -> None:
        """Give nothing."""


MetricConfig = Annotated[
    NoMetric | TripletObjective | MarginObjective | RankNContrastObjective | LabelDistanceObjective,
    Field(discriminator="kind"),
]


class SupervisedObjective(Config):
    """Supervised metric learning (Jeong, Stultz, Ghassemi, MLHC 2023): ``L = alpha * metric + task``.

    Attributes
    ----------
    alpha : float
        Weight of the metric loss; published 1 to 3.
    metric : config
        The metric loss on the embedding, or none.
    miner : config
        Chooses its triplets by the label, and for ``semihard`` and ``softhard`` by where the embeddings of the global
        batch lie now.
    task_loss : "rmse", "mse", "huber" or "bce"
        Of the head's outputs: root mean square, mean square or Huber's error (Huber 1964; quadratic up to one standard
        deviation) over the labelled recordings of the global batch, on the standardised scale, or binary cross-entropy
        with logits.
    positive_weight : float
        How many times a positive counts in the cross-entropy.
    """

    kind: Literal["supervised"] = "supervised"
    alpha: float = Field(default=1.0, ge=0)
    metric: MetricConfig = TripletObjective()
    miner: LabelMinerConfig = LabelMiner()
    task_loss: TaskLoss = "rmse"
    positive_weight: Annotated[float, Added(1.0)] = Field(default=1.0, gt=0)

    def build(
        self, *, scale_mean: float = 0.0, scale_sd: float = 1.0, threshold: float | None = None
    ) -> SupervisedLoss:
        """Give the module.

        Parameters
        ----------
        scale_mean, scale_sd : float
            Of the label in the training split, in its unit: a regression's outputs stand for
            ``(label - scale_mean) / scale_sd``.
        threshold : float or None
            A classification's targets are labels, and above it they are positive; triplets are then mined from the
            labels. None: targets are classes, 0 or 1, and so are the miner's, whose tolerance is then 0.

        Raises
        ------
        ValueError
            The scale is not above zero, or a regression is given a threshold.
        """
        if not scale_sd > 0:
            raise ValueError(f"scale_sd is {scale_sd}; a label that does not vary cannot be learnt")
        is_classification = self.task_loss == "bce"
        if threshold is not None and not is_classification:
            raise ValueError(f"task_loss {self.task_loss} takes no threshold; use bce to learn above against below it")
        by_class = is_classification and threshold is None
        ranks_numbers = self.metric.kind == "rank_n_contrast" and by_class
        if ranks_numbers or (self.metric.kind == "label_distance" and is_classification):
            raise ValueError(
                f"metric {self.metric.kind} wants the numbers of a regression; take triplet with {self.task_loss}"
            )
        margin = self.metric.margin if isinstance(self.metric, (TripletObjective, MarginObjective)) else 0.0
        return SupervisedLoss(
            self.metric.build(),
            self.miner.build(tolerance=0.0 if by_class else None, margin=margin),
            alpha=self.alpha,
            task_loss=self.task_loss,
            scale_mean=scale_mean,
            scale_sd=scale_sd,
            threshold=threshold,
            positive_weight=self.positive_weight,
        )
