"""Triplets from labels alone: like pressures attract, unlike pressures repel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field
from torch import Tensor

from hemometric.config import Config
from hemometric.mining import draws
from hemometric.mining.label_selection import LabelSelection, Triplets, label_pairs, label_triplets
from hemometric.mining.pairs import Int64


class ByLabel:
    """Selects triplets by labels alone; see `LabelSelection`.

    Parameters
    ----------
    tolerance : float
        In the unit of the label; 0 for classes.
    extreme : bool
        Of the alike the most alike, of the unlike the most unlike (published as ``label``); else any of them with
        equal chances (``npair``). Equals are drawn from either way: the first by id would be everyone's positive.
    """

    def __init__(self, tolerance: float, *, extreme: bool) -> None:
        self.tolerance = tolerance
        self.extreme = extreme

    @property
    def needs_distances(self) -> bool:
        """No."""
        return False

    def select(
        self,
        labels: Tensor,
        recording_ids: Sequence[str],
        patients: Sequence[str],
        seed: int,
        epoch: int,
        distances: Tensor | None = None,  # noqa: ARG002 - part of the protocol
    ) -> Triplets:
        """Choose triplets; see `LabelSelection.select`."""
        found = label_pairs(labels, recording_ids, patients, self.tolerance)

        def choose(anchor: int, positives: Int64, negatives: Int64) -> tuple[int, int]:
            if self.extreme:
                gap = found.gaps[anchor]
                positives = positives[gap[positives] == gap[positives].min()]
                negatives = negatives[gap[negatives] == gap[negatives].max()]
            name = recording_ids[anchor]
            positive = positives[draws.index(len(positives), seed, epoch, "label positive", name)]
            negative = negatives[draws.index(len(negatives), seed, epoch, "label negative", name)]
            return int(positive), int(negative)

        return label_triplets(found, choose)


class LabelMiner(Config):
    """Positive: the label nearest to the anchor's, within the tolerance. Negative: the farthest label beyond it."""

    kind: Literal["label"] = "label"
    tolerance_mmhg: float = Field(default=2.0, ge=0)

    def build(self, tolerance: float | None = None, margin: float = 0.0) -> LabelSelection:  # noqa: ARG002 - as others
        """Give the miner; `tolerance` replaces the config's where labels are classes (0) or in another unit."""
        return ByLabel(self.tolerance_mmhg if tolerance is None else tolerance, extreme=True)


class NPairMiner(Config):
    """Positive: any label within the tolerance of the anchor's. Negative: any label beyond it."""

    kind: Literal["npair"] = "npair"
    tolerance_mmhg: float = Field(default=2.0, ge=0)

    def build(self, tolerance: float | None = None, margin: float = 0.0) -> LabelSelection:  # noqa: ARG002 - as others
        """Give the miner; `tolerance` replaces the config's where labels are classes (0) or in another unit."""
        return ByLabel(self.tolerance_mmhg if tolerance is None else tolerance, extreme=False)
