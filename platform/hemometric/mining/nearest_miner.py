"""The miner of the published method: the nearest other recording attracts, a farther one repels."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from hemometric.config import Config
from hemometric.ecg import Float32
from hemometric.mining.mined import Mined
from hemometric.mining.miner import Miner, check_distances, nearest_positive_triplets
from hemometric.mining.negatives import Negatives, NegativesConfig, RandomNegatives
from hemometric.mining.pairs import pairs
from hemometric.mining.scaling import scale_locally

_log = logging.getLogger(__name__)


class NearestSelection:
    """Selects the nearest recording as positive (Jeong, Stultz, Ghassemi, MLHC 2023), on distances scaled or not.

    Parameters
    ----------
    negatives : Negatives
        Chooses the negative.
    scaling_neighbour : int
        The neighbour that sets the local scale; 0 leaves the distances as they are.
    """

    def __init__(self, negatives: Negatives, scaling_neighbour: int) -> None:
        self.negatives = negatives
        self.scaling_neighbour = scaling_neighbour
        self._told = False

    @property
    def needs_distances(self) -> bool:
        """Yes."""
        return True

    def select(
        self, distances: Float32, recording_ids: Sequence[str], patients: Sequence[str], seed: int, epoch: int
    ) -> Mined:
        """Choose triplets; see `Miner.select`."""
        eligible = pairs(recording_ids, patients)
        check_distances(distances, len(recording_ids))
        if self.scaling_neighbour:
            self._tell_if_too_few(len(recording_ids) - 1)
            distances = scale_locally(distances, eligible.attracts, self.scaling_neighbour)
        return nearest_positive_triplets(distances, eligible, recording_ids, self.negatives, seed, epoch)

    def _tell_if_too_few(self, num_others: int) -> None:
        if num_others < self.scaling_neighbour and not self._told:
            self._told = True
            _log.warning(
                "local scaling asks for neighbour %d, but a recording has only %d others in its batch: the farthest "
                "one sets its scale; use a larger batch or a smaller scaling_neighbour",
                self.scaling_neighbour,
                num_others,
            )


class NearestMiner(Config):
    """Positive: the nearest other recording. Negative: as `negatives` says. Distances: plain, or scaled locally."""

    kind: Literal["nearest"] = "nearest"
    negatives: NegativesConfig = RandomNegatives()
    scaling: Literal["none", "local"] = "none"
    scaling_neighbour: int = Field(default=10, ge=1)

    def build(self) -> Miner:
        """Give the miner."""
        return NearestSelection(self.negatives.build(), self.scaling_neighbour if self.scaling == "local" else 0)
