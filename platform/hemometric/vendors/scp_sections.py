"""The sections of an SCP-ECG record: where they lie, their checksums, and the tables of numbers in them.

Section 1 holds the person, 3 the leads, 4 the places of the beats, 5 the reference beat, 6 the rhythm. All others, with
measurements and statements, are left alone.
"""

from __future__ import annotations

import struct
from binascii import crc_hqx
from dataclasses import dataclass
from datetime import date, datetime

from hemometric.ecg import Sex
from hemometric.vendors.demographics import MAX_AGE_YEARS, age_at
from hemometric.vendors.source import ReadError

MAGIC = b"SCPECG"
"""What stands in the reserved bytes of section 0; version 1 of the standard leaves them empty."""

RECORD_BYTES = 6
"""Before section 0: checksum and length of the record."""

HEADER = struct.Struct("<HHIBB6s")
"""Before each section: checksum, number, length, two versions, reserved bytes."""

_POINTER = struct.Struct("<HII")
_LEAD = struct.Struct("<IIB")
_BEAT = struct.Struct("<HIII")
_MAX_POINTERS = 1024
_USED = (1, 2, 3, 4, 5, 6)
_LEAD_NAMES = {
    1: "I", 2: "II", 61: "III", 62: "aVR", 63: "aVL", 64: "aVF",
    3: "V1", 4: "V2", 5: "V3", 6: "V4", 7: "V5", 8: "V6",
}  # fmt: skip
_SEXES: dict[int, Sex] = {1: "male", 2: "female"}
_UNITS_PER_YEAR = {1: 1.0, 2: 12.0, 3: 365.25 / 7, 4: 365.25, 5: 365.25 * 24}  # years, months, weeks, days, hours
_PATIENT_ID, _AGE, _BORN, _SEX, _DATE, _TIME, _END = 2, 4, 5, 8, 25, 26, 255


@dataclass(frozen=True)
class Person:
    """All that is read of section 1."""

    patient_id: str | None = None
    age_years: float | None = None
    sex: Sex | None = None
    acquired: datetime | None = None


@dataclass(frozen=True)
class Lead:
    """A lead, and when it was recorded: from sample `start` to before sample `end` of the record, counted from 0."""

    name: str | None
    start: int
    end: int


@dataclass(frozen=True)
class Signals:
    """Section 5 or 6.

    Attributes
    ----------
    nanovolts, interval_us : int
        Of one count, and from one sample to the next.
    order : int
        Of the differences that are stored: 0 (the samples themselves), 1 or 2.
    bimodal : bool
        Whether samples outside of the QRS complexes were left out.
    streams : tuple of bytes
        One for each lead.
    """

    nanovolts: int
    interval_us: int
    order: int
    bimodal: bool
    streams: tuple[bytes, ...]


@dataclass(frozen=True)
class Beats:
    """Section 4.

    Attributes
    ----------
    length_ms : int
        Of the reference beat.
    zones : tuple of (int, int, int)
        Where the reference beat was subtracted: first sample, the sample behind the last, both of the record and
        counted from 0, and the sample of the reference beat that lies on the first.
    """

    length_ms: int
    zones: tuple[tuple[int, int, int], ...]


def split(content: bytes) -> dict[int, bytes]:
    """Find the sections that are used, without their headers; one that is empty or absent is left out.

    Raises
    ------
    ReadError
        ``truncated``, ``checksum`` of the record or of a section, ``unreadable``.
    """
    if len(content) < RECORD_BYTES + HEADER.size:
        raise ReadError("truncated", f"{len(content)} bytes hold no record")
    checksum, length = struct.unpack_from("<HI", content)
    if length > len(content):
        raise ReadError("truncated", f"{len(content)} of {length} bytes of the record are there")
    record = content[:length]
    if crc_hqx(record[2:], 0xFFFF) != checksum:
        raise ReadError("checksum", "the record does not give its checksum")
    pointers = _section(record, 0, RECORD_BYTES, HEADER.unpack_from(record, RECORD_BYTES)[2])
    if len(pointers) % _POINTER.size or len(pointers) > _MAX_POINTERS * _POINTER.size:
        raise ReadError("unreadable", "the section of pointers is no list of pointers")
    found: dict[int, bytes] = {}
    for number, size, index in _POINTER.iter_unpack(pointers):
        if number not in _USED or size <= HEADER.size:
            continue
        if number in found:
            raise ReadError("unreadable", f"section {number} stands twice in the list")
        found[number] = _section(record, number, index - 1, size)
    return found


