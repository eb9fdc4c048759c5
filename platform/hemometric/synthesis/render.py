"""From a heartbeat and a rhythm to twelve leads."""

from __future__ import annotations

import numpy as np

from hemometric.ecg import Float32, Float64
from hemometric.synthesis.anatomy import Anatomy
from hemometric.synthesis.heartbeat import Heartbeat
from hemometric.synthesis.rhythm import Rhythm
from hemometric.synthesis.waves import Wave

# Electrodes RA, LA, LL from I and II, with Wilson's central terminal (RA + LA + LL) / 3 at zero.
_LIMBS = np.array([[-1.0, -1.0], [2.0, -1.0], [-1.0, 2.0]]) / 3.0

_QT_FOLLOWS_RR = 0.15
"""Power of RR / mean RR by which one beat's QT changes (chosen): far below the cube root of the steady state, since the
QT takes minutes to follow the rate."""


def dipole(
    beat: Heartbeat, rhythm: Rhythm, *, qt_ms: float, mean_rr_ms: float, num_samples: int, rate_hz: float
) -> Float32:
    """Dipole [3, sample] in mV: every wave of every beat, each sample seeing the nearest wave of its kind.

    What a wave leaves half an RR interval away is below a thousandth of its height, so nearest is enough.
    """
    onsets = rhythm.onsets_ms
    stretch = np.power(rhythm.rr_ms / mean_rr_ms, _QT_FOLLOWS_RR)
    still = np.ones_like(onsets)
    total = np.zeros((3, num_samples), dtype=np.float32)
    for wave, anchors, factors in (
        (beat.p, onsets, still),
        (beat.qrs, onsets, still),
        (beat.t, onsets + qt_ms * stretch, stretch),
    ):
        total += _train(wave, anchors, factors, num_samples, rate_hz)
    return total


def _train(wave: Wave, anchors_ms: Float64, stretch: Float64, num_samples: int, rate_hz: float) -> Float32:
    """The same wave at each anchor, [3, sample]."""
    middle = anchors_ms + stretch * float(wave.centres_ms.mean())
    borders = np.ceil((middle[1:] + middle[:-1]) * (rate_hz / 2000.0)).astype(np.int64)
    edges = np.concatenate([[0], np.clip(borders, 0, num_samples), [num_samples]])
    counts = np.diff(edges)
    times_ms = np.arange(num_samples) * (1000.0 / rate_hz)
    # Differences in double, since ten seconds in single precision have steps of a microsecond.
    local = (times_ms - np.repeat(anchors_ms, counts)) / np.repeat(stretch, counts)
    return wave.loop(local.astype(np.float32)).astype(np.float32)


def breathe(signal: Float32, anatomy: Anatomy, breath: Float64, strength: float) -> Float32:
    """Turn and scale the dipole [3, sample] with breathing (Rodrigues' rotation about the breathing axis)."""
    if strength == 0.0:
        return signal
    angle = strength * anatomy.breathing_turn * breath
    axis = anatomy.breathing_axis[:, None]
    across = np.cross(axis, signal, axis=0)
    along = axis * (axis * signal).sum(axis=0)
    turned = along + np.cos(angle) * (signal - along) + np.sin(angle) * across
    gain = 1.0 - strength * anatomy.breathing_gain * breath  # an inflated lung is a better insulator
    moved: Float32 = (gain * turned).astype(np.float32)
    return moved


def electrodes(leads: Float64, signal: Float32) -> Float32:
    """Potentials [9, sample] of RA, LA, LL, V1..V6, with Wilson's central terminal at zero."""
    matrix = np.concatenate([_LIMBS @ leads[:2], leads[2:]])
    potentials: Float32 = matrix.astype(np.float32) @ signal
    return potentials


def twelve_leads(potentials: Float32) -> Float32:
    """Form the leads [12, sample] as a recorder does: III, aVR, aVL and aVF come from the float32 I and II."""
    right, left, foot = potentials[:3]
    out = np.empty((12, potentials.shape[1]), dtype=np.float32)
    first, second = out[0], out[1]
    np.subtract(left, right, out=first)
    np.subtract(foot, right, out=second)
    out[2] = second - first
    out[3] = -0.5 * (first + second)
    out[4] = first - 0.5 * second
    out[5] = second - 0.5 * first
    out[6:] = potentials[3:] - (right + left + foot) / np.float32(3.0)
    return out
