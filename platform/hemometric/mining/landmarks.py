"""Distances to a fixed set of recordings: what an encoder can be taught without ever ranking a batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hemometric.distances import Distance
from hemometric.ecg import Float32, Float64
from hemometric.errors import UsageError
from hemometric.mining.compared import comparable

MAX_BYTES = 256 << 20
"""Of distances that are kept: 128 landmarks of half a million recordings."""


class Landmarks:
    """Gives how far recordings lie from each landmark, on a scale of its own.

    A landmark's scale is that of its distances to the other landmarks: their logarithms have mean 0 and standard
    deviation 1. So a landmark that is far from all, such as an outlier, counts like the others.

    Parameters
    ----------
    compared : float32 [landmark, lead, sample]
        What is compared of them; those without anything to compare must have been left out.
    recording_ids : landmark str
        Whose they are.
    distance : Distance
    threads : int or None

    Raises
    ------
    UsageError
        There are fewer than three, or they cannot be told apart.
    """

    def __init__(
        self, compared: Float32, recording_ids: Sequence[str], distance: Distance, threads: int | None = None
    ) -> None:
        if len(compared) < 3:
            raise UsageError(f"objective.num is {len(compared)}; landmarks need at least 3 recordings with a beat")
        self.recording_ids = tuple(recording_ids)
        self._compared = compared
        self._distance = distance
        self._threads = threads
        between = distance.pairwise(compared, threads=threads).astype(np.float64)
        others = ~np.eye(len(between), dtype=bool)
        if not (between[others] > 0).any():
            raise UsageError("the landmarks are copies of one recording; take another seed or another corpus")
        self._least = float(between[others & (between > 0)].min()) / 2.0
        logs = np.ma.masked_array(self._logs(between), ~others)
        self._mean: Float64 = logs.mean(axis=0).filled(0.0)
        self._sd: Float64 = np.maximum(logs.std(axis=0).filled(1.0), 1e-6)
        self._kept: dict[str, Float32] = {}

    def __len__(self) -> int:
        return len(self._compared)

    def __call__(self, compared: Float32, recording_ids: Sequence[str]) -> Float32:
        """Measure some recordings, each once in a run.

        Parameters
        ----------
        compared : float32 [b, lead, sample]
        recording_ids : b str

        Returns
        -------
        float32 [b, landmark]
            NaN throughout where a recording holds nothing to compare.
        """
        fresh = [row for row, name in enumerate(recording_ids) if name not in self._kept]
        found = {name: self._kept[name] for name in recording_ids if name in self._kept}
        if fresh:
            some = np.ascontiguousarray(compared[fresh])
            far = self._logs(self._distance.cross(some, self._compared, threads=self._threads).astype(np.float64))
            scaled = ((far - self._mean) / self._sd).astype(np.float32)
            scaled[~comparable(some)] = np.nan
            found |= {recording_ids[row]: distances for row, distances in zip(fresh, scaled, strict=True)}
            if (len(self._kept) + len(fresh)) * scaled[0].nbytes <= MAX_BYTES:
                self._kept.update({recording_ids[row]: found[recording_ids[row]] for row in fresh})
        return np.stack([found[name] for name in recording_ids])

    def _logs(self, distances: Float64) -> Float64:
        """Take logarithms; a landmark is half as far from itself as the two nearest of them are from each other."""
        logs: Float64 = np.log(np.maximum(distances, self._least))
        return logs
