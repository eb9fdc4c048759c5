"""Batches of one seeded permutation an epoch."""

from __future__ import annotations

from typing import ClassVar, Literal

from hemometric.batches.order import Order
from hemometric.batches.roster import Roster
from hemometric.config import Config


class RandomBatches(Config):
    """Each epoch is one permutation of all recordings; who meets whom is left to chance.

    Each recording comes exactly once an epoch.
    """

    kind: Literal["random"] = "random"
    num_neighbours: ClassVar[int] = 0

    def build(self, roster: Roster, batch_size: int, seed: int) -> Order:
        """Give the order.

        Raises
        ------
        UsageError
            There are fewer recordings than draws in a batch.
        """
        return Order(len(roster), batch_size, seed)
