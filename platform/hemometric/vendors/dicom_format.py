"""DICOM waveforms (PS3.3, C.10.9): 12-lead, general and ambulatory ECG, of the multiplex group that holds the rhythm.

A value in millivolts is count x sensitivity x correction factor + baseline, in the unit that each channel names.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hemometric.ecg import Recording, canonical_lead
from hemometric.vendors.demographics import age_at, age_from_text, sex_from_text
from hemometric.vendors.dicom_elements import Dataset, read_dataset
from hemometric.vendors.scale import ABSENT, checked_gain_per_mv, checked_offset_counts, checked_rate_hz, units_per_mv
from hemometric.vendors.source import MAX_VALUES, ReadError, Vendor, one_ecg, read_whole
from hemometric.vendors.traces import Lead, Trace, stacked, to_lead

CHARACTER_SET, ACQUIRED = 0x0008_0005, 0x0008_002A
PATIENT_ID, BIRTH_DATE, SEX, AGE = 0x0010_0020, 0x0010_0030, 0x0010_0040, 0x0010_1010
WAVEFORMS, WAVEFORM_DATA = 0x5400_0100, 0x5400_1010
BITS_ALLOCATED, INTERPRETATION, PADDING = 0x5400_1004, 0x5400_1006, 0x5400_100A
ORIGINALITY, NUM_CHANNELS, NUM_SAMPLES = 0x003A_0004, 0x003A_0005, 0x003A_0010
RATE, GROUP_LABEL, CHANNELS = 0x003A_001A, 0x003A_0020, 0x003A_0200
CHANNEL_LABEL, CHANNEL_STATUS, CHANNEL_SOURCE = 0x003A_0203, 0x003A_0205, 0x003A_0208
SENSITIVITY, UNITS, CORRECTION, BASELINE = 0x003A_0210, 0x003A_0211, 0x003A_0212, 0x003A_0213
TIME_SKEW, SAMPLE_SKEW, CHANNEL_OFFSET = 0x003A_0214, 0x003A_0215, 0x003A_0218
CODE, SCHEME, MEANING = 0x0008_0100, 0x0008_0102, 0x0008_0104

_SEQUENCES = (WAVEFORMS, CHANNELS, CHANNEL_SOURCE, UNITS)
_VALUES = (
    *(CHARACTER_SET, ACQUIRED, PATIENT_ID, BIRTH_DATE, SEX, AGE, WAVEFORM_DATA, BITS_ALLOCATED, INTERPRETATION),
    *(PADDING, ORIGINALITY, NUM_CHANNELS, NUM_SAMPLES, RATE, GROUP_LABEL, CHANNEL_LABEL, CHANNEL_STATUS, SENSITIVITY),
    *(CORRECTION, BASELINE, TIME_SKEW, SAMPLE_SKEW, CHANNEL_OFFSET, CODE, SCHEME, MEANING),
)
_SAMPLES = {(8, "SB"): "i1", (8, "UB"): "u1", (16, "SS"): "i2", (16, "US"): "u2", (32, "SL"): "i4"}
# The leads have the same numbers in both code systems (CID 3001).
_NUMBERS = {1: "I", 2: "II", 61: "III", 62: "aVR", 63: "aVL", 64: "aVF"} | {2 + v: f"V{v}" for v in range(1, 7)}
_CODES = {("MDC", f"2:{number}"): lead for number, lead in _NUMBERS.items()}
_CODES |= {("MDC", str((2 << 16) + number)): lead for number, lead in _NUMBERS.items()}
_CODES |= {("SCPECG", f"5.6.3-9-{number}"): lead for number, lead in _NUMBERS.items()}
# What the meanings of those codes say beyond the lead.
_EXPLAINED = re.compile(r"\s*\(einthoven\)$|,\s*augmented voltage,\s*(?:right|left|foot)$", re.IGNORECASE)
_UNUSABLE = {"TEST DATA", "DISCONNECTED", "INVALID", "UNCALIBRATED"}
_SINGLE_BYTE = {"100": 1, "101": 2, "109": 3, "110": 4, "144": 5, "127": 6, "126": 7, "138": 8, "148": 9}
_ENCODINGS = {f"ISO_IR {number}": f"iso8859-{part}" for number, part in _SINGLE_BYTE.items()}
_ENCODINGS |= {"ISO_IR 192": "utf-8", "ISO_IR 13": "shift_jis", "ISO_IR 166": "tis-620"}
_ENCODINGS |= {"GB18030": "gb18030", "GBK": "gbk"}
_DATE = re.compile(r"(\d{4})\.?(\d\d)\.?(\d\d)", re.ASCII)
_DATE_TIME = re.compile(r"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(?:(\d\d)(?:\.\d{1,6})?)?(?:[+-]\d{4})?", re.ASCII)
_AGE = re.compile(r"(\d{1,3})([DWM])", re.ASCII)
_UNITS_A_YEAR = {"D": 365.25, "W": 365.25 / 7, "M": 12.0}


def _sniff(path: Path, head: bytes) -> bool:  # noqa: ARG001 - DICOM files often have no suffix
    return head[128:132] == b"DICM"


def _read(path: Path, key: str) -> Recording:
    dataset = read_dataset(read_whole(path), _VALUES, _SEQUENCES)
    group, chosen = _rhythm(dataset.items(WAVEFORMS))
    rate_hz = checked_rate_hz(group.number(RATE))
    samples, absent = _samples(group)
    leads = [_lead(group.items(CHANNELS)[index], name, samples[:, index], absent) for index, name in chosen.items()]
    acquired = _date_time(dataset.text(ACQUIRED))
    age_years = _age(dataset.text(AGE))
    if age_years is None:
        age_years = age_at(_date(dataset.text(BIRTH_DATE)), acquired.date() if acquired else None)
    return Recording(
        key=key,
        leads=tuple(chosen.values()),
        rate_hz=rate_hz,
        **stacked(leads),
        patient_id=dataset.text(PATIENT_ID, _encoding(dataset)) or None,
        age_years=age_years,
        sex=sex_from_text(dataset.text(SEX)),
        source_format="dicom",
        acquired=acquired,
    )


def _rhythm(groups: list[Dataset]) -> tuple[Dataset, dict[int, str]]:
    """Choose the multiplex group with most standard leads, then most samples, of those that were recorded.

    Returns
    -------
    group : Dataset
    leads : dict of int to str
        The standard leads by the position of their channels in the group.
    """
    if not groups:
        raise ReadError("no_waveform", "the file holds no waveform")
    recorded = [group for group in groups if not _is_derived(group)]
    if not recorded:
        raise ReadError("no_waveform", "each of its waveforms was derived, such as a median beat")
    leads = [_standard_leads(group) for group in recorded]
    best = max(range(len(recorded)), key=lambda index: (len(leads[index]), recorded[index].unsigned(NUM_SAMPLES)))
    if not leads[best]:
        raise ReadError("no_standard_lead", "none of its channels is usable and named as a standard lead")
    # Three leads at a time, 2.5 s each, would otherwise pass for an ECG of three leads.
    if any(set(other.values()) - set(leads[best].values()) for other in leads):
        raise ReadError("unsupported", "its leads are spread over several multiplex groups")
    return recorded[best], leads[best]


def _is_derived(group: Dataset) -> bool:
    label = group.text(GROUP_LABEL).casefold()
    return group.text(ORIGINALITY) == "DERIVED" or "median" in label or "beat" in label


def _standard_leads(group: Dataset) -> dict[int, str]:
    channels = group.items(CHANNELS)
    if len(channels) != group.unsigned(NUM_CHANNELS):
        raise ReadError("unreadable", "a multiplex group describes more or fewer channels than it has")
    leads: dict[int, str] = {}
    for index, channel in enumerate(channels):
        lead = _name(channel)
        if lead is None or _UNUSABLE & set(channel.text(CHANNEL_STATUS).split("\\")):
            continue
        if lead in leads.values():
            raise ReadError("duplicate_lead", f"lead {lead} stands twice in a multiplex group")
        leads[index] = lead
    if len({_skew(channels[index]) for index in leads}) > 1:
        raise ReadError("unsupported", "its leads are skewed against each other")
    return leads


def _skew(channel: Dataset) -> tuple[float, ...]:
    return tuple(channel.number(tag) or 0.0 for tag in (TIME_SKEW, SAMPLE_SKEW, CHANNEL_OFFSET))


def _name(channel: Dataset) -> str | None:
    """Find the standard lead of a channel: by its code, else by the code's meaning, else by its label."""
    sources = channel.items(CHANNEL_SOURCE)
    source = sources[0] if len(sources) == 1 else Dataset(channel.order)
    code = source.text(CODE)
    coded = _CODES.get((source.text(SCHEME), code)) or canonical_lead(code)
    meant = canonical_lead(_EXPLAINED.sub("", source.text(MEANING)))
    if coded and meant and coded != meant:
        raise ReadError("lead_conflict", f"a channel has the code of lead {coded} and the name of lead {meant}")
    if coded or meant:
        return coded or meant
    return None if code or source.text(MEANING) else canonical_lead(channel.text(CHANNEL_LABEL))


