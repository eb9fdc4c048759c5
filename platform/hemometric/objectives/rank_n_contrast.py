"""The metric loss of a continuous label: each other recording attracts, and those whose label is farther repel."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from hemometric.config import Config
from hemometric.objectives.embeddings import check_embeddings
from hemometric.objectives.relative import ranked


class RankNContrastLoss(nn.Module):
    """A contrastive term for each rank of each anchor's labels; see `RankNContrastObjective`."""

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature

    def of_labels(self, z_all: Tensor, labels: Tensor, patients: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the loss of a labelled batch.

        Parameters
        ----------
        z_all : float [B, dim]
        labels : float [B]
            NaN where there is none: such a recording is in no pair.
        patients : int64 [B]
            Codes. Recordings of one patient attract, as their labels say, and never repel.

        Returns
        -------
        loss : float []
            0, with a gradient of 0, where no pair has one that repels.
        parts : dict of float []
            ``num_terms``.
        """
        check_embeddings(z_all, len(labels))
        known = ~torch.isnan(labels)
        another = ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
        valid = known[:, None] & known[None, :] & another
        repels = valid & (patients[:, None] != patients[None, :])
        labels = torch.where(known, labels, 0.0)
        # Minus the distance, as published. The square root's slope is infinite at 0, so nothing flows there.
        squares = (z_all[:, None] - z_all[None, :]).square().sum(dim=2)
        apart = torch.where(squares > 0, squares, 1.0).sqrt() * (squares > 0)
        between = (labels[:, None] - labels[None, :]).abs()
        ranking = ranked(-apart / self.temperature, between, valid, repels, equals_repel=True)
        return ranking.loss, {"num_terms": ranking.num_terms.to(torch.float32)}


class RankNContrastObjective(Config):
    """Rank-N-Contrast (Zha et al., NeurIPS 2023, equation 2), for labels such as pressures.

    For anchor i and other recording j, with s minus the Euclidean distance of two embeddings over the temperature::

        l(i, j) = -log( exp(s_ij) / sum over k with |y_i - y_k| >= |y_i - y_j| of exp(s_ik) )

    and the loss is the mean over all (i, j) that have such a k besides j. No triplets are chosen: `miner` is not used.

    Attributes
    ----------
    temperature : float
        Published 2.
    """

    kind: Literal["rank_n_contrast"] = "rank_n_contrast"
    temperature: float = Field(default=2.0, gt=0)

    def build(self) -> RankNContrastLoss:
        """Give the module."""
        return RankNContrastLoss(self.temperature)
