"""How the positive of an anchor is chosen among those that may attract it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, Protocol

import numpy as np
from pydantic import Field

from hemometric.config import Config
from hemometric.ecg import Float32
from hemometric.errors import UsageError
from hemometric.mining import draws
from hemometric.mining.neighbour_graph import NeighbourGraph
from hemometric.mining.pairs import Int64, Pairs


class Positives(Protocol):
    """Chooses a positive for each anchor of a batch."""

    def pick(
        self, distances: Float32, eligible: Pairs, recording_ids: Sequence[str], seed: int, epoch: int
    ) -> tuple[Int64, dict[str, int]]:
        """Choose.

        Parameters
        ----------
        distances : float32 [B, B]
            From each anchor (row) to each position. Equally near recordings go by recording id.
        eligible : Pairs
        recording_ids : B str
        seed, epoch : int
            What draws are keyed by, beside the anchor's recording id.

        Returns
        -------
        positions : int64 [B]
            -1 where nobody may attract.
        fallbacks : dict of int
            How many anchors got a substitute, by what they lacked; see `Mined.fallbacks`.
        """
        ...


class NearestPick:
    """The nearest recording."""

    def pick(
        self,
        distances: Float32,
        eligible: Pairs,
        recording_ids: Sequence[str],  # noqa: ARG002 - part of the protocol
        seed: int,  # noqa: ARG002
        epoch: int,  # noqa: ARG002
    ) -> tuple[Int64, dict[str, int]]:
        """Take the nearest; see `Positives.pick`."""
        return near(distances, eligible, 1)[:, 0], {}


class RandomOfNearestPick:
    """Any of the `num` nearest recordings, with equal chances."""

    def __init__(self, num: int) -> None:
        self.num = num

    def pick(
        self, distances: Float32, eligible: Pairs, recording_ids: Sequence[str], seed: int, epoch: int
    ) -> tuple[Int64, dict[str, int]]:
        """Draw one each; see `Positives.pick`."""
        nearest = near(distances, eligible, self.num)
        found = (nearest >= 0).sum(axis=1)
        drawn = [
            draws.index(num, seed, epoch, "positive", name) if num else 0
            for num, name in zip(found.tolist(), recording_ids, strict=True)
        ]
        return nearest[np.arange(len(nearest)), np.array(drawn, dtype=np.int64)], {}


class GraphPick:
    """Any of an anchor's `num` nearest of a whole archive that sit in the batch; else the nearest of the batch."""

    def __init__(self, graph: NeighbourGraph, num: int) -> None:
        self.graph = graph
        self.num = num

    def pick(
        self, distances: Float32, eligible: Pairs, recording_ids: Sequence[str], seed: int, epoch: int
    ) -> tuple[Int64, dict[str, int]]:
        """Draw one each; see `Positives.pick`. Who falls back on the batch is counted as ``graph``."""
        chosen = near(distances, eligible, 1)[:, 0]
        nodes = self.graph.nodes(recording_ids)
        position = {node: place for place, node in zip(eligible.by_id, nodes[eligible.by_id], strict=True)}
        num_fallbacks = 0
        for anchor, name in enumerate(recording_ids):
            neighbours = (position.get(node, -1) for node in self.graph.neighbours(nodes[anchor], self.num))
            here = [place for place in neighbours if place >= 0 and eligible.attracts[anchor, place]]
            if here:
                chosen[anchor] = here[draws.index(len(here), seed, epoch, "positive", name)]
            elif chosen[anchor] >= 0:
                num_fallbacks += 1
        return chosen, {"graph": num_fallbacks}


def near(distances: Float32, eligible: Pairs, num: int) -> Int64:
    """Find the `num` nearest recordings that may attract each anchor, each recording once.

    Returns
    -------
    int64 [B, num]
        Positions, nearest first, equally near ones by recording id; -1 where there are no more.
    """
    by_id = eligible.by_id
    found = np.full((len(distances), num), -1, dtype=np.int64)
    # Columns in the order of recording ids: a stable sort leaves the smaller id of equals in front.
    columns = np.where(eligible.attracts, distances, np.inf)[:, by_id]
    if num == 1 and len(by_id):
        order = columns.argmin(axis=1)[:, None]
    else:
        order = columns.argsort(axis=1, kind="stable")[:, :num]
    is_there = np.take_along_axis(eligible.attracts[:, by_id], order, axis=1)
    found[:, : order.shape[1]] = np.where(is_there, by_id[order], -1)
    return found


class NearestPositives(Config):
    """Positive: the nearest other recording of the batch, as published."""

    kind: Literal["nearest"] = "nearest"

    def build(self, graph: NeighbourGraph | None = None) -> Positives:  # noqa: ARG002 - as the others
        """Give the chooser."""
        return NearestPick()


class RandomOfNearestPositives(Config):
    """Positive: drawn from the k nearest of the batch, so that an anchor does not pull at one recording for ever."""

    kind: Literal["random_of_nearest"] = "random_of_nearest"
    k: int = Field(default=3, ge=1)

    def build(self, graph: NeighbourGraph | None = None) -> Positives:  # noqa: ARG002 - as the others
        """Give the chooser."""
        return RandomOfNearestPick(self.k)


class GraphPositives(Config):
    """Positive: drawn from the anchor's k nearest in the archive that sit in the batch, else the batch's nearest.

    In batches drawn at random from a large archive hardly any neighbour meets; the share of anchors that fall back
    is logged.
    """

    kind: Literal["graph"] = "graph"
    k: int = Field(default=5, ge=1)

    def build(self, graph: NeighbourGraph | None = None) -> Positives:
        """Give the chooser.

        Raises
        ------
        UsageError
            There is no graph.
        """
        if graph is None:
            raise UsageError("positives of kind graph need a table of neighbours; set mining.graph.path")
        return GraphPick(graph, self.k)


PositivesConfig = Annotated[NearestPositives | RandomOfNearestPositives | GraphPositives, Field(discriminator="kind")]
