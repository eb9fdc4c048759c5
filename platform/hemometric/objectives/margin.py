"""The published alternative to the triplet loss: positives within, negatives beyond a boundary that is learnt."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.losses import MarginLoss as LibraryMarginLoss
from torch import Tensor, nn

from hemometric.config import Config
from hemometric.mining import Mined, Triplets
from hemometric.objectives.embeddings import centred, check_embeddings


class MarginLoss(nn.Module):
    """``[sum relu(d_ap - b + m) + sum relu(b - d_an + m)] / active pairs``; see `MarginObjective`."""

    def __init__(self, margin: float, boundary: float, *, learnt: bool, squared: bool, normalised: bool) -> None:
        super().__init__()
        self.normalised = normalised
        distance = LpDistance(normalize_embeddings=normalised, p=2, power=2 if squared else 1)
        # Its `beta` is an nn.Parameter where it is learnt.
        self.loss = LibraryMarginLoss(margin=margin, beta=boundary, learn_beta=learnt, distance=distance)

    def forward(self, z_all: Tensor, mined: Mined) -> tuple[Tensor, dict[str, Tensor]]:
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
            ``boundary``, ``d_ap`` and ``d_an`` (mean distances), ``num_triplets``.
        """
        return self.of_triplets(z_all, mined.as_tuple())

    def of_triplets(self, z_all: Tensor, triplets: Triplets) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the loss of any triplets; see `forward`."""
        check_embeddings(z_all)
        z_all = self._ready(z_all)
        anchors, positives, negatives = (positions.to(z_all.device) for positions in triplets)
        loss: Tensor = self.loss(z_all, indices_tuple=(anchors, positives, negatives))
        for parameter in self.parameters():
            # The boundary stays in the graph of a batch without triplets, where the ranks still average its gradient.
            loss = loss + 0.0 * parameter.sum()
        with torch.no_grad():
            distances: Tensor = self.loss.distance(z_all)
            num = anchors.numel()
            parts = {
                "boundary": self.loss.beta.detach().sum().to(z_all.device),
                "d_ap": distances[anchors, positives].sum() / max(1, num),
                "d_an": distances[anchors, negatives].sum() / max(1, num),
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


class MarginObjective(Config):
    """Margin loss (Wu et al., ICCV 2017, equations 6 and 7; published with margin 0.2 and boundary 1.2, learnt).

    Attributes
    ----------
    margin : float
        Half the gap that is to open between positives and negatives.
    boundary : float
        Between positives and negatives, at the start where it is learnt; in the unit of the distance.
    learnt : bool
        The boundary is a parameter of the module.
    squared, normalised : bool
        As in `TripletObjective`.
    """

    kind: Literal["margin"] = "margin"
    across_views: ClassVar[bool] = False
    needs_mining: ClassVar[bool] = True
    least_views: ClassVar[int] = 1
    margin: float = Field(default=0.2, ge=0)
    boundary: float = Field(default=1.2, gt=0)
    learnt: bool = True
    squared: bool = False
    normalised: bool = False

    def build(self) -> MarginLoss:
        """Give the module."""
        return MarginLoss(
            self.margin, self.boundary, learnt=self.learnt, squared=self.squared, normalised=self.normalised
        )
