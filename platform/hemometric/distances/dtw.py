"""Dynamic time warping between ECGs: the least sum of squared differences over all monotone alignments in time.

Signals on a CUDA device, of torch, CuPy or numba, are compared there, and the result stays there: see `cuda`.
"""

from __future__ import annotations

from types import ModuleType

import numpy as np
import numpy.typing as npt

from hemometric.distances.checks import (
    Form,
    Metric,
    Window,
    band_samples,
    checked_candidates,
    checked_form,
    checked_metric,
    checked_pair,
    checked_rows,
    checked_signals,
)
from hemometric.distances.engine import run, run_pairs
from hemometric.distances.placement import lie_on_device, only_on_host
from hemometric.distances.schedule import Int64, circulant, rectangle
from hemometric.distances.workers import num_threads
from hemometric.ecg import Float32


def pairwise(
    signals: npt.ArrayLike,
    *,
    window: Window = None,
    metric: Metric = "dependent",
    form: Form = "difference",
    threads: int | None = None,
) -> Float32:
    """Compute the DTW distances between all signals of a batch.

    With c(i, j) the squared Euclidean distance between sample i of one signal and sample j of the other,
    D(i, j) = c(i, j) + min(D(i-1, j), D(i, j-1), D(i-1, j-1)) over cells with abs(i - j) <= w (Sakoe and Chiba 1978);
    the distance is D at the last samples, without a root. All leads share one path (``dependent``, DTW_D), or each lead
    has its own and their distances are summed (``independent``, DTW_I; both Shokoohi-Yekta et al. 2017, section 3).

    Parameters
    ----------
    signals : float32 [signal, lead, sample] mV
        Other real numbers are converted. The warp is over samples. An array on a CUDA device has to be float32 and
        contiguous; the result then is an array of numba's there, which ``torch.as_tensor`` takes without a copy.
    window : float or int, optional
        Half-width w of the band: a float is a fraction of the number of samples (rounded down), an int is samples;
        None is no band, 0 is the squared Euclidean distance.
    metric : {"dependent", "independent"}
    form : {"difference", "gemm"}
        How the local cost is computed: |x - y|^2, or |x|^2 + |y|^2 - 2xy, which is 1.15 times as fast for 8 or 12 leads
        without a band (`make bench-dtw`), hardly faster in a narrow one, and slower for one lead. The latter cancels
        where signals are close: against the first form it errs by 5e-7 on different ECGs, but by 2e-4, 2e-2 and 3 times
        the distance on copies with noise of 0.01, 0.001 and 0.0001 of their standard deviation, and as badly under a
        large offset. Not for duplicates, nor for the diagonal of `cross`, which it leaves above 0; not on a device.
    threads : int, optional
        None takes every CPU that the process may use: inside a Ray worker give its own share. Not used on a device.

    Returns
    -------
    float32 [signal, signal] mV^2
        Squared distances; exactly symmetric, exactly 0 on the diagonal. Independent of `threads`. Sums are float32: in
        the difference form the relative error for T samples is at most max(1e-5, 2e-8 T).

    Raises
    ------
    ValueError
        An argument is out of range, or `signals` is not a finite array of that shape; the message names it. Some
        arguments are on a CUDA device and some are not.

    Warns
    -----
    UserWarning
        More than 32 leads, and more than samples: [signal, sample, lead] was given, it seems.

    References
    ----------
    Sakoe and Chiba 1978: Dynamic programming algorithm optimization for spoken word recognition. IEEE Transactions on
    Acoustics, Speech, and Signal Processing 26(1).
    Shokoohi-Yekta et al. 2017: Generalizing DTW to the multi-dimensional case requires an adaptive approach. Data
    Mining and Knowledge Discovery 31(1).

    Examples
    --------
    >>> import numpy as np
    >>> beats = np.zeros((2, 1, 6), np.float32)
    >>> beats[0, 0, 2] = beats[1, 0, 3] = 1.0
    >>> pairwise(beats)[0, 1], pairwise(beats, window=0)[0, 1]
    (np.float32(0.0), np.float32(2.0))
    """
    if lie_on_device(signals=signals):
        found: Float32 = _cuda(threads).pairwise(signals, window=window, metric=metric, form=form)
        return found
    checked = checked_signals(signals, "signals")
    half = _half_rows(checked, np.arange(len(checked)), window, metric, form, threads)
    return half + half.T


def cross(
    queries: npt.ArrayLike,
    others: npt.ArrayLike,
    *,
    window: Window = None,
    metric: Metric = "dependent",
    form: Form = "difference",
    threads: int | None = None,
) -> Float32:
    """Compute the DTW distances of queries to others; definition and arguments as for `pairwise`.

    Parameters
    ----------
    queries : float32 [query, lead, sample] mV
    others : float32 [other, lead, sample] mV
        Of the same leads and length.
    window, metric, form, threads
        As for `pairwise`.

    Returns
    -------
    float32 [query, other] mV^2
        Squared distances; of a batch to itself, bit for bit those of `pairwise`.

    Raises
    ------
    ValueError
        As `pairwise`, or queries and others differ in leads or samples.
    """
    if lie_on_device(queries=queries, others=others):
        found: Float32 = _cuda(threads).cross(queries, others, window=window, metric=metric, form=form)
        return found
    first, second = checked_pair(queries, others)
    return run(
        first,
        second,
        lambda lanes: rectangle(len(first), len(second), lanes),
        len(first),
        window=band_samples(window, first.shape[2]),
        metric=checked_metric(metric),
        form=checked_form(form),
        threads=threads,
    )


