"""What every miner of distances does, and the step from distances to triplets that they share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import torch

from hemometric.ecg import Float32
from hemometric.mining.mined import Mined
from hemometric.mining.negatives import Negatives
from hemometric.mining.pairs import Bool, Pairs
from hemometric.mining.positives import Positives
from hemometric.mining.refinement import Refine


class Miner(Protocol):
    """Chooses triplets from the distances of a batch."""

    @property
    def needs_distances(self) -> bool:
        """Whether `select` reads the distances that it is given."""
        ...

    def select(
        self,
        distances: Float32,
        recording_ids: Sequence[str],
        patients: Sequence[str],
        seed: int,
        epoch: int,
        *,
        duplicate_groups: Sequence[str] | None = None,
        present: Bool | None = None,
        refine: Refine | None = None,
    ) -> Mined:
        """Choose at most one triplet for each anchor.

        A positive is never the same recording nor a duplicate of it; a negative is neither, and never the same
        patient, the positive, or a duplicate of the positive. An anchor that lacks either gives no triplet. By
        recording id, the result depends on nothing but the arguments' values: not on the order of the batch, not on
        the rank.

        Parameters
        ----------
        distances : float32 [B, B]
            Squared, symmetric, finite.
        recording_ids, patients : B str
            In the order of the batch.
        seed, epoch : int
            What draws are keyed by.
        duplicate_groups : B str, optional
        present : bool [B], optional
            See `pairs`.
        refine : Refine, optional
            Measures each anchor's nearest again, and their order is then that of its answer; see `reordered`.

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


def mined_triplets(
    distances: Float32,
    eligible: Pairs,
    recording_ids: Sequence[str],
    positives: Positives,
    negatives: Negatives,
    seed: int,
    epoch: int,
    fallbacks: Mapping[str, int],
) -> Mined:
    """Give each anchor a chosen positive and a chosen negative."""
    by_id = eligible.by_id
    chosen, lacking = positives.pick(distances, eligible, recording_ids, seed, epoch)
    triplets: list[tuple[int, int, int]] = []
    for anchor, positive in enumerate(chosen.tolist()):
        if positive < 0:
            continue
        # Another row of the positive's recording is no negative either.
        may_repel = eligible.repels[anchor] & eligible.attracts[positive]
        candidates = by_id[may_repel[by_id]]
        if len(candidates):
            negative = negatives.pick(distances[anchor], candidates, positive, seed, epoch, recording_ids[anchor])
            triplets.append((anchor, positive, negative))
    columns = torch.tensor(triplets, dtype=torch.int64).reshape(-1, 3)
    return Mined(
        anchors=columns[:, 0].contiguous(),
        positives=columns[:, 1].contiguous(),
        negatives=columns[:, 2].contiguous(),
        distances=torch.from_numpy(np.array(distances, dtype=np.float32)),
        valid=torch.from_numpy(eligible.attracts),
        repels=torch.from_numpy(eligible.repels),
        recording_ids=tuple(recording_ids),
        fallbacks={**fallbacks, **lacking},
    )
