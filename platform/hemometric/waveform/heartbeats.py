"""Where the heart beats, heard in all leads at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import uniform_filter1d
from scipy.signal import find_peaks

from hemometric.ecg import Float32

Int64 = npt.NDArray[np.int64]

QRS_S = 0.06
"""Width of the running mean that makes one bump of the two or three steep flanks of a QRS."""

HEIGHT = 0.4
"""Least height of a beat's bump, as a share of the usual. On PTB-XL .3 finds 3666 beats, .5 finds 3650 (RESULTS.md)."""

REFRACTORY_S = 0.2
"""No ventricle beats again within this time (Pan and Tompkins, IEEE Trans Biomed Eng 1985;32:230)."""

_FLANK_S = 0.01
_CLIP = 2.0
_FLAT = 1e-4  # of the steepest: what is left of a flat lead after filters, beside a jump or two
_STILL = 0.01  # of how steep a lead gets: what filters leave of a jump in the padding beside it
_WINDOW_S = 2.0


def slopes(signal: Float32, rate_hz: float) -> Float32:
    """Measure how steep each lead is, in units of how steep it gets.

    Steepness knows neither offset nor drift, and is large in a QRS alone. Each lead is divided by its own 98th
    percentile, which lies on the flanks of its QRS, and cut off at twice that: a lead that has lost its electrode
    weighs as much as any other, however large it is.

    Parameters
    ----------
    signal : float32 [lead, sample] mV
    rate_hz : float

    Returns
    -------
    float32 [lead, sample]
        Within -2 … 2, without unit: the change over 20 ms, divided by how large it gets. 0 for a lead that is flat,
        jumps aside.
    """
    reach = max(1, round(_FLANK_S * rate_hz))
    steep = np.zeros_like(signal)
    steep[:, reach:-reach] = signal[:, 2 * reach :] - signal[:, : -2 * reach]
    # A sample in each flank is enough for a percentile, and sorting them is what takes time.
    size = np.abs(steep[:, ::reach])
    usual = np.percentile(size, 98, axis=1, keepdims=True).astype(np.float32)
    scaled = np.divide(steep, usual, out=np.zeros_like(steep), where=usual > _FLAT * size.max(axis=1, keepdims=True))
    return np.clip(scaled, -_CLIP, _CLIP, out=scaled)


def bumps(steep: Float32, rate_hz: float) -> Float32:
    """Make one bump of each QRS, float32 [sample]: the mean of all leads, smoothed over `QRS_S`."""
    width = max(1, round(QRS_S * rate_hz))
    smoothed: Float32 = uniform_filter1d(np.abs(steep).mean(axis=0), width, mode="constant")
    return smoothed


def find_heartbeats(steep: Float32, rate_hz: float) -> Int64:
    """Find the QRS complexes of a recording.

    With all leads together a QRS stands out so far that one threshold for a recording is enough. It follows what is
    usual in that recording, so that something is found in noise as well: whoever wants heartbeats compares what was
    found.

    Parameters
    ----------
    steep : float32 [lead, sample]
        From `slopes`.
    rate_hz : float

    Returns
    -------
    int64 [beat]
        Samples in the middle of the steepest 60 ms of each QRS, ascending; none where nothing moves.
    """
    moving = np.flatnonzero((np.abs(steep) > _STILL).any(axis=0))
    if not len(moving):
        return np.empty(0, dtype=np.int64)
    heard = bumps(steep, rate_hz)
    # Two seconds hold a QRS down to 30 beats a minute; padding holds none.
    alive = heard[moving[0] : moving[-1] + 1]
    windows = np.array_split(alive, max(1, round(len(alive) / (_WINDOW_S * rate_hz))))
    usual = np.median([window.max() for window in windows])
    found = find_peaks(heard, height=HEIGHT * usual, distance=max(1, round(REFRACTORY_S * rate_hz)))[0]
    beats: Int64 = found.astype(np.int64)
    return beats
