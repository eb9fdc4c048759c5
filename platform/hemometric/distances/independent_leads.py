"""Twelve leads as eight that keep all distances: four of the limb leads follow from two."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hemometric.distances.checks import as_array
from hemometric.ecg import LEADS, Float32

_OF_I_AND_II = np.array([[1, 0], [0, 1], [-1, 1], [-0.5, -0.5], [1, -0.5], [-0.5, 1]])
"""I, II, III, aVR, aVL, aVF as weights of I and II (Einthoven 1912; Goldberger 1942)."""


def reduced_leads(signals: npt.ArrayLike) -> Float32:
    """Give eight lines between which distances are those between the twelve leads, for two thirds of the work.

    With A [12, 8] making the twelve leads from I, II, V1 … V6 and R the Cholesky factor of A^T A, |A x| = |R x| for any
    sample x. So squared distances, with a warp or without, are the same to rounding if III, aVR, aVL and aVF are what I
    and II say. Stored leads are, to their own rounding: between all pairs of 141 records of PTB-XL, bundled at 100 Hz
    (counts of 1 microvolt) distances change by up to 8.5e-4 of themselves under DTW, 7e-5 in the median, and by up to
    3.3e-4 under Euclid; coarser counts cost more.

    It does not hold after a scaling of each lead by itself (a gain for the whole record does no harm), nor for sums of
    distances of single leads: DTW_I and the mean absolute difference.

    Parameters
    ----------
    signals : float32 [..., 12 leads, sample] mV
        In the order of `hemometric.ecg.LEADS`.

    Returns
    -------
    float32 [..., 8, sample] mV
        I and II mixed, then V1 … V6 as they were.

    Raises
    ------
    ValueError
        Not twelve leads, or not real numbers.

    Examples
    --------
    >>> import numpy as np
    >>> one = np.zeros((12, 1), np.float32)
    >>> one[:6, 0] = 1.0, 1.0, 0.0, -1.0, 0.5, 0.5
    >>> reduced_leads(one)[:2, 0].round(4)
    array([0.9354, 1.6202], dtype=float32)
    >>> float(np.square(one).sum()), round(float(np.square(reduced_leads(one)).sum()), 4)
    (3.5, 3.5)
    """
    array = as_array(signals, "signals", f"[..., {len(LEADS)} leads, sample]")
    if array.dtype.kind not in "fiu" or array.ndim < 2 or array.shape[-2] != len(LEADS):
        raise ValueError(
            f"signals has shape {array.shape} and dtype {array.dtype}; expected real [..., {len(LEADS)} leads, sample]"
        )
    factor = np.linalg.cholesky(_OF_I_AND_II.T @ _OF_I_AND_II).T.astype(np.float32)
    reduced = np.empty((*array.shape[:-2], len(LEADS) - 4, array.shape[-1]), np.float32)
    np.multiply(array[..., 0, :], factor[0, 0], out=reduced[..., 0, :])
    reduced[..., 0, :] += array[..., 1, :] * factor[0, 1]
    np.multiply(array[..., 1, :], factor[1, 1], out=reduced[..., 1, :])
    reduced[..., 2:, :] = array[..., 6:, :]
    return reduced
