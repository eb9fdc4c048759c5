"""Triplets from labels: like pressures attract, unlike pressures repel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from hemometric.config import Config
from hemometric.mining import draws
from hemometric.mining.pairs import pairs

Triplets = tuple[Tensor, Tensor, Tensor]


class LabelSelection:
    """Selects triplets by the difference of two labels.

    Two labels are alike up to `tolerance`, their measurement error; only beyond it are they unlike. A positive is
    alike and another recording, a negative is unlike and another patient.

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

    def select(
        self, labels: Tensor, recording_ids: Sequence[str], patients: Sequence[str], seed: int, epoch: int
    ) -> Triplets:
        """Choose at most one triplet for each labelled anchor; by recording id, whatever the order of the batch.

        Parameters
        ----------
        labels : float [B]
            NaN where there is none: such a recording is in no triplet.
        recording_ids, patients : B str

        Returns
        -------
        anchors, positives, negatives : int64 [triplet], on the CPU

        Raises
        ------
        ValueError
            The shapes do not fit, or a label is infinite.
        """
        values = labels.detach().to("cpu", torch.float64).numpy()
        if values.shape != (len(recording_ids),):
            raise ValueError(
                f"labels have shape {values.shape}; expected [{len(recording_ids)}], one for each recording"
            )
        if np.isinf(values).any():
            raise ValueError("a label is infinite; mark missing labels as NaN")
        eligible = pairs(recording_ids, patients)
        gaps = np.abs(values[:, None] - values[None, :])
        # NaN compares as false, so that a missing label is neither alike nor unlike.
        alike = eligible.attracts & (gaps <= self.tolerance)
        unlike = eligible.repels & (gaps > self.tolerance)
        triplets: list[tuple[int, int, int]] = []
        for anchor, recording_id in enumerate(recording_ids):
            positives = eligible.by_id[alike[anchor, eligible.by_id]]
            negatives = eligible.by_id[unlike[anchor, eligible.by_id]]
            if not len(positives) or not len(negatives):
                continue
            if self.extreme:
                gap = gaps[anchor]
                positives = positives[gap[positives] == gap[positives].min()]
                negatives = negatives[gap[negatives] == gap[negatives].max()]
            positive = positives[draws.index(len(positives), seed, epoch, "label positive", recording_id)]
            negative = negatives[draws.index(len(negatives), seed, epoch, "label negative", recording_id)]
            triplets.append((anchor, int(positive), int(negative)))
        chosen = torch.tensor(triplets, dtype=torch.int64).reshape(-1, 3)
        return chosen[:, 0].contiguous(), chosen[:, 1].contiguous(), chosen[:, 2].contiguous()


class LabelMiner(Config):
    """Positive: the label nearest to the anchor's, within the tolerance. Negative: the farthest label beyond it."""

    kind: Literal["label"] = "label"
    tolerance_mmhg: float = Field(default=2.0, ge=0)

    def build(self, tolerance: float | None = None) -> LabelSelection:
        """Give the miner; `tolerance` replaces the config's where labels are classes (0) or in another unit."""
        return LabelSelection(self.tolerance_mmhg if tolerance is None else tolerance, extreme=True)


class NPairMiner(Config):
    """Positive: any label within the tolerance of the anchor's. Negative: any label beyond it."""

    kind: Literal["npair"] = "npair"
    tolerance_mmhg: float = Field(default=2.0, ge=0)

    def build(self, tolerance: float | None = None) -> LabelSelection:
        """Give the miner; `tolerance` replaces the config's where labels are classes (0) or in another unit."""
        return LabelSelection(self.tolerance_mmhg if tolerance is None else tolerance, extreme=False)


LabelMinerConfig = Annotated[LabelMiner | NPairMiner, Field(discriminator="kind")]
