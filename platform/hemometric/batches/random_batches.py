"""Batches of one seeded permutation an epoch."""

from __future__ import annotations

from typing import Literal

from hemometric.batches.order import Order
from hemometric.config import Config


class RandomBatches(Config):
    """Each epoch is one permutation of all recordings; who meets whom is left to chance."""

    kind: Literal["random"] = "random"

    def build(self, num_recordings: int, batch_size: int, seed: int) -> Order:
        """Give the order.

        Raises
        ------
        UsageError
            There are fewer recordings than draws in a batch.
        """
        return Order(num_recordings, batch_size, seed)


# With a second kind it becomes a union told apart by `kind`; pydantic takes none of one member.
BatchesConfig = RandomBatches
