"""What of a recording is compared when distances are mined."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, Protocol, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from hemometric.config import Config
from hemometric.distances import reduced_leads
from hemometric.ecg import INDEPENDENT_LEADS, LEADS, Float32
from hemometric.errors import UsageError
from hemometric.waveform import median_beats, resample

Leads = Literal["independent", "all", "reduced"]
Gain = Literal["none", "record", "lead"]


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
            0 throughout where a recording holds nothing to compare; see `comparable`.

        Raises
        ------
        UsageError
            The preparation lacks what is to be compared.
        ValueError
            The array is not [b, lead, sample] with one row for each lead.
        """
        ...


def comparable(compared: Float32) -> npt.NDArray[np.bool_]:
    """Tell which recordings hold something to compare, bool [b].

    A recording without it is absent: it may neither attract nor repel, and is counted. Whatever stood in its place
    would have distances that mean nothing: those of zeros are the voltages of the others, noise is far from all and
    would be everyone's negative. The mark lies in what is compared, so that every rank finds it in what was gathered.
    """
    return np.asarray(compared.any(axis=(1, 2)))


class WholeSignal:
    """The whole recording, at a lower rate, with or without its amplitude; see `WholeRecord`."""

    def __init__(self, rate_hz: float, leads: Leads, gain: Gain) -> None:
        self.rate_hz = rate_hz
        self.leads = leads
        self.gain = gain

    def __call__(self, signals: Float32, rate_hz: float, leads: Sequence[str]) -> Float32:
        """Give the compared signals; see `Compared`."""
        chosen = _chosen_leads(signals, rate_hz, leads, self.rate_hz, self.leads)
        if rate_hz != self.rate_hz:
            chosen = resample(chosen, rate_hz, self.rate_hz)
        return _in_lines(_with_gain(chosen, self.gain), self.leads)


class MedianBeatSignal:
    """The median beat; see `MedianBeat`."""

    def __init__(
        self, rate_hz: float, leads: Leads, gain: Gain, *, before_s: float, after_s: float, min_beats: int
    ) -> None:
        self.rate_hz = rate_hz
        self.leads = leads
        self.gain = gain
        self.before_s = before_s
        self.after_s = after_s
        self.min_beats = min_beats

    def __call__(self, signals: Float32, rate_hz: float, leads: Sequence[str]) -> Float32:
        """Give the compared signals; see `Compared`."""
        chosen = _chosen_leads(signals, rate_hz, leads, self.rate_hz, self.leads)
        found = median_beats(
            chosen,
            rate_hz,
            to_hz=self.rate_hz,
            before_s=self.before_s,
            after_s=self.after_s,
            min_beats=self.min_beats,
        )
        return _in_lines(_with_gain(found.beats, self.gain), self.leads)


def _chosen_leads(signals: Float32, rate_hz: float, leads: Sequence[str], compared_hz: float, wanted: Leads) -> Float32:
    """Take the leads that are compared, after a look at the shape and at the rate."""
    if signals.ndim != 3 or signals.shape[1] != len(leads):
        raise ValueError(f"signals have shape {signals.shape}; expected [b, lead, sample] with {len(leads)} leads")
    if rate_hz < compared_hz:
        raise UsageError(
            f"mining compares at {compared_hz:g} Hz, but recordings are prepared at {rate_hz:g} Hz; "
            f"set mining.compared.rate_hz to {rate_hz:g} or less"
        )
    if wanted == "reduced" and tuple(leads) != LEADS:
        raise UsageError(
            f"mining.compared.leads is reduced, which computes with all twelve leads, and the preparation has "
            f"{', '.join(leads)}; set mining.compared.leads to independent or to all"
        )
    if wanted != "independent":
        return signals
    rows = [row for row, lead in enumerate(leads) if lead in INDEPENDENT_LEADS]
    if not rows:
        raise UsageError(
            f"none of the prepared leads ({', '.join(leads)}) is one of the independent ones "
            f"({', '.join(INDEPENDENT_LEADS)}); set mining.compared.leads to all"
        )
    return signals[:, rows]


def _with_gain(signals: Float32, gain: Gain) -> Float32:
    """Divide each recording, or each of its leads, by its root mean square about the means of its leads.

    One number for all leads keeps their proportions; about the means, so that an electrode's offset does not count
    as amplitude. What has no amplitude stays as it is.
    """
    if gain == "none":
        return np.ascontiguousarray(signals, dtype=np.float32)
    centred = signals.astype(np.float64) - signals.mean(axis=2, keepdims=True, dtype=np.float64)
    rms = np.sqrt(np.mean(centred**2, axis=(1, 2) if gain == "record" else 2, keepdims=True))
    return np.ascontiguousarray(signals / np.where(rms > 0, rms, 1.0), dtype=np.float32)


def _in_lines(signals: Float32, leads: Leads) -> Float32:
    return reduced_leads(signals) if leads == "reduced" else signals


class _Look(Config):
    leads: Leads = "independent"
    gain: Gain = "none"

    @model_validator(mode="after")
    def _distances_are_kept(self) -> Self:
        if self.leads == "reduced" and self.gain == "lead":
            raise ValueError("leads: reduced keeps distances between leads of one gain; set gain to record or to none")
        return self


class WholeRecord(_Look):
    """Compare the whole recording.

    Attributes
    ----------
    rate_hz : float
        Resampled to this rate before it is compared: at 100 Hz the ranks of DTW distances are those of 500 Hz
        (Spearman .99) at 1/25 of the cells.
    leads : "independent", "all" or "reduced"
        Those of the eight measured leads that are prepared, each once; or all prepared ones. The derived four are
        sums of I and II: with them the limb leads weigh more, which hardly changes who is near. ``reduced`` gives the
        distances of all twelve for the work of eight, the derived four as I and II make them; see `reduced_leads`.
    gain : "none", "record" or "lead"
        Compare millivolts; shapes, with one gain per recording; or with one gain per lead, a z-score but for the
        offset, which loses the leads' proportions too, and with them what they tell of sex and of hypertrophy.
    """

    kind: Literal["whole"] = "whole"
    rate_hz: float = Field(default=100.0, gt=0)

    def build(self) -> Compared:
        """Give the function."""
        return WholeSignal(self.rate_hz, self.leads, self.gain)


class MedianBeat(_Look):
    """Compare the median beat, aligned by its QRS: the shape of a heartbeat without the rhythm.

    Recordings without one (noise, asystole, waves without a QRS, too few beats) are absent; see `comparable`.

    Attributes
    ----------
    rate_hz : float
        Of the beat; its beats are aligned more finely than that.
    before_s, after_s : float
        What is compared before and after the QRS.
    leads : "independent", "all" or "reduced"
        As for `WholeRecord`. Beats are found in these leads, too.
    gain : "none", "record" or "lead"
        As for `WholeRecord`. Millivolts tell more than shapes here.
    min_beats : int
        A recording with fewer beats of one kind is absent.
    """

    kind: Literal["median_beat"] = "median_beat"
    rate_hz: float = Field(default=100.0, ge=50.0)
    before_s: float = Field(default=0.25, ge=0.05, le=2.0)
    after_s: float = Field(default=0.45, ge=0.05, le=2.0)
    min_beats: int = Field(default=3, ge=1)

    def build(self) -> Compared:
        """Give the function."""
        return MedianBeatSignal(
            self.rate_hz,
            self.leads,
            self.gain,
            before_s=self.before_s,
            after_s=self.after_s,
            min_beats=self.min_beats,
        )


ComparedConfig = Annotated[WholeRecord | MedianBeat, Field(discriminator="kind")]
