"""What of a recording is compared when distances are mined."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np
from pydantic import Field

from hemometric.config import Config
from hemometric.ecg import INDEPENDENT_LEADS, Float32
from hemometric.errors import UsageError
from hemometric.waveform import resample


class Compared(Protocol):
    """Turns prepared signals into what a distance compares, each recording by itself."""

    def __call__(self, signals: Float32, rate_hz: float, leads: Sequence[str]) -> Float32:
        """Give the compared signals.

        Parameters
        ----------
        signals : float32 [b, lead, sample] mV
            Prepared signals.
        rate_hz : float
            Their rate.
        leads : lead str
            The names of their leads.

        Returns
        -------
        float32 [b, lead', sample'], C-contiguous

        Raises
        ------
        UsageError
            The preparation lacks what is to be compared.
        ValueError
            The array is not [b, lead, sample] with one row for each lead.
        """
        ...


class WholeSignal:
    """The whole recording, at a lower rate, with or without its amplitude; see `WholeRecord`."""

    def __init__(self, rate_hz: float, leads: Literal["independent", "all"], gain: Literal["none", "record"]) -> None:
        self.rate_hz = rate_hz
        self.leads = leads
        self.gain = gain

    def __call__(self, signals: Float32, rate_hz: float, leads: Sequence[str]) -> Float32:
        """Give the compared signals; see `Compared`."""
        if signals.ndim != 3 or signals.shape[1] != len(leads):
            raise ValueError(f"signals have shape {signals.shape}; expected [b, lead, sample] with {len(leads)} leads")
        if rate_hz < self.rate_hz:
            raise UsageError(
                f"mining compares at {self.rate_hz:g} Hz, but recordings are prepared at {rate_hz:g} Hz; "
                f"set mining.compared.rate_hz to {rate_hz:g} or less"
            )
        if self.leads == "independent":
            rows = [row for row, lead in enumerate(leads) if lead in INDEPENDENT_LEADS]
            if not rows:
                raise UsageError(
                    f"none of the prepared leads ({', '.join(leads)}) is one of the independent ones "
                    f"({', '.join(INDEPENDENT_LEADS)}); set mining.compared.leads to all"
                )
            signals = signals[:, rows]
        if rate_hz != self.rate_hz:
            signals = resample(signals, rate_hz, self.rate_hz)
        if self.gain == "record":
            signals = _one_gain_per_recording(signals)
        return np.ascontiguousarray(signals, dtype=np.float32)


def _one_gain_per_recording(signals: Float32) -> Float32:
    """Divide each recording by its root mean square about the means of its leads.

    One number for all leads keeps their proportions, which a z-score per lead would lose; about the means, so that
    an electrode's offset does not count as amplitude. A recording without amplitude stays as it is.
    """
    centred = signals.astype(np.float64) - signals.mean(axis=2, keepdims=True, dtype=np.float64)
    rms = np.sqrt(np.mean(centred**2, axis=(1, 2), keepdims=True))
    return (signals / np.where(rms > 0, rms, 1.0)).astype(np.float32)


class WholeRecord(Config):
    """Compare the whole recording.

    Attributes
    ----------
    rate_hz : float
        Resampled to this rate before it is compared: at 100 Hz the ranks of DTW distances are those of 500 Hz
        (Spearman .99) at 1/25 of the cells.
    leads : "independent" or "all"
        Those of the eight measured leads that are prepared, each once; or all prepared ones. The derived four are
        sums of I and II: with them the limb leads weigh more, which hardly changes who is near.
    gain : "none" or "record"
        Compare millivolts, or shapes: one gain per recording.
    """

    kind: Literal["whole"] = "whole"
    rate_hz: float = Field(default=100.0, gt=0)
    leads: Literal["independent", "all"] = "independent"
    gain: Literal["none", "record"] = "none"

    def build(self) -> Compared:
        """Give the function."""
        return WholeSignal(self.rate_hz, self.leads, self.gain)


ComparedConfig = WholeRecord
"""What can be compared; a union by `kind` from the second member on."""
