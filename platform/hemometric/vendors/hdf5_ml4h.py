"""HDF5 as the ml4h project writes it: a file for each patient, a group for each ECG, a dataset for each lead.

``partners_ecg_rest/2004-02-08T15:56:00/V1`` in ml4h's writer for GE MUSE exports, ``ecg/…`` in its later relatives.
There, each value is packed by zstd into one opaque dataset, whose attributes say what it was; numbers and texts that
are stored plainly are read, too. Beside the leads lie the fields of MUSE, all of them text.

Source: github.com/broadinstitute/ml4h, ml4h/tensorize/tensor_writer_mgb.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hemometric.ecg import LEADS, Recording
from hemometric.vendors.hdf5_file import Samples, attribute, checked, is_dataset, is_group, member, small
from hemometric.vendors.samples import (
    MAX_TEXT,
    Known,
    age_of,
    check_num_items,
    check_size,
    recording_of,
    sex_of,
    text_of,
    time_of,
)
from hemometric.vendors.scale import units_per_mv
from hemometric.vendors.source import MAX_VALUES, ReadError

_GROUPS = ("partners_ecg_rest", "ecg")
_MANY_PATIENTS = "bad_mrn"  # the writer's file for all ECGs without a patient id that is a number
_ZSTD = b"\x28\xb5\x2f\xfd"


def ecg_group(root: Any) -> Any:
    """Find the group whose members are ECGs; None if this is no file of ml4h."""
    groups = (member(root, name) for name in _GROUPS)
    return next((group for group in groups if is_group(group)), None)


def items(group: Any) -> tuple[str, ...]:
    """Name the ECGs: by the time at which each was recorded."""
    check_num_items(len(group))
    names = tuple(group)
    if not all(name.isprintable() and len(name) <= MAX_TEXT for name in names):
        raise ReadError("id_missing", "one of its ECGs has a name that is no time")
    return names


def read_item(group: Any, item: str, *, path: Path, key: str, source_format: str) -> Recording:
    """Read one ECG."""
    found = member(group, item)
    if not is_group(found):
        raise ReadError("no_waveform", "an ECG is listed, and is no group of leads")
    members = {name: member(found, name) for name in LEADS}
    names = [name for name, lead in members.items() if lead is not None]
    if not names:
        raise ReadError("no_standard_lead", "none of its members is named as a standard lead")
    unit = _text(found, "voltageunits") or _text(found, "units")
    if unit is None:
        raise ReadError("unknown_unit", "the file does not say the unit of its samples")
    return recording_of(
        [_lead(members[name]) for name in names],
        names,
        key=key,
        source_format=source_format,
        rate_hz=_rate_hz(found),
        units_per_mv=units_per_mv(unit, names[0]),
        known=Known(
            patient_id=None if path.stem == _MANY_PATIENTS else path.stem,
            age_years=age_of(_text(found, "patientage")),
            sex=sex_of(_text(found, "gender")),
            acquired=time_of(item),
        ),
    )


def _rate_hz(group: Any) -> float | None:
    """Read MUSE's base and exponent (500 and 0), or a plain frequency; the rate of the measurements is another one."""
    base = _number(_text(group, "waveform_samplebase"))
    if base is None:
        return _number(_text(group, "sampling_frequency"))
    exponent = _number(_text(group, "waveform_sampleexponent") or "0")
    return None if exponent is None or abs(exponent) > 9 else base * 10.0**exponent


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def _text(group: Any, name: str) -> str | None:
    """Read a field of an ECG, which is a dataset or an attribute."""
    found = member(group, name)
    if found is None:
        return text_of(attribute(group, name))
    value = small(found)
    return text_of(_unpacked(value, found) if value is not None and _is_packed(found) else value)


def _lead(found: Any) -> npt.NDArray[Any]:
    if not _is_packed(found):
        samples = Samples(found)
        if len(samples.shape) != 1:
            raise ReadError("unsupported", "a lead is no plain list of samples")
        check_size(1, samples.shape[0])
        return samples.read((slice(None),))
    if checked(found).dtype.itemsize > MAX_VALUES:
        raise ReadError("too_long", "a lead is longer than any ECG")
    content = _unpacked(found[()].tobytes(), found)
    # The writer says "int16" in a text; that the bytes are two a sample says as much and needs no heap of texts.
    if len(content) != 2 * (_whole(found, "len") or 0):
        raise ReadError("unsupported", "the samples of a packed lead are not of 16 bits")
    return np.frombuffer(content, "<i2")


def _is_packed(found: Any) -> bool:
    return is_dataset(found) and found.dtype.kind == "V" and found.shape == ()


def _whole(found: Any, name: str) -> int | None:
    value = attribute(found, name)
    return int(value) if isinstance(value, np.integer) else None


def _unpacked(content: bytes, found: Any) -> bytes:
    import pyarrow as pa

    size = _whole(found, "uncompressed_length")
    if size is None or not content.startswith(_ZSTD):
        raise ReadError("unsupported", "a value is packed otherwise than by zstd, or its size is missing")
    if not 0 < size <= 2 * MAX_VALUES:
        raise ReadError("too_long", "a packed value is empty, or longer than any ECG")
    try:
        unpacked: bytes = pa.Codec("zstd").decompress(content, decompressed_size=size, asbytes=True)
    except (pa.ArrowException, OSError):
        raise ReadError("unreadable", "a packed value cannot be unpacked") from None
    return unpacked
