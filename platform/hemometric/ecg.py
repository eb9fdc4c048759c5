"""One 12-lead ECG as it came from its source: native counts, their scale, and what is known of the person."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
"""The standard leads in the order that every array of this package uses."""

INDEPENDENT_LEADS = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
"""The eight leads that are measured; III, aVR, aVL and aVF are sums of I and II."""

INVALID_COUNT = -32768
"""The int16 count that stands for "no sample here"; it reads as NaN millivolts."""

Sex = Literal["female", "male"]
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Int16 = npt.NDArray[np.int16]

_ALIASES = {lead.casefold(): lead for lead in LEADS}
_ALIASES |= {"di": "I", "dii": "II", "diii": "III", "d1": "I", "d2": "II", "d3": "III"}
_ALIASES |= {"li": "I", "lii": "II", "liii": "III"}
_ALIASES |= {f"c{number}": f"V{number}" for number in range(1, 7)}  # the German-language names
# A hyphen joins (``ecg-avf``, ``ecg - avf``), but one that stands only before the name is a minus (``ecg -avr``).
_PREFIX = re.compile(r"^(?:mdc[ _]ecg[ _]lead|ecg[ _]lead|lead|ecg)(?:-[ ]*|[ _:.]+(?:-[ ]+)?)")
_SEPARATED = re.compile(r"^(av|v|c|d|l)[ _]+(?=[rlf1-6i])")


@dataclass(frozen=True, eq=False)
class Recording:
    """One ECG at its native rate and resolution.

    Attributes
    ----------
    key : str
        The source's own name for it, relative to the source folder. It may identify a patient: it never
        leaves `corpus.pseudonyms` unhashed.
    leads : tuple of str
        Canonical lead names, a subset of `LEADS`, in the order of the rows of `counts`.
    rate_hz : float
        Samples per second.
    counts : int16 [lead, sample]
        As stored by the device; `INVALID_COUNT` where there is no sample.
    gain_per_mv : float64 [lead]
        Counts per millivolt, above zero.
    offset_counts : float64 [lead]
        The count that means 0 mV.
    quantisation_error_mv : float
        Half a count, where the source held floats and we chose the counts; 0 where counts are native.
    acquired : datetime or None
        The wall clock where it was recorded, without a time zone. It may identify a patient: it leaves
        `corpus.pseudonyms` shifted.
    """

    key: str
    leads: tuple[str, ...]
    rate_hz: float
    counts: Int16
    gain_per_mv: Float64
    offset_counts: Float64
    patient_id: str | None = None
    age_years: float | None = None
    sex: Sex | None = None
    source_format: str = ""
    quantisation_error_mv: float = 0.0
    acquired: datetime | None = None

    def __repr__(self) -> str:
        """Say what it is of, and nothing of the patient: what is printed ends up in logs and notebooks."""
        leads, source = len(self.leads), f", {self.source_format}" if self.source_format else ""
        return f"Recording({leads} lead{'' if leads == 1 else 's'}, {self.rate_hz:g} Hz, {self.duration_s:g} s{source})"

    @cached_property
    def signal(self) -> Float32:
        """The ECG in millivolts, float32 [lead, sample], NaN where there is no sample."""
        millivolts = (self.counts - self.offset_counts[:, None]) / self.gain_per_mv[:, None]
        millivolts[self.counts == INVALID_COUNT] = np.nan
        return millivolts.astype(np.float32)

    @property
    def num_samples(self) -> int:
        """Points in time per lead."""
        return int(self.counts.shape[1])

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.num_samples / self.rate_hz

    @classmethod
    def from_millivolts(
        cls,
        signal: npt.NDArray[np.floating],
        *,
        key: str,
        rate_hz: float,
        leads: Sequence[str] = LEADS,
        patient_id: str | None = None,
        age_years: float | None = None,
        sex: Sex | None = None,
        source_format: str = "",
        acquired: datetime | None = None,
    ) -> Recording:
        """Make a recording of floats: each lead is quantised on its own scale, as finely as int16 allows.

        Parameters
        ----------
        signal : float [lead, sample]
            Millivolts; NaN where there is no sample.

        Raises
        ------
        ValueError
            The array is not [lead, sample] with one row for each lead, or holds an infinity.
        """
        signal = np.asarray(signal, dtype=np.float64)
        if signal.ndim != 2 or signal.shape[0] != len(leads):
            raise ValueError(f"signal has shape {signal.shape}; expected [lead, sample] with {len(leads)} leads")
        if np.isinf(signal).any():
            raise ValueError("signal holds an infinity; mark absent samples as NaN")
        peak_mv = np.max(np.abs(np.nan_to_num(signal)), axis=1, initial=0.0)
        # At least 1000 counts a millivolt are always there below 32 mV; a flat lead gets that scale too.
        gain = np.where(peak_mv > 0, 32000.0 / np.maximum(peak_mv, 1e-3), 1000.0)
        counts = np.where(np.isnan(signal), INVALID_COUNT, np.rint(np.nan_to_num(signal) * gain[:, None]))
        return cls(
            key=key,
            leads=tuple(leads),
            rate_hz=float(rate_hz),
            counts=counts.astype(np.int16),
            gain_per_mv=gain,
            offset_counts=np.zeros(len(leads)),
            patient_id=patient_id,
            age_years=age_years,
            sex=sex,
            source_format=source_format,
            quantisation_error_mv=float(0.5 / gain.min()),
            acquired=acquired,
        )


@dataclass(frozen=True)
class Rejected:
    """An ECG that was not taken, as a value to be counted.

    Attributes
    ----------
    key : str
        The source's name for it (see `Recording.key`): for the pseudonymised quarantine table only.
    reason : str
        A reason code in snake case, such as ``flat_lead`` or ``checksum``.
    detail : str
        One sentence for a person; never a patient's name, id or date.
    """

    key: str = field(repr=False)
    reason: str
    detail: str


def check_recording(value: object) -> None:
    """Refuse what is no `Recording`.

    Raises
    ------
    TypeError
        Its remedy is to read one, or to make one of an array.
    """
    if not isinstance(value, Recording):
        raise TypeError(
            f"a Recording is needed, and this is of type {type(value).__name__}; read one with hemometric.read, "
            "or make one with Recording.from_millivolts"
        )


def canonical_lead(name: str) -> str | None:
    """Find the standard lead that a device's name means.

    Case, surrounding blanks and the prefixes ``Lead``, ``ECG`` and ``MDC_ECG_LEAD_`` do not matter. A name that
    says more than the lead is not a standard lead: ``-aVR`` is upside down, ``MLII`` sits elsewhere, and
    ``I filtered`` was changed.

    Returns
    -------
    str or None
        One of `LEADS`.

    Examples
    --------
    >>> canonical_lead(" avr"), canonical_lead("DI"), canonical_lead("MDC_ECG_LEAD_V1"), canonical_lead("-aVR")
    ('aVR', 'I', 'V1', None)
    """
    plain = _PREFIX.sub("", name.strip().casefold())
    return _ALIASES.get(_SEPARATED.sub(r"\1", plain))
