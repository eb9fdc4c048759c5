"""ISHNE 1.0, the exchange format of Holter recorders: a header with a checksum, then interleaved 16-bit samples.

The samples have no checksum, so that a damaged one cannot be noticed; a missing one can. Limb electrodes of a Holter
sit on the trunk (Mason and Likar 1966): the limb leads are those of the format all the same.

References
----------
Badilini F. The ISHNE Holter Standard Output File Format. Ann Noninvasive Electrocardiol 1998;3:263-266.
"""

from __future__ import annotations

import struct
from binascii import crc_hqx
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import numpy as np

from hemometric.ecg import Recording, Sex
from hemometric.vendors.chosen import chosen_leads
from hemometric.vendors.demographics import age_at
from hemometric.vendors.scale import checked_gain_per_mv, checked_rate_hz
from hemometric.vendors.source import MAX_VALUES, ReadError, Vendor, one_ecg, read_bounded

_MAGIC = b"ISHNE1.0"
_FIXED = struct.Struct("<4ih40x40x20sh2x3h3h6x3hh12h24x12h2x40xh")
_BLOCK_AT, _BLOCK_BYTES = 10, 512
_HEADER_BYTES = _BLOCK_AT + _BLOCK_BYTES
_MAX_VARIABLE_BYTES = 1 << 20
_MAX_LEADS = 12
_NANOVOLTS_PER_MV = 1e6
_SEXES: dict[int, Sex] = {1: "male", 2: "female"}
_LEADS = dict(enumerate(("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"), start=5))


@dataclass(frozen=True)
class _Header:
    """What is used of the header; the number of samples is as announced, of one lead or of all of them."""

    num_announced: int
    samples_at: int
    patient_id: str | None
    sex: Sex | None
    born: date | None
    acquired_on: date | None
    acquired: datetime | None
    lead_codes: tuple[int, ...]
    nanovolts: tuple[int, ...]
    rate_hz: int


def _sniff(_: Path, head: bytes) -> bool:
    return head.startswith(_MAGIC)


def _read(path: Path, key: str) -> Recording:
    header = _header(path)
    rate_hz = checked_rate_hz(header.rate_hz)
    chosen = chosen_leads([_LEADS.get(code) for code in header.lead_codes])
    gains = [checked_gain_per_mv(_per_mv(header.nanovolts[column]), lead) for column, lead in chosen.items()]
    frames = _frames(path, header)
    return Recording(
        key=key,
        leads=tuple(chosen.values()),
        rate_hz=rate_hz,
        # The format marks an absent sample as a `Recording` does, by the smallest count.
        counts=np.ascontiguousarray(frames[:, list(chosen)].T),
        gain_per_mv=np.array(gains, dtype=np.float64),
        offset_counts=np.zeros(len(chosen)),
        patient_id=header.patient_id,
        age_years=age_at(header.born, header.acquired_on),
        sex=header.sex,
        source_format="ishne",
        acquired=header.acquired,
    )


def _header(path: Path) -> _Header:
    """Read both header blocks and verify their checksum."""
    content = read_bounded(path, _HEADER_BYTES + _MAX_VARIABLE_BYTES)
    if len(content) < _HEADER_BYTES:
        raise ReadError("truncated", f"{len(content)} of {_HEADER_BYTES} bytes of the header are there")
    if not content.startswith(_MAGIC):
        raise ReadError("unreadable", "the file does not begin as ISHNE 1.0 does")
    fields = _FIXED.unpack_from(content, _BLOCK_AT)
    variable_bytes, num_announced, _, samples_at, _, patient_id, sex = fields[:7]
    if variable_bytes > _MAX_VARIABLE_BYTES:
        raise ReadError("too_long", f"the variable block of the header is larger than {_MAX_VARIABLE_BYTES} bytes")
    if variable_bytes < 0 or samples_at != _HEADER_BYTES + variable_bytes:
        raise ReadError("unreadable", "the samples do not begin where the header ends")
    if len(content) < samples_at:
        raise ReadError("truncated", f"{len(content)} of {samples_at} bytes of the header are there")
    (checksum,) = struct.unpack_from("<H", content, len(_MAGIC))
    if crc_hqx(content[_BLOCK_AT:samples_at], 0xFFFF) != checksum:
        raise ReadError("checksum", "the header does not give its checksum")
    born, day, time, num_leads = fields[7:10], fields[10:13], fields[13:16], fields[16]
    if not 1 <= num_leads <= _MAX_LEADS:
        raise ReadError("unreadable", f"the header announces {num_leads} leads; the format holds 1 to {_MAX_LEADS}")
    return _Header(
        num_announced=num_announced,
        samples_at=samples_at,
        patient_id=patient_id.split(b"\0")[0].decode("latin-1").strip() or None,
        sex=_SEXES.get(sex),
        born=_date(*born),
        acquired_on=_date(*day),
        acquired=_datetime(_date(*day), *time),
        lead_codes=fields[17 : 17 + num_leads],
        nanovolts=fields[29 : 29 + num_leads],
        rate_hz=fields[41],
    )


def _frames(path: Path, header: _Header) -> np.ndarray:
    """Read the samples, int16 [sample, lead].

    The format announces "the number of samples": recorders write that of one lead or that of all leads together, and
    the size of the file tells which.
    """
    num_leads, announced = len(header.lead_codes), header.num_announced
    if announced <= 0:
        raise ReadError("truncated", "the header announces no samples")
    content = read_bounded(path, 2 * min(announced * num_leads, MAX_VALUES + 1), header.samples_at)
    if len(content) > 2 * MAX_VALUES:
        raise ReadError("too_long", f"more than {MAX_VALUES} samples in all")
    num_values = len(content) // 2
    of_each = num_values >= announced * num_leads
    of_all = len(content) == 2 * announced and announced % num_leads == 0
    if not (of_each or of_all):
        raise ReadError("truncated", f"the file holds {num_values} samples of all leads together, fewer than announced")
    return np.frombuffer(content, "<i2").astype(np.int16, copy=False).reshape(-1, num_leads)


def _per_mv(nanovolts: int) -> float:
    return _NANOVOLTS_PER_MV / nanovolts if nanovolts else 0.0


def _date(day: int, month: int, year: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:  # -9 stands for "not known"
        return None


def _datetime(day: date | None, hour: int, minute: int, second: int) -> datetime | None:
    try:
        return datetime(day.year, day.month, day.day, hour, minute, second) if day else None
    except ValueError:
        return None


ISHNE = Vendor(name="ishne", suffixes=(".ecg",), sniff=_sniff, read=one_ecg(_read))
"""Header and variable block verified by their checksum; recordings longer than `MAX_VALUES` samples are refused."""
