"""Mining one global batch, shared between ranks: what each sends, computes and selects."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Annotated, TypeVar

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist
from pydantic import Field

from hemometric.config import PLACEMENT, Config
from hemometric.distances import Distance, DistanceConfig, DtwDistance
from hemometric.ecg import Float32
from hemometric.errors import IntegrityError
from hemometric.mining.compared import Compared, ComparedConfig, WholeRecord
from hemometric.mining.mined import Mined
from hemometric.mining.miner import Miner
from hemometric.mining.nearest_miner import NearestMiner
from hemometric.mining.random_miner import RandomMiner

S = TypeVar("S", bound=np.generic)
MinerConfig = Annotated[NearestMiner | RandomMiner, Field(discriminator="kind")]


class BatchMiner:
    """Mines global batches of B recordings whose rank ``n mod world`` holds position n.

    Parameters
    ----------
    compared, distance, miner
        What is compared, how far apart it is, who is chosen.
    rate_hz, leads
        Of the prepared signals that `mine` will get.
    seed : int
        Of the run.
    threads : int or None
        For the distances; None takes what the distance takes by default.
    """

    def __init__(
        self,
        compared: Compared,
        distance: Distance,
        miner: Miner,
        *,
        rate_hz: float,
        leads: Sequence[str],
        seed: int,
        threads: int | None = None,
    ) -> None:
        self.compared = compared
        self.distance = distance
        self.miner = miner
        self.rate_hz = rate_hz
        self.leads = tuple(leads)
        self.seed = seed
        self.threads = threads

    def warm_up(self) -> None:
        """Compile the distance, and find out before the first batch whether the preparation fits.

        Raises
        ------
        UsageError
            The preparation lacks what is to be compared.
        """
        if self.miner.needs_distances:
            second = np.zeros((1, len(self.leads), math.ceil(self.rate_hz)), dtype=np.float32)
            self.distance.warm_up(self.compared(second, self.rate_hz, self.leads).shape[1])

    def mine(
        self,
        signals: Float32,
        positions: npt.NDArray[np.int64],
        recording_ids: Sequence[str],
        patients: Sequence[str],
        epoch: int,
        group: dist.ProcessGroup | None = None,
        rank: int = 0,
        world: int = 1,
    ) -> Mined:
        """Mine one global batch; every rank returns the same, and the same as one process would.

        With more than one rank it is a collective call: every rank calls it for the same batches in the same order,
        in whatever thread, over a gloo group that nothing else uses meanwhile. It gathers, re-interleaved to the
        global position ``n = i * world + rank``: a hash of the batch and a flag for each row that is not finite, what
        is compared (32 kB an ECG for 8 leads of 10 s at 100 Hz), and each rank's share of the distances (4 B bytes a
        recording). Every unordered pair is computed once, on one rank. No gradient flows.

        Parameters
        ----------
        signals : float32 [b, lead, sample] mV
            The prepared signals of this rank, b = B / world.
        positions : int64 [b]
            Their positions in the global batch: ``rank, rank + world, …``.
        recording_ids, patients : B str
            Of the whole global batch, in its order: every rank knows them from the order.
        epoch : int
            Which epoch's draws to take.
        group : ProcessGroup or None
            With gloo, for mining alone; None takes the default group. Not used with one rank.

        Raises
        ------
        ValueError
            The signals do not fit the positions, or these are not the rank's.
        UsageError
            The preparation lacks what is to be compared.
        IntegrityError
            The ranks disagree about the batch, or a signal is not finite; every rank raises it.
        """
        num = len(recording_ids)
        if not np.array_equal(positions, np.arange(rank, num, world)) or num % world:
            raise ValueError(f"rank {rank} of {world} needs positions {rank}, {rank + world}, … of a batch of {num}")
        if len(signals) != len(positions):
            raise ValueError(f"{len(signals)} signals for {len(positions)} positions")
        if world > 1:
            _check_agreement(recording_ids, patients, self.seed, epoch, group, world)
        distances = np.zeros((num, num), dtype=np.float32)
        if self.miner.needs_distances:
            _check_finite(signals, recording_ids, group, world)
            everyone = _gather_rows(self.compared(signals, self.rate_hz, self.leads), group, world)
            own = self.distance.half_rows(everyone, np.asarray(positions, dtype=np.int64), threads=self.threads)
            half = _gather_rows(own, group, world)
            distances = half + half.T
        return self.miner.select(distances, recording_ids, patients, self.seed, epoch)


def _gather_rows(rows: npt.NDArray[S], group: dist.ProcessGroup | None, world: int) -> npt.NDArray[S]:
    """Gather [b, …] of every rank to [b * world, …]: row i of rank r becomes row i * world + r."""
    if world == 1:
        return rows
    local = torch.from_numpy(np.ascontiguousarray(rows))
    parts = [torch.empty_like(local) for _ in range(world)]
    dist.all_gather(parts, local, group=group)
    gathered: npt.NDArray[S] = torch.stack(parts, dim=1).flatten(0, 1).numpy()
    return gathered


def _check_finite(signals: Float32, recording_ids: Sequence[str], group: dist.ProcessGroup | None, world: int) -> None:
    """Ordered comparisons drop a NaN in silence; and a rank that raised alone would leave the others waiting."""
    finite = np.asarray(np.isfinite(signals).all(axis=(1, 2)))
    bad = np.flatnonzero(~_gather_rows(finite, group, world))
    if len(bad):
        named = ", ".join(recording_ids[position] for position in bad[:3])
        raise IntegrityError(f"{len(bad)} signals of a batch are not finite (recordings {named}); prepare them again")


def _check_agreement(
    recording_ids: Sequence[str],
    patients: Sequence[str],
    seed: int,
    epoch: int,
    group: dist.ProcessGroup | None,
    world: int,
) -> None:
    """Ranks that mine different batches would hang on shapes or, worse, train on wrong triplets."""
    batch = "\0".join([str(seed), str(epoch), *recording_ids, *patients]).encode()
    digest = int.from_bytes(hashlib.blake2b(batch, digest_size=8).digest(), "little", signed=True)
    local = torch.tensor([digest])
    parts = [torch.empty_like(local) for _ in range(world)]
    dist.all_gather(parts, local, group=group)
    if any(int(part) != digest for part in parts):
        raise IntegrityError(f"the {world} ranks mine different batches in epoch {epoch}: their orders differ")


class MiningConfig(Config):
    """What is compared, by which distance, and who is chosen."""

    compared: ComparedConfig = WholeRecord()
    distance: DistanceConfig = DtwDistance()
    miner: MinerConfig = NearestMiner()
    threads: Annotated[int | None, Field(ge=1), PLACEMENT] = None

    def build(self, *, rate_hz: float, leads: Sequence[str], seed: int) -> BatchMiner:
        """Give the miner of batches of signals prepared at `rate_hz` with `leads`."""
        return BatchMiner(
            self.compared.build(),
            self.distance.build(),
            self.miner.build(),
            rate_hz=rate_hz,
            leads=leads,
            seed=seed,
            threads=self.threads,
        )
