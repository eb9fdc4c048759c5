"""The miner of the published method: a near recording attracts, a farther one repels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from hemometric.config import Config
from hemometric.ecg import Float32
from hemometric.errors import UsageError
from hemometric.mining.mined import Mined
from hemometric.mining.miner import Miner, check_distances, mined_triplets
from hemometric.mining.negatives import Negatives, NegativesConfig, RandomNegatives
from hemometric.mining.neighbour_graph import NeighbourGraph
from hemometric.mining.pairs import Bool, pairs
from hemometric.mining.positives import NearestPositives, Positives, PositivesConfig
from hemometric.mining.refinement import Refine, reordered
from hemometric.mining.scaling import ArchiveScaling, BatchScaling, NoScaling, Scaling, scaled


class NearestSelection:
    """Selects near recordings as positives (Jeong, Stultz, Ghassemi, MLHC 2023), by distances scaled or not.

    Parameters
    ----------
    positives : Positives
        Chooses the positive.
    negatives : Negatives
        Chooses the negative.
    scaling : Scaling
        Gives each recording its local scale.
    """

    def __init__(self, positives: Positives, negatives: Negatives, scaling: Scaling) -> None:
        self.positives = positives
        self.negatives = negatives
        self.scaling = scaling

    @property
    def needs_distances(self) -> bool:
        """Yes."""
        return True

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
        """Choose triplets; see `Miner.select`."""
        eligible = pairs(recording_ids, patients, duplicate_groups, present)
        check_distances(distances, len(recording_ids))
        scales, fallbacks = self.scaling.scales(distances, eligible.attracts, recording_ids)
        if scales is not None:
            distances = scaled(distances, scales)
        if refine is not None:
            distances = reordered(distances, eligible, scales, refine)
        return mined_triplets(
            distances, eligible, recording_ids, self.positives, self.negatives, seed, epoch, fallbacks
        )


class NearestMiner(Config):
    """Positive: a near recording. Negative: a farther one. Distances: plain, or scaled locally.

    Attributes
    ----------
    positives, negatives : config
    scaling : "none", "local" or "archive"
        ``local`` divides by the distance to the `scaling_neighbour`-th neighbour in the batch; ``archive`` by that in
        the archive's graph (``mining.graph``).
    scaling_neighbour : int
    """

    kind: Literal["nearest"] = "nearest"
    positives: PositivesConfig = NearestPositives()
    negatives: NegativesConfig = RandomNegatives()
    scaling: Literal["none", "local", "archive"] = "none"
    scaling_neighbour: int = Field(default=10, ge=1)

    @property
    def wants_graph(self) -> bool:
        """Whether it cannot be built without a graph of neighbours."""
        return self.positives.kind == "graph" or self.scaling == "archive"

    def build(self, graph: NeighbourGraph | None = None) -> Miner:
        """Give the miner.

        Raises
        ------
        UsageError
            It wants a graph and there is none.
        """
        return NearestSelection(self.positives.build(graph), self.negatives.build(), self._scaling(graph))

    def _scaling(self, graph: NeighbourGraph | None) -> Scaling:
        if self.scaling == "none":
            return NoScaling()
        if self.scaling == "local":
            return BatchScaling(self.scaling_neighbour)
        if graph is None:
            raise UsageError("scaling by the archive needs a table of neighbours; set mining.graph.path")
        return ArchiveScaling(graph, self.scaling_neighbour)
