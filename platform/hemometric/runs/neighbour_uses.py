"""How often each recording of an archive is the neighbour of another, counted block by block."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hemometric.mining import HUB_FRACTION


class NeighbourUses:
    """Counts how often each recording is a neighbour: one integer a recording, however many neighbours there are.

    Parameters
    ----------
    recording_ids : recording str
        Of the archive, sorted.
    """

    def __init__(self, recording_ids: npt.NDArray[np.str_]) -> None:
        self._ids = recording_ids
        self._counts = np.zeros(len(recording_ids), np.int64)

    def add(self, neighbour_ids: pa.ChunkedArray) -> None:
        """Count the neighbours of one block."""
        places = np.searchsorted(self._ids, np.asarray(neighbour_ids.to_pylist(), dtype=self._ids.dtype))
        self._counts += np.bincount(places, minlength=len(self._counts))

    def hub_share(self) -> float:
        """Give the share of all neighbours that the most used recordings are; as many of them as of `HubCounter`."""
        num = max(1, math.ceil(HUB_FRACTION * len(self._counts)))
        most = np.partition(self._counts, len(self._counts) - num)[len(self._counts) - num :]
        return float(most.sum() / max(1, self._counts.sum()))

    def num_unused(self) -> int:
        """Give the number of recordings that are nobody's neighbour."""
        return int((self._counts == 0).sum())