def _samples(group: Dataset) -> tuple[npt.NDArray[np.integer], int | None]:
    """Decode the samples of a group.

    Returns
    -------
    samples : int [sample, channel]
    absent : int or None
        The sample value that means "no sample here".
    """
    stored = _SAMPLES.get((group.unsigned(BITS_ALLOCATED), group.text(INTERPRETATION)))
    if stored is None:
        raise ReadError("unsupported", "its samples are neither plain integers of 8 or 16 bits nor signed ones of 32")
    kind = np.dtype(group.order + stored)
    num_channels, num_samples = group.unsigned(NUM_CHANNELS), group.unsigned(NUM_SAMPLES)
    if num_samples == 0:
        raise ReadError("no_waveform", "the multiplex group of the rhythm has no samples")
    if num_channels * num_samples > MAX_VALUES:
        raise ReadError("too_long", f"the file announces {num_channels * num_samples} samples; {MAX_VALUES} are read")
    data = group.values.get(WAVEFORM_DATA, memoryview(b""))
    wanted = num_channels * num_samples * kind.itemsize
    if len(data) < wanted:
        raise ReadError("truncated", f"{len(data)} of {wanted} bytes of samples are there")
    padding = group.values.get(PADDING, memoryview(b""))
    absent = int(np.frombuffer(padding, kind, 1)[0]) if len(padding) >= kind.itemsize else None
    return np.frombuffer(data, kind, num_channels * num_samples).reshape(num_samples, num_channels), absent


