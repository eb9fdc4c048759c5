"""The triplet loss of a continuous label: the margin of each triplet is as wide as its labels lie apart."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from hemometric.config import Config
from hemometric.objectives.embeddings import check_embeddings


class LabelDistanceLoss(nn.Module):
    """All triplets of a batch, each with a margin of its own; see `LabelDistanceObjective`."""

    def __init__(self, margin_per_sd: float, *, normalised: bool) -> None:
        super().__init__()
        self.margin_per_sd = margin_per_sd
        self.normalised = normalised

    def of_labels(self, z_all: Tensor, labels: Tensor, patients: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the loss of a labelled batch.

        Parameters
        ----------
        z_all : float [B, dim]
        labels : float [B]
            In standard deviations; NaN where there is none: such a recording is in no triplet.
        patients : int64 [B]
            Codes. Recordings of one patient attract, as their labels say, and never repel.

        Returns
        -------
        loss : float []
            0, with a gradient of 0, where there is no triplet.
        parts : dict of float []
            ``active`` (share of triplets that violate their margin) and ``num_triplets``.
        """
        check_embeddings(z_all, len(labels))
        z = functional.normalize(z_all, dim=1) if self.normalised else z_all
        known = ~torch.isnan(labels)
        another = ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
        valid = known[:, None] & known[None, :] & another
        repels = valid & (patients[:, None] != patients[None, :])
        labels = torch.where(known, labels, 0.0)
        between = (labels[:, None] - labels[None, :]).abs()
        squares = (z[:, None] - z[None, :]).square().sum(dim=2)
        # [anchor, positive, negative]: B^3 numbers, 16 million for 256 recordings.
        wider = between[:, None, :] - between[:, :, None]
        triplets = valid[:, :, None] & repels[:, None, :] & (wider > 0)
        short = squares[:, :, None] - squares[:, None, :] + self.margin_per_sd * wider
        num = triplets.sum()
        loss = torch.where(triplets, functional.relu(short), 0.0).sum() / num.clamp(min=1)
        active = (triplets & (short.detach() > 0)).sum() / num.clamp(min=1)
        return loss, {"active": active, "num_triplets": num.to(torch.float32)}


class LabelDistanceObjective(Config):
    """Each two others of an anchor: the one whose label is farther is to lie farther, by how much farther it is.

    The mean over all triplets (a, p, n) with ``|y_a - y_n| > |y_a - y_p|`` of
    ``relu(|a - p|^2 - |a - n|^2 + margin_per_sd * (|y_a - y_n| - |y_a - y_p|) / sd)``, with the standard deviation of
    the training labels: a margin that ranks, as log-ratio loss (Kim et al., CVPR 2019) ranks by quotients. No triplets
    are chosen: `miner` is not used.

    Attributes
    ----------
    margin_per_sd : float
        In squared distance, for labels one standard deviation apart.
    normalised : bool
        Embeddings divided by their length first.
    """

    kind: Literal["label_distance"] = "label_distance"
    margin_per_sd: float = Field(default=0.2, gt=0)
    normalised: bool = False

    def build(self) -> LabelDistanceLoss:
        """Give the module."""
        return LabelDistanceLoss(self.margin_per_sd, normalised=self.normalised)
