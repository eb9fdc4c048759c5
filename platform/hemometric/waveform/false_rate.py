"""A sampling rate that cannot be true: hearts neither beat nor conduct that fast, or that slowly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft
from scipy.ndimage import uniform_filter1d

from hemometric.ecg import Float32
from hemometric.waveform.heartbeats import find_heartbeats, slopes

REGULAR = 0.3
"""Least autocorrelation from beat to beat."""

FASTEST_S = 0.1
"""Intervals are looked for from here on: what repeats faster is hum of the mains, and at no rate in use a heart. Hum is
met within another 10 ms."""

_JITTER_S = 0.03
_LONGEST_S = 60.0
_ALONE = 0.1  # autocorrelation at which a QRS has ended
_FIRST = 0.7  # of the highest: the first peak that is as high is one beat away, and not several


@dataclass(frozen=True)
class Pulse:
    """What repeats in a recording.

    Attributes
    ----------
    width_s : float
        How long the steep part of a QRS lasts: where the autocorrelation of the steepness of all leads is 1/2. In 868
        real ECGs 12 ms (a tachycardia of 187) to 70 ms (a pacemaker), but for 5 ms in one that holds no heartbeat; 90
        in 100 lie between 27 and 40 ms. NaN where nothing moves.
    interval_s : float
        After which the recording is most like itself: one beat, or several where none but those come in time; NaN where
        nothing repeats. A false rate shows in it; how fast a heart beats is `beat_s`.
    regularity : float
        Autocorrelation at `interval_s`: 1 if all beats are alike and come in time.
    beat_s : float
        Median time from one heartbeat to the next (see `find_heartbeats`); NaN with fewer than two.
    """

    width_s: float
    interval_s: float
    regularity: float
    beat_s: float

    @classmethod
    def of(cls, signal: Float32, rate_hz: float) -> Pulse:
        """Measure [lead, sample] mV without NaN, of which the first minute is enough."""
        if not signal.size:
            return cls(np.nan, np.nan, 0.0, np.nan)
        slope = slopes(signal[:, : int(_LONGEST_S * rate_hz)], rate_hz)
        beats = find_heartbeats(slope, rate_hz)
        beat_s = float(np.median(np.diff(beats))) / rate_hz if len(beats) > 1 else np.nan
        steep = np.abs(slope).mean(axis=0)
        steep = np.maximum(steep - np.median(steep), 0.0)
        sharp = _autocorrelation(steep)
        # Beats are not as punctual as a QRS is short.
        alike = _autocorrelation(uniform_filter1d(steep, max(1, round(_JITTER_S * rate_hz))))
        if not sharp.size or not alike.size:
            return cls(np.nan, np.nan, 0.0, beat_s)
        width_s = float(np.argmax(sharp < 0.5)) / rate_hz
        first = min(max(int(np.argmax(alike < _ALONE)), int(FASTEST_S * rate_hz)), alike.size - 1)
        place = first + int(np.argmax(alike[first:] >= _FIRST * alike[first:].max()))
        while place + 1 < alike.size and alike[place + 1] >= alike[place]:
            place += 1
        return cls(width_s, place / rate_hz, float(alike[place]), beat_s)


def _autocorrelation(values: Float32) -> Float32:
    """Correlate [sample] with itself up to half of its length; empty where nothing varies."""
    num = values.size
    length = next_fast_len(2 * num, real=True)
    spectrum = rfft(values - values.mean(), length)
    products = irfft(np.square(spectrum.real) + np.square(spectrum.imag), length)[: num // 2]
    if not products.size or products[0] <= 0.0:
        return np.empty(0, dtype=np.float32)
    # Fewer samples meet at a larger lag.
    return np.asarray(products / (products[0] * (1.0 - np.arange(products.size) / num)), dtype=np.float32)
