"""A term that spreads embeddings: no two should meet, so that they cannot all be one."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from hemometric.config import Config
from hemometric.objectives.embeddings import check_views
from hemometric.objectives.global_batch import GlobalBatch

_LEAST = 1e-8


class KoLeoLoss(nn.Module):
    """``-mean log of the distance to the nearest other``; see `KoLeoObjective`."""

    def forward(self, z: Tensor, batch: GlobalBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the loss of each view by itself, and their mean.

        Parameters
        ----------
        z : float [view, B, dim]
        batch : GlobalBatch

        Returns
        -------
        loss : float []
            0, with a gradient of 0, where there is one recording only.
        parts : dict of float []
            ``nearest``, the mean distance to the nearest other on the unit sphere.
        """
        check_views(z, len(batch))
        unit = functional.normalize(z, dim=2)
        itself = batch.recordings[:, None] == batch.recordings[None, :]
        with torch.no_grad():  # who is nearest has no slope
            cosine = (unit @ unit.transpose(1, 2)).masked_fill(itself, -2.0)
            most, nearest = cosine.max(dim=2)
            known = most > -2.0
        other = unit.gather(1, nearest[:, :, None].expand_as(unit))
        distance = (unit - other).square().sum(dim=2).clamp(min=_LEAST**2).sqrt()
        num = known.sum().clamp(min=1)
        loss = -torch.where(known, distance.log(), 0.0).sum() / num
        return loss, {"nearest": torch.where(known, distance.detach(), 0.0).sum() / num}


class KoLeoObjective(Config):
    """Kozachenko-Leonenko entropy estimator (Sablayrolles et al., ICLR 2019), on embeddings of length 1.

    A term beside another objective (``kind: sum``), against collapse; published with a weight of 0.1.
    """

    kind: Literal["koleo"] = "koleo"
    across_views: ClassVar[bool] = True
    needs_mining: ClassVar[bool] = False
    least_views: ClassVar[int] = 1

    def build(self) -> KoLeoLoss:
        """Give the module."""
        return KoLeoLoss()
