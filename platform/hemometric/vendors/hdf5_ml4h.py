"""HDF5 as the ml4h project writes it: a file for each patient, a group for each ECG, a dataset for each lead.

``partners_ecg_rest/2004-02-08T15:56:00/V1`` in ml4h's writer for GE MUSE exports, ``ecg/…`` in its later relatives.
There, each value is packed by zstd into one opaque dataset, whose attributes say what it was; numbers and texts that
are stored plainly are read, too. Beside the leads lie the fields of MUSE, all of them text.

Source: github.com/broadinstitute/ml4h, ml4h/tensorize/tensor_writer_mgb.py.
"""

from __future__ import annotations

from collections.abc import Mapping
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
_NUMBERS = {"int16": "<i2", "int32": "<i4", "float32": "<f4", "float64": "<f8", "float": "<f8"}


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
    packing = _packing(found)
    return text_of(value if packing is None or value is None else _unpacked(value, packing))


def _lead(found: Any) -> npt.NDArray[Any]:
    packing = _packing(found)
    if packing is None:
        samples = Samples(found)
        if len(samples.shape) != 1:
            raise ReadError("unsupported", "a lead is no plain list of samples")
        check_size(1, samples.shape[0])
        return samples.read((slice(None),))
    kind = _NUMBERS.get(str(packing["dtype"]))
    if kind is None:
        raise ReadError("unsupported", "the samples of a lead are no plain numbers")
    if checked(found).dtype.itemsize > MAX_VALUES:
        raise ReadError("too_long", "a lead is longer than any ECG")
    content = _unpacked(found[()].tobytes(), packing)
    if len(content) % np.dtype(kind).itemsize:
        raise ReadError("unreadable", "the bytes of a lead are no whole number of samples")
    return np.frombuffer(content, kind)


def _packing(found: Any) -> Mapping[str, Any] | None:
    """Read how a value was packed; None where it is stored plainly."""
    if not is_dataset(found) or found.dtype.kind != "V" or found.shape != ():
        return None
    packing = {name: text_of(attribute(found, name)) for name in ("method", "dtype", "uncompressed_length")}
    if packing["method"] != "zstd" or not (packing["uncompressed_length"] or "").isdecimal():
        raise ReadError("unsupported", "a value is packed otherwise than by zstd, or its size is missing")
    return packing


def _unpacked(content: bytes, packing: Mapping[str, Any]) -> bytes:
    import pyarrow as pa

    size = int(packing["uncompressed_length"])
    if size > MAX_VALUES * 8:
        raise ReadError("too_long", "a lead is longer than any ECG")
    if not size:
        return b""
    try:
        unpacked: bytes = pa.Codec("zstd").decompress(content, decompressed_size=size, asbytes=True)
    except (pa.ArrowException, OSError):
        raise ReadError("unreadable", "a packed value cannot be unpacked") from None
    return unpacked
