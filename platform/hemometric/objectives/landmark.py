"""The objective that distils distances: from its embedding alone, an ECG's distance to each landmark is to be read."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from hemometric.config import Config
from hemometric.errors import UsageError
from hemometric.mining import Mined
from hemometric.objectives.embeddings import check_embeddings


class LandmarkLoss(nn.Module):
    """A linear map from embeddings to distances, and its error; see `LandmarkObjective`."""

    def __init__(self, width: int, num: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, num)

    def forward(self, z_all: Tensor, mined: Mined) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the loss of all recordings whose distances are known.

        Parameters
        ----------
        z_all : float [B, width]
        mined : Mined
            With `landmark_distances`.

        Returns
        -------
        loss : float []
            0, with a gradient of 0, where none is known.
        parts : dict of float []
            ``explained``, the share of the distances' variance in this batch; ``num_known``, of distances.

        Raises
        ------
        UsageError
            Nobody measured distances to as many landmarks.
        """
        check_embeddings(z_all, len(mined.recording_ids))
        wanted = mined.landmark_distances
        if wanted is None or wanted.shape[1] != self.linear.out_features:
            found = 0 if wanted is None else wanted.shape[1]
            raise UsageError(
                f"objective landmark needs distances to {self.linear.out_features} landmarks; this batch has {found}"
            )
        wanted = wanted.to(z_all)
        known = ~torch.isnan(wanted)
        wanted = torch.where(known, wanted, 0.0)
        error = torch.where(known, self.linear(z_all) - wanted, 0.0)
        num = known.sum().clamp(min=1)
        loss = functional.huber_loss(error, torch.zeros_like(error), reduction="sum") / num
        with torch.no_grad():
            mean = wanted.sum(dim=0) / known.sum(dim=0).clamp(min=1)
            spread = torch.where(known, wanted - mean, 0.0).square().sum()
            explained = 1.0 - error.square().sum() / spread.clamp(min=torch.finfo(spread.dtype).tiny)
        return loss, {"explained": explained, "num_known": known.sum().to(torch.float32)}


class LandmarkObjective(Config):
    """Distances to fixed landmarks, learnt by regression (landmark MDS: de Silva and Tenenbaum 2004, made a teacher).

    For recording i and landmark l, with t the logarithm of the mined distance on the landmark's own scale (mean 0 and
    standard deviation 1 over the other landmarks), the loss is the mean of Huber's error of ``w_l . z_i + b_l - t_il``.
    Logistic regression on these distances themselves is the probe that any network must beat.

    Attributes
    ----------
    num : int
        Landmarks, drawn from the training split by the seed of the run.
    """

    kind: Literal["landmark"] = "landmark"
    across_views: ClassVar[bool] = False
    needs_mining: ClassVar[bool] = True
    least_views: ClassVar[int] = 1
    num: int = Field(default=128, ge=3)

    def build(self, width: int) -> LandmarkLoss:
        """Give the module for embeddings [B, width]."""
        return LandmarkLoss(width, self.num)
