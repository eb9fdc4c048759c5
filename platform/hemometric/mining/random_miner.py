"""The control: a miner that knows nothing of the signals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from hemometric.config import Config
from hemometric.ecg import Float32
from hemometric.mining import draws
from hemometric.mining.mined import Mined
from hemometric.mining.miner import Miner, nearest_positive_triplets
from hemometric.mining.negatives import UniformPick
from hemometric.mining.pairs import pairs


class RandomSelection:
    """Selects triplets, and ranks pairs, by distances that are drawn and not measured.

    The nearest by a drawn distance is any other recording with equal chances, and an objective that ranks by
    distance gets its control too. Draws differ between epochs.
    """

    @property
    def needs_distances(self) -> bool:
        """No: whatever distances `select` is given, it does not look at them."""
        return False

    def select(
        self,
        distances: Float32,  # noqa: ARG002 - part of the protocol
        recording_ids: Sequence[str],
        patients: Sequence[str],
        seed: int,
        epoch: int,
    ) -> Mined:
        """Choose triplets; see `Miner.select`."""
        drawn = draws.pair_numbers(seed, epoch, recording_ids)
        return nearest_positive_triplets(
            drawn, pairs(recording_ids, patients), recording_ids, UniformPick(), seed, epoch
        )


class RandomMiner(Config):
    """Positive and negative drawn from the batch: what mining must beat."""

    kind: Literal["random"] = "random"

    def build(self) -> Miner:
        """Give the miner."""
        return RandomSelection()
