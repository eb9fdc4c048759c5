"""Pairs weighed by how hard they are, among themselves."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from pytorch_metric_learning.losses import MultiSimilarityLoss as LibraryLoss
from torch import Tensor, nn

from hemometric.config import Config
from hemometric.mining import Mined
from hemometric.objectives.embeddings import check_embeddings


class MultiSimilarityLoss(nn.Module):
    """Soft sums over an anchor's positives and over its negatives; see `MultiSimilarityObjective`."""

    def __init__(self, alpha: float, beta: float, base: float) -> None:
        super().__init__()
        self.loss = LibraryLoss(alpha=alpha, beta=beta, base=base)

    def forward(self, z_all: Tensor, mined: Mined) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the loss of the mined positives against all that may repel.

        Parameters
        ----------
        z_all : float [B, dim]
        mined : Mined

        Returns
        -------
        loss : float []
            0, with a gradient of 0, where there is no triplet.
        parts : dict of float []
            ``num_pairs``, of positives.
        """
        check_embeddings(z_all, len(mined.distances))
        mined = mined.to(z_all.device)
        positive = torch.zeros_like(mined.repels)
        positive[mined.anchors, mined.positives] = True
        # An anchor without a positive is none: its negatives alone would push it away from all.
        negative = mined.repels & ~positive & positive.any(dim=1, keepdim=True)
        pairs = (*positive.nonzero(as_tuple=True), *negative.nonzero(as_tuple=True))
        loss: Tensor = self.loss(z_all, indices_tuple=pairs) + 0.0 * z_all.sum()
        return loss, {"num_pairs": positive.sum().to(torch.float32)}


class MultiSimilarityObjective(Config):
    """Multi-similarity loss (Wang et al., CVPR 2019, equation 15), on cosines.

    Positives are those that were mined; negatives all recordings of other patients.

    Attributes
    ----------
    alpha, beta : float
        Sharpness of the sums over positives and over negatives.
    base : float
        The cosine at which a pair weighs half.
    """

    kind: Literal["multi_similarity"] = "multi_similarity"
    across_views: ClassVar[bool] = False
    needs_mining: ClassVar[bool] = True
    least_views: ClassVar[int] = 1
    alpha: float = Field(default=2.0, gt=0)
    beta: float = Field(default=50.0, gt=0)
    base: float = 0.5

    def build(self) -> MultiSimilarityLoss:
        """Give the module."""
        return MultiSimilarityLoss(self.alpha, self.beta, self.base)
