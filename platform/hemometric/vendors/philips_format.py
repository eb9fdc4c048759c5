"""Philips cardiographs' XML: Sierra ECG 1.03, Philips ECG 1.04 and 1.04.01."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from hemometric.ecg import LEADS, Recording, canonical_lead
from hemometric.vendors.chosen import chosen_leads
from hemometric.vendors.demographics import MAX_AGE_YEARS, age_at, age_from_text, sex_from_text
from hemometric.vendors.number_text import read_integers
from hemometric.vendors.scale import checked_gain_per_mv, checked_offset_counts, checked_rate_hz, number_from_text
from hemometric.vendors.source import MAX_VALUES, ReadError, Vendor, one_ecg
from hemometric.vendors.xli import Int64, decode_xli
from hemometric.vendors.xml_file import read_xml, root_name

_DOCUMENT_TYPES = ("SierraECG", "PhilipsECG")
_VERSIONS = ("1.03", "1.04", "1.04.01", "1.04.02")
_TWELVE_LEADS = ("STD-12", "10-WIRE")
_MAX_CHANNELS = 32
_INT16_MAX = np.iinfo(np.int16).max
_PER_YEAR = {"months": 12.0, "weeks": 52.1775, "days": 365.2425, "hours": 8765.82, "minutes": 525949.2}
_SPACE = re.compile(r"\s+")


def _sniff(_path: Path, head: bytes) -> bool:
    return root_name(head) == "restingecgdata"


def _read(path: Path, key: str) -> Recording:
    root = read_xml(path)
    _check_version(root)
    parsed = _parsed_waveforms(root)
    fields = _fields(root, parsed)
    names = _names(fields)
    chosen = chosen_leads([canonical_lead(name) for name in names])
    rate_hz = checked_rate_hz(_number(fields, "samplespersecond", "samplingrate"))
    resolution_uv = _number(fields, "resolution", "signalresolution")
    gain_per_mv = checked_gain_per_mv(1000.0 / resolution_uv if resolution_uv else None, names[0])
    offset = checked_offset_counts(_number(fields, "signaloffset") or 0.0, gain_per_mv, names[0])
    counts = _counts(parsed.text or "", fields, names, rate_hz)
    counts = _without_calibration(counts, names, gain_per_mv, offset)[list(chosen)]
    if counts.max() > _INT16_MAX or counts.min() < -_INT16_MAX:
        raise ReadError("unreadable", "the samples leave the range of 16 bits")
    acquired = _acquired(root)
    return Recording(
        key=key,
        leads=tuple(chosen.values()),
        rate_hz=rate_hz,
        counts=counts.astype(np.int16),
        gain_per_mv=np.full(len(chosen), gain_per_mv),
        offset_counts=np.full(len(chosen), offset),
        patient_id=_text(root, "patient/generalpatientdata/patientid"),
        age_years=_age_years(root, acquired),
        sex=sex_from_text(_text(root, "patient/generalpatientdata/sex") or ""),
        source_format="philips-sierra",
        acquired=acquired,
    )


def _parsed_waveforms(root: Element) -> Element:
    waveforms = root.find("{*}waveforms")
    parsed = None if waveforms is None else waveforms.find("{*}parsedwaveforms")
    if waveforms is None or parsed is None:
        if waveforms is not None and any(
            waveforms.find(f"{{*}}{name}") is not None for name in ("unparsedwaveforms", "leadwaveforms")
        ):
            raise ReadError("unsupported", "its samples lie in another file, or in pieces of single leads")
        raise ReadError("no_waveform", "the file holds no waveform")
    return parsed


def _check_version(root: Element) -> None:
    document = _text(root, "documentinfo/documenttype"), _text(root, "documentinfo/documentversion")
    if document[0] not in _DOCUMENT_TYPES or document[1] not in _VERSIONS:
        raise ReadError("unsupported", f"the XML says that it is no Philips ECG of version {', '.join(_VERSIONS)}")


def _fields(root: Element, parsed: Element) -> dict[str, str]:
    """Gather what is said of the samples; what stands with them counts before what stands with their acquisition."""
    acquisition = root.find("{*}dataacquisition/{*}signalcharacteristics")
    fields = {
        element.tag.rpartition("}")[2]: element.text or "" for element in (() if acquisition is None else acquisition)
    }
    return fields | dict(parsed.attrib)


def _names(fields: Mapping[str, str]) -> tuple[str, ...]:
    """Name the channels in their order."""
    labels = fields.get("leadlabels", "").split(maxsplit=_MAX_CHANNELS)[:_MAX_CHANNELS]
    if labels:
        num_leads = _number(fields, "numberofleads")
        return tuple(labels if num_leads is None else labels[: max(0, int(num_leads))])
    if fields.get("acquisitiontype") in _TWELVE_LEADS:  # 1.03 names no leads; channels beyond the twelfth are spare
        return LEADS
    raise ReadError("no_standard_lead", "its channels have no names, and were not recorded as twelve standard leads")


def _counts(text: str, fields: Mapping[str, str], names: Sequence[str], rate_hz: float) -> Int64:
    """Decode the named channels, int64 [channel, sample]."""
    duration_s = (_number(fields, "durationperchannel") or 0.0) / 1000.0
    if not 0 < duration_s * rate_hz * len(names) <= MAX_VALUES:
        reason = "no_waveform" if duration_s <= 0 else "too_long"
        raise ReadError(reason, f"the file announces {duration_s:g} s for each of {len(names)} channels")
    num_samples = round(duration_s * rate_hz)
    num_bits = _number(fields, "nbitspersample", "bitspersample")
    if num_bits not in (None, 16) or fields.get("signalsigned", "True") != "True":
        raise ReadError("unsupported", "its samples are not signed numbers of 16 bits")
    compression = fields.get("compressmethod", fields.get("compression", ""))
    is_compressed = fields.get("compressflag", str(bool(compression))) == "True"
    match fields.get("dataencoding"), compression if is_compressed else "":
        case "Base64", "XLI":
            if _number(fields, "signaloffset"):
                raise ReadError("unsupported", "its samples are compressed and have an offset")
            return _restored(decode_xli(_base64(text), len(names), num_samples), names)
        case "Base64", "":
            content = _base64(text)[: 2 * num_samples * len(names)]
            values = np.frombuffer(content[: len(content) // 2 * 2], "<i2").astype(np.int64)
        case "Plain", "":
            values = read_integers(text)[: num_samples * len(names)]
        case _:
            raise ReadError("unsupported", "its samples are encoded or compressed in a way that is not read")
    if values.size < num_samples * len(names):
        raise ReadError("truncated", f"{values.size} of {num_samples * len(names)} samples are there")
    return values.reshape(len(names), num_samples)


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(_SPACE.sub("", text), validate=True)
    except (binascii.Error, ValueError):
        raise ReadError("unreadable", "the samples are no Base64") from None


def _restored(channels: Int64, names: Sequence[str]) -> Int64:
    """Turn what compression leaves of III, aVR, aVL and aVF into these leads.

    It stores how far each is from what the leads before it say, halves cut towards zero: so cut, the leads of
    PageWriters are within half a count of the identities of the limb leads, with halves rounded down up to 1.5.
    """
    row = {canonical_lead(name): channel for name, channel in zip(names, channels, strict=True)}
    if not row.keys() & {"III", "aVR", "aVL", "aVF"}:
        return channels
    if not row.keys() >= {"I", "II", "III"}:
        raise ReadError("unsupported", "its limb leads are compressed without those that they follow from")
    limb_i, limb_ii, limb_iii = row["I"], row["II"], row["III"]
    limb_iii[:] = limb_ii - limb_i - limb_iii
    sums = {"aVR": -_half(limb_i + limb_ii), "aVL": _half(limb_i - limb_iii), "aVF": _half(limb_ii + limb_iii)}
    for lead, expected in sums.items():
        if lead in row:
            row[lead][:] = expected - row[lead]
    return channels


def _half(total: Int64) -> Int64:
    half: Int64 = np.sign(total) * (np.abs(total) // 2)
    return half


def _without_calibration(counts: Int64, names: Sequence[str], gain_per_mv: float, offset: float) -> Int64:
    """Cut off the pulse of 1 mV that cardiographs write into every channel after the ECG.

    No ECG has 1 mV in I, II and III at once, since III is the difference of the others.
    """
    if not {"I", "II", "III"} <= {canonical_lead(name) for name in names}:
        return counts
    pulse = offset + round(gain_per_mv)
    first = counts[0]
    is_mark = (counts == first).all(axis=0) & ((first == offset) | (first == pulse))
    start = int(np.flatnonzero(~is_mark)[-1]) + 1 if not is_mark.all() else 0
    if not (first[start:] == pulse).any():
        return counts
    if start == 0:
        raise ReadError("no_waveform", "the file holds nothing but a calibration pulse")
    return counts[:, :start]


def _number(fields: Mapping[str, str], *names: str) -> float | None:
    """Read the first of some fields that is there and not empty."""
    text = next((fields[name] for name in names if fields.get(name, "").strip()), None)
    number = None if text is None else number_from_text(text)
    if text is not None and number is None:
        raise ReadError("unreadable", "a number that describes the samples is none")
    return number


def _text(root: Element, path: str) -> str | None:
    """Read an element's text as it is stored; None where there is none."""
    text = root.findtext("/".join(f"{{*}}{name}" for name in path.split("/")))
    return text if text and text.strip() else None


def _acquired(root: Element) -> datetime | None:
    acquisition = root.find("{*}dataacquisition")
    stamp = {} if acquisition is None else acquisition.attrib
    try:
        return datetime.fromisoformat(f"{stamp['date'].strip()}T{stamp['time'].strip()}").replace(tzinfo=None)
    except (KeyError, ValueError):
        return None


def _age_years(root: Element, acquired: datetime | None) -> float | None:
    """Read the one way in which the age is given; ``defaultage`` is the device's guess and not of this person."""
    age = "patient/generalpatientdata/age"
    if years := _text(root, f"{age}/years"):
        return age_from_text(years)
    for unit, per_year in _PER_YEAR.items():
        if (number := number_from_text(_text(root, f"{age}/{unit}") or "")) is not None:
            return number / per_year if 0 <= number / per_year <= MAX_AGE_YEARS else None
    try:
        return age_at(date.fromisoformat((_text(root, f"{age}/dateofbirth") or "").strip()), acquired)
    except ValueError:
        return None


PHILIPS_SIERRA = Vendor(name="philips-sierra", suffixes=(".xml",), sniff=_sniff, read=one_ecg(_read))
"""Waveforms compressed by XLI, in plain Base64, or as numbers in the text; representative beats are left out."""
