"""Times of tables: text and typed columns agree, and what no calendar holds is refused, never an exception."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hemometric.corpus.clocks import MixedClocks, wall_clock

AT = datetime(2020, 7, 1, 10, 30, 15, 250_000)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_every_resolution_is_read_and_what_is_beyond_calendars_refused(unit: str) -> None:
    per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    at = int(AT.replace(tzinfo=UTC, microsecond=0).timestamp()) * per_second
    ticks = pa.array([at, 2**63 - 1, -(2**63), -6_000_000_000 * per_second, None], pa.int64())
    times, refused = wall_clock(ticks.cast(pa.timestamp(unit)))
    assert times.to_pylist() == [AT.replace(microsecond=0), None, None, None, None]
    assert refused.to_pylist() == [False, True, True, True, False]
    aware, refused = wall_clock(ticks.cast(pa.timestamp(unit, "Nowhere/Land")), time_zone="Asia/Tokyo")
    assert aware.to_pylist() == [AT.replace(microsecond=0) + timedelta(hours=9), None, None, None, None]
    assert refused.to_pylist() == [False, True, True, True, False]


def test_dates_of_both_widths_are_midnight_only_where_told() -> None:
    for kind in (pa.date32(), pa.date64()):
        days = pa.array([date(2020, 7, 1), None], kind)
        assert wall_clock(days, "%Y-%m-%d")[0].to_pylist() == [datetime(2020, 7, 1), None]
        with pytest.raises(TypeError, match="without a time of day"):
            wall_clock(days)
    far = pa.array([2**31 - 1], pa.int32()).cast(pa.date32())
    assert wall_clock(far, "%Y-%m-%d")[1].to_pylist() == [True]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2020-07-01T10:30:15.25", AT),
        ("2020-07-01 10:30", AT.replace(second=0, microsecond=0)),
        ("0001-01-01 00:00:00", None),
        ("9999-12-31 23:59:59", datetime(9999, 12, 31, 23, 59, 59)),
        ("2020-07-01", None),
        ("2020-13-01 10:30", None),
        ("2020-02-30 10:30", None),
        ("2020-07-01 24:30", None),
        ("١٢٣", None),
    ],
)
def test_text(text: str, expected: datetime | None) -> None:
    times, refused = wall_clock(pa.array([text, None]))
    assert times.to_pylist() == [expected, None]
    assert refused.to_pylist() == [expected is None, False]


def test_the_hour_that_a_clock_is_put_back_reads_the_same_twice() -> None:
    texts = pa.array(["2020-10-25T00:30:00Z", "2020-10-25T01:30:00Z", "2020-10-25T02:30:00Z"])
    times, _ = wall_clock(texts, time_zone="Europe/Berlin")
    assert [time.strftime("%H:%M") for time in times.to_pylist()] == ["02:30", "02:30", "03:30"]


def test_zones_at_the_ends_of_the_calendar_are_refused_not_raised() -> None:
    texts = pa.array(["9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+12:00"])
    times, refused = wall_clock(texts, time_zone="Pacific/Auckland")
    assert times.to_pylist() == [None, None]
    assert refused.to_pylist() == [True, True]


@given(st.lists(st.one_of(st.none(), st.text(max_size=30), st.datetimes().map(str)), max_size=8))
def test_any_text_is_a_time_or_refused(cells: list[str | None]) -> None:
    try:
        times, refused = wall_clock(pa.array(cells, pa.string()), time_zone="Europe/Berlin")
    except MixedClocks:
        return
    for cell, time, is_refused in zip(cells, times.to_pylist(), refused.to_pylist(), strict=True):
        assert (cell is None) == (time is None and not is_refused)
