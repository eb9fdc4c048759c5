"""The warp across leads of the published run: a control that shows what its mistake costs, not a distance to use."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hemometric.distances import pointwise
from hemometric.ecg import Float32


def warped_leads(query: Float32, others: Float32) -> Float32:
    """Warp [lead, sample] against [other, lead, sample] over the leads, each step a vector of all samples."""
    num_others, num_leads, _ = others.shape
    total = np.full((num_others, num_leads + 1), np.inf)
    total[:, 0] = 0.0
    for mine in query:
        costs = np.square(others - mine).sum(axis=2, dtype=np.float64)
        above, total = total, np.full_like(total, np.inf)
        for j in range(num_leads):
            total[:, j + 1] = costs[:, j] + np.minimum(np.minimum(above[:, j], above[:, j + 1]), total[:, j])
    return total[:, num_leads].astype(np.float32)


def pairwise_across_leads(signals: npt.ArrayLike, *, threads: int | None = None) -> Float32:
    """Compute DTW over the axis of leads, as the published run did: a library took the first axis for time.

    Lead i of one ECG is aligned with lead j of another, sample against sample: the distance is
    D(i, j) = |x_i - y_j|^2 + min(D(i-1, j), D(i, j-1), D(i-1, j-1)) at the last leads, where x_i is the vector of all
    samples of lead i. Nothing is ever shifted in time, so a beat that comes a little later is as far as under Euclid,
    while leads that changed places come closer. It depends on the order of the leads. For comparison with Jeong, Stultz
    and Ghassemi (MLHC 2023) only; what they describe is `pairwise`.

    Parameters
    ----------
    signals : float32 [signal, lead, sample] mV
    threads : int, optional
        None takes every CPU that the process may use.

    Returns
    -------
    float32 [signal, signal] mV^2
        Squared distances; exactly symmetric, exactly 0 on the diagonal, never above the squared Euclidean.

    Raises
    ------
    ValueError
        An argument is out of range, or `signals` is not a finite array of that shape.

    Examples
    --------
    >>> import numpy as np
    >>> ecgs = np.zeros((3, 3, 4), np.float32)
    >>> ecgs[0, 0, 1] = ecgs[1, 0, 2] = ecgs[2, 1, 1] = 1.0  # a beat, later, in the next lead
    >>> pairwise_across_leads(ecgs)[0]
    array([0., 2., 1.], dtype=float32)
    """
    return pointwise.pairwise(signals, warped_leads, threads=threads)
