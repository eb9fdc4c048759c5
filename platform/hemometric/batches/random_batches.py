"""Batches of one seeded permutation an epoch."""

from __future__ import annotations

from typing import Literal

from hemometric.batches.order import Order, Positions
from hemometric.config import Config


class RandomBatches(Config):
    """Each epoch is one permutation of all recordings; who meets whom is left to chance."""

    kind: Literal["random"] = "random"

    @property
    def num_neighbours(self) -> int:
        """None are wanted."""
        return 0

    def build(
        self,
        num_recordings: int,
        batch_size: int,
        seed: int,
        neighbours: Positions | None = None,  # noqa: ARG002 - as the others
    ) -> Order:
        """Give the order.

        Raises
        ------
        UsageError
            There are fewer recordings than draws in a batch.
        """
        return Order(num_recordings, batch_size, seed)
