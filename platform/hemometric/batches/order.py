"""Who sits in which batch: a pure function of (number of recordings, seed, step); the world only deals it out.

Epochs are concatenated: draw ``n = step * batch_size + i`` is the ``n mod N``-th of epoch ``n // N``. So there is no
partial batch, every recording comes exactly once an epoch, and any step can be asked for at once, which is all that
a resume needs. Not for streams that never fit a node's disk: the order of an epoch is held in memory (8 bytes a
recording).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
import numpy.typing as npt

from hemometric.batches.hashes import hashes
from hemometric.errors import UsageError

Positions = npt.NDArray[np.int64]


class BatchOrder(Protocol):
    """Who sits in which batch; see `Order`."""

    @property
    def left_out(self) -> Mapping[str, int]:
        """From a reason to the number of recordings that sit in no batch for it."""

    def batch(self, step: int) -> Positions:
        """Give the rows of one batch, int64 [batch_size], the same for every world."""

    def epoch(self, step: int) -> int:
        """Give the epoch of a batch's first draw."""


@dataclass(frozen=True)
class Order:
    """One seeded permutation for each epoch.

    Raises
    ------
    UsageError
        There are fewer recordings than draws in a batch: one would meet itself.
    """

    num_recordings: int
    batch_size: int
    seed: int

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise UsageError(f"batch_size is {self.batch_size}; it must be at least 1")
        if self.num_recordings < self.batch_size:
            raise UsageError(
                f"batch_size is {self.batch_size} and there are {self.num_recordings} recordings to draw from; "
                "lower batch_size"
            )

    @property
    def left_out(self) -> Mapping[str, int]:
        """Nobody is left out."""
        return {}

    def batch(self, step: int) -> Positions:
        """Give the rows of one batch, int64 [batch_size], the same for every world."""
        first = step * self.batch_size
        epoch, place = divmod(first, self.num_recordings)
        head = permutation(self.num_recordings, self.seed, epoch)[place : place + self.batch_size]
        missing = self.batch_size - len(head)
        if not missing:
            return head.copy()
        return np.concatenate([head, permutation(self.num_recordings, self.seed, epoch + 1)[:missing]])

    def epoch(self, step: int) -> int:
        """Give the epoch of a batch's first draw."""
        return step * self.batch_size // self.num_recordings

    def epochs(self, step: int) -> Positions:
        """Give the epoch of each draw of a batch, int64 [batch_size]."""
        return (step * self.batch_size + np.arange(self.batch_size)) // self.num_recordings

    def num_steps(self, num_epochs: int) -> int:
        """Give the steps that cover so many epochs; the last one may reach into the next."""
        return -(-num_epochs * self.num_recordings // self.batch_size)


def deal(batch: Positions, rank: int, world: int) -> Positions:
    """Give one rank its draws: global position ``i * world + rank`` is the rank's row i.

    Raises
    ------
    UsageError
        The world does not divide the batch.
    """
    if world < 1 or len(batch) % world:
        raise UsageError(
            f"batch_size {len(batch)} cannot be dealt to {world} workers evenly; make batch_size a multiple of workers"
        )
    if not 0 <= rank < world:
        raise UsageError(f"rank {rank} does not exist in a world of {world}")
    return batch[rank::world]


@lru_cache(maxsize=4)
def permutation(num: int, seed: int, epoch: int) -> Positions:
    """Permute 0 … num - 1 by sorting keyed hashes."""
    order = np.argsort(hashes(np.arange(num), seed, epoch), kind="stable").astype(np.int64)
    order.setflags(write=False)  # it is shared by all that ask for this epoch
    return order
