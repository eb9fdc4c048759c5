"""What the quality gates measure on [lead, sample] millivolts; each measure ignores samples that are NaN."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from hemometric.ecg import Float32, Int16, Recording

AMPLITUDE_WINDOW_S = 2.0
"""Every two seconds hold a QRS down to a heart rate of 30."""

FLAT_WINDOW_S = 1.0

PADDING_S = 0.5
"""Standing still at an end from here on is padding; PTB-XL's 500 Hz records hold a value for 0.1 s at their end."""

_LEAST_AT_RAIL = 8  # samples at an extreme value

Bools = npt.NDArray[np.bool_]


def padding(counts: Int16) -> tuple[int, int]:
    """Count the samples at the start and at the end during which no lead changes at all.

    Parameters
    ----------
    counts : int16 [lead, sample]

    Returns
    -------
    (int, int)
        Number of samples before and after the part that moves; all of them and 0 if nothing moves.
    """
    if counts.shape[1] == 0:
        return 0, 0
    moves = np.flatnonzero((counts[:, 1:] != counts[:, :-1]).any(axis=0))
    if moves.size == 0:
        return counts.shape[1], 0
    # A single sample is always "unchanged": only a run of them is padding.
    before, after = int(moves[0]), counts.shape[1] - 2 - int(moves[-1])
    return before, after


def without_padding(recording: Recording) -> Recording:
    """Cut off what stands still at either end for `PADDING_S` or longer; a recording without any is returned as it is.

    One that never moves, or once, stays whole, since there would be nothing left.
    """
    before, after = (num if num >= PADDING_S * recording.rate_hz else -1 for num in padding(recording.counts))
    # The sample beside the part that moves still holds the value of the padding.
    first, stop = before + 1, recording.num_samples - after - 1
    if first >= stop or (first, stop) == (0, recording.num_samples):
        return recording
    return dataclasses.replace(recording, counts=recording.counts[:, first:stop])


def amplitudes(signal: Float32, rate_hz: float) -> Float32:
    """Measure each lead's peak-to-peak amplitude: the median over windows of two seconds.

    An offset does not count, a window with an artefact or a step does not decide, and windows in which a lead
    stands still (padding, an electrode that fell off) are left out.

    Returns
    -------
    float32 [lead] mV
        0 where a lead never moves or has no samples.
    """
    spans = _spans(signal, int(AMPLITUDE_WINDOW_S * rate_hz))
    spans[spans == 0] = np.nan
    middle = _median_of_known(spans)
    middle[np.isnan(middle)] = 0
    return middle


def still_shares(signal: Float32, rate_hz: float, below_mv: float) -> Float32:
    """Measure for which share of the seconds each lead stands still.

    Returns
    -------
    float32 [lead]
        Share of windows of one second with a peak-to-peak amplitude below `below_mv`; 0 without samples.
    """
    spans = _spans(signal, int(FLAT_WINDOW_S * rate_hz))
    num_known = np.isfinite(spans).sum(axis=1)
    num_still = (spans < below_mv).sum(axis=1)  # a comparison with NaN is false
    shares: Float32 = (num_still / np.maximum(1, num_known)).astype(np.float32)
    return shares


def saturated(signal: Float32) -> Bools:
    """Find leads that stop at a rail: far more samples at their extreme value than at the values next to it.

    A tracing passes its peaks in a sample or two; a clipped one stays there. Compared are the samples at the
    largest (smallest) value and the mean over the next five values that occur.
    """
    # Few leads stay at their extreme at all: the others need no sorting.
    high = (signal == np.fmax.reduce(signal, axis=1, keepdims=True)).sum(axis=1) >= _LEAST_AT_RAIL
    low = (signal == np.fmin.reduce(signal, axis=1, keepdims=True)).sum(axis=1) >= _LEAST_AT_RAIL
    return np.array(
        [
            bool((up and _piles_up(values)) or (down and _piles_up(-values)))
            for values, up, down in zip(signal, high, low, strict=True)
        ],
        dtype=bool,
    )


def _windows(signal: Float32, length: int) -> Float32:
    """Cut [lead, sample] into [lead, window, sample]; a rest shorter than a window is left out."""
    length = max(1, min(length, signal.shape[1]))
    num_windows = signal.shape[1] // length
    return signal[:, : num_windows * length].reshape(signal.shape[0], num_windows, length)


def _spans(signal: Float32, length: int) -> Float32:
    """Peak-to-peak in each window, [lead, window]; NaN where a window holds fewer than two samples."""
    windows = _windows(signal, length)
    whole = windows.max(axis=2) - windows.min(axis=2)
    if np.isfinite(whole).all() and windows.shape[2] > 1:
        return np.asarray(whole, dtype=np.float32)
    there = np.isfinite(windows)
    high = np.where(there, windows, -np.inf).max(axis=2)
    low = np.where(there, windows, np.inf).min(axis=2)
    enough = there.sum(axis=2) > 1
    return np.where(enough, np.where(enough, high, 0) - np.where(enough, low, 0), np.nan).astype(np.float32)


def _median_of_known(spans: Float32) -> Float32:
    """Give the median of each row of what is not NaN; NaN where all are."""
    num = np.maximum(np.isfinite(spans).sum(axis=1, keepdims=True), 1)
    ordered = np.sort(spans, axis=1)  # NaN last
    lower, upper = (np.take_along_axis(ordered, rank, axis=1)[:, 0] for rank in ((num - 1) // 2, num // 2))
    middle: Float32 = (lower + upper) / np.float32(2.0)
    return middle


def _piles_up(values: Float32) -> bool:
    levels, num_samples = np.unique(values[np.isfinite(values)], return_counts=True)
    if levels.size < 20:
        return False
    at_rail = int(num_samples[-1])
    if at_rail < _LEAST_AT_RAIL or at_rail < 6.0 * float(num_samples[-6:-1].mean()):
        return False
    # Devices also hold a value for an instant anywhere: a rail is met again and again, or for long.
    there = values == levels[-1]
    num_visits = int(there[0]) + int(np.count_nonzero(there[1:] & ~there[:-1]))
    return num_visits >= 3 or at_rail >= 0.05 * values.size
