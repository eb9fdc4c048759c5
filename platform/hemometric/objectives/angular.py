"""The angle at the negative, and the N-pair loss beside it."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from hemometric.config import Config
from hemometric.mining import Mined
from hemometric.objectives.embeddings import check_embeddings


class AngularLoss(nn.Module):
    """``N-pair + weight * angular + norm weight * mean squared length``; see `AngularObjective`."""

    def __init__(self, angle_deg: float, weight: float, norm_weight: float) -> None:
        super().__init__()
        self.tan2 = math.tan(math.radians(angle_deg)) ** 2
        self.weight = weight
        self.norm_weight = norm_weight

    def forward(self, z_all: Tensor, mined: Mined) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the loss of each mined pair of anchor and positive against the positives of the others.

        Parameters
        ----------
        z_all : float [B, dim]
        mined : Mined

        Returns
        -------
        loss : float []
            0, with a gradient of 0, where there is no triplet.
        parts : dict of float []
            ``n_pair``, ``angular``, ``norm`` (mean squared length), ``num_pairs``.
        """
        check_embeddings(z_all, len(mined.distances))
        mined = mined.to(z_all.device)
        a, p = mined.anchors, mined.positives
        anchors, positives = z_all[a], z_all[p]
        # Column j is the positive of another pair: a negative of pair i where it may repel i's anchor.
        repels = mined.repels[a][:, p] & (p[:, None] != p[None, :])
        repels.fill_diagonal_(False)
        own = (anchors * positives).sum(dim=1, keepdim=True)
        n_pair = _against(anchors @ positives.T - own, repels)
        angle = 4.0 * self.tan2 * ((anchors + positives) @ positives.T) - 2.0 * (1.0 + self.tan2) * own
        angular = _against(angle, repels)
        num = max(1, len(a))
        norm = z_all.square().sum() / (len(z_all) if len(a) else math.inf)
        n_pair, angular = n_pair.sum() / num, angular.sum() / num
        loss = n_pair + self.weight * angular + self.norm_weight * norm
        parts = {"n_pair": n_pair.detach(), "angular": angular.detach(), "norm": norm.detach()}
        return loss, {**parts, "num_pairs": torch.tensor(float(len(a)), device=z_all.device)}


def _against(logits: Tensor, negative: Tensor) -> Tensor:
    """Give ``log(1 + sum over negatives exp)`` of each row; 0 without negatives."""
    masked = torch.where(negative, logits, torch.finfo(logits.dtype).min / 2)
    return functional.pad(masked, (1, 0)).logsumexp(dim=1)


class AngularObjective(Config):
    """Angular loss beside N-pair (Wang et al., ICCV 2017, equations 5 to 8), as Jeong et al. 2023 weigh them.

    For each mined pair of anchor a and positive p, over the positives n of the other pairs that may repel a::

        N-pair:  log(1 + sum exp(a.n - a.p))
        angular: log(1 + sum exp(4 tan^2(angle) (a + p).n - 2 (1 + tan^2(angle)) a.p))

    Attributes
    ----------
    angle_deg : float
        The largest angle at the negative.
    weight, norm_weight : float
        Of the angular part and of the mean squared length of embeddings, which are not normalised.
    """

    kind: Literal["angular"] = "angular"
    across_views: ClassVar[bool] = False
    needs_mining: ClassVar[bool] = True
    least_views: ClassVar[int] = 1
    angle_deg: float = Field(default=45.0, gt=0, lt=90)
    weight: float = Field(default=2.0, ge=0)
    norm_weight: float = Field(default=0.005, ge=0)

    def build(self) -> AngularLoss:
        """Give the module."""
        return AngularLoss(self.angle_deg, self.weight, self.norm_weight)
