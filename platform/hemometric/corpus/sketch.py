"""What is kept of a tracing to know it again under another name, format, gain or rate.

A vector finds it: how the power of each of four leads lies over the frequencies; neither gain nor phase move it. An
outline proves it: the band of the QRS and T waves at a low rate. Both are of the first 9.5 s that move, so that a
tracing of ten seconds may lack a few samples at its ends, and a longer one is the same as its beginning.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from hemometric.ecg import LEADS, Float32, Float64, Recording
from hemometric.errors import IntegrityError
from hemometric.waveform.gaps import bridged
from hemometric.waveform.leads import standard_leads
from hemometric.waveform.measures import padding
from hemometric.waveform.resample import resample

SKETCHED_LEADS = ("I", "II", "V2", "V5")
"""Two leads of either plane; V2 and V5 are also those that short montages hold."""

NUM_BANDS = 8
NUM_FEATURES = len(SKETCHED_LEADS) * NUM_BANDS
OUTLINE_HZ = 50.0
MIN_DURATION_S = 4.0
"""Shorter tracings hold too few beats to tell two of one patient apart: only equal samples make them the same."""

_ROWS = [LEADS.index(lead) for lead in SKETCHED_LEADS]
_RATE_HZ = 100.0
_WINDOW = 950  # samples at `_RATE_HZ`: half a second less than the usual ten seconds
_READ_S = 10.5  # what is resampled: the window, what may stand still before it, and the filter's reach
_TRIM = 10  # samples at `_RATE_HZ`: a resampled archive smears the step from padding to signal over 0.1 s
_STILL = 0.002  # of a lead's range, from sample to sample: far below an ECG's own noise, above a filter's ringing
_LEAST_RANGE = 0.02  # of the largest lead's: a smaller lead is mostly rounding
_FLOOR = 1e-3  # of a lead's power: what is below is mostly rounding
_FFT = 2048
_EDGES_HZ = np.geomspace(1.0, 16.0, NUM_BANDS + 2)  # below are wander and its filters, above muscle and mains
_TAPER_S = 0.5
_PASS_HZ = ((0.5, 1.0), (15.0, 20.0))  # the outline's band rises and falls there
_LEVELS = 127  # int8
_DIGEST_BYTES = 16

Bools = npt.NDArray[np.bool_]
Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Sketch:
    """What is kept of one tracing.

    Attributes
    ----------
    features : float32 [NUM_FEATURES]
        For each of `SKETCHED_LEADS`, the logarithms of the shares of eight bands in its power; NaN where the lead
        is absent or flat.
    outline : bytes
        With a lead to sketch: which leads, their scales and samples (`outlines_of` reads it), at most 2 kB. Without
        one, or from less than `MIN_DURATION_S`: a digest of the samples, by which only equal ones are found. Empty
        where nothing moves: flat lines are equal and yet not the same.
    """

    features: Float32
    outline: bytes


@dataclass(frozen=True, eq=False)
class Outlines:
    """Traces of several recordings.

    Attributes
    ----------
    traces : float32 [recording, lead, sample]
        Millivolts at `OUTLINE_HZ`; 0 where there is no lead, and after a trace's end.
    there : bool [recording, lead]
        Which of `SKETCHED_LEADS` there are.
    num_samples : int64 [recording]
    """

    traces: Float32
    there: Bools
    num_samples: Int64

    def take(self, positions: Int64) -> Outlines:
        """Give those at some positions, which may stand twice."""
        return Outlines(self.traces[positions], self.there[positions], self.num_samples[positions])


def sketch(recording: Recording) -> Sketch:
    """Sketch a recording; of one that is short, flat or has other leads, there are no features.

    The same tracing at 100 to 1000 Hz, at another gain, rounded to 5 uV, without its padding or its first samples
    has nearly the same features; `duplicates` tells how near.
    """
    before, after = padding(recording.counts)
    moving = slice(before, recording.num_samples - after)
    window, there = _window(recording, moving)
    features = np.full((len(SKETCHED_LEADS), NUM_BANDS), np.nan, np.float32)
    if not there.any():
        return Sketch(features.ravel(), _digest(recording) if moving.start < moving.stop else b"")
    signal = _straightened(window)
    features[there] = _features(signal[there])
    return Sketch(features.ravel(), _outline(signal, there))


def outlines_of(stored: Sequence[bytes]) -> Outlines:
    """Read outlines that are no digests.

    Raises
    ------
    IntegrityError
        One of them is none that `sketch` wrote.
    """
    num_leads = len(SKETCHED_LEADS)
    traces = np.zeros((len(stored), num_leads, _WINDOW // 2), np.float32)
    there = np.zeros((len(stored), num_leads), bool)
    num_samples = np.zeros(len(stored), np.int64)
    for row, one in enumerate(stored):
        rows = [lead for lead in range(num_leads) if one and one[0] >> lead & 1]
        num, rest = divmod(len(one) - 1 - 4 * len(rows), max(1, len(rows)))
        if is_digest(one) or not rows or one[0] >> num_leads or rest or not 0 < num <= traces.shape[2]:
            raise IntegrityError("the sketch of a recording is damaged; run the same `hemometric ingest` anew")
        scales = np.frombuffer(one, "<f4", len(rows), offset=1)
        levels = np.frombuffer(one, np.int8, offset=1 + 4 * len(rows)).reshape(len(rows), num)
        traces[row, rows, :num] = scales[:, None] * levels
        there[row, rows] = True
        num_samples[row] = num
    return Outlines(traces, there, num_samples)


def is_digest(outline: bytes) -> bool:
    """Tell whether an outline is but a digest of the samples."""
    return len(outline) == _DIGEST_BYTES


def _window(recording: Recording, moving: slice) -> tuple[Float32, Bools]:
    """Give the four leads of the part that is sketched, [lead, sample] mV at `_RATE_HZ`, and which of them move."""
    nothing = np.empty((len(SKETCHED_LEADS), 0), np.float32), np.zeros(len(SKETCHED_LEADS), bool)
    before, stop = moving.start, min(moving.stop, moving.start + int(_READ_S * recording.rate_hz) + 1)
    used = [row for row, lead in enumerate(recording.leads) if lead in {*SKETCHED_LEADS, "III"}]
    if not used or (stop - before) / recording.rate_hz < MIN_DURATION_S:
        return nothing
    part = dataclasses.replace(
        recording,
        leads=tuple(recording.leads[row] for row in used),
        counts=recording.counts[used, before:stop],
        gain_per_mv=recording.gain_per_mv[used],
        offset_counts=recording.offset_counts[used],
    )
    signal12, _ = standard_leads(part.signal, part.leads)
    signal = resample(bridged(signal12[_ROWS]), recording.rate_hz, _RATE_HZ)  # an absent lead becomes 0 mV
    span = np.ptp(signal, axis=1, keepdims=True)
    there = (span > 0)[:, 0] & (span >= _LEAST_RANGE * span.max())[:, 0]
    moves = np.flatnonzero((np.abs(np.diff(signal[there], axis=1)) > _STILL * span[there]).any(axis=0))
    if not moves.size:
        return nothing
    first, last = int(moves[0]) + _TRIM, int(moves[-1]) + 2 - _TRIM
    if last - first < MIN_DURATION_S * _RATE_HZ:
        return nothing
    return signal[:, first : min(last, first + _WINDOW)], there


def _straightened(signal: Float32) -> Float64:
    """Subtract from each lead the straight line that fits it best."""
    line = np.linspace(-1.0, 1.0, signal.shape[1])
    level = signal - signal.mean(axis=1, keepdims=True, dtype=np.float64)
    straight: Float64 = level - (level @ line / (line @ line))[:, None] * line
    return straight


def _features(signal: Float64) -> Float32:
    """Give the logarithm of each band's share, [lead, NUM_BANDS]."""
    spectrum = np.fft.rfft(signal * _windows(signal.shape[1])[0], _FFT, axis=1)
    power = (spectrum.real**2 + spectrum.imag**2) @ _bands()
    shares = power / np.maximum(power.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    features: Float32 = np.log(shares + _FLOOR).astype(np.float32)
    return features


@lru_cache(maxsize=1)
def _bands() -> Float64:
    """Weigh each frequency in each band, float64 [frequency, NUM_BANDS]; bands overlap, so that none has an edge."""
    frequencies = np.fft.rfftfreq(_FFT, 1.0 / _RATE_HZ)
    triangles = [np.interp(frequencies, _EDGES_HZ[band : band + 3], (0.0, 1.0, 0.0)) for band in range(NUM_BANDS)]
    return np.stack(triangles, axis=1)


@lru_cache(maxsize=16)
def _windows(num_samples: int) -> tuple[Float64, Float64]:
    """Give the window of the features, which hardly heeds the ends, and that of the outline, flat between them."""
    rise = np.minimum(1.0, (np.arange(num_samples) + 0.5) / (_TAPER_S * _RATE_HZ))
    flat = np.sin(np.pi / 2.0 * np.minimum(rise, rise[::-1])) ** 2
    return np.hanning(num_samples + 2)[1:-1], flat


def _outline(signal: Float64, there: Bools) -> bytes:
    """Write which leads there are, one bit each; their scales, float32 mV; their samples, int8 [lead, sample]."""
    num_samples = signal.shape[1]
    length = _FFT // 2
    spectrum = np.fft.rfft(signal[there] * _windows(num_samples)[1], length, axis=1)
    (low, full), (still_full, high) = _PASS_HZ
    frequencies = np.fft.rfftfreq(length, 1.0 / _RATE_HZ)
    spectrum *= np.interp(frequencies, (low, full, still_full, high), (0.0, 1.0, 1.0, 0.0))
    # Every second sample: what is above 25 Hz is gone.
    trace = np.fft.irfft(spectrum[:, : length // 4 + 1], length // 2, axis=1)[:, : num_samples // 2] / 2.0
    peak = np.abs(trace).max(axis=1, keepdims=True)
    scales = np.where(peak > 0, peak / _LEVELS, 1.0).astype("<f4")
    levels = np.clip(np.rint(trace / scales), -_LEVELS, _LEVELS).astype(np.int8)
    mask = sum(1 << lead for lead in np.flatnonzero(there).tolist())
    return b"".join((bytes([mask]), scales.tobytes(), levels.tobytes()))


def _digest(recording: Recording) -> bytes:
    """Hash the samples in millivolts, the leads in their order and the rate."""
    order = sorted(range(len(recording.leads)), key=lambda row: LEADS.index(recording.leads[row]))
    head = f"{recording.rate_hz!r} {recording.num_samples} {[recording.leads[row] for row in order]}"
    digest = hashlib.blake2b(head.encode(), digest_size=_DIGEST_BYTES)
    signal = recording.signal[order]
    signal[np.isnan(signal)] = np.nan  # one NaN of the many
    digest.update((signal + np.float32(0.0)).astype("<f4").tobytes())  # and one zero
    return digest.digest()