def parse_person(content: bytes) -> Person:
    """Read section 1: fields of a tag, a length and a value; the first of a kind counts."""
    fields: dict[int, bytes] = {}
    place = 0
    while place < len(content) and content[place] != _END:
        if len(content) < place + 3:
            raise ReadError("truncated", "the section of the person ends before it should")
        tag, size = struct.unpack_from("<BH", content, place)
        if len(content) < place + 3 + size:
            raise ReadError("truncated", "the section of the person ends before it should")
        fields.setdefault(tag, content[place + 3 : place + 3 + size])
        place += 3 + size
    day, sex = _date(fields.get(_DATE, b"")), fields.get(_SEX, b"")
    return Person(
        patient_id=fields.get(_PATIENT_ID, b"").split(b"\0")[0].decode("latin-1").strip() or None,
        age_years=_age(fields.get(_AGE, b"")) or age_at(_date(fields.get(_BORN, b"")), day),
        sex=_SEXES.get(sex[0]) if sex else None,
        acquired=_datetime(day, fields.get(_TIME, b"")),
    )


def parse_leads(content: bytes) -> tuple[tuple[Lead, ...], bool]:
    """Read section 3: the leads, and whether a reference beat was subtracted from them."""
    if len(content) < 2 or len(content) < 2 + content[0] * _LEAD.size:
        raise ReadError("truncated", "the section of leads ends before it should")
    num_leads, flags = content[0], content[1]
    # The flags also say which leads were recorded at the same time; their first and last samples say it too.
    leads = []
    for number, (first, last, code) in enumerate(_LEAD.iter_unpack(content[2 : 2 + num_leads * _LEAD.size])):
        if not 1 <= first <= last:
            raise ReadError("unreadable", f"lead {number + 1} ends before it begins")
        leads.append(Lead(_LEAD_NAMES.get(code), first - 1, last))
    return tuple(leads), bool(flags & 1)


def parse_beats(content: bytes) -> Beats:
    """Read section 4; the length is 0 where there is no reference beat."""
    if len(content) < 6:
        raise ReadError("truncated", "the section of beats ends before it should")
    length_ms, reference, num_beats = struct.unpack_from("<HHH", content)
    if len(content) < 6 + num_beats * _BEAT.size:
        raise ReadError("truncated", "the section of beats ends before it should")
    zones = []
    for kind, first, fiducial, last in _BEAT.iter_unpack(content[6 : 6 + num_beats * _BEAT.size]):
        if kind == 0:  # only such a beat was like the reference beat, whose own fiducial is sample `reference`
            zones.append((first - 1, last, reference - 1 - (fiducial - first)))
    return Beats(length_ms, tuple(zones))


def parse_signals(content: bytes, num_leads: int) -> Signals:
    """Read section 5 or 6."""
    start = 6 + 2 * num_leads
    if len(content) < start:
        raise ReadError("truncated", "a section of samples ends before it should")
    nanovolts, interval_us, order, bimodal = struct.unpack_from("<HHBB", content)
    sizes = struct.unpack_from(f"<{num_leads}H", content, 6)
    if len(content) < start + sum(sizes):
        raise ReadError("truncated", "a section of samples ends before it should")
    if order > 2:
        raise ReadError("unsupported", "the samples are stored as differences of an unknown kind")
    streams = []
    for size in sizes:
        streams.append(content[start : start + size])
        start += size
    return Signals(nanovolts, interval_us, order, bimodal != 0, tuple(streams))


def _section(record: bytes, number: int, start: int, size: int) -> bytes:
    """Cut out a section, verify its checksum, and take off its header."""
    if start < RECORD_BYTES or size < HEADER.size or start + size > len(record):
        raise ReadError("unreadable", f"section {number} does not lie within the record")
    section = record[start : start + size]
    checksum, own_number, own_size, *_ = HEADER.unpack_from(section)
    if (own_number, own_size) != (number, size):
        raise ReadError("unreadable", f"section {number} is not where the list of sections says")
    if crc_hqx(section[2:], 0xFFFF) != checksum:
        raise ReadError("checksum", f"section {number} does not give its checksum")
    return section[HEADER.size :]


def _age(field: bytes) -> float | None:
    if len(field) < 3:
        return None
    number, unit = struct.unpack_from("<HB", field)
    age = number / _UNITS_PER_YEAR[unit] if number and unit in _UNITS_PER_YEAR else None
    return age if age is not None and age <= MAX_AGE_YEARS else None


def _date(field: bytes) -> date | None:
    try:
        return date(*struct.unpack_from("<HBB", field))
    except (struct.error, ValueError):
        return None


def _datetime(day: date | None, field: bytes) -> datetime | None:
    if day is None or len(field) < 3:
        return None
    try:
        return datetime(day.year, day.month, day.day, *field[:3])
    except ValueError:
        return None
