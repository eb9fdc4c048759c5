"""What one step sees: the local rows of a global batch, and the process's place in the world."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

    from hemometric.mining import Mined


@dataclass(frozen=True)
class World:
    """One process among `size`: training's collectives use torch's default group, mining's a gloo group of its own.

    Attributes
    ----------
    rank, size : int
        This process, and how many there are.
    device : torch.device
        Where the model and the collectives' tensors live (NCCL wants CUDA, gloo the CPU).
    mining_group : ProcessGroup or None
        A gloo group for the mining thread, so that its collectives never interleave with those of the step.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    mining_group: ProcessGroup | None = None

    @property
    def is_main(self) -> bool:
        """Whether this process writes checkpoints, metrics and progress."""
        return self.rank == 0


@dataclass(frozen=True, eq=False)
class TrainingBatch:
    """The rows of one global batch that this rank embeds; B rows in the world, b = B / size here.

    Attributes
    ----------
    step, epoch : int
        Which batch of the run, from 0, and the epoch of its first draw.
    signals : float32 [b, lead, sample] mV
    keys : int64 [b]
        `recording_key` of each row: what dropout masks are drawn by.
    positions : int64 [b]
        The rows' global numbers n; row i of rank r is n = i * size + r within the batch.
    recording_ids, patients : tuple of str
        Of all B rows, in global order.
    targets : float32 [b] or None
        Labels of the local rows, NaN where missing.
    mined : Mined or None
        Triplets over global positions.
    """

    step: int
    epoch: int
    signals: Tensor
    keys: Tensor
    positions: Tensor
    recording_ids: tuple[str, ...]
    patients: tuple[str, ...]
    targets: Tensor | None = None
    mined: Mined | None = None

    def to(self, device: torch.device) -> TrainingBatch:
        """Return the batch with every tensor on `device`."""
        if device == self.signals.device:
            return self
        return replace(
            self,
            signals=self.signals.to(device, non_blocking=True),
            keys=self.keys.to(device),
            positions=self.positions.to(device),
            targets=None if self.targets is None else self.targets.to(device),
            mined=None if self.mined is None else self.mined.to(device),
        )


def recording_key(recording_id: str) -> int:
    """Hash a recording id to a signed 64-bit integer that is the same in every process and for ever."""
    return int.from_bytes(hashlib.blake2b(recording_id.encode(), digest_size=8).digest(), "big", signed=True)


def recording_keys(recording_ids: Sequence[str]) -> Tensor:
    """`recording_key` of each id, int64 [b]."""
    return torch.tensor([recording_key(recording_id) for recording_id in recording_ids], dtype=torch.int64)
