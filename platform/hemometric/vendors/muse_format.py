"""GE MUSE: the RestingECG XML that the archive exports, one ECG a file, samples as base64 of int16.

There is no public specification; what is read is what real files hold and independent readers agree on. Where those
readers differ (the sign of FirstSampleBaseline; whether LeadOffsetFirstSample counts samples or bytes) the file is
refused: both are 0 in every file that was seen.
"""

from __future__ import annotations

import binascii
from datetime import date, datetime
from pathlib import Path
from xml.etree.ElementTree import Element
from zlib import crc32

import numpy as np

from hemometric.ecg import Int16, Recording, canonical_lead
from hemometric.vendors.chosen import chosen_leads
from hemometric.vendors.demographics import MAX_AGE_YEARS, age_at, age_from_text, sex_from_text, time_from_text
from hemometric.vendors.scale import checked_gain_per_mv, checked_rate_hz, units_per_mv
from hemometric.vendors.source import MAX_VALUES, ReadError, Vendor, one_ecg
from hemometric.vendors.xml_file import number_of, read_xml, root_name, text_of

_ROOT = "RestingECG"
_BYTES_PER_SAMPLE = 2
_DAYS_PER_YEAR = 365.25
_YEARS_PER_UNIT = {
    "MONTHS": 1 / 12,
    "WEEKS": 7 / _DAYS_PER_YEAR,
    "DAYS": 1 / _DAYS_PER_YEAR,
    "HOURS": 1 / _DAYS_PER_YEAR / 24,
}
_SHIFTS = ("LeadTimeOffset", "LeadOffsetFirstSample", "FirstSampleBaseline")


def _sniff(_: Path, head: bytes) -> bool:
    return root_name(head) == _ROOT


def _read(path: Path, key: str) -> Recording:
    root = read_xml(path)
    rhythm = _rhythm(root)
    rate_hz = _rate_hz(rhythm)
    leads = _leads(rhythm)
    rows = {lead: _samples(element, lead) for lead, element in leads.items()}
    if len({row.size for row in rows.values()}) > 1:
        raise ReadError("truncated", "the leads hold different numbers of samples")
    acquired = _acquired(root)
    return Recording(
        key=key,
        leads=tuple(leads),
        rate_hz=rate_hz,
        counts=np.stack(list(rows.values())),
        gain_per_mv=np.array([_gain_per_mv(element, lead) for lead, element in leads.items()]),
        offset_counts=np.zeros(len(leads)),
        patient_id=text_of(root, "PatientDemographics/PatientID") or None,
        age_years=_age_years(root, acquired),
        sex=sex_from_text(text_of(root, "PatientDemographics/Gender")),
        source_format="ge-muse",
        acquired=acquired,
    )


def _rhythm(root: Element) -> Element:
    """Find the ten seconds; the median beat, which lies beside them, is left out."""
    if root.tag != _ROOT:
        raise ReadError("unreadable", "the XML is not that of a GE MUSE ECG")
    rhythms = [
        waveform for waveform in root.findall("Waveform") if text_of(waveform, "WaveformType").casefold() == "rhythm"
    ]
    if not rhythms:
        raise ReadError("no_waveform", "the file holds no waveform of the type Rhythm")
    if len(rhythms) > 1:
        raise ReadError("unsupported", f"the file holds {len(rhythms)} waveforms of the type Rhythm")
    if text_of(rhythms[0], "SampleType") not in ("CONTINUOUS_SAMPLES", ""):
        raise ReadError("unsupported", "the samples are not continuous")
    return rhythms[0]


def _rate_hz(rhythm: Element) -> float:
    base, exponent = number_of(rhythm, "SampleBase"), number_of(rhythm, "SampleExponent") or 0.0
    if base is None or abs(exponent) > 9:
        return checked_rate_hz(None)
    return checked_rate_hz(base * 10.0**exponent)


def _leads(rhythm: Element) -> dict[str, Element]:
    """Find the standard leads; files of 15 leads hold V3R, V4R, V7 and the like too."""
    elements = rhythm.findall("LeadData")
    chosen = chosen_leads([canonical_lead(text_of(element, "LeadID")) for element in elements])
    leads = {lead: elements[place] for place, lead in chosen.items()}
    if sum(len(element.findtext("WaveFormData") or "") for element in leads.values()) * 3 // 4 > (
        MAX_VALUES * _BYTES_PER_SAMPLE
    ):
        raise ReadError("too_long", f"at most {MAX_VALUES} samples in all are read")
    return leads


def _gain_per_mv(element: Element, lead: str) -> float:
    per_mv = units_per_mv(text_of(element, "LeadAmplitudeUnits"), lead)
    units_per_count = number_of(element, "LeadAmplitudeUnitsPerBit")
    return checked_gain_per_mv(per_mv / units_per_count if units_per_count else None, lead)


def _samples(element: Element, lead: str) -> Int16:
    """Decode the samples of one lead, int16 [sample], and verify their number and checksum."""
    if number_of(element, "LeadSampleSize") not in (_BYTES_PER_SAMPLE, None):
        raise ReadError("unsupported", f"the samples of lead {lead} are not of {_BYTES_PER_SAMPLE} bytes")
    if any(number_of(element, name) for name in _SHIFTS):
        raise ReadError("unsupported", f"lead {lead} is shifted in time or amplitude")
    try:
        encoded = (element.findtext("WaveFormData") or "").encode("ascii", "replace").translate(None, b" \t\r\n")
        content = binascii.a2b_base64(encoded, strict_mode=True)
    except ValueError:
        raise ReadError("unreadable", f"the samples of lead {lead} are not in base64") from None
    for name, size in (("LeadByteCountTotal", 1), ("LeadSampleCountTotal", _BYTES_PER_SAMPLE)):
        announced = number_of(element, name)
        if announced is not None and announced * size != len(content):
            reason = "truncated" if announced * size > len(content) else "unreadable"
            raise ReadError(reason, f"lead {lead} has another number of samples than it announces")
    if not content or len(content) % _BYTES_PER_SAMPLE:
        raise ReadError("truncated", f"lead {lead} has no samples, or half a one")
    # The CRC-32 of zlib over the decoded bytes; it holds for each lead and median beat of each real file.
    checksum = number_of(element, "LeadDataCRC32")
    if checksum is not None and checksum % 2**32 != crc32(content):
        raise ReadError("checksum", f"the samples of lead {lead} do not have the checksum that is given")
    return np.frombuffer(content, "<i2").astype(np.int16, copy=False)


def _age_years(root: Element, acquired: date | None) -> float | None:
    text, unit = (text_of(root, f"PatientDemographics/{name}") for name in ("PatientAge", "AgeUnits"))
    if unit == "YEARS":
        return age_from_text(text)
    if unit in _YEARS_PER_UNIT and text.isascii() and text.isdigit():
        age_years = int(text[:9]) * _YEARS_PER_UNIT[unit]
        return age_years if age_years <= MAX_AGE_YEARS else None
    born = time_from_text(text_of(root, "PatientDemographics/DateofBirth"), "%m-%d-%Y")
    return age_at(born, acquired)


def _acquired(root: Element) -> datetime | None:
    day, time = (text_of(root, f"TestDemographics/Acquisition{name}") for name in ("Date", "Time"))
    return time_from_text(f"{day} {time}", "%m-%d-%Y %H:%M:%S")


GE_MUSE = Vendor(name="ge-muse", suffixes=(".xml",), sniff=_sniff, read=one_ecg(_read))
"""RestingECG exports: 8, 12 or 15 stored leads, of which the standard ones are read."""
