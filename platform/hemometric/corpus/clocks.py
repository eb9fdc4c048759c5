"""Times as tables write them, brought to the wall clock of one place."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pyarrow as pa
import pyarrow.compute as pc

ISO = "iso"
TIMESTAMP = pa.timestamp("us")


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
    """Give times without a zone, timestamp[us], null elsewhere; and where a value stood that is no time.

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
        return pa.nulls(len(column), TIMESTAMP), pa.array([False] * len(column), pa.bool_())
    if pa.types.is_timestamp(kind):
        if kind.tz is not None:
            column = pc.local_timestamp(pc.cast(column, pa.timestamp("us", _needed(time_zone)), safe=False))
        return pc.cast(column, TIMESTAMP, safe=False), pa.array([False] * len(column), pa.bool_())
    if pa.types.is_date(kind):
        if time_format != "%Y-%m-%d":
            raise TypeError("a date without a time of day; time_format: '%Y-%m-%d' reads it as midnight")
        return pc.cast(column, TIMESTAMP), pa.array([False] * len(column), pa.bool_())
    if not pa.types.is_string(kind):
        raise TypeError("times are text or timestamps")
    return _from_text(column, _reader(time_format), time_zone)


def _from_text(column: pa.Array, read: Callable[[str], datetime], time_zone: str | None) -> tuple[pa.Array, pa.Array]:
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
    times = pa.array(found, TIMESTAMP)
    return times, pc.and_(pc.is_valid(column), pc.is_null(times))


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
