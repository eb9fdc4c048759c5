"""Recordings in groups (patients, classes, sites), and an endless seeded sequence of each group's recordings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hemometric.batches.order import Positions
from hemometric.batches.shuffles import shuffled


@dataclass(frozen=True, eq=False)
class Groups:
    """Groups 0 … G - 1 of recordings.

    Attributes
    ----------
    recordings : int64 [recording]
        Group after group, ascending within each.
    starts : int64 [group]
        Where each group begins in them.
    sizes : int64 [group]
    """

    recordings: Positions
    starts: Positions
    sizes: Positions

    def __len__(self) -> int:
        return len(self.sizes)

    @classmethod
    def of(cls, codes: Positions, min_size: int = 1) -> Groups:
        """Group positions by their code, ascending; negative codes and groups below `min_size` are left out."""
        _, groups, sizes = np.unique(codes, return_inverse=True, return_counts=True)
        kept = np.flatnonzero((codes >= 0) & (sizes[groups] >= min_size))
        recordings = kept[np.argsort(codes[kept], kind="stable")]
        _, starts, sizes = np.unique(codes[recordings], return_index=True, return_counts=True)
        return cls(recordings, starts.astype(np.int64), sizes.astype(np.int64))

    def take(self, groups: Positions, turns: Positions, seed: int) -> Positions:
        """Give recordings, each at a turn of its group's sequence, int64 [draw].

        The sequence is one seeded permutation of the group after another: in turns ``p * size`` to
        ``p * size + size - 1`` each recording comes once.
        """
        sizes = self.sizes[groups]
        passes, places = np.divmod(turns, sizes)
        drawn: Positions = self.recordings[self.starts[groups] + shuffled(places, sizes, seed, groups, passes)]
        return drawn
