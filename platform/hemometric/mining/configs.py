"""Mining as the config names it."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from functools import cache
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

_log = logging.getLogger(__name__)


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
        check_measure(self.compared, self.distance, "mining.compared", "mining.distance")
        if self.refine is not None:
            check_measure(self.refine.compared, self.distance, "mining.refine.compared", "mining.distance")
            if self.miner.kind == "random":
                raise ValueError("the random miner compares nothing; leave refine out")
            positives, num = self.miner.positives, self.refine.candidates
            if positives.kind == "random_of_nearest" and num < positives.k:
                raise ValueError(
                    f"mining.refine.candidates is {num}, fewer than the mining.miner.positives.k = {positives.k} "
                    "nearest that positives are drawn from, so that the coarse distance would choose some; set "
                    f"the first to {positives.k} or more, or the second to {num} or less"
                )
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
            As there; or scales are taken from a graph of another distance. Where the config names that one's hash they
            are taken, and a warning is logged, once in a process.
        """
        if self.graph is None:
            return None
        graph = self.graph.read(recording_ids)
        if self.miner.kind == "nearest" and self.miner.scaling == "archive":
            measures = [self.compared] if self.refine is None else [self.compared, self.refine.compared]
            own = [measure_hash(preparation, compared, self.distance) for compared in measures]
            mined = " and ".join(own)
            if graph.params_hash not in own and self.graph.params_hash is None:
                raise UsageError(
                    f"mining.miner.scaling: {self.graph.path} was computed by {graph.params_hash}, and this run mines "
                    f"by {mined}: scales of another distance; build the graph by `hemometric neighbours` with this "
                    "run's preparation, mining.compared and mining.distance, or, to take these scales all the same, "
                    f"set mining.graph.params_hash to {graph.params_hash}"
                )
            if graph.params_hash not in own:
                _warn_once(
                    f"mining.graph.params_hash: {self.graph.path} was computed by {graph.params_hash}, and this run "
                    f"mines by {mined}: its scales, taken all the same, are those of another distance"
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


@cache
def _warn_once(sentence: str) -> None:
    _log.warning(sentence)


def check_measure(
    compared: ComparedConfig, distance: DistanceConfig, compared_name: str = "compared", distance_name: str = "distance"
) -> None:
    """See that a distance means something on what is compared.

    Parameters
    ----------
    compared, distance : config
    compared_name, distance_name : str
        The fields that hold them, for the message.

    Raises
    ------
    ValueError
        Reduced leads keep only sums of squares over all leads.
    """
    over_all = distance.kind == "euclidean" or (distance.kind == "dtw" and distance.metric == "dependent")
    if compared.leads != "reduced" or over_all:
        return
    leads, metric = f"{compared_name}.leads", f"{distance_name}.metric"
    has_metric = distance.kind == "dtw"
    raise ValueError(
        f"{leads}: reduced keeps Euclidean distances and those of DTW with one path for all leads, not those of "
        f"{distance.kind}{f' with a path each ({metric}: independent)' if has_metric else ''}; set {leads} to "
        f"independent or to all{f', or {metric} to dependent' if has_metric else ''}"
    )


class _Measure(Config):
    preparation: Preparation
    compared: ComparedConfig
    distance: DistanceConfig


def measure_hash(preparation: Preparation, compared: ComparedConfig, distance: DistanceConfig) -> str:
    """Hash what distances are computed by, 16 hex digits: what a table of neighbours has as its ``params_hash``."""
    return fingerprint(_Measure(preparation=preparation, compared=compared, distance=distance))
