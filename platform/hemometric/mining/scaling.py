"""Local scaling: distances measured in units of how far one's neighbours are."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hemometric.ecg import Float32

_FLOOR = 1e-12


def scale_locally(distances: Float32, others: npt.NDArray[np.bool_], neighbour: int) -> Float32:
    """Divide each distance by the local scales of its two ends: ``d_ij / sqrt(s_i s_j)``.

    A recording in a dense region is near to many, and would be everyone's positive (a hub); one far from all would
    be everyone's farthest negative. Dividing by the distance to the `neighbour`-th neighbour takes both away
    (Zelnik-Manor and Perona, NIPS 2004, equation 4: ``d^2 / (sigma_i sigma_j)``, sigma the distance itself).

    Both d and s are squared here, so that the result is exactly that expression; with roots in both places it would
    be its square root, which ranks all pairs alike. So the choice matters to no miner and to no objective that only
    ranks; squared stays squared.

    Parameters
    ----------
    distances : float32 [B, B]
        Squared, symmetric, not negative.
    others : bool [B, B]
        Pairs of different recordings: only they count as neighbours.
    neighbour : int
        Which neighbour sets the scale, from 1. Where a recording has fewer others, its farthest one does.

    Returns
    -------
    float32 [B, B]
        Symmetric, without unit.
    """
    ordered = np.sort(np.where(others, distances, np.inf).astype(np.float64), axis=1)
    last = np.minimum(neighbour, others.sum(axis=1)) - 1
    scale = ordered[np.arange(len(ordered)), np.maximum(last, 0)]
    largest = float(distances.max(initial=0.0))
    if largest == 0.0:
        return np.zeros_like(distances)
    # As many copies as neighbours would make the scale zero; nothing else comes near this floor.
    scale = np.where(last >= 0, np.maximum(scale, largest * _FLOOR), 1.0)
    scaled: Float32 = (distances / np.sqrt(scale[:, None] * scale[None, :])).astype(np.float32)
    return scaled
