"""HL7 version 3 annotated ECG: XML with the samples spelled out as numbers.

References
----------
Brown BD, Badilini F. HL7 aECG Implementation Guide, final, 21 March 2005.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np

from hemometric.ecg import Float64, Recording, canonical_lead
from hemometric.vendors.chosen import chosen_leads
from hemometric.vendors.demographics import age_at, sex_from_text
from hemometric.vendors.number_text import Int64, read_numbers
from hemometric.vendors.scale import (
    checked_gain_per_mv,
    checked_offset_counts,
    checked_rate_hz,
    number_from_text,
    to_int16,
    units_per_mv,
)
from hemometric.vendors.source import MAX_VALUES, ReadError, Vendor, one_ecg
from hemometric.vendors.xml_file import read_xml, root_name

_TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"
_TIMES = ("TIME_ABSOLUTE", "TIME_RELATIVE")
_PER_SECOND = {"s": 1.0, "ms": 1e3, "us": 1e6, "\u00b5s": 1e6, "\u03bcs": 1e6}
_MIN_RHYTHM_S = 1.0
_DAY = re.compile(r"(\d{4})(\d\d)(\d\d)", re.ASCII)
_CLOCK = re.compile(r"(\d\d)(\d\d)(\d\d)?(?:\.(\d{1,6})\d*)?(?:[+-]\d{2,4})?", re.ASCII)
_INT32_MAX = np.iinfo(np.int32).max
_MAX_MV = 1e9  # far beyond any voltage, within what float32 holds


@dataclass(frozen=True, eq=False)
class _Lead:
    """One lead as the file holds it: which of its numbers means 0 mV, and how many of them are a millivolt."""

    numbers: Int64 | Float64
    gain_per_mv: float
    offset: float


def _sniff(_path: Path, head: bytes) -> bool:
    return root_name(head) == "AnnotatedECG"


def _read(path: Path, key: str) -> Recording:
    root = read_xml(path)
    series = _rhythm(root)
    sequences = _sequences(series)
    leads = _leads(sequences)
    rate_hz = _rate_hz(sequences)
    num_samples = next(iter(leads.values())).numbers.size
    if num_samples < _MIN_RHYTHM_S * rate_hz:
        raise ReadError("no_waveform", f"its rhythm of {num_samples} samples is shorter than a second")
    stamp = _stamp(root, series, sequences)
    subject = root.find(".//{*}trialSubject")
    return _recording(
        leads,
        key=key,
        rate_hz=rate_hz,
        patient_id=None if subject is None else _subject_id(subject),
        age_years=age_at(_day(_attribute(subject, "{*}subjectDemographicPerson/{*}birthTime")), _day(stamp)),
        sex=sex_from_text(_attribute(subject, "{*}subjectDemographicPerson/{*}administrativeGenderCode", "code")),
        source_format="hl7-aecg",
        acquired=_moment(stamp),
    )


def _rhythm(root: Element) -> Element:
    """Find the first series of a rhythm; the representative beat is a derived series, which lies elsewhere."""
    for series in root.iterfind("{*}component/{*}series"):
        if _attribute(series, "{*}code", "code") == "RHYTHM":
            return series
    raise ReadError("no_waveform", "the file holds no series of a rhythm")


def _sequences(series: Element) -> list[Element]:
    """Find the sequences that were recorded together with the leads."""
    sets = [found.findall("{*}component/{*}sequence") for found in series.iterfind("{*}component/{*}sequenceSet")]
    if not sets:
        raise ReadError("no_waveform", "the series of the rhythm holds no sequences")
    with_leads = [found for found in sets if any(canonical_lead(_code(sequence)) for sequence in found)]
    if not with_leads:
        raise ReadError("no_standard_lead", "none of its sequences is named as a standard lead")
    if len(with_leads) > 1:
        raise ReadError("unsupported", f"its leads were recorded in {len(with_leads)} turns, not all at once")
    return with_leads[0]


def _code(sequence: Element) -> str:
    return _attribute(sequence, "{*}code", "code")


def _rate_hz(sequences: Sequence[Element]) -> float:
    rates: set[float] = set()
    for sequence in sequences:
        increment = sequence.find("{*}value/{*}increment")
        if _code(sequence) not in _TIMES or increment is None:
            continue
        per_second = _PER_SECOND.get(increment.get("unit", "").strip())
        if per_second is None:
            raise ReadError("unknown_unit", "the time from sample to sample is in a unit that is not read")
        step = number_from_text(increment.get("value", ""))
        rates.add(checked_rate_hz(per_second / step if step else None))
    if len(rates) > 1:
        raise ReadError("unsupported", "it gives two sampling rates")
    return checked_rate_hz(next(iter(rates), None))


def _leads(sequences: Sequence[Element]) -> dict[str, _Lead]:
    chosen = chosen_leads([canonical_lead(_code(sequence)) for sequence in sequences])
    leads = {lead: _lead(sequences[place].find("{*}value"), lead) for place, lead in chosen.items()}
    lengths = {lead.numbers.size for lead in leads.values()}
    if len(lengths) > 1:
        raise ReadError("truncated", "the leads hold different numbers of samples")
    if max(lengths) * len(leads) > MAX_VALUES:
        raise ReadError("too_long", f"more than {MAX_VALUES} samples")
    return leads


def _lead(value: Element | None, name: str) -> _Lead:
    if value is None:
        raise ReadError("no_waveform", f"lead {name} has no samples")
    if value.get(_TYPE, "").rpartition(":")[2] != "SLIST_PQ":
        raise ReadError("unsupported", f"lead {name} is no list of measured quantities")
    step_mv = _millivolts(value, "{*}scale", name)
    gain_per_mv = checked_gain_per_mv(1.0 / step_mv if step_mv else None, name)
    origin_mv = _millivolts(value, "{*}origin", name)
    if origin_mv is None:
        raise ReadError("offset_missing", f"lead {name} does not say what its number 0 means")
    offset = checked_offset_counts(-origin_mv * gain_per_mv, gain_per_mv, name)
    return _Lead(read_numbers(value.findtext("{*}digits") or ""), gain_per_mv, offset)


def _millivolts(value: Element, path: str, name: str) -> float | None:
    """Read a quantity; None where it is absent or no number."""
    number = number_from_text(_attribute(value, path))
    return number and number / units_per_mv(_attribute(value, path, "unit"), name)  # 0 is 0 in any unit


def _recording(leads: dict[str, _Lead], **about: Any) -> Recording:
    """Put leads onto the scale of a `Recording`: whole numbers as they are, others quantised."""
    about["leads"] = tuple(leads)
    if any(lead.numbers.dtype != np.int64 for lead in leads.values()):
        with np.errstate(over="ignore"):
            signal = np.stack([(lead.numbers - lead.offset) / lead.gain_per_mv for lead in leads.values()])
        if not (np.abs(signal) <= _MAX_MV).all():
            raise ReadError("unreadable", "a sample is larger than any voltage")
        return Recording.from_millivolts(signal, **about)
    if any(lead.numbers.max() > _INT32_MAX or lead.numbers.min() < -_INT32_MAX for lead in leads.values()):
        raise ReadError("unreadable", "the samples leave the range of 32 bits")
    brought = [to_int16(lead.numbers.astype(np.int32)) for lead in leads.values()]
    gains = np.array([lead.gain_per_mv for lead in leads.values()])
    offsets = np.array([lead.offset for lead in leads.values()])
    steps = np.array([step for _, step, _ in brought])
    centres = np.array([float(centre) for _, _, centre in brought])
    return Recording(
        counts=np.stack([counts for counts, _, _ in brought]),
        gain_per_mv=gains / steps,
        offset_counts=(offsets - centres) / steps,
        quantisation_error_mv=float(np.where(steps > 1, 0.5 * steps / gains, 0.0).max()),
        **about,
    )


def _subject_id(subject: Element) -> str | None:
    """Read the extension of the first id that has one: the root alone names the trial, and so every subject of it."""
    extensions = (found.get("extension", "") for found in subject.iterfind("{*}id"))
    return next((extension for extension in extensions if extension.strip()), None)


def _stamp(root: Element, series: Element, sequences: Sequence[Element]) -> str:
    """Find when the first sample was taken, or what is said to be near it; with the time of the day if any has it."""
    stamps = [stamp for stamp in _stamps(root, series, sequences) if _day(stamp)]
    return next((stamp for stamp in stamps if _moment(stamp)), stamps[0] if stamps else "")


def _stamps(root: Element, series: Element, sequences: Sequence[Element]) -> Iterator[str]:
    for sequence in sequences:
        if _code(sequence) == "TIME_ABSOLUTE":
            yield _attribute(sequence, "{*}value/{*}head")
    for element in (series, root):
        for part in ("/{*}low", "/{*}center", "", "/{*}high"):
            yield _attribute(element, f"{{*}}effectiveTime{part}")


def _attribute(element: Element | None, path: str, name: str = "value") -> str:
    """Read an attribute of the first element at a path below; "" where there is none."""
    found = None if element is None else element.find(path)
    return "" if found is None else found.get(name, "")


def _day(stamp: str) -> date | None:
    """Read the day of ``YYYYMMDDHHMMSS.UUUU+ZZZZ``, of which the guide allows any beginning."""
    match = _DAY.match(stamp.strip())
    try:
        return date(*map(int, match.groups())) if match else None
    except ValueError:
        return None


def _moment(stamp: str) -> datetime | None:
    """Read the wall clock; None where hour and minute are not given."""
    day, clock = _day(stamp), _CLOCK.fullmatch(stamp.strip()[8:])
    if day is None or clock is None:
        return None
    hour, minute, second, fraction = clock.groups(default="0")
    try:
        return datetime.combine(day, time(int(hour), int(minute), int(second), int(fraction.ljust(6, "0"))))
    except ValueError:
        return None


HL7_AECG = Vendor(name="hl7-aecg", suffixes=(".xml",), sniff=_sniff, read=one_ecg(_read))
"""The first series of a rhythm, its leads recorded all at once."""
