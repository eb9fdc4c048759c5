"""What a miner hands to an objective: who attracts, who repels, and how far apart the batch lies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

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
        From each anchor (row): mined distances, squared, after scaling. Smaller is more alike. Symmetric, unless
        candidates were refined: each row then has an order of its own (see `mining.refinement`).
    valid : bool [B, B]
        Pairs that may attract: two different recordings.
    repels : bool [B, B]
        Pairs that may repel: recordings of two different patients. A subset of `valid`.
    recording_ids : B str
        Whose positions these are. Positions mean nothing in any other batch: whoever uses them compares.
    params_hash : str
        What they were chosen by; see `BatchMiner.params_hash`. Empty where a miner was asked without one.
    fallbacks : mapping of int
        How many recordings of the batch were treated otherwise than asked for: ``absent`` ones hold nothing to
        compare and are no pair of anyone's; others lacked a positive from the ``graph``, or a ``scale`` from the
        archive.
    landmark_distances : float32 [B, landmark] or None
        On each landmark's own scale, NaN where there is nothing to compare; see `Landmarks`.
    """

    anchors: Tensor
    positives: Tensor
    negatives: Tensor
    distances: Tensor
    valid: Tensor
    repels: Tensor
    recording_ids: tuple[str, ...]
    params_hash: str = ""
    fallbacks: Mapping[str, int] = field(default_factory=dict)
    landmark_distances: Tensor | None = None

    def as_tuple(self) -> tuple[Tensor, Tensor, Tensor]:
        """Give (anchors, positives, negatives), as pytorch-metric-learning's losses take them."""
        return self.anchors, self.positives, self.negatives

    @property
    def num_triplets(self) -> int:
        """How many triplets there are."""
        return int(self.anchors.shape[0])

    def to(self, device: torch.device | str) -> Mined:
        """Give the same on another device."""
        return replace(
            self,
            anchors=self.anchors.to(device),
            positives=self.positives.to(device),
            negatives=self.negatives.to(device),
            distances=self.distances.to(device),
            valid=self.valid.to(device),
            repels=self.repels.to(device),
            landmark_distances=None if self.landmark_distances is None else self.landmark_distances.to(device),
        )
