"""Plain numbers into a `Recording`, for formats whose samples are arrays or columns of a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from hemometric.ecg import Recording, Sex, canonical_lead
from hemometric.vendors.chosen import chosen_leads
from hemometric.vendors.demographics import age_from_text, sex_from_text
from hemometric.vendors.scale import ABSENT, checked_gain_per_mv, checked_rate_hz, to_int16
from hemometric.vendors.source import MAX_VALUES, ReadError

MAX_ITEMS = 1 << 22
"""ECGs that one file may hold."""

MAX_TEXT = 256
"""Characters of an id, or of another single value."""

Unit = Literal["mV", "uV", "nV", "V"]
UNITS_PER_MV: dict[Unit, float] = {"mV": 1.0, "uV": 1e3, "nV": 1e6, "V": 1e-3}

_MAX_MV = 1e9  # far beyond any voltage, within what float32 holds


@dataclass(frozen=True)
class Known:
    """What a file says of an ECG beside its samples; see `Recording`."""

    patient_id: str | None = None
    age_years: float | None = None
    sex: Sex | None = None
    acquired: datetime | None = None


def recording_of(
    rows: Sequence[npt.NDArray[Any]],
    names: Sequence[str],
    *,
    key: str,
    source_format: str,
    rate_hz: float | None,
    units_per_mv: float,
    known: Known,
) -> Recording:
    """Make a recording of the standard leads among rows of numbers.

    Parameters
    ----------
    rows : sequence of array [sample]
        Integers are taken as native counts, int16's lowest as "no sample here"; floats are quantised, NaN is
        "no sample here".
    names : sequence of str
        What each row is called.
    units_per_mv : float
        What of the numbers is a millivolt.

    Raises
    ------
    ReadError
        What is there is no ECG, or not one of a known scale.
    """
    chosen = chosen_leads([canonical_lead(name) for name in names])
    picked = [np.asarray(rows[index]) for index in chosen]
    if not all(row.dtype.kind in "iuf" for row in picked):
        raise ReadError("unsupported", "its samples are no plain numbers")
    if len({row.shape for row in picked}) > 1 or picked[0].ndim != 1:
        raise ReadError("truncated", "the leads hold different numbers of samples")
    check_size(len(picked), picked[0].size)
    leads = tuple(chosen.values())
    gain_per_mv = checked_gain_per_mv(units_per_mv, leads[0])
    about: dict[str, Any] = {
        "key": key,
        "rate_hz": checked_rate_hz(rate_hz),
        "leads": leads,
        "source_format": source_format,
        "patient_id": known.patient_id,
        "age_years": known.age_years,
        "sex": known.sex,
        "acquired": known.acquired,
    }
    if any(row.dtype.kind == "f" for row in picked):
        with np.errstate(over="ignore", invalid="ignore"):
            millivolts = np.stack(picked).astype(np.float64) / gain_per_mv
        if (np.abs(millivolts) > _MAX_MV).any():
            raise ReadError("unreadable", "a sample is infinite, or larger than any voltage")
        return Recording.from_millivolts(millivolts, **about)
    brought = [(row.astype(np.int16), 1.0, 0) if row.dtype.itemsize == 2 and row.dtype.kind == "i" else _wide(row)
               for row in picked]  # fmt: skip
    steps = np.array([step for _, step, _ in brought], dtype=np.float64)
    centres = np.array([centre for _, _, centre in brought], dtype=np.float64)
    return Recording(
        counts=np.stack([counts for counts, _, _ in brought]),
        gain_per_mv=gain_per_mv / steps,
        offset_counts=-centres / steps,
        quantisation_error_mv=float(max(0.5 * step / gain_per_mv if step > 1 else 0.0 for step in steps)),
        **about,
    )


def check_size(num_leads: int, num_samples: int) -> None:
    """Refuse what is empty or too long, before anything of that size is made.

    Raises
    ------
    ReadError
        ``truncated``, ``too_long``.
    """
    if not num_leads * num_samples:
        raise ReadError("truncated", "there are no samples")
    if num_leads * num_samples > MAX_VALUES:
        raise ReadError("too_long", f"it holds {num_leads} x {num_samples} samples; at most {MAX_VALUES} are read")


def named_items(ids: Sequence[Any]) -> tuple[str, ...]:
    """Turn the ids of a file's ECGs into the names of its items.

    Raises
    ------
    ReadError
        ``id_missing`` where one is empty or no text or number, ``duplicate_id``, ``too_long``.
    """
    check_num_items(len(ids))
    names = tuple(text_of(one) or "" for one in ids)
    if not all(name.isprintable() and name for name in names):
        raise ReadError("id_missing", "one of its ECGs has no id, or one that cannot be a name")
    if len(set(names)) < len(names):
        raise ReadError("duplicate_id", "two of its ECGs have the same id")
    return names


def check_num_items(num_items: int) -> None:
    """Refuse a file that announces more ECGs than any holds.

    Raises
    ------
    ReadError
        ``too_long``.
    """
    if num_items > MAX_ITEMS:
        raise ReadError("too_long", f"the file announces {num_items} ECGs; at most {MAX_ITEMS} are read")


def text_of(value: Any) -> str | None:
    """Write what a cell holds as text, 7 and 7.0 alike; None where it is empty, long, or neither text nor number."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bytes):
        value = value.decode("utf-8", "backslashreplace")
    if isinstance(value, float):
        value = int(value) if value.is_integer() else value
    if isinstance(value, bool) or not isinstance(value, int | float | str) or value != value:
        return None
    text = str(value).strip("\0 \t\r\n")
    return text if 0 < len(text) <= MAX_TEXT else None


def age_of(value: Any) -> float | None:
    """Read an age in years from a cell; see `age_from_text`."""
    return age_from_text(text_of(value) or "")


def sex_of(value: Any) -> Sex | None:
    """Read a sex from a cell; see `sex_from_text`."""
    return sex_from_text(text_of(value) or "")


def time_of(value: Any) -> datetime | None:
    """Read a wall-clock time: ISO 8601 text, or a time of a table; its zone is left out, the clock stays."""
    if isinstance(value, str | bytes):
        try:
            value = datetime.fromisoformat(text_of(value) or "")
        except ValueError:
            return None
    return value.replace(tzinfo=None) if isinstance(value, datetime) else None


def _wide(row: npt.NDArray[Any]) -> tuple[npt.NDArray[np.int16], float, int]:
    """Bring other integers into int16; see `to_int16`."""
    if int(row.min()) <= ABSENT or int(row.max()) >= -ABSENT:
        raise ReadError("unreadable", "the samples leave the range of 32 bits")
    return to_int16(row.astype(np.int32))
