"""Mining as the config names it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Annotated, Self

from pydantic import Field, model_validator

from hemometric.config import PLACEMENT, Config, essence, fingerprint
from hemometric.distances import DistanceConfig, DtwDistance
from hemometric.errors import UsageError
from hemometric.mining.batch_miner import BatchMiner, Fine
from hemometric.mining.compared import ComparedConfig, WholeRecord
from hemometric.mining.hard_label_miner import SemihardMiner, SofthardMiner
from hemometric.mining.label_miner import LabelMiner, NPairMiner
from hemometric.mining.nearest_miner import NearestMiner
from hemometric.mining.neighbour_graph import GraphConfig, NeighbourGraph
from hemometric.mining.random_miner import RandomMiner
from hemometric.mining.refinement import RefineConfig
from hemometric.waveform import Preparation

MinerConfig = Annotated[NearestMiner | RandomMiner, Field(discriminator="kind")]
LabelMinerConfig = Annotated[LabelMiner | NPairMiner | SemihardMiner | SofthardMiner, Field(discriminator="kind")]


class MiningConfig(Config):
    """What is compared, by which distance, and who is chosen.

    Attributes
    ----------
    compared, distance, miner : config
    refine : config or None
        Measures each anchor's nearest again, at another rate.
    graph : config or None
        Neighbours in a whole archive, for miners that draw positives or take scales from it.
    threads : int or None
        For the distances; None takes all CPUs of the process.
    """

    compared: ComparedConfig = WholeRecord()
    distance: DistanceConfig = DtwDistance()
    miner: MinerConfig = NearestMiner()
    refine: RefineConfig | None = None
    graph: GraphConfig | None = None
    threads: Annotated[int | None, Field(ge=1), PLACEMENT] = None

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.graph is None and self.miner.wants_graph:
            raise ValueError("the miner needs a table of neighbours; set mining.graph.path")
        check_measure(self.compared, self.distance)
        if self.refine is not None:
            check_measure(self.refine.compared, self.distance)
            if self.miner.kind == "random":
                raise ValueError("the random miner compares nothing; leave refine out")
            if self.distance.kind == "dtw" and isinstance(self.distance.window, int):
                raise ValueError(
                    "a window in samples is another time at the rate of refine; give distance.window as a fraction"
                )
        return self

    def read_graph(
        self, recording_ids: Sequence[str] | None = None, *, preparation: Preparation
    ) -> NeighbourGraph | None:
        """Read the graph, if the config names one, between `recording_ids` alone; see `GraphConfig.read`.

        Parameters
        ----------
        preparation : Preparation
            Of the signals that are mined.

        Raises
        ------
        UsageError
            As there; or scales are taken from a graph of another distance.
        """
        if self.graph is None:
            return None
        graph = self.graph.read(recording_ids)
        if self.miner.kind == "nearest" and self.miner.scaling == "archive" and self.graph.params_hash is None:
            measures = [self.compared] if self.refine is None else [self.compared, self.refine.compared]
            own = [measure_hash(preparation, compared, self.distance) for compared in measures]
            if graph.params_hash not in own:
                raise UsageError(
                    f"mining.miner.scaling: {self.graph.path} was computed by {graph.params_hash}, and this run mines "
                    f"by {' and '.join(own)}: scales of another distance; to take them all the same, set "
                    f"mining.graph.params_hash to {graph.params_hash}"
                )
        return graph

    def build(
        self, *, rate_hz: float, leads: Sequence[str], seed: int, graph: NeighbourGraph | None = None
    ) -> BatchMiner:
        """Give the miner of batches of signals prepared at `rate_hz` with `leads`.

        Parameters
        ----------
        graph : NeighbourGraph or None
            What `read_graph` gave.

        Raises
        ------
        UsageError
            The config names a graph, and none is given.
        """
        parts = [essence(self), rate_hz, list(leads), seed, None if graph is None else graph.params_hash]
        return BatchMiner(
            self.compared.build(),
            self.distance.build(),
            self.miner.build(graph),
            rate_hz=rate_hz,
            leads=leads,
            seed=seed,
            fine=None if self.refine is None else Fine(self.refine.compared.build(), self.refine.candidates),
            threads=self.threads,
            params_hash=hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16],
        )


def check_measure(compared: ComparedConfig, distance: DistanceConfig) -> None:
    """See that a distance means something on what is compared.

    Raises
    ------
    ValueError
        Reduced leads keep only sums of squares over all leads.
    """
    over_all = distance.kind == "euclidean" or (distance.kind == "dtw" and distance.metric == "dependent")
    if compared.leads == "reduced" and not over_all:
        raise ValueError(
            f"compared.leads: reduced keeps Euclidean distances and those of DTW with one path for all leads, not "
            f"those of {distance.kind}{' with a path each' if distance.kind == 'dtw' else ''}; set it to independent"
        )


class _Measure(Config):
    preparation: Preparation
    compared: ComparedConfig
    distance: DistanceConfig


def measure_hash(preparation: Preparation, compared: ComparedConfig, distance: DistanceConfig) -> str:
    """Hash what distances are computed by, 16 hex digits: what a table of neighbours has as its ``params_hash``."""
    return fingerprint(_Measure(preparation=preparation, compared=compared, distance=distance))
