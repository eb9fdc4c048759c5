"""What every miner of distances does, and the step from (anchor, positive) to triplets that they share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch

from hemometric.ecg import Float32
from hemometric.mining.mined import Mined
from hemometric.mining.negatives import Negatives
from hemometric.mining.pairs import Pairs


class Miner(Protocol):
    """Chooses triplets from the distances of a batch."""

    @property
    def needs_distances(self) -> bool:
        """Whether `select` reads the distances that it is given."""
        ...

    def select(
        self, distances: Float32, recording_ids: Sequence[str], patients: Sequence[str], seed: int, epoch: int
    ) -> Mined:
        """Choose at most one triplet for each anchor.

        A positive is never the same recording; a negative is never the same patient, nor the positive. An anchor
        that lacks either gives no triplet. By recording id, the result depends on nothing but the arguments' values:
        not on the order of the batch, not on the rank.

        Parameters
        ----------
        distances : float32 [B, B]
            Squared, symmetric, finite.
        recording_ids, patients : B str
            In the order of the batch.

        Raises
        ------
        ValueError
            The shapes do not fit, or a distance is not a finite number above or equal to zero.
        """
        ...


def check_distances(distances: Float32, num: int) -> None:
    """Refuse what is not a matrix of distances of `num` recordings; see `Miner.select`."""
    if distances.shape != (num, num):
        raise ValueError(f"distances have shape {distances.shape}; {num} recordings need [{num}, {num}]")
    if not np.isfinite(distances).all() or distances.min(initial=0.0) < 0:
        raise ValueError("distances must be finite and not negative")


def nearest_positive_triplets(
    distances: Float32, eligible: Pairs, recording_ids: Sequence[str], negatives: Negatives, seed: int, epoch: int
) -> Mined:
    """Pair each anchor with its nearest other recording, and with a chosen negative.

    Equally near recordings go by recording id.
    """
    by_id = eligible.by_id
    # Columns in the order of recording ids: argmin takes the first of equals, hence the smallest id.
    columns = np.where(eligible.attracts, distances, np.inf)[:, by_id]
    nearest = by_id[columns.argmin(axis=1)] if len(by_id) else by_id
    triplets: list[tuple[int, int, int]] = []
    for anchor, positive in enumerate(nearest):
        if not eligible.attracts[anchor, positive]:
            continue
        # Another row of the positive's recording is no negative either.
        may_repel = eligible.repels[anchor] & eligible.attracts[positive]
        candidates = by_id[may_repel[by_id]]
        if len(candidates):
            negative = negatives.pick(distances[anchor], candidates, seed, epoch, recording_ids[anchor])
            triplets.append((anchor, int(positive), negative))
    chosen = torch.tensor(triplets, dtype=torch.int64).reshape(-1, 3)
    return Mined(
        anchors=chosen[:, 0].contiguous(),
        positives=chosen[:, 1].contiguous(),
        negatives=chosen[:, 2].contiguous(),
        distances=torch.from_numpy(np.array(distances, dtype=np.float32)),
        valid=torch.from_numpy(eligible.attracts),
        repels=torch.from_numpy(eligible.repels),
    )
