"""The median beat: what a recording repeats, without what happens once."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view
from scipy.fft import irfft, rfft

from hemometric.ecg import Float32
from hemometric.waveform.heartbeats import Int64, bumps, find_heartbeats, slopes
from hemometric.waveform.resample import PASSBAND, resample

Bool = npt.NDArray[np.bool_]

FINE_HZ = 500.0
"""Beats are laid over each other at this rate or above: at 100 Hz half a sample to either side blurs the QRS."""

ALIKE = 0.8
"""Least similarity to the median. On PTB-XL 3394 beats are used at .7, and 3393 at .9 (RESULTS.md)."""

QUIET = 0.4
"""Steepness beside the QRS, as a share of that in it: below .2 in ECGs, .8 in noise and in waves without a QRS."""

OFTEN = 0.3
"""Share of the beats found that are of one kind, at least: a half in bigeminy, a fifth in the noise of one lead."""

_CORE_S = (0.1, 0.3)  # of a beat, about its QRS, that has to be alike: no P wave, which need not go with it
_REACH_S = 0.04  # how far a beat may be from where it was found
_QRS_REACH_S = 0.08  # to either side of its steepest part lies the QRS
_AROUND_S = (0.25, 0.45)  # of a beat, about its QRS, where it must be quiet
_PREMATURE = 0.85  # the RR interval before, as a share of that after
_SEEDS = 100
_LEAST_HZ = 50.0
_APART_S = 0.1  # from the middle of another QRS, a beat is still its own


@dataclass(frozen=True, eq=False)
class MedianBeats:
    """The median beats of b recordings, and how many beats each is of.

    Attributes
    ----------
    beats : float32 [b, lead, sample] mV
        0 throughout where there is none.
    num_found, num_alike : int64 [b]
        QRS complexes found, and how many of them are of the most frequent kind and lie in the recording as a whole.
    usable : bool [b]
        Whether there is a median beat: enough beats are alike, and have a QRS.
    """

    beats: Float32
    num_found: Int64
    num_alike: Int64
    usable: Bool


def median_beats(
    signals: npt.NDArray[np.floating],
    rate_hz: float,
    *,
    to_hz: float = 100.0,
    before_s: float = 0.25,
    after_s: float = 0.45,
    min_beats: int = 3,
) -> MedianBeats:
    """Find the beats of each recording, lay those of the most frequent kind over each other, and take the median.

    Beats are found and judged by the steepness of all leads together (`slopes`). They are aligned to 1 / `FINE_HZ`
    by correlation with their median, and the beat with the most others like it says which kind is the most frequent:
    ectopic beats, noise and what is no beat are left out. Beats of two kinds in equal number, as in bigeminy, are told
    apart by prematurity. Pacemaker spikes belong to the beat that they set off.

    Sample ``round(before_s * to_hz)`` of the result lies in the middle of the steepest 60 ms, which wanders less than
    an R peak does where a QRS has two. Each beat has its own level taken away, lead by lead: the median over the
    window, in which an offset of the electrode or a drifting baseline would else weigh more than all waves. Amplitudes
    stay in millivolts.

    Where another QRS follows or precedes within the window, as above 110 beats a minute or before an early ectopic
    beat, a beat counts only up to 100 ms from it; samples that no beat has hold the value of the last one that some
    have.

    Parameters
    ----------
    signals : float [b, lead, sample] mV
        Any number of leads; the more, the less one bad lead matters.
    rate_hz : float
        Their rate; the QRS must be in it, so 50 Hz or more.
    to_hz : float
        Rate of the result.
    before_s, after_s : float
        What is cut before and after the QRS.
    min_beats : int
        A median of fewer alike beats is none.

    Returns
    -------
    MedianBeats
        Of ``round(before_s * to_hz) + round(after_s * to_hz)`` samples.

    Raises
    ------
    ValueError
        The array is not real [b, lead, sample] or not finite, `rate_hz` is below 50 Hz, another rate or a length is not
        above zero and finite, or `min_beats` is below 1.
    """
    signals = np.asarray(signals)
    if signals.dtype.kind not in "fiu":
        raise ValueError(f"signals have dtype {signals.dtype}; give real numbers")
    if signals.ndim != 3 or 0 in signals.shape[1:]:
        raise ValueError(f"signals have shape {signals.shape}; expected [b, lead, sample] with a lead and a sample")
    if min_beats < 1:
        raise ValueError(f"min_beats is {min_beats}; a median needs at least 1 beat")
    if not _LEAST_HZ <= rate_hz < np.inf:
        raise ValueError(f"rate_hz is {rate_hz}; below {_LEAST_HZ:g} Hz a signal holds no QRS")
    if not np.isfinite([to_hz, before_s, after_s]).all():
        raise ValueError(f"to_hz {to_hz}, before_s {before_s} and after_s {after_s} have to be finite")
    before, after = round(before_s * to_hz), round(after_s * to_hz)
    if before < 1 or after < 1:
        raise ValueError(f"{before_s} s before and {after_s} s after the QRS are less than a sample at {to_hz} Hz")
    num, num_leads, _ = signals.shape
    beats = np.zeros((num, num_leads, before + after), dtype=np.float32)
    num_found, num_alike = np.zeros((2, num), dtype=np.int64)
    usable = np.zeros(num, dtype=bool)
    for row, signal in enumerate(signals):
        # An offset would come out of the filter with a ripple, in which a flat lead looks like a small one.
        level = np.median(signal, axis=1, keepdims=True)
        coarse = resample(signal - level, rate_hz, to_hz)  # first: all that follows is the same for every `rate_hz`
        beat, num_found[row], num_alike[row] = _median_beat(coarse, to_hz, before, after)
        if beat is not None and num_alike[row] >= min_beats:
            beats[row], usable[row] = beat, True
    return MedianBeats(beats, num_found, num_alike, usable)


def _median_beat(signal: Float32, rate_hz: float, before: int, after: int) -> tuple[Float32 | None, int, int]:
    """Give the median beat [lead, before + after] of a recording, if it has one, and the two counts."""
    times = math.ceil(FINE_HZ / rate_hz)
    fine_hz, first, stop = times * rate_hz, -before * times, after * times
    fine = _finer(signal, times)
    steep = slopes(fine, fine_hz)
    steep = steep[steep.any(axis=1)]  # a flat lead is no witness
    found = find_heartbeats(steep, fine_hz)
    if not len(found):
        return None, 0, 0
    # Beats at the ends help to judge the others, though they are cut off: beyond the ends nothing is steep.
    margin = round(2 * _AROUND_S[1] * fine_hz)
    steep = np.pad(steep, ((0, 0), (margin, margin)))
    places = _alike_places(steep, fine_hz, found + margin)
    shift, has_qrs = _fiducial(steep, fine_hz, places)
    places = places + (shift - margin)
    places = places[(places + first >= 0) & (places + stop <= fine.shape[1])]
    if not len(places) or not has_qrs or len(places) < OFTEN * len(found):
        return None, len(found), len(places)
    # What is cut holds nothing above half of `rate_hz`, so that every sample in `times` is enough.
    each = _cut(fine, places, first, stop)[:, :, ::times]
    own = _own(places, found + shift, np.arange(first, stop, times), fine_hz)
    each = np.where(own[:, None], each, np.float32(np.nan))
    each -= _median_of_known(each.transpose(2, 0, 1))[:, :, None]
    return _held(_median_of_known(each), before), len(found), len(places)


def _own(places: Int64, found: Int64, around: Int64, rate_hz: float) -> Bool:
    """Tell which samples of beats are not those of a neighbouring beat, bool [beat, sample].

    `found` are the middles of all beats, `around` the samples of a window about each of `places`.
    """
    apart, near = round(_APART_S * rate_hz), round(_REACH_S * rate_hz)
    borders = np.concatenate([[-np.inf], found, [np.inf]])
    following = borders[np.searchsorted(found, places + near, side="right") + 1] - places - apart
    before = borders[np.searchsorted(found, places - near)] - places + apart
    return np.asarray((around > before[:, None]) & (around < following[:, None]))


def _held(beat: Float32, middle: int) -> Float32:
    """Fill what no beat has, NaN in all leads of [lead, sample], with the last value towards the QRS at `middle`."""
    known = np.flatnonzero(~np.isnan(beat[0]))
    own = known[known >= middle].max(initial=middle), known[known <= middle].min(initial=middle)
    held: Float32 = beat[:, np.clip(np.arange(beat.shape[1]), own[1], own[0])]
    return held


def _finer(signal: Float32, times: int) -> Float32:
    """Put `times` - 1 samples between any two: as `resample` does, in a tenth of its time, with ringing of 0.1 s."""
    num = signal.shape[1]
    spectrum = rfft(np.concatenate([signal, signal[:, ::-1]], axis=1), axis=1)  # mirrored, so that its ends meet
    beyond = np.clip((np.arange(num + 1) / num - PASSBAND) / (1.0 - PASSBAND), 0.0, 1.0)
    spectrum *= (0.5 + 0.5 * np.cos(np.pi * beyond)).astype(np.float32)
    return np.asarray(times * irfft(spectrum, 2 * num * times, axis=1)[:, : num * times], dtype=np.float32)


def _alike_places(steep: Float32, rate_hz: float, found: Int64) -> Int64:
    """Give the places of the beats of the most frequent kind, aligned with each other."""
    first, stop, reach = -round(_CORE_S[0] * rate_hz), round(_CORE_S[1] * rate_hz), round(_REACH_S * rate_hz)
    template = _median(_cut(steep, found, first, stop))
    places = _aligned(steep, found, template, first, reach)
    alike = _most_frequent_kind(_cut(steep, places, first, stop), _premature(found))
    template = _median(_cut(steep, places[alike], first, stop))
    places = _aligned(steep, found, template, first, reach)
    now = _similarity(_cut(steep, places, first, stop), template[None])[:, 0] > ALIKE
    return places[now if now.any() else alike]


def _fiducial(steep: Float32, rate_hz: float, places: Int64) -> tuple[int, bool]:
    """Find by how much the steepest part of the median lies behind `places`, and whether it is a QRS."""
    before, after, reach = (round(seconds * rate_hz) for seconds in (*_AROUND_S, _QRS_REACH_S))
    heard = bumps(_median(_cut(steep, places, -before, after)), rate_hz)
    steepest = before - reach + int(heard[before - reach : before + reach + 1].argmax())
    inside = np.abs(np.arange(len(heard)) - steepest) <= reach
    return steepest - before, bool(np.median(heard[~inside]) <= QUIET * heard[inside].mean())


def _premature(found: Int64) -> Bool:
    """Tell which beats come early and are followed by a pause, bool [beat]; the first and the last cannot tell."""
    intervals = np.diff(found)
    early = np.zeros(len(found), dtype=bool)
    early[1:-1] = intervals[:-1] < _PREMATURE * intervals[1:]
    return early


def _most_frequent_kind(beats: Float32, premature: Bool) -> Bool:
    """Tell which beats are like the one that most others are like, bool [beat]; early ones have half a vote."""
    some = np.unique(np.linspace(0, len(beats) - 1, _SEEDS).astype(np.int64))  # not all pairs of a long recording
    similarity = _similarity(beats[some], beats)
    votes = (similarity > ALIKE) @ np.where(premature, 0.5, 1.0)
    best = np.lexsort((similarity.sum(axis=1), votes))[-1]
    alike: Bool = similarity[best] > ALIKE
    return alike if alike.any() else np.arange(len(beats)) == some[best]


def _similarity(one: Float32, other: Float32) -> Float32:
    """Compare beats [i, lead, sample] with others [j, lead, sample]: [i, j], 1 for equal ones, 0 for unlike ones.

    In each lead 2 <x, y> / (<x, x> + <y, y>), which is the correlation lowered by a difference in size; over leads
    the median, so that a few bad ones do not count.
    """
    products = np.einsum("iln,jln->ijl", one, other)
    energies = np.square(one).sum(axis=2)[:, None] + np.square(other).sum(axis=2)[None]
    each = np.divide(2 * products, energies, out=np.zeros_like(products), where=energies > 0)
    return _median(each.transpose(2, 0, 1))


def _aligned(steep: Float32, found: Int64, template: Float32, first: int, reach: int) -> Int64:
    """Move each place by up to `reach` samples to where the template fits best."""
    wide = _cut(steep, found, first - reach, first + template.shape[1] + reach)
    fits = np.einsum("klsn,ln->ks", sliding_window_view(wide, template.shape[1], axis=2), template)
    moved: Int64 = found + fits.argmax(axis=1) - reach
    return moved


def _median(values: Float32) -> Float32:
    """Give the median over the first axis: sorting few values takes a third of the time that numpy's median does."""
    ordered = np.sort(values, axis=0)
    middle: Float32 = (ordered[(len(values) - 1) // 2] + ordered[len(values) // 2]) / np.float32(2.0)
    return middle


def _median_of_known(values: Float32) -> Float32:
    """Give the median over the first axis of what is not NaN; NaN where all are."""
    num = np.maximum((~np.isnan(values)).sum(axis=0), 1)[None]
    ordered = np.sort(values, axis=0)  # NaN last
    lower, upper = (np.take_along_axis(ordered, rank, axis=0)[0] for rank in ((num - 1) // 2, num // 2))
    middle: Float32 = (lower + upper) / np.float32(2.0)
    return middle


def _cut(signal: Float32, places: Int64, first: int, stop: int) -> Float32:
    """Cut [place, lead, stop - first] out of [lead, sample]."""
    return np.stack([signal[:, place + first : place + stop] for place in places.tolist()])
