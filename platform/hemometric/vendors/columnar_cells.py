"""Cells of a table into samples and times, whatever type their column has."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from hemometric.vendors.samples import check_size, time_of
from hemometric.vendors.source import ReadError

STORED = {"int16": "<i2", "int32": "<i4", "float32": "<f4", "float64": "<f8"}
"""What bytes may be, all little-endian."""


def wall_clock(cell: Any) -> datetime | None:
    """Read a time: of a time column in its own zone, or as text."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_timestamp(cell.type):
        return time_of(cell.as_py())
    try:  # nanoseconds have no place in a datetime
        return time_of(pc.cast(cell, pa.timestamp("us", cell.type.tz), safe=False).as_py())
    except (KeyError, ValueError):  # a zone that this machine does not know: the clock there cannot be told
        return None


def lead_of(cell: Any) -> npt.NDArray[Any]:
    """Read a cell that is a list of numbers."""
    values = _listed(cell)
    check_size(1, len(values))
    return _numbers(values)


def signal_of(cell: Any, num_leads: int, outer: str, stored: str) -> npt.NDArray[Any]:
    """Read a cell that holds all leads.

    Parameters
    ----------
    outer : "lead" or "sample"
        The outer one of the two axes.
    stored : str
        What bytes are, one of `STORED`.

    Returns
    -------
    number [lead, sample]
    """
    import pyarrow.compute as pc
    import pyarrow.types as types

    if (types.is_binary(cell.type) or types.is_large_binary(cell.type)) and cell.is_valid:
        content = cell.as_py()
        if len(content) % np.dtype(STORED[stored]).itemsize:
            raise ReadError("truncated", "the bytes of its samples are no whole number of samples")
        values = np.frombuffer(content, STORED[stored])
    else:
        listed = _listed(cell)
        if _is_list(listed.type):
            lengths = pc.unique(pc.list_value_length(listed)).to_pylist()
            if listed.null_count or len(lengths) > 1:
                raise ReadError("truncated", "the leads hold different numbers of samples")
            found = len(listed) if outer == "lead" else sum(lengths)
            if found != num_leads:
                raise ReadError("unsupported", f"a row has {found} leads, and the config {num_leads}")
            listed = listed.flatten()
        values = _numbers(listed)
    if values.size % num_leads:
        raise ReadError("truncated", f"its samples are no multiple of {num_leads} leads")
    check_size(num_leads, values.size // num_leads)
    return values.reshape(num_leads, -1) if outer == "lead" else values.reshape(-1, num_leads).T


def _listed(cell: Any) -> Any:
    if not _is_list(cell.type):
        raise ReadError("unsupported", "the column of the samples holds no lists")
    if not cell.is_valid:
        raise ReadError("no_waveform", "the row holds no samples")
    return cell.values


def _is_list(kind: Any) -> bool:
    import pyarrow.types as types

    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _numbers(values: Any) -> npt.NDArray[Any]:
    """Give numbers, as float64 with NaN where one is missing."""
    import pyarrow as pa
    import pyarrow.types as types

    if not (types.is_integer(values.type) or types.is_floating(values.type)):
        raise ReadError("unsupported", "its samples are no plain numbers")
    if values.null_count:
        values = values.cast(pa.float64())
    numbers: npt.NDArray[Any] = values.to_numpy(zero_copy_only=False)
    return numbers
