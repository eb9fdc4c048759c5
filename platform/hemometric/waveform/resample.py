"""From one sampling rate to another, without aliases, images or ringing at the ends."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import signal as scipy_signal

from hemometric.ecg import Float32

PASSBAND = 0.8
"""Up to this share of the lower of the two Nyquist frequencies the response is flat; from the Nyquist on it is zero.

With it, PTB-XL's 500 Hz records become its published 100 Hz records to 1 microvolt (and one shift of 1.2 ms).
"""

STOPBAND_DB = 70.0
"""What aliases and images are damped by; the ripple in the passband is equally small (3e-4)."""

MAX_TERM = 10_000
"""Ratios of rates are taken as a fraction of numbers up to this: exact for rates with one decimal below 1000 Hz."""


def resample(signal: npt.NDArray[np.floating], from_hz: float, to_hz: float) -> Float32:
    """Resample by a polyphase Kaiser filter of linear phase and no delay.

    Sample k of the result lies at k / `to_hz` seconds, and the duration is kept to within one sample. Before the
    first and after the last sample the signal is thought to go on as its own point reflection, which keeps a
    baseline that stands or drifts, so that the ends do not ring.

    Parameters
    ----------
    signal : float [..., sample]
        Finite numbers.
    from_hz, to_hz : float
        Above zero; any ratio.

    Returns
    -------
    float32 [..., ceil(sample * to_hz / from_hz)]
        The same unit as `signal`.

    Raises
    ------
    ValueError
        A rate is not above zero, or the signal holds NaN or an infinity, which would smear over its surroundings.

    References
    ----------
    Oppenheim and Schafer, Discrete-Time Signal Processing, 3rd ed., section 4.6 (rational rates) and equations
    7.75-7.76 (Kaiser's window).
    """
    values = np.asarray(signal)
    if not np.isfinite(values).all():
        raise ValueError("the signal holds NaN or an infinity; bridge or refuse gaps first")
    ratio = rate_ratio(from_hz, to_hz)
    num_samples = values.shape[-1]
    if ratio == 1 or num_samples == 0:
        return values.astype(np.float32)
    up, down = ratio.numerator, ratio.denominator
    taps = _taps(up, down)
    num_out = -(-num_samples * up // down)

    # The margin is a multiple of `down`, so that it becomes a whole number of samples of the result.
    reach = len(taps) // 2 // up + 1
    margin = -(-reach // down) * down
    widened = _extend(values.astype(np.float64), margin)
    start = margin // down * up
    resampled = scipy_signal.upfirdn(taps, widened, up, down, axis=-1)
    # `upfirdn` starts where the filter's first tap meets the first sample: half a filter too early.
    first = start + len(taps) // 2 // down
    return np.ascontiguousarray(resampled[..., first : first + num_out], dtype=np.float32)


def rate_ratio(from_hz: float, to_hz: float) -> Fraction:
    """Express `to_hz` / `from_hz` in whole numbers up to `MAX_TERM`.

    Raises
    ------
    ValueError
        A rate is not above zero and finite.
    """
    if not (0 < from_hz < np.inf and 0 < to_hz < np.inf):
        raise ValueError(f"rates must be above zero and finite, found {from_hz} and {to_hz} Hz")
    ratio = Fraction(float(min(from_hz, to_hz))) / Fraction(float(max(from_hz, to_hz)))
    lower = ratio.limit_denominator(MAX_TERM) or Fraction(1, MAX_TERM)
    return lower if to_hz < from_hz else 1 / lower


@lru_cache(maxsize=32)
def _taps(up: int, down: int) -> npt.NDArray[np.float64]:
    """Design the low pass at the rate `up` times the source's; half its length is a multiple of `down`."""
    nyquist = 1.0 / max(up, down)  # the lower of the two, as a share of the Nyquist frequency at the high rate
    width = (1.0 - PASSBAND) * nyquist
    num_taps, beta = scipy_signal.kaiserord(STOPBAND_DB, width)
    # A half that is a multiple of `down` makes the delay a whole number of samples of the result.
    half = -(-(num_taps // 2 + 1) // down) * down
    cutoff = (1.0 + PASSBAND) / 2.0 * nyquist
    taps = scipy_signal.firwin(2 * half + 1, cutoff, window=("kaiser", beta)) * up
    taps.setflags(write=False)  # shared by all callers
    return taps


def _extend(values: npt.NDArray[np.float64], margin: int) -> npt.NDArray[np.float64]:
    """Reflect about both end points, again and again where the signal is shorter than the margin."""
    width = [(0, 0)] * (values.ndim - 1) + [(margin, margin)]
    if values.shape[-1] == 1:
        return np.pad(values, width, mode="edge")
    return np.pad(values, width, mode="reflect", reflect_type="odd")
