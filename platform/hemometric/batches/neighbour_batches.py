"""Batches in which every second recording is a near one of an archive: so a graph's neighbours meet at all.

In batches drawn at random from a million recordings an anchor's nearest is not there. Here a draw is a pair: an anchor,
each once an epoch in the order of one seeded permutation, and one of its neighbours, drawn anew each epoch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field

from hemometric.batches.hashes import hashes
from hemometric.batches.order import Order, Positions
from hemometric.batches.roster import Roster
from hemometric.config import Config
from hemometric.errors import UsageError


@dataclass(frozen=True, eq=False)
class NeighbourOrder:
    """Pairs of an anchor and a neighbour; positions 2 i and 2 i + 1 of a batch are the i-th pair.

    Attributes
    ----------
    anchors : Order
        Of half a batch.
    neighbours : int64 [recording, k]
        Rows of each recording's neighbours, nearest first; -1 where there are fewer.
    seed : int
    """

    anchors: Order
    neighbours: Positions
    seed: int

    @property
    def left_out(self) -> Mapping[str, int]:
        """Nobody is left out."""
        return {}

    def batch(self, step: int) -> Positions:
        """Give the rows of one batch, int64 [batch_size], the same for every world.

        A recording may stand in it twice, as an anchor and as another's neighbour; its copies are no pair for a miner.
        An anchor without neighbours is paired with any other recording.
        """
        anchors = self.anchors.batch(step)
        drawn = hashes(anchors, self.seed, self.anchors.epochs(step))
        known = (self.neighbours >= 0).sum(axis=1)[anchors]
        chosen = self.neighbours[anchors, (drawn % np.maximum(known, 1).astype(np.uint64)).astype(np.int64)]
        num_others = np.uint64(max(1, self.anchors.num_recordings - 1))
        anyone = (anchors + 1 + (drawn % num_others).astype(np.int64)) % self.anchors.num_recordings
        return np.stack([anchors, np.where(known > 0, chosen, anyone)], axis=1).reshape(-1)

    def epoch(self, step: int) -> int:
        """Give the epoch of a batch's first draw."""
        return self.anchors.epoch(step)

    def num_steps(self, num_epochs: int) -> int:
        """Give the steps in which each recording is an anchor so many times."""
        return self.anchors.num_steps(num_epochs)


class NeighbourBatches(Config):
    """Each epoch is one permutation of all recordings as anchors, each beside one of its k nearest of the archive.

    Needs a table of neighbours, `mining.graph`.

    Attributes
    ----------
    k : int
        How many of the nearest are drawn from.
    """

    kind: Literal["neighbours"] = "neighbours"
    k: int = Field(default=5, ge=1)

    @property
    def num_neighbours(self) -> int:
        """How many neighbours of each recording `build` wants to know."""
        return self.k

    def build(self, roster: Roster, batch_size: int, seed: int) -> NeighbourOrder:
        """Give the order.

        Raises
        ------
        UsageError
            The batch is odd or there are fewer recordings than half a batch, or nobody knows the neighbours.
        """
        if batch_size % 2:
            raise UsageError(
                f"batch_size {batch_size} is odd, and batches of neighbours are of pairs; take an even one"
            )
        if roster.neighbours is None:
            raise UsageError("batches of kind neighbours need a table of them; set mining.graph.path, in pretraining")
        return NeighbourOrder(Order(len(roster), batch_size // 2, seed), roster.neighbours[:, : self.k], seed)
