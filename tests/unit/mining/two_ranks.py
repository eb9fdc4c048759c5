"""Mine batches as one rank of several: ``python two_ranks.py STORE OUT RANK WORLD``; a test starts it.

Everything goes through `Ahead` on a group of its own, while the main thread keeps the default group busy.
"""

from __future__ import annotations

import sys
from datetime import timedelta

import numpy as np
import torch
import torch.distributed as dist

from hemometric.distances import DtwDistance
from hemometric.ecg import LEADS
from hemometric.errors import IntegrityError
from hemometric.mining import (
    Ahead,
    BatchMiner,
    FarthestNegatives,
    Mined,
    MiningConfig,
    NearestMiner,
    RandomMiner,
    RandomOfNearestPositives,
    RefineConfig,
    SemihardRankNegatives,
    WholeRecord,
)

CONFIGS = (
    MiningConfig(compared=WholeRecord(rate_hz=50), distance=DtwDistance(window=0.1), miner=NearestMiner(), threads=1),
    MiningConfig(
        compared=WholeRecord(gain="record"),
        distance=DtwDistance(window=None),
        miner=NearestMiner(negatives=FarthestNegatives(k=2), scaling="local", scaling_neighbour=4),
        threads=1,
    ),
    MiningConfig(miner=RandomMiner(), threads=1),
    MiningConfig(
        compared=WholeRecord(rate_hz=25),
        distance=DtwDistance(window=0.1),
        miner=NearestMiner(
            positives=RandomOfNearestPositives(k=2),
            negatives=SemihardRankNegatives(skip=1, k=3),
            scaling="local",
            scaling_neighbour=4,
        ),
        refine=RefineConfig(compared=WholeRecord(rate_hz=100), candidates=3),
        threads=1,
    ),
)
NUM = (12, 18, 18, 6)
"""Recordings of each batch; the third is the second in another order."""


class Batch:
    """A global batch, the same in every process: smooth signals, two recordings a patient, one recording twice."""

    def __init__(self, which: int) -> None:
        num = NUM[which]
        rng = np.random.default_rng(num)
        walks = rng.normal(size=(num, 12, 160)).cumsum(axis=2) / 10
        order = rng.permutation(num) if which == 2 else np.arange(num)
        ids = [f"r{i * 7919 % 101:03d}" for i in range(num)]
        walks[-1], ids[-1] = walks[0], ids[0]
        patients = [f"p{i // 2}" for i in range(num - 1)] + ["p0"]
        self.signals = walks[order].astype(np.float32)
        self.recording_ids = [ids[i] for i in order]
        self.patients = [patients[i] for i in order]


def miner(config: MiningConfig) -> BatchMiner:
    return config.build(rate_hz=100.0, leads=LEADS, seed=11)


def mine(work: BatchMiner, which: int, rank: int, world: int, group: dist.ProcessGroup | None) -> Mined:
    batch = Batch(which)
    positions = np.arange(rank, NUM[which], world)
    return work.mine(
        batch.signals[positions], positions, batch.recording_ids, batch.patients, which, group, rank, world
    )


def arrays(mined: Mined) -> dict[str, np.ndarray]:
    return {
        "triplets": torch.stack(mined.as_tuple()).numpy(),
        "distances": mined.distances.numpy(),
        "valid": mined.valid.numpy(),
        "repels": mined.repels.numpy(),
    }


def refusals(rank: int, world: int, group: dist.ProcessGroup) -> list[str]:
    """What every rank answers where only one of them holds something wrong."""
    said = []
    batch, positions = Batch(0), np.arange(rank, NUM[0], world)
    for wrong in ("signal", "order"):
        signals = batch.signals[positions]
        if wrong == "signal" and rank == 1:
            signals[2, 3, 4] = np.nan
        epoch = rank if wrong == "order" else 0
        try:
            miner(CONFIGS[0]).mine(signals, positions, batch.recording_ids, batch.patients, epoch, group, rank, world)
        except IntegrityError as error:
            said.append(str(error))
    return said


def main(store: str, out: str, rank: int, world: int) -> None:
    dist.init_process_group(
        "gloo", store=dist.FileStore(store, world), rank=rank, world_size=world, timeout=timedelta(seconds=60)
    )
    group = dist.new_group(backend="gloo")
    result: dict[str, np.ndarray] = {}
    for number, config in enumerate(CONFIGS):
        work = miner(config)
        with Ahead(lambda which: mine(work, which, rank, world, group), 0, len(NUM)) as ahead:  # noqa: B023
            for which, mined in enumerate(ahead):
                for _ in range(20):  # the training step's own collectives
                    total = torch.ones(1000)
                    dist.all_reduce(total)
                    assert (total == world).all()
                result |= {f"{number}/{which}/{name}": array for name, array in arrays(mined).items()}
    result["refusals"] = np.array(refusals(rank, world, group))
    np.savez(out, **result)
    dist.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
