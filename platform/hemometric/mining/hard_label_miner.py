"""Triplets from labels and embeddings: of the alike and the unlike, those that the encoder has yet to tell apart.

They look at where the embeddings are now, so they run in the step, on the gathered embeddings of the global batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from hemometric.config import Config
from hemometric.ecg import Float64
from hemometric.mining import draws
from hemometric.mining.label_selection import LabelSelection, Triplets, label_pairs, label_triplets
from hemometric.mining.pairs import Int64


class _Draw:
    """Draws one of some positions for an anchor."""

    def __init__(self, seed: int, epoch: int, anchor: str) -> None:
        self._key = (seed, epoch)
        self._anchor = anchor

    def __call__(self, role: str, positions: Int64) -> int:
        return int(positions[draws.index(len(positions), *self._key, f"label {role}", self._anchor)])


class Semihard:
    """A random positive, and a negative that is farther than it by less than a margin; see `SemihardMiner`."""

    def __init__(self, tolerance: float, margin: float) -> None:
        self.tolerance = tolerance
        self.margin = margin

    @property
    def needs_distances(self) -> bool:
        """Yes."""
        return True

    def select(
        self,
        labels: Tensor,
        recording_ids: Sequence[str],
        patients: Sequence[str],
        seed: int,
        epoch: int,
        distances: Tensor | None = None,
    ) -> Triplets:
        """Choose triplets; see `LabelSelection.select`."""
        between = _checked(distances, len(recording_ids))

        def choose(anchor: int, positives: Int64, negatives: Int64) -> tuple[int, int]:
            draw, far = _Draw(seed, epoch, recording_ids[anchor]), between[anchor]
            positive = draw("positive", positives)
            gap = far[negatives] - far[positive]
            return positive, draw("negative", _those(negatives, (gap > 0) & (gap < self.margin)))

        return label_triplets(label_pairs(labels, recording_ids, patients, self.tolerance), choose)


class Softhard:
    """A negative nearer than the farthest positive, a positive farther than the nearest negative."""

    def __init__(self, tolerance: float) -> None:
        self.tolerance = tolerance

    @property
    def needs_distances(self) -> bool:
        """Yes."""
        return True

    def select(
        self,
        labels: Tensor,
        recording_ids: Sequence[str],
        patients: Sequence[str],
        seed: int,
        epoch: int,
        distances: Tensor | None = None,
    ) -> Triplets:
        """Choose triplets; see `LabelSelection.select`."""
        between = _checked(distances, len(recording_ids))

        def choose(anchor: int, positives: Int64, negatives: Int64) -> tuple[int, int]:
            draw = _Draw(seed, epoch, recording_ids[anchor])
            to_positives, to_negatives = between[anchor, positives], between[anchor, negatives]
            positive = draw("positive", _those(positives, to_positives > to_negatives.min()))
            return positive, draw("negative", _those(negatives, to_negatives < to_positives.max()))

        return label_triplets(label_pairs(labels, recording_ids, patients, self.tolerance), choose)


def _those(positions: Int64, hard: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> Int64:
    """Give the hard ones, or all where none is: an easy triplet costs nothing, a missing anchor is not heard."""
    return positions[hard] if hard.any() else positions


def _checked(distances: Tensor | None, num: int) -> Float64:
    if distances is None or distances.shape != (num, num):
        found = "none" if distances is None else f"some of shape {tuple(distances.shape)}"
        raise ValueError(f"this label miner needs the distances between embeddings, [{num}, {num}]; it got {found}")
    between: Float64 = distances.detach().to("cpu", torch.float64).numpy()
    return between


class SemihardMiner(Config):
    """Positive: any label within the tolerance. Negative: a label beyond it, semi-hard by the embedding.

    Semi-hard is ``d_ap < d_an < d_ap + margin`` (Schroff, Kalenichenko, Philbin, CVPR 2015, equation 4): the order is
    right already, and the loss not yet zero. Where no negative is, any is drawn.

    Attributes
    ----------
    tolerance_mmhg : float
    margin : float or None
        In the unit of the metric loss's distance; None takes its margin.
    """

    kind: Literal["semihard"] = "semihard"
    tolerance_mmhg: float = Field(default=2.0, ge=0)
    margin: float | None = Field(default=None, ge=0)

    def build(self, tolerance: float | None = None, margin: float = 0.0) -> LabelSelection:
        """Give the miner; `tolerance` replaces the config's where labels are classes; `margin` is the loss's."""
        return Semihard(
            self.tolerance_mmhg if tolerance is None else tolerance, margin if self.margin is None else self.margin
        )


class SofthardMiner(Config):
    """Positive: a label within the tolerance, but far by the embedding. Negative: one beyond it, but near.

    The positive is any that is farther from the anchor than its nearest negative, the negative any that is nearer than
    its farthest positive (Jeong, Stultz, Ghassemi, MLHC 2023); where there is none, any is drawn.
    """

    kind: Literal["softhard"] = "softhard"
    tolerance_mmhg: float = Field(default=2.0, ge=0)

    def build(self, tolerance: float | None = None, margin: float = 0.0) -> LabelSelection:  # noqa: ARG002 - as others
        """Give the miner; `tolerance` replaces the config's where labels are classes (0) or in another unit."""
        return Softhard(self.tolerance_mmhg if tolerance is None else tolerance)
