"""Local scaling: distances measured in units of how far one's neighbours are."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from hemometric.ecg import Float32, Float64
from hemometric.mining.neighbour_graph import NeighbourGraph
from hemometric.mining.pairs import Bool

_FLOOR = 1e-12
_log = logging.getLogger(__name__)


class Scaling(Protocol):
    """Gives each recording of a batch its local scale."""

    def scales(
        self, distances: Float32, others: Bool, recording_ids: Sequence[str]
    ) -> tuple[Float64 | None, dict[str, int]]:
        """Measure.

        Parameters
        ----------
        distances : float32 [B, B]
            Squared, symmetric, not negative.
        others : bool [B, B]
            Pairs of different recordings: only they count as neighbours.
        recording_ids : B str

        Returns
        -------
        scales : float64 [B] or None
            Squared distances, above zero; None leaves the distances as they are.
        fallbacks : dict of int
            As `Mined.fallbacks`.
        """
        ...


class NoScaling:
    """Distances as they are."""

    def scales(
        self,
        distances: Float32,  # noqa: ARG002 - part of the protocol
        others: Bool,  # noqa: ARG002
        recording_ids: Sequence[str],  # noqa: ARG002
    ) -> tuple[None, dict[str, int]]:
        """Give none; see `Scaling.scales`."""
        return None, {}


class BatchScaling:
    """The distance to the `neighbour`-th neighbour within the batch."""

    def __init__(self, neighbour: int) -> None:
        self.neighbour = neighbour
        self._told = False

    def scales(self, distances: Float32, others: Bool, recording_ids: Sequence[str]) -> tuple[Float64, dict[str, int]]:
        """Measure in the batch; see `Scaling.scales`."""
        num_others = len(recording_ids) - 1
        if num_others < self.neighbour and not self._told:
            self._told = True
            _log.warning(
                "local scaling asks for neighbour %d, but a recording has only %d others in its batch: the farthest "
                "one sets its scale; use a larger batch or a smaller scaling_neighbour",
                self.neighbour,
                num_others,
            )
        return local_scales(distances, others, self.neighbour), {}


class ArchiveScaling:
    """The distance to the `neighbour`-th neighbour in a whole archive's graph.

    It is sharper than within a batch: the 10th of a million is near, the 10th of 63 is not. A recording that the
    graph does not know so many neighbours of takes its scale within the batch, times the median ratio of the two
    among those that have both; it is counted as ``scale``. In a batch of which the graph knows none, that is local
    scaling within the batch.
    """

    def __init__(self, graph: NeighbourGraph, neighbour: int) -> None:
        self.graph = graph
        self.neighbour = neighbour

    def scales(self, distances: Float32, others: Bool, recording_ids: Sequence[str]) -> tuple[Float64, dict[str, int]]:
        """Look up, or measure in the batch; see `Scaling.scales`."""
        within = local_scales(distances, others, self.neighbour)
        found = self.graph.distances_to(recording_ids, self.neighbour)
        known = np.isfinite(found)
        if known.any():
            found = np.maximum(found, float(found[known].max()) * _FLOOR)
            within = within * (float(np.median(found[known] / within[known])) or 1.0)
            within = np.where(known & (found > 0), found, within)
        return within, {"scale": int((~known).sum())}


def local_scales(distances: Float32, others: Bool, neighbour: int) -> Float64:
    """Give the squared distance of each recording to its `neighbour`-th neighbour in the batch, from 1.

    Where a recording has fewer others, its farthest one sets the scale; where it has none, 1 does.

    Returns
    -------
    float64 [B]
        Above zero: as many copies as neighbours would make it zero; nothing else comes near the floor.
    """
    ordered = np.sort(np.where(others, distances, np.inf).astype(np.float64), axis=1)
    last = np.minimum(neighbour, others.sum(axis=1)) - 1
    scale = ordered[np.arange(len(ordered)), np.maximum(last, 0)]
    largest = float(distances.max(initial=0.0))
    if largest == 0.0:
        return np.ones(len(ordered))
    scales: Float64 = np.where(last >= 0, np.maximum(scale, largest * _FLOOR), 1.0)
    return scales


def scaled(distances: Float32, scales: Float64) -> Float32:
    """Divide each distance by the local scales of its two ends: ``d_ij / sqrt(s_i s_j)``.

    A recording in a dense region is near to many, and would be everyone's positive (a hub); one far from all would
    be everyone's farthest negative. Dividing by the distance to a near neighbour takes both away (Zelnik-Manor and
    Perona, NIPS 2004, equation 4: ``d^2 / (sigma_i sigma_j)``, sigma the distance itself).

    Both d and s are squared here, so that the result is exactly that expression; with roots in both places it would
    be its square root, which ranks all pairs alike. So the choice matters to no miner and to no objective that only
    ranks; squared stays squared.

    Parameters
    ----------
    distances : float32 [B, B]
        Squared, symmetric, not negative.
    scales : float64 [B]
        Squared distances, above zero.

    Returns
    -------
    float32 [B, B]
        Symmetric, without unit.
    """
    result: Float32 = (distances / np.sqrt(scales[:, None] * scales[None, :])).astype(np.float32)
    return result
