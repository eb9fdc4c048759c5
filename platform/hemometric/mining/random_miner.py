"""The control: a miner that knows nothing of the signals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from hemometric.config import Config
from hemometric.ecg import Float32
from hemometric.mining import draws
from hemometric.mining.mined import Mined
from hemometric.mining.miner import Miner, mined_triplets
from hemometric.mining.negatives import UniformPick
from hemometric.mining.neighbour_graph import NeighbourGraph
from hemometric.mining.pairs import Bool, pairs
from hemometric.mining.positives import NearestPick
from hemometric.mining.refinement import Refine


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
        *,
        duplicate_groups: Sequence[str] | None = None,
        present: Bool | None = None,
        refine: Refine | None = None,  # noqa: ARG002
    ) -> Mined:
        """Choose triplets; see `Miner.select`."""
        drawn = draws.pair_numbers(seed, epoch, recording_ids)
        eligible = pairs(recording_ids, patients, duplicate_groups, present)
        return mined_triplets(drawn, eligible, recording_ids, NearestPick(), UniformPick(), seed, epoch, {})


class RandomMiner(Config):
    """Positive and negative drawn from the batch: what mining must beat."""

    kind: Literal["random"] = "random"

    @property
    def wants_graph(self) -> bool:
        """No: it knows nothing."""
        return False

    def build(self, graph: NeighbourGraph | None = None) -> Miner:  # noqa: ARG002 - as the others
        """Give the miner."""
        return RandomSelection()
