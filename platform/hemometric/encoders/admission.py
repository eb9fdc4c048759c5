"""Which recordings a model takes: those that pass the gates of ingest and that its preparation leaves a signal of."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hemometric.ecg import Float32, Recording, Rejected
from hemometric.waveform import Preparation, QualityConfig, assess, prepare
from hemometric.waveform.measures import FLAT_WINDOW_S, still_shares

NOT_MILLIVOLTS = 5.0
"""Typical deviation from a lead's median in mV above which numbers are no millivolts: real ECGs are near 0.05."""
LISTED = 5
"""Refusals that a message spells out; the others are counted."""


def gates_of(preparation: Preparation, quality: QualityConfig | None) -> QualityConfig:
    """Fit the gates to what a model reads: the leads that it cannot do without are required.

    Without `quality`, the defaults hold, but half of what the model reads is never too short.
    """
    if quality is None:
        quality = QualityConfig(min_duration_s=_enough_s(preparation, QualityConfig()))
    return quality.model_copy(update={"required_leads": preparation.required_leads})


def admit(recording: Recording, preparation: Preparation, gates: QualityConfig) -> Float32 | Rejected:
    """Judge a recording and prepare it.

    Returns
    -------
    float32 [lead, num_samples] mV
        What the encoder reads; or `Rejected` with a reason of `assess` or of `prepare`.
    """
    assessed = assess(recording, gates)
    if isinstance(assessed, Rejected):
        return assessed
    signal = prepare(recording, preparation)
    if isinstance(signal, Rejected):
        return signal
    # The gates judge the whole recording; what the model reads of it may be other leads, or another part.
    num_windows = max(1, signal.shape[1] // max(1, int(FLAT_WINDOW_S * preparation.rate_hz)))
    still = float(still_shares(signal, preparation.rate_hz, gates.flat_lead_mv).min())
    moving_s = round((1.0 - still) * num_windows) * FLAT_WINDOW_S
    if moving_s < _enough_s(preparation, gates):
        read = f"{', '.join(preparation.leads)} over {preparation.duration_s:g} s"
        return Rejected(recording.key, "flat", f"of what the model reads, {read}, {moving_s:g} s move")
    # Leads that are absent, and 0 mV, would hide what the others are.
    deviation = float(typical_deviations(signal[signal.any(axis=1)][None])[0])
    if deviation > NOT_MILLIVOLTS:
        text = f"samples typically lie {deviation:.3g} mV from their median; is the unit right?"
        return Rejected(recording.key, "amplitude_high", text)
    return signal


def typical_deviations(signals: Float32) -> Float32:
    """Measure how far samples of [n, lead, sample] typically lie from their lead's median: float32 [n] mV."""
    centred = signals - np.median(signals, axis=2, keepdims=True)
    return np.asarray(np.median(np.abs(centred), axis=(1, 2)), dtype=np.float32)


def told(refused: Mapping[int, Rejected], num_recordings: int) -> str:
    """Say in one sentence which recordings were refused, why, and what to do; positions only, never a key."""
    listed = [f"recording {index} ({why.reason}): {why.detail}" for index, why in sorted(refused.items())[:LISTED]]
    if len(refused) > LISTED:
        listed.append(f"and {len(refused) - LISTED} more")
    verb = "does" if len(refused) == 1 else "do"
    return (
        f"{len(refused)} of {num_recordings} recordings {verb} not fit this model: {'; '.join(listed)}; "
        "leave them out, model.refusals(recordings) gives each with its reason"
    )


def _enough_s(preparation: Preparation, gates: QualityConfig) -> float:
    return min(gates.min_duration_s, preparation.duration_s / 2.0)
