"""What the ranks that mine one global batch tell each other; no gradient flows here.

Every method is a collective call over a gloo group that nothing else uses meanwhile; with one rank each is the
identity, and no process group is needed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist

from hemometric.ecg import Float32
from hemometric.errors import IntegrityError

S = TypeVar("S", bound=np.generic)


@dataclass(frozen=True)
class Ranks:
    """One rank among those that mine together.

    Attributes
    ----------
    group : ProcessGroup or None
        With gloo; None takes the default group. Not used with one rank.
    rank, world : int
    """

    group: dist.ProcessGroup | None = None
    rank: int = 0
    world: int = 1

    def gather(self, rows: npt.NDArray[S]) -> npt.NDArray[S]:
        """Gather [b, …] of every rank to [b * world, …]: row i of rank r becomes row i * world + r."""
        if self.world == 1:
            return rows
        local = torch.from_numpy(np.ascontiguousarray(rows))
        parts = [torch.empty_like(local) for _ in range(self.world)]
        dist.all_gather(parts, local, group=self.group)
        gathered: npt.NDArray[S] = torch.stack(parts, dim=1).flatten(0, 1).numpy()
        return gathered

    def check_finite(self, signals: Float32, recording_ids: Sequence[str]) -> None:
        """Refuse a batch with a signal that is not finite, on every rank.

        Ordered comparisons drop a NaN in silence; and a rank that raised alone would leave the others waiting.

        Raises
        ------
        IntegrityError
            It names the first three recordings.
        """
        finite = np.asarray(np.isfinite(signals).all(axis=(1, 2)))
        bad = np.flatnonzero(~self.gather(finite))
        if len(bad):
            named = ", ".join(recording_ids[position] for position in bad[:3])
            raise IntegrityError(
                f"{len(bad)} signals of a batch are not finite (recordings {named}); prepare them again"
            )

    def check_agreement(self, seed: int, epoch: int, params_hash: str, *names: Sequence[str]) -> None:
        """Refuse to mine where the ranks' batches, draws or parameters differ, on every rank.

        They would hang on shapes or, worse, train on wrong triplets.

        Raises
        ------
        IntegrityError
            Some rank has others.
        """
        if self.world == 1:
            return
        batch = "\0".join([str(seed), str(epoch), params_hash, *(name for part in names for name in part)]).encode()
        digest = int.from_bytes(hashlib.blake2b(batch, digest_size=8).digest(), "little", signed=True)
        if (self.gather(np.array([digest])) != digest).any():
            raise IntegrityError(
                f"the {self.world} ranks mine different batches in epoch {epoch}: their orders or configs differ"
            )
