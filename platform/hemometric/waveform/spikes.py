"""Spikes narrower than any wave of the heart: those of a pacemaker, and artefacts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hemometric.ecg import Float32
from hemometric.waveform.heartbeats import Int64, find_heartbeats, slopes

Bool = npt.NDArray[np.bool_]

LEAST_RATE_HZ = 200.0
"""Below, a QRS is a few samples wide, and as narrow as a spike."""

REACH_S = 0.004
"""A spike is there and gone within this time to either side. A pulse of 2 ms is, after a recorder's low pass too."""

_BLANK_S = 0.006
_ONE_EVENT_S = 0.02
_FAINT = 0.25  # of the height that makes a spike: enough to say that a lead shows it, too
_MANY_LEADS = 0.25  # of the leads
_BEFORE_QRS_S = (-0.02, 0.35)  # the middle of the QRS that a spike sets off comes so much later: ventricles, atria
_SECOND_VENTRICLE_S = 0.09  # after the first, at most
_JITTER_S = 0.01
_SHARE = 0.7  # of the spikes in many leads keep the time before a QRS, if a pacemaker makes them


@dataclass(frozen=True, eq=False)
class Spikes:
    """Instants at which leads show a spike.

    Attributes
    ----------
    places : int64 [spike]
        Samples, ascending.
    num_leads : int64 [spike]
        Leads that show it.
    """

    places: Int64
    num_leads: Int64

    def blanked(self, signal: Float32, rate_hz: float) -> Float32:
        """Give [lead, sample] with NaN within 6 ms of each spike; without spikes the signal itself."""
        if not self.places.size:
            return signal
        reach = round(_BLANK_S * rate_hz)
        around = self.places[:, None] + np.arange(-reach, reach + 1)
        blank = signal.copy()
        blank[:, np.clip(around, 0, signal.shape[1] - 1)] = np.nan
        return blank


def find_spikes(signal: Float32, rate_hz: float, height_mv: float) -> Spikes:
    """Find what rises and falls back within 4 ms, higher by `height_mv` than the signal moves in the 4 ms around it.

    The flanks of a QRS go on, and its peaks are round: over 309 records of PTB-XL the largest height is 0.34 mV,
    but for five with spikes to be seen, of 0.4 to 2 mV.

    Parameters
    ----------
    signal : float32 [lead, sample] mV
        NaN where there is no sample; nothing is found beside it.
    rate_hz : float
        At least `LEAST_RATE_HZ`.
    """
    reach = max(1, round(REACH_S * rate_hz))
    none = Spikes(np.empty(0, np.int64), np.empty(0, np.int64))
    if signal.shape[1] <= 4 * reach:
        return none
    # Differences D over `reach`: a spike in the middle is up by D[1] and down by D[2], beside steps D[0] and D[3].
    change = signal[:, reach:] - signal[:, :-reach]
    size = np.abs(change)
    num = signal.shape[1] - 4 * reach
    up, down = size[:, reach : reach + num], size[:, 2 * reach : 2 * reach + num]
    faint = _FAINT * height_mv
    lead, place = np.nonzero((up > faint) & (down > faint))
    if not place.size:
        return none
    before, rise, fall, after = (change[lead, place + shift * reach] for shift in range(4))
    height = np.minimum(np.abs(rise), np.abs(fall)) - np.maximum(np.abs(before), np.abs(after))
    height[rise * fall > 0] = 0.0
    kept = np.flatnonzero(height > faint)  # a comparison with NaN is false
    kept = kept[np.argsort(place[kept], kind="stable")]
    lead, place, height = lead[kept], place[kept] + 2 * reach, height[kept]
    starts = np.flatnonzero(np.diff(place, prepend=-np.inf) > _ONE_EVENT_S * rate_hz)
    events = np.split(np.arange(place.size), starts[1:]) if place.size else []
    events = [event for event in events if height[event].max() >= height_mv]
    places = [int(place[event[height[event].argmax()]]) for event in events]
    return Spikes(np.array(places, np.int64), np.array([np.unique(lead[event]).size for event in events], np.int64))


def paced(spikes: Spikes, signal: Float32, rate_hz: float) -> Bool:
    """Tell which spikes a pacemaker makes: bool [spike].

    They are seen in many leads, and a QRS follows each of them at one time, or at two if atria and ventricles are
    paced. Spikes that come when they like do not keep that time, however regular they are. Pacing that captures
    nothing, or fewer than three times where hearts beat more often than that, cannot be told from artefacts.
    """
    many = spikes.num_leads >= max(1.0, _MANY_LEADS * signal.shape[0])
    by_pacemaker = np.zeros(spikes.places.size, dtype=bool)
    if many.sum() < 2:
        return by_pacemaker
    level = np.nan_to_num(np.nanmedian(signal, axis=1, keepdims=True))
    beats = find_heartbeats(slopes(np.nan_to_num(signal - level), rate_hz), rate_hz)
    if not beats.size:
        return by_pacemaker
    first, last = _BEFORE_QRS_S
    following = np.searchsorted(beats, spikes.places + round(first * rate_hz))
    delay = (np.append(beats, np.iinfo(np.int64).max // 2)[following] - spikes.places) / rate_hz
    candidates = many & (delay <= last)
    needed = 3 if beats.size > 6 else 2
    for _ in range(2):  # ventricles, then atria, or the other way round
        kept = np.sort(delay[candidates])
        together = np.searchsorted(kept, kept + _JITTER_S, side="right") - np.searchsorted(kept, kept - _JITTER_S)
        if not kept.size or together.max() < needed:
            break
        at_one_time = candidates & (np.abs(delay - kept[together.argmax()]) <= _JITTER_S)
        by_pacemaker |= at_one_time
        candidates &= ~at_one_time
    if by_pacemaker.sum() < _SHARE * many.sum():
        return np.zeros_like(many)
    # What a pacemaker does beside its usual time, as in a fusion beat, is still its own; so is the second ventricle,
    # which one lead alone may show.
    own = spikes.places[many]
    last_own = np.searchsorted(own, spikes.places, side="right") - 1
    since = np.where(last_own < 0, np.inf, spikes.places - own[np.maximum(last_own, 0)])
    second: Bool = since <= _SECOND_VENTRICLE_S * rate_hz
    return second
