"""What a miner hands to an objective: who attracts, who repels, and how far apart the batch lies."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Mined:
    """Triplets and distances of one global batch of B recordings.

    Attributes
    ----------
    anchors, positives, negatives : int64 [triplet]
        Positions in the global batch; together the `indices_tuple` of pytorch-metric-learning.
    distances : float32 [B, B]
        Mined distances, squared, after scaling; symmetric. Smaller is more alike.
    valid : bool [B, B]
        Pairs that may attract: two different recordings.
    repels : bool [B, B]
        Pairs that may repel: recordings of two different patients. A subset of `valid`.
    """

    anchors: Tensor
    positives: Tensor
    negatives: Tensor
    distances: Tensor
    valid: Tensor
    repels: Tensor

    def as_tuple(self) -> tuple[Tensor, Tensor, Tensor]:
        """Give (anchors, positives, negatives), as pytorch-metric-learning's losses take them."""
        return self.anchors, self.positives, self.negatives

    @property
    def num_triplets(self) -> int:
        """How many triplets there are."""
        return int(self.anchors.shape[0])

    def to(self, device: torch.device | str) -> Mined:
        """Give the same on another device."""
        return Mined(
            anchors=self.anchors.to(device),
            positives=self.positives.to(device),
            negatives=self.negatives.to(device),
            distances=self.distances.to(device),
            valid=self.valid.to(device),
            repels=self.repels.to(device),
        )
