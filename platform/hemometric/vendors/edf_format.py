"""European Data Format (Kemp 1992), EDF+ (Kemp and Olivan 2003) and their 24-bit relative BDF.

A header of text in columns of fixed width, then records of the same duration, each of which holds the samples of one
signal after the other. It is decoded here and not by `edfio`, which takes a file that is cut off for a shorter
recording, and whose errors quote the header; it is the oracle of this room's tests.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import numpy as np

from hemometric.ecg import Recording, canonical_lead
from hemometric.vendors.chosen import chosen_leads
from hemometric.vendors.demographics import age_at, sex_from_text
from hemometric.vendors.scale import (
    checked_gain_per_mv,
    checked_offset_counts,
    checked_rate_hz,
    number_from_text,
    units_per_mv,
)
from hemometric.vendors.source import MAX_VALUES, ReadError, Vendor, one_ecg, read_bounded
from hemometric.vendors.traces import Lead, Trace, stacked, to_lead
from hemometric.vendors.wfdb_samples import Counts, decode

_EDF, _BDF = b"0       ", b"\xffBIOSEMI"
_BLOCK = 256  # the bytes of the header before its signals, and of each signal
_MAX_SIGNALS = 2048
_WIDTHS = {
    "label": 16, "transducer": 80, "unit": 8, "physical_low": 8, "physical_high": 8, "digital_low": 8,
    "digital_high": 8, "filters": 80, "num_samples": 8, "reserved": 32,
}  # fmt: skip
_TYPE = re.compile(r"^e[ck]g(?=[ _:.-])", re.IGNORECASE)
_REFERENCE = re.compile(r"[ _-]+ref$", re.IGNORECASE)
_EEG_SITE = re.compile(r"c ?[1-6]", re.IGNORECASE)
_PERSON = re.compile(r"(\S+) ([FMX]) (X|\d\d-[A-Z]{3}-\d{4}) \S+", re.ASCII | re.IGNORECASE)
_STARTED = re.compile(r"Startdate (X|\d\d-[A-Z]{3}-\d{4})(?: |$)", re.ASCII | re.IGNORECASE)
_CLOCK = re.compile(r"(\d{1,2})[.:/\-](\d{1,2})[.:/\-](\d{1,2})", re.ASCII)
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_ANONYMOUS = datetime(1985, 1, 1)  # what anonymised files carry; no EDF is older


@dataclass(frozen=True, slots=True)
class _Header:
    """What a header says.

    Attributes
    ----------
    patient, recording, start_date, start_time, kind : str
        As stored, without padding; kind is ``EDF+C``, ``EDF+D``, empty and the like.
    sample_bytes : int
        2 for EDF, 3 for BDF.
    num_bytes : int
        Length of the header.
    num_records : int
        -1 where a device never wrote it.
    record_s : float
    signals : tuple of dict
        Text by the names of `_WIDTHS`.
    """

    patient: str
    recording: str
    start_date: str
    start_time: str
    kind: str
    sample_bytes: int
    num_bytes: int
    num_records: int
    record_s: float
    signals: tuple[dict[str, str], ...]


def _sniff(path: Path, head: bytes) -> bool:  # noqa: ARG001 - recognised by its content alone
    """Whether it begins as EDF or BDF, and has the length of its header where that belongs."""
    num_signals = _whole(_text(head[252:_BLOCK]))
    if not head.startswith((_EDF, _BDF)) or num_signals is None:
        return False
    return _whole(_text(head[184:192])) == _BLOCK * (1 + num_signals)


def _read(path: Path, key: str) -> Recording:
    header = _read_header(path)
    chosen = _chosen(header)
    if header.kind[3:5].casefold() == "+d":
        raise ReadError("unsupported", "the recording is interrupted (EDF+D)")
    lengths = [_num_samples(signal) for signal in header.signals]
    per_record = lengths[next(iter(chosen))]
    if any(lengths[index] != per_record for index in chosen):
        raise ReadError("unsupported", "its leads have several sampling rates")
    rate_hz = checked_rate_hz(per_record / header.record_s if header.record_s > 0 else None)
    scales = {index: _scale(header.signals[index], lead) for index, lead in chosen.items()}
    records = _records(path, header, sum(lengths))
    starts = np.cumsum([0, *lengths])
    leads = [_lead(records[:, starts[index] : starts[index] + per_record].ravel(), *scales[index]) for index in chosen]
    acquired = _acquired(header)
    person = _PERSON.match(header.patient)
    patient_id, sex, born = person.groups() if person else ("X", "X", "X")
    return Recording(
        key=key,
        leads=tuple(chosen.values()),
        rate_hz=rate_hz,
        **stacked(leads),
        patient_id=None if patient_id.casefold() == "x" else patient_id,
        age_years=age_at(_date(born), acquired.date() if acquired else None),
        sex=sex_from_text(sex),
        source_format="edf",
        acquired=acquired,
    )


def _read_header(path: Path) -> _Header:
    fixed = read_bounded(path, _BLOCK)
    if len(fixed) < _BLOCK:
        raise ReadError("truncated", "the file ends within its header")
    if not fixed.startswith((_EDF, _BDF)):
        raise ReadError("unreadable", "the file does not begin as EDF or BDF does")
    num_bytes, num_records = _whole(_text(fixed[184:192])), _whole(_text(fixed[236:244]))
    num_signals = _whole(_text(fixed[252:_BLOCK]))
    record_s = number_from_text(_text(fixed[244:252]))
    if num_bytes is None or num_records is None or num_signals is None or record_s is None:
        raise ReadError("unreadable", "a number of the header is not written as one")
    if not 0 <= num_signals <= _MAX_SIGNALS or num_bytes != _BLOCK * (1 + num_signals) or num_records < -1:
        raise ReadError("unreadable", "the header contradicts itself in its length or in the number of its signals")
    table = read_bounded(path, num_bytes - _BLOCK, _BLOCK)
    if len(table) < num_bytes - _BLOCK:
        raise ReadError("truncated", "the file ends within its header")
    columns: dict[str, list[str]] = {}
    position = 0
    for name, width in _WIDTHS.items():
        columns[name] = [_text(table[position + i * width : position + (i + 1) * width]) for i in range(num_signals)]
        position += num_signals * width
    return _Header(
        patient=_text(fixed[8:88]),
        recording=_text(fixed[88:168]),
        start_date=_text(fixed[168:176]),
        start_time=_text(fixed[176:184]),
        kind=_text(fixed[192:236]),
        sample_bytes=3 if fixed.startswith(_BDF) else 2,
        num_bytes=num_bytes,
        num_records=num_records,
        record_s=record_s,
        signals=tuple({name: column[i] for name, column in columns.items()} for i in range(num_signals)),
    )


def _chosen(header: _Header) -> dict[int, str]:
    """Find the signals that are standard leads; annotations, respiration and the like are left out."""
    return chosen_leads([_standard_lead(signal["label"]) for signal in header.signals])


def _standard_lead(label: str) -> str | None:
    """Find the lead of a label: ``ECG II``, ``EKG V1-Ref``, ``aVR``.

    C1 to C6 are chest leads only where the label says ECG: by themselves they are sites of the scalp, of which most
    EDF files hold the EEG.
    """
    if _EEG_SITE.match(label):
        return None
    return canonical_lead(_TYPE.sub("ECG", _REFERENCE.sub("", label)))


def _num_samples(signal: dict[str, str]) -> int:
    """Count the samples that a signal has in each record."""
    num_samples = _whole(signal["num_samples"])
    if num_samples is None or num_samples < 1:
        raise ReadError("unreadable", "a signal has no number of samples in each record")
    return num_samples


def _scale(signal: dict[str, str], lead: str) -> tuple[float, float]:
    """Find counts per millivolt, and the count that means 0 mV, from two counts and the voltages that they mean."""
    names = ("physical_low", "physical_high", "digital_low", "digital_high")
    values = [number_from_text(signal[name]) for name in names]
    if any(value is None for value in values):
        raise ReadError("unreadable", f"the range of lead {lead} is not written as numbers")
    physical_low, physical_high, digital_low, digital_high = (value for value in values if value is not None)
    span = physical_high - physical_low
    per_unit = (digital_high - digital_low) / span if span else None
    per_mv = units_per_mv(signal["unit"], lead)
    gain_per_mv = checked_gain_per_mv(per_unit * per_mv if per_unit else None, lead)
    zero = digital_low - physical_low * gain_per_mv / per_mv
    return gain_per_mv, checked_offset_counts(zero, gain_per_mv, lead)


def _records(path: Path, header: _Header, per_record: int) -> Counts:
    """Read the samples of all signals, as int16 or int32 [record, sample of the record]."""
    num_records = header.num_records
    if num_records * per_record > MAX_VALUES or per_record > MAX_VALUES:
        raise ReadError("too_long", f"the header announces {num_records} x {per_record} samples; {MAX_VALUES} are read")
    record_bytes = per_record * header.sample_bytes
    wanted = (MAX_VALUES // per_record + 1 if num_records < 0 else num_records) * record_bytes
    content = read_bounded(path, wanted, header.num_bytes)
    if num_records < 0:  # a recorder that was switched off never wrote how many there are
        num_records = len(content) // record_bytes
        if num_records * per_record > MAX_VALUES:
            raise ReadError("too_long", f"more than {MAX_VALUES} samples")
    elif len(content) < wanted:
        raise ReadError("truncated", f"{len(content)} of {wanted} bytes of samples are there")
    if num_records == 0:
        raise ReadError("truncated", "the file holds no record of samples")
    samples = decode(content, 8 * header.sample_bytes, num_records * per_record)
    return samples.reshape(num_records, per_record)


def _acquired(header: _Header) -> datetime | None:
    """Read when the recording began: the date of EDF+, else that of EDF, which has no century."""
    started = _STARTED.match(header.recording)
    clock = _CLOCK.fullmatch(header.start_time.replace(" ", ""))
    if clock is None:
        return None
    day = _date(started[1]) if started else _short_date(header.start_date)
    if day is None:
        return None
    try:
        acquired = datetime(day.year, day.month, day.day, int(clock[1]), int(clock[2]), int(clock[3]))
    except ValueError:
        return None
    return None if acquired == _ANONYMOUS else acquired


def _short_date(text: str) -> date | None:
    match = _CLOCK.fullmatch(text.replace(" ", ""))
    if match is None:
        return None
    year = int(match[3])
    try:
        return date(year + (1900 if year >= 85 else 2000), int(match[2]), int(match[1]))
    except ValueError:
        return None


def _date(text: str) -> date | None:
    """Read 02-MAY-1951; month names are English whatever the machine speaks."""
    parts = text.upper().split("-")
    if len(parts) != 3 or parts[1] not in _MONTHS:
        return None
    try:
        return date(int(parts[2]), _MONTHS.index(parts[1]) + 1, int(parts[0]))
    except ValueError:
        return None


def _whole(text: str) -> int | None:
    value = number_from_text(text)
    return int(value) if value is not None and value.is_integer() else None


def _text(stored: bytes) -> str:
    return stored.decode("latin-1").strip(" \0")


def _lead(samples: Counts, gain_per_mv: float, offset_counts: float) -> Lead:
    return to_lead(Trace(samples.astype(np.int32), gain_per_mv, offset_counts))


EDF = Vendor(name="edf", suffixes=(".edf", ".bdf"), sniff=_sniff, read=one_ecg(_read))
"""Uninterrupted recordings: EDF, EDF+C, BDF and BDF+C, with all leads at one rate."""
