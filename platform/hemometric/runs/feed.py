"""From cached signals and a pure order to the batches of one rank, made a step ahead of their use."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from hemometric.batches import BatchOrder, deal
from hemometric.corpus import Cache
from hemometric.learning import TrainingBatch, World, recording_keys
from hemometric.mining import Ahead, BatchMiner

AHEAD_STEPS = 1
"""Batches that wait ready: one hides the mining, more would only hold memory."""

TIMED_EVERY, TIMED_FIRST = 50, 8
"""Beside every 50th step nothing is made, so that a run knows what its steps take without mining."""


@dataclass(frozen=True, eq=False)
class Feed:
    """The batches of one rank; see `__call__`.

    Attributes
    ----------
    cache : Cache
        Prepared signals of this node.
    rows : int64 [num_recordings]
        Rows of the cache that the order counts over.
    order : BatchOrder
        Which of them sit in which batch.
    num_steps : int
        Where the batches end.
    world : World
        Which of a batch's rows are ours.
    miner : BatchMiner or None
        Mines each batch in the thread that makes it.
    targets : float32 [num_recordings] or None
        Label of each of `rows`, NaN where missing.
    """

    cache: Cache
    rows: npt.NDArray[np.int64]
    order: BatchOrder
    num_steps: int
    world: World
    miner: BatchMiner | None = None
    targets: npt.NDArray[np.float32] | None = None

    def __call__(self, start_step: int) -> Ahead[TrainingBatch]:
        """Give the batches from `start_step` to the last, each made while the one before is used."""
        return Ahead(self.batch, start_step, self.num_steps, depth=AHEAD_STEPS, quiet=_is_timed)

    def batch(self, step: int) -> TrainingBatch:
        """Make one batch: a pure function of the step, but for the mining's collectives."""
        drawn = self.order.batch(step)
        epoch = self.order.epoch(step)
        everyone = self.rows[drawn]
        ours = deal(drawn, self.world.rank, self.world.size)
        positions = np.arange(self.world.rank, len(drawn), self.world.size)
        recording_ids = tuple(self.cache.recording_ids[everyone].tolist())
        patients = tuple(self.cache.patients[everyone].tolist())
        signals = np.asarray(self.cache.signals[self.rows[ours]])
        mined = None
        if self.miner is not None:
            mined = self.miner.mine(
                signals,
                positions,
                recording_ids,
                patients,
                epoch,
                group=self.world.mining_group,
                rank=self.world.rank,
                world=self.world.size,
            )
        return TrainingBatch(
            step=step,
            epoch=epoch,
            signals=torch.from_numpy(signals),
            keys=recording_keys([recording_ids[n] for n in positions]),
            positions=torch.from_numpy(positions),
            recording_ids=recording_ids,
            patients=patients,
            targets=None if self.targets is None else torch.from_numpy(self.targets[ours]),
            mined=mined,
        )


def _is_timed(step: int) -> bool:
    return step % TIMED_EVERY == TIMED_FIRST


def in_chunks(rows: npt.NDArray[np.int64], size: int) -> Iterator[npt.NDArray[np.int64]]:
    """Cut rows into chunks of `size`, the last one shorter."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
