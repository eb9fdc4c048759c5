"""Mining one global batch, shared between ranks: what each sends, computes and selects."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist

from hemometric.distances import Distance
from hemometric.ecg import Float32
from hemometric.errors import UsageError
from hemometric.mining.compared import Compared, comparable
from hemometric.mining.landmarks import Landmarks
from hemometric.mining.mined import Mined
from hemometric.mining.miner import Miner
from hemometric.mining.pairs import Int64
from hemometric.mining.ranks import Ranks
from hemometric.mining.remembered import Remembered


@dataclass(frozen=True)
class Fine:
    """How the nearest of each anchor are measured again.

    Attributes
    ----------
    compared : Compared
        What is compared then.
    num_candidates : int
        Of each anchor.
    """

    compared: Compared
    num_candidates: int


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
    fine : Fine or None
        Measures the nearest again, by the same distance.
    threads : int or None
        For the distances; None takes what the distance takes by default.
    params_hash : str
        Says what its choices depend on besides the batch; every `Mined` carries it.
    landmarks : Landmarks or None
        Whose distances from each recording are mined too.
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
        fine: Fine | None = None,
        threads: int | None = None,
        params_hash: str = "",
        landmarks: Landmarks | None = None,
    ) -> None:
        self.compared = Remembered(compared)
        self.distance = distance
        self.miner = miner
        self.rate_hz = rate_hz
        self.leads = tuple(leads)
        self.seed = seed
        self.num_candidates = 0 if fine is None else fine.num_candidates
        self.fine = None if fine is None else Remembered(fine.compared)
        self.threads = threads
        self.params_hash = params_hash
        self.landmarks = landmarks

    def warm_up(self) -> None:
        """Compile the distance, and find out before the first batch whether the preparation fits.

        Raises
        ------
        UsageError
            The preparation lacks what is to be compared.
        """
        if not self.miner.needs_distances:
            return
        second = np.zeros((1, len(self.leads), math.ceil(self.rate_hz)), dtype=np.float32)
        num_leads = {self.compared.compared(second, self.rate_hz, self.leads).shape[1]}
        if self.fine is not None:
            try:
                num_leads.add(self.fine.compared(second, self.rate_hz, self.leads).shape[1])
            except UsageError as error:
                raise UsageError(str(error).replace("mining.compared", "mining.refine.compared")) from None
        for num in sorted(num_leads):
            self.distance.warm_up(num)

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
        *,
        duplicate_groups: Sequence[str] | None = None,
    ) -> Mined:
        """Mine one global batch; every rank returns the same, and the same as one process would.

        With more than one rank it is a collective call: every rank calls it for the same batches in the same order,
        in whatever thread, over a gloo group that nothing else uses meanwhile. It gathers, re-interleaved to the
        global position ``n = i * world + rank``: a hash of the batch and a flag for each row that is not finite, what
        is compared (32 kB an ECG for 8 leads of 10 s at 100 Hz), and each rank's share of the distances (4 B bytes a
        recording). Every unordered pair is computed once, on one rank. Where the nearest are measured again, what is
        compared then is gathered too (160 kB an ECG at 500 Hz), once; each rank measures the candidates of its own
        anchors, and their distances are gathered. Each rank measures its own recordings' distances to landmarks, which
        are gathered (4 bytes a landmark). No gradient flows.

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
        duplicate_groups : B str, optional
            Recordings that share one are copies of one ECG; see `pairs`.

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
        ranks = Ranks(group, rank, world)
        ranks.check_agreement(self.seed, epoch, self.params_hash, recording_ids, patients, duplicate_groups or ())
        distances = np.zeros((num, num), dtype=np.float32)
        present, refine, fallbacks, far = None, None, {}, None
        own_ids = [recording_ids[position] for position in positions]
        if self.miner.needs_distances or self.landmarks is not None:
            ranks.check_finite(signals, recording_ids)
            own = self.compared(signals, self.rate_hz, self.leads, own_ids)
        if self.landmarks is not None:
            far = torch.from_numpy(ranks.gather(self.landmarks(own, own_ids)))
        if self.miner.needs_distances:
            everyone = ranks.gather(own)
            half = ranks.gather(self.distance.half_rows(everyone, positions, threads=self.threads))
            distances = half + half.T
            present = comparable(everyone)
            fallbacks = {"absent": int((~present).sum())}
            if self.fine is not None:
                finely = self.fine
                refine = _Refining(
                    self.distance,
                    lambda: finely(signals, self.rate_hz, self.leads, own_ids),
                    self.num_candidates,
                    positions,
                    ranks,
                    self.threads,
                )
        mined = self.miner.select(
            distances,
            recording_ids,
            patients,
            self.seed,
            epoch,
            duplicate_groups=duplicate_groups,
            present=present,
            refine=refine,
        )
        fallbacks = {**fallbacks, **mined.fallbacks}
        return replace(mined, params_hash=self.params_hash, fallbacks=fallbacks, landmark_distances=far)


class _Refining:
    """Measures the candidates of one batch; see `refinement.Refine`."""

    def __init__(
        self,
        distance: Distance,
        compare: Callable[[], Float32],
        num_candidates: int,
        positions: Int64,
        ranks: Ranks,
        threads: int | None,
    ) -> None:
        self.num_candidates = num_candidates
        self._distance = distance
        self._compare = compare
        self._positions = positions
        self._ranks = ranks
        self._threads = threads

    def __call__(self, candidates: Int64) -> Float32:
        everyone = self._ranks.gather(self._compare())
        own = np.full_like(candidates, -1)
        own[self._positions] = candidates[self._positions]
        measured = self._distance.refine(everyone, own, threads=self._threads)
        # What holds nothing to compare finely would be near to all; it stays behind, in the coarse order.
        present = comparable(everyone)
        measured[~(present[:, None] & present[candidates])] = np.inf
        return self._ranks.gather(measured[self._positions])