def half_rows(
    signals: npt.ArrayLike,
    rows: npt.ArrayLike,
    *,
    window: Window = None,
    metric: Metric = "dependent",
    form: Form = "difference",
    threads: int | None = None,
) -> Float32:
    """Compute the share of all pairs that belongs to some signals of a batch, so that ranks can divide the work.

    Signal i owns the pairs (i, i + 1) … (i, i + B // 2), modulo the batch size B; for even B the last one belongs to
    the first half of the signals only. With S [B, B] holding the rows of all signals, S + S.T equals `pairwise`
    bit for bit, and each unordered pair was computed once.

    Parameters
    ----------
    signals : float32 [signal, lead, sample] mV
        The whole batch.
    rows : int64 [row]
        Positions of the signals whose shares are wanted; for signals on a device, on either side.
    window, metric, form, threads
        As for `pairwise`.

    Returns
    -------
    float32 [row, signal] mV^2
        Squared distances; 0 for pairs that the signal does not own.

    Raises
    ------
    ValueError
        As `pairwise`, or a row is not a position in the batch.
    """
    if lie_on_device(signals=signals):
        found: Float32 = _cuda(threads).half_rows(signals, rows, window=window, metric=metric, form=form)
        return found
    only_on_host(rows=rows)
    checked = checked_signals(signals, "signals")
    return _half_rows(checked, checked_rows(rows, len(checked)), window, metric, form, threads)


def refine(
    signals: npt.ArrayLike,
    candidates: npt.ArrayLike,
    *,
    others: npt.ArrayLike | None = None,
    window: Window = None,
    metric: Metric = "dependent",
    threads: int | None = None,
) -> Float32:
    """Compute the DTW distances of each signal to a few candidates of its own; definition as for `pairwise`.

    So candidates found at a coarse rate are ranked again at full rate, for the cost of those pairs alone.

    Parameters
    ----------
    signals : float32 [signal, lead, sample] mV
    candidates : int64 [signal, k]
        Row i holds the positions, in `others` or else in `signals`, to which signal i is compared; -1 is none. For
        signals on a device, on either side.
    others : float32 [other, lead, sample] mV, optional
        Of the same leads and length.
    window, metric, threads
        As for `pairwise`. The local cost is in the difference form always.

    Returns
    -------
    float32 [signal, k] mV^2
        Squared distances, bit for bit those of `pairwise` and `cross`; infinite where the candidate is -1.

    Raises
    ------
    ValueError
        As `pairwise`; signals and others differ in leads or samples, or a candidate is not a position.

    Notes
    -----
    References are those of `pairwise`. Time and memory grow with the candidates, not with all pairs.

    Examples
    --------
    >>> import numpy as np
    >>> levels = np.arange(4, dtype=np.float32)[:, None, None] * np.ones((1, 1, 10), np.float32)
    >>> refine(levels, [[1, 3], [1, 0], [0, -1], [2, 2]])
    array([[10., 90.],
           [ 0., 10.],
           [40., inf],
           [10., 10.]], dtype=float32)
    """
    if lie_on_device(signals=signals, others=others):
        there: Float32 = _cuda(threads).refine(signals, candidates, others=others, window=window, metric=metric)
        return there
    only_on_host(candidates=candidates)
    if others is None:
        first = second = checked_signals(signals, "signals")
    else:
        first, second = checked_pair(signals, others, "signals")
    wanted = checked_candidates(candidates, len(first), len(second))
    row, column = np.nonzero(wanted >= 0)
    found = np.full(wanted.shape, np.inf, np.float32)
    found[row, column] = run_pairs(
        first,
        second,
        np.stack([row, wanted[row, column]], axis=1),
        window=band_samples(window, first.shape[2]),
        metric=checked_metric(metric),
        threads=threads,
    )
    return found


def _half_rows(
    signals: Float32, owners: Int64, window: Window, metric: Metric, form: Form, threads: int | None
) -> Float32:
    """Do as `half_rows` does, of signals and positions that were checked."""
    return run(
        signals,
        signals,
        lambda lanes: circulant(len(signals), owners, lanes),
        len(owners),
        window=band_samples(window, signals.shape[2]),
        metric=checked_metric(metric),
        form=checked_form(form),
        threads=threads,
    )


def _cuda(threads: int | None) -> ModuleType:
    """Give the functions for devices, once `threads` was checked; imported here, not above: few need them."""
    num_threads(threads)
    from hemometric.distances import cuda

    return cuda