def _lead(channel: Dataset, name: str, samples: npt.NDArray[np.integer], absent: int | None) -> Lead:
    sensitivity, correction = channel.number(SENSITIVITY), channel.number(CORRECTION)
    per_count = (sensitivity or 0.0) * (1.0 if correction is None else correction)
    gain_per_mv = checked_gain_per_mv(_unit_per_mv(channel, name) / per_count if per_count else None, name)
    offset_counts = checked_offset_counts(0.0 - (channel.number(BASELINE) or 0.0) / per_count, gain_per_mv, name)
    counts = samples.astype(np.int32)
    if absent is not None:
        counts[samples == absent] = ABSENT
    return to_lead(Trace(counts, gain_per_mv, offset_counts))


def _unit_per_mv(channel: Dataset, name: str) -> float:
    units = channel.items(UNITS)
    return units_per_mv(units[0].text(CODE) if len(units) == 1 else "", name)


def _encoding(dataset: Dataset) -> str:
    """Find how text beyond ASCII is written; what is not known is read byte by byte, so that ids stay distinct."""
    return _ENCODINGS.get(dataset.text(CHARACTER_SET).replace("ISO 2022 IR", "ISO_IR"), "latin-1")


def _age(text: str) -> float | None:
    match = _AGE.fullmatch(text)
    return int(match[1]) / _UNITS_A_YEAR[match[2]] if match else age_from_text(text)


def _date(text: str) -> date | None:
    match = _DATE.fullmatch(text)
    try:
        return date(*map(int, match.groups())) if match else None
    except ValueError:
        return None


def _date_time(text: str) -> datetime | None:
    """Read a wall clock that is known to the minute; its time zone, if there is one, is that of the wall."""
    match = _DATE_TIME.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups())
    try:
        return datetime(year, month, day, hour, minute, second)
    except ValueError:
        return None


DICOM = Vendor(name="dicom", suffixes=(".dcm", ".dicom"), sniff=_sniff, read=one_ecg(_read))
"""Waveform objects in explicit or implicit, little- or big-endian, plain or deflated transfer syntax."""
