"""Times as tables write them, brought to the wall clock of one place."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pyarrow as pa
import pyarrow.compute as pc

ISO = "iso"
TIMESTAMP = pa.timestamp("us")
_FIRST_S, _END_S = -5_364_662_400, 253_402_300_800  # 1800 and 10000: no ECG is older, and no calendar goes further


class MixedClocks(ValueError):  # noqa: N818 - said to the user as a sentence
    """Times of one column cannot be compared: some carry a time zone and others none, or nobody says which clock."""


def check_clock(time_format: str, time_zone: str | None) -> None:
    """Raise ValueError for a format without a date, or a time zone that is not known."""
    if time_format != ISO and "%" not in time_format:
        raise ValueError(f"time_format {time_format!r} must be iso, or a format such as '%d.%m.%Y %H:%M'")
    if time_zone is None:
        return
    try:
        ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"time_zone {time_zone!r} is not known; write it as Europe/Berlin") from None


def wall_clock(column: pa.Array, time_format: str = ISO, time_zone: str | None = None) -> tuple[pa.Array, pa.Array]:
    """Give times without a zone, timestamp[us], null elsewhere; and where a value stood that is no time since 1800.

    A time without a zone is taken as it is: it stands for the wall clock of the place. One with a zone is converted to
    the wall clock of `time_zone`; within the hour that a clock is put back, two moments then read the same.

    Parameters
    ----------
    column : pyarrow.Array
        Text (trimmed, null where absent), timestamps or dates.
    time_format : str
        ``iso`` (date and time of day), or a format of `datetime.strptime`. A date alone is midnight only where the
        format says so, and then for a column of dates too.

    Raises
    ------
    MixedClocks
        Some times have a zone and others none; or they have one, and `time_zone` is None.
    TypeError
        The column is of another type.
    """
    kind = column.type
    if pa.types.is_null(kind):
        times = pa.nulls(len(column), TIMESTAMP)
    elif pa.types.is_timestamp(kind) and kind.tz is not None:
        times = pc.cast(_within_calendars(column), pa.timestamp("us", _needed(time_zone)), safe=False)
        times = _within_calendars(pc.local_timestamp(times))
    elif pa.types.is_timestamp(kind):
        times = pc.cast(_within_calendars(column), TIMESTAMP, safe=False)
    elif pa.types.is_date(kind):
        if time_format != "%Y-%m-%d":
            raise TypeError("a date without a time of day; time_format: '%Y-%m-%d' reads it as midnight")
        times = pc.cast(_within_calendars(pc.cast(column, pa.timestamp("s"))), TIMESTAMP)
    elif pa.types.is_string(kind):
        times = _within_calendars(_from_text(column, _reader(time_format), time_zone))
    else:
        raise TypeError("times are text or timestamps")
    return times, pc.and_(pc.is_valid(column), pc.is_null(times))


def _within_calendars(times: pa.Array) -> pa.Array:
    """Give timestamps of any resolution, null where they lie before 1800 or beyond the year 9999."""
    per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[times.type.unit]
    ticks = pc.cast(times, pa.int64())
    low, high = _FIRST_S * per_second, min(_END_S * per_second, 2**63 - 1)
    return pc.if_else(pc.and_(pc.greater_equal(ticks, low), pc.less(ticks, high)), times, None)


def _from_text(column: pa.Array, read: Callable[[str], datetime], time_zone: str | None) -> pa.Array:
    found: list[datetime | None] = []
    zone: ZoneInfo | None = None
    num_aware = num_naive = 0
    for text in column.to_pylist():
        time = None
        try:
            time = None if text is None else read(text)
            if time is not None and time.tzinfo is not None:
                num_aware += 1
                zone = zone or ZoneInfo(_needed(time_zone))
                time = time.astimezone(zone).replace(tzinfo=None)
            elif time is not None:
                num_naive += 1
        except MixedClocks:
            raise
        except (ValueError, OverflowError):
            time = None
        found.append(time)
    if num_aware and num_naive:
        raise MixedClocks(
            f"{num_aware} times carry a time zone and {num_naive} carry none, so that they cannot be compared; "
            "write all of them alike"
        )
    return pa.array(found, TIMESTAMP)


def _reader(time_format: str) -> Callable[[str], datetime]:
    return _iso if time_format == ISO else lambda text: datetime.strptime(text, time_format)


def _iso(text: str) -> datetime:
    if len(text) <= 10 or text[10] not in "T ":
        raise ValueError("a date without a time of day")
    return datetime.fromisoformat(text)


def _needed(time_zone: str | None) -> str:
    if time_zone is None:
        raise MixedClocks("its times carry a time zone; set time_zone to that of the ECGs' clock, as Europe/Berlin")
    return time_zone
