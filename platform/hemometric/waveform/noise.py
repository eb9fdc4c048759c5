"""What lies over the heart's own signal: hum of the mains, a wandering baseline, muscles and amplifiers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.fft import next_fast_len, rfft, rfftfreq

from hemometric.ecg import Float32
from hemometric.waveform.gaps import bridged

MAINS_HZ = (50.0, 60.0)
WANDER_HZ = 0.5
"""Below 30 beats a minute: slower than any heart that a recording of seconds can show."""

_WINDOW_S = 10.0
_NOISE_S = 0.004
_EVERY_S = 0.01


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Mean square of [lead] in each frequency, over windows of about ten seconds under a Hann window.

    Attributes
    ----------
    power : float32 [lead, frequency] mV^2
        Sums to the variance of the lead, without what stands still.
    frequency : float [frequency] Hz
    rate_hz : float
    """

    power: Float32
    frequency: Float32
    rate_hz: float

    @classmethod
    def of(cls, signal: Float32, rate_hz: float) -> Spectrum:
        """Transform [lead, sample] mV; gaps are bridged by straight lines, and a lead without samples is 0."""
        num_windows = max(1, round(signal.shape[1] / (_WINDOW_S * rate_hz)))
        length = signal.shape[1] // num_windows
        windows = bridged(signal)[:, : num_windows * length].reshape(signal.shape[0], num_windows, length)
        window = np.hanning(length + 2)[1:-1].astype(np.float32)
        # The mean under the window, so that an offset leaks nowhere.
        centred = windows - (windows @ window / window.sum())[..., None]
        padded = next_fast_len(length, real=True)  # zeros are appended: a prime length would cost tenfold
        spectrum = rfft(centred * window, n=padded, axis=2)
        power = (np.square(spectrum.real) + np.square(spectrum.imag)).mean(axis=1)
        power *= 2.0 / (padded * float(np.square(window).sum()))
        return cls(power, rfftfreq(padded, 1.0 / rate_hz).astype(np.float32), rate_hz)


def mains_hum_mv(spectrum: Spectrum) -> Float32:
    """Measure the hum of the mains in each lead.

    Returns
    -------
    float32 [lead] mV
        Root mean square within 0.6 Hz of 50 or 60 Hz, the larger of the two; 0 where it does not stand out
        tenfold in power from its surroundings, or where the sampling rate is too low to hold it.
    """
    power, frequency = spectrum.power, spectrum.frequency
    hum = np.zeros(power.shape[0], dtype=np.float32)
    for mains in MAINS_HZ:
        away = np.abs(frequency - mains)
        line, around = away <= 0.6, (away > 1.0) & (away <= 4.0)
        if mains + 4.0 > spectrum.rate_hz / 2.0 or not line.any() or not around.any():
            continue
        at_line = power[:, line].sum(axis=1)
        expected = np.median(power[:, around], axis=1) * line.sum()
        hum = np.maximum(hum, np.where(at_line > 10.0 * expected, np.sqrt(at_line), 0.0))
    return hum


def wander_mv(spectrum: Spectrum) -> Float32:
    """Measure how the baseline of each lead wanders: float32 [lead] mV, root mean square below `WANDER_HZ`.

    A slow sine of this size swings through 2.8 times as much. Of PTB-XL's records whose baseline the annotators call
    drifting, one is larger than one of the others 84 times in 100.
    """
    slow = spectrum.power[:, (spectrum.frequency > 0.0) & (spectrum.frequency <= WANDER_HZ)]
    return np.asarray(np.sqrt(slow.sum(axis=1)), dtype=np.float32)


def noise_uv(signal: Float32, rate_hz: float) -> Float32:
    """Measure the fast noise of each lead between its waves: float32 [lead] microvolts; NaN without samples.

    The median deviation of samples from the middle of their neighbours 4 ms away, scaled to the standard deviation
    that white noise would have; a QRS, a tenth of the time, does not count. Muscles are in it in part: they are heard
    from 20 Hz on, and this from about 40. Quantisation alone gives up to 0.6 counts.
    """
    reach, every = max(1, round(_NOISE_S * rate_hz)), max(1, round(_EVERY_S * rate_hz))
    deviation = np.abs(
        signal[:, reach:-reach:every] - 0.5 * (signal[:, : -2 * reach : every] + signal[:, 2 * reach :: every])
    )
    noise = np.full(signal.shape[0], np.nan, dtype=np.float32)
    known = np.isfinite(deviation).any(axis=1)
    if known.any():
        measured = deviation[known]
        middle = np.nanmedian(measured, axis=1) if np.isnan(measured).any() else np.median(measured, axis=1)
        noise[known] = middle * (1000.0 * 1.4826 / np.sqrt(1.5))
    return noise
