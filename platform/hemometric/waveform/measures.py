"""What the quality gates measure on [lead, sample] millivolts; each measure ignores samples that are NaN."""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt
from scipy.fft import next_fast_len

from hemometric.ecg import LEADS, Float32, Int16

AMPLITUDE_WINDOW_S = 2.0
"""Every two seconds hold a QRS down to a heart rate of 30."""

FLAT_WINDOW_S = 1.0
MAINS_HZ = (50.0, 60.0)

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
    moves = np.flatnonzero((counts[:, 1:] != counts[:, :-1]).any(axis=0))
    if moves.size == 0:
        return counts.shape[1], 0
    # A single sample is always "unchanged": only a run of them is padding.
    before, after = int(moves[0]), counts.shape[1] - 2 - int(moves[-1])
    return before, after


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
    middle = _nan_median(spans)
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
    return np.array([_piles_up(values) or _piles_up(-values) for values in signal], dtype=bool)


def mains_hum_mv(signal: Float32, rate_hz: float) -> Float32:
    """Measure the hum of the mains in each lead.

    Returns
    -------
    float32 [lead] mV
        Root mean square within 0.6 Hz of 50 or 60 Hz, the larger of the two; 0 where it does not stand out
        tenfold in power from its surroundings, where the sampling rate is too low to hold it, or where a sample
        is missing.
    """
    hum = np.zeros(signal.shape[0], dtype=np.float32)
    complete = np.isfinite(signal).all(axis=1)
    if not complete.any():
        return hum
    num_samples = signal.shape[1]
    length = next_fast_len(num_samples, real=True)  # zeros are appended: a prime length would cost tenfold
    window = np.hanning(num_samples)
    centred = signal[complete] - np.mean(signal[complete], axis=1, keepdims=True)
    power = 2.0 * np.abs(np.fft.rfft(centred * window, n=length, axis=1)) ** 2 / (length * np.sum(window**2))
    frequency = np.fft.rfftfreq(length, 1.0 / rate_hz)
    for mains in MAINS_HZ:
        away = np.abs(frequency - mains)
        line, around = away <= 0.6, (away > 1.0) & (away <= 4.0)
        if mains + 4.0 > rate_hz / 2.0 or not line.any() or not around.any():
            continue
        at_line = power[:, line].sum(axis=1)
        expected = np.median(power[:, around], axis=1) * line.sum()
        rms = np.where(at_line > 10.0 * expected, np.sqrt(at_line), 0.0)
        hum[complete] = np.maximum(hum[complete], rms)
    return hum


def arms_look_reversed(signal12: Float32, rate_hz: float) -> bool:
    """Whether lead I is upside down and aVR upright, while V6 is upright.

    Swapped arm electrodes keep all identities of the limb leads, so that only polarity can tell. Dextrocardia
    turns V6 over as well; an extreme right axis looks the same, so that this is a suspicion and never a verdict.
    """
    up, down = {}, {}
    length = int(AMPLITUDE_WINDOW_S * rate_hz)
    for lead in ("I", "aVR", "V6"):
        windows = _windows(signal12[[LEADS.index(lead)]], length)[0]
        if not np.isfinite(windows).all():
            return False
        middle = np.median(windows, axis=1)
        up[lead] = float(np.median(windows.max(axis=1) - middle))
        down[lead] = float(np.median(middle - windows.min(axis=1)))
    return down["I"] > 1.5 * up["I"] and up["aVR"] > 1.5 * down["aVR"] and up["V6"] > down["V6"]


def _windows(signal: Float32, length: int) -> Float32:
    """Cut [lead, sample] into [lead, window, sample]; a rest shorter than a window is left out."""
    length = max(1, min(length, signal.shape[1]))
    num_windows = signal.shape[1] // length
    return signal[:, : num_windows * length].reshape(signal.shape[0], num_windows, length)


def _spans(signal: Float32, length: int) -> Float32:
    """Peak-to-peak in each window, [lead, window]; NaN where a window holds fewer than two samples."""
    windows = _windows(signal, length)
    there = np.isfinite(windows)
    high = np.where(there, windows, -np.inf).max(axis=2)
    low = np.where(there, windows, np.inf).min(axis=2)
    enough = there.sum(axis=2) > 1
    return np.where(enough, np.where(enough, high, 0) - np.where(enough, low, 0), np.nan).astype(np.float32)


def _nan_median(spans: Float32) -> Float32:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a row without any number: the caller makes it 0
        return np.nanmedian(spans, axis=1).astype(np.float32)


def _piles_up(values: Float32) -> bool:
    levels, num_samples = np.unique(values[np.isfinite(values)], return_counts=True)
    if levels.size < 20:
        return False
    at_rail = int(num_samples[-1])
    if at_rail < 8 or at_rail < 6.0 * float(num_samples[-6:-1].mean()):
        return False
    # Devices also hold a value for an instant anywhere: a rail is met again and again, or for long.
    there = values == levels[-1]
    num_visits = int(there[0]) + int(np.count_nonzero(there[1:] & ~there[:-1]))
    return num_visits >= 3 or at_rail >= 0.05 * values.size
