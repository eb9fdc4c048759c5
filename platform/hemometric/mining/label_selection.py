"""What every label miner does, and which labels are alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from hemometric.ecg import Float64
from hemometric.mining.pairs import Bool, Int64, pairs

Triplets = tuple[Tensor, Tensor, Tensor]


class LabelSelection(Protocol):
    """Chooses triplets by the difference of two labels.

    Two labels are alike up to a tolerance, their measurement error; only beyond it are they unlike. A positive is
    alike and another recording, a negative is unlike and another patient. So labels that do not vary give no
    triplet.
    """

    @property
    def needs_distances(self) -> bool:
        """Whether `select` looks at the distances between embeddings."""
        ...

    def select(
        self,
        labels: Tensor,
        recording_ids: Sequence[str],
        patients: Sequence[str],
        seed: int,
        epoch: int,
        distances: Tensor | None = None,
    ) -> Triplets:
        """Choose at most one triplet for each labelled anchor; by recording id, whatever the order of the batch.

        Parameters
        ----------
        labels : float [B]
            NaN where there is none: such a recording is in no triplet.
        recording_ids, patients : B str
        seed, epoch : int
            What draws are keyed by.
        distances : float [B, B], optional
            Between the embeddings of the global batch, as the metric loss measures them; no gradient is needed.

        Returns
        -------
        anchors, positives, negatives : int64 [triplet], on the CPU

        Raises
        ------
        ValueError
            The shapes do not fit, a label is infinite, or distances are needed and not given.
        """
        ...


@dataclass(frozen=True, eq=False)
class LabelPairs:
    """Who is alike and who is unlike in a batch.

    Attributes
    ----------
    gaps : float64 [B, B]
        Absolute difference of labels, NaN where one is missing.
    alike, unlike : bool [B, B]
        Possible positives and negatives; neither where a label is missing.
    by_id : int64 [recording]
        See `Pairs`.
    """

    gaps: Float64
    alike: Bool
    unlike: Bool
    by_id: Int64


def label_pairs(labels: Tensor, recording_ids: Sequence[str], patients: Sequence[str], tolerance: float) -> LabelPairs:
    """Compare the labels of a batch; see `LabelSelection.select`."""
    values = labels.detach().to("cpu", torch.float64).numpy()
    if values.shape != (len(recording_ids),):
        raise ValueError(f"labels have shape {values.shape}; expected [{len(recording_ids)}], one for each recording")
    if np.isinf(values).any():
        raise ValueError("a label is infinite; mark missing labels as NaN")
    eligible = pairs(recording_ids, patients)
    gaps: Float64 = np.abs(values[:, None] - values[None, :])
    # NaN compares as false, so that a missing label is neither alike nor unlike.
    return LabelPairs(
        gaps=gaps,
        alike=eligible.attracts & (gaps <= tolerance),
        unlike=eligible.repels & (gaps > tolerance),
        by_id=eligible.by_id,
    )


def label_triplets(found: LabelPairs, choose: Callable[[int, Int64, Int64], tuple[int, int]]) -> Triplets:
    """Have `choose` pick (positive, negative) for each anchor that has both.

    Parameters
    ----------
    choose : callable
        Takes the anchor and the positions of its possible positives and negatives, each sorted by recording id.
    """
    triplets: list[tuple[int, int, int]] = []
    for anchor in range(len(found.gaps)):
        positives = found.by_id[found.alike[anchor, found.by_id]]
        negatives = found.by_id[found.unlike[anchor, found.by_id]]
        if len(positives) and len(negatives):
            triplets.append((anchor, *choose(anchor, positives, negatives)))
    chosen = torch.tensor(triplets, dtype=torch.int64).reshape(-1, 3)
    return chosen[:, 0].contiguous(), chosen[:, 1].contiguous(), chosen[:, 2].contiguous()
