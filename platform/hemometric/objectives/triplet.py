"""The published objective: of two distances, the one to the positive must be smaller by a margin."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.losses import TripletMarginLoss
from pytorch_metric_learning.reducers import MeanReducer
from torch import Tensor, nn

from hemometric.config import Config
from hemometric.mining import Mined, Triplets
from hemometric.objectives.embeddings import centred, check_embeddings

Parts = dict[str, Tensor]


class TripletLoss(nn.Module):
    """``mean over triplets of relu(d(a, p) - d(a, n) + margin)``; see `TripletObjective`."""

    def __init__(self, margin: float, *, squared: bool, normalised: bool, soft: bool) -> None:
        super().__init__()
        self.normalised = normalised
        self.margin = margin
        distance = LpDistance(normalize_embeddings=normalised, p=2, power=2 if squared else 1)
        # The library's default divides by the triplets that violate the margin; the published mean is over all.
        self.loss = TripletMarginLoss(margin=margin, smooth_loss=soft, distance=distance, reducer=MeanReducer())

    def forward(self, z_all: Tensor, mined: Mined) -> tuple[Tensor, Parts]:
        """Compute the loss of mined triplets.

        Parameters
        ----------
        z_all : float [B, dim]
            Embeddings in the global order of the batch.
        mined : Mined
            Positions in that order.

        Returns
        -------
        loss : float []
            0, with a gradient of 0, where there is no triplet.
        parts : dict of float []
            ``active`` (share of triplets that violate the margin), ``d_ap`` and ``d_an`` (mean distances),
            ``num_triplets``.
        """
        return self.of_triplets(z_all, mined.as_tuple())

    def of_triplets(self, z_all: Tensor, triplets: Triplets) -> tuple[Tensor, Parts]:
        """Compute the loss of any triplets; see `forward`."""
        check_embeddings(z_all)
        z_all = self._ready(z_all)
        anchors, positives, negatives = (positions.to(z_all.device) for positions in triplets)
        loss: Tensor = self.loss(z_all, indices_tuple=(anchors, positives, negatives))
        with torch.no_grad():
            distances: Tensor = self.loss.distance(z_all)
            d_ap, d_an = distances[anchors, positives], distances[anchors, negatives]
            num = anchors.numel()
            parts = {
                "active": ((d_ap - d_an + self.margin) > 0).to(z_all.dtype).sum() / max(1, num),
                "d_ap": d_ap.sum() / max(1, num),
                "d_an": d_an.sum() / max(1, num),
                "num_triplets": torch.tensor(float(num), device=z_all.device),
            }
        return loss, parts

    def distances(self, z_all: Tensor) -> Tensor:
        """Give the distances [B, B] that the loss compares, without gradient: what hard miners look at."""
        check_embeddings(z_all)
        with torch.no_grad():
            measured: Tensor = self.loss.distance(self._ready(z_all))
        return measured

    def _ready(self, z_all: Tensor) -> Tensor:
        return z_all if self.normalised else centred(z_all)


class TripletObjective(Config):
    """Triplet margin loss (Jeong, Stultz, Ghassemi, MLHC 2023: margin 0.2, squared distances, not normalised).

    Attributes
    ----------
    margin : float
        In the unit of the distance.
    squared : bool
        Squared Euclidean distance, as published, or the distance itself.
    normalised : bool
        Embeddings divided by their length first.
    soft : bool
        softplus in place of relu: triplets beyond the margin go on pulling, ever less.
    """

    kind: Literal["triplet"] = "triplet"
    across_views: ClassVar[bool] = False
    needs_mining: ClassVar[bool] = True
    least_views: ClassVar[int] = 1
    margin: float = Field(default=0.2, ge=0)
    squared: bool = True
    normalised: bool = False
    soft: bool = False

    def build(self) -> TripletLoss:
        """Give the module."""
        return TripletLoss(self.margin, squared=self.squared, normalised=self.normalised, soft=self.soft)
