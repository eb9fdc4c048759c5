"""What an order may look at: the recordings that it counts over, and what is known of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hemometric.batches.order import Positions

Seconds = npt.NDArray[np.datetime64]


@dataclass(frozen=True, eq=False, kw_only=True)
class Roster:
    """Recordings by their positions 0 … N - 1; what nobody knows is None.

    Attributes
    ----------
    patients : int64 [recording]
        Equal for recordings of one patient.
    sites : int64 [recording] or None
        Equal for recordings of one site; -1 where it is unknown.
    acquired : datetime64[s] [recording] or None
        NaT where it is unknown. Shifted by a secret of each patient: only intervals within one patient hold.
    targets : float32 [recording] or None
        The label that a head learns, in its unit; NaN where it is missing.
    neighbours : int64 [recording, k] or None
        Positions of each recording's neighbours, nearest first; -1 where there are fewer.
    """

    patients: Positions
    sites: Positions | None = None
    acquired: Seconds | None = None
    targets: npt.NDArray[np.float32] | None = None
    neighbours: Positions | None = None

    def __post_init__(self) -> None:
        for name in ("sites", "acquired", "targets", "neighbours"):
            known = getattr(self, name)
            if known is not None and len(known) != len(self):
                raise ValueError(f"{name} of {len(known)} recordings were given; there are {len(self)}")

    def __len__(self) -> int:
        return len(self.patients)
