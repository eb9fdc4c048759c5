"""What an objective may look at beside the embeddings: who is who in the global batch, and what was mined of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hemometric.mining import Mined


@dataclass(frozen=True, eq=False)
class GlobalBatch:
    """All B recordings of a step, in the global order.

    Attributes
    ----------
    recordings, patients : int64 [B]
        Codes: equal where the recording, or the patient, is the same.
    mined : Mined or None
        None where nobody mines.
    """

    recordings: Tensor
    patients: Tensor
    mined: Mined | None = None

    @classmethod
    def of(
        cls, recording_ids: Sequence[str], patients: Sequence[str], device: torch.device, mined: Mined | None = None
    ) -> GlobalBatch:
        """Number the names in the order in which they come."""
        return cls(_codes(recording_ids).to(device), _codes(patients).to(device), mined)

    def __len__(self) -> int:
        return len(self.recordings)

    def strangers(self) -> Tensor:
        """Tell which pairs may repel: recordings of two patients, bool [B, B]."""
        return self.patients[:, None] != self.patients[None, :]


def _codes(names: Sequence[str]) -> Tensor:
    numbers: dict[str, int] = {}
    return torch.tensor([numbers.setdefault(name, len(numbers)) for name in names], dtype=torch.int64)
