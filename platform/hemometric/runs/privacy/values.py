"""Values of Arrow arrays: texts and bytes are searched, numbers and times compared, whatever they are nested in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hemometric.runs.privacy.search import Streams
from hemometric.runs.privacy.words import Word

Rows = npt.NDArray[np.int64]
Found = tuple[int, str, int]
"""Line of the word, how it is written, and the row; -1 for a value of a dictionary that no row uses."""

_NO_ROW = -1


class Values:
    """Finds words among values.

    Parameters
    ----------
    streams : Streams
        For texts and bytes.
    words : tuple of Word
        Their numbers and dates are compared with whole values: a part of a number is no word.
    """

    def __init__(self, streams: Streams, words: tuple[Word, ...]) -> None:
        self._streams = streams
        epoch = np.datetime64("1970-01-01", "D")
        numbers: dict[int, int] = {}
        days: dict[int, int] = {}
        for word in words:
            for number in word.numbers:
                numbers.setdefault(number, word.line)
            for day in word.dates:
                days.setdefault(int((np.datetime64(day, "D") - epoch).astype(int)), word.line)
        limit = 2**63 - 1
        self._numbers = _Table({number: line for number, line in numbers.items() if number <= limit})
        self._days = _Table(days)

    def found(self, array: pa.Array, first_row: int = 0) -> Iterator[Found]:
        """Search an array whose first value stands in that row."""
        yield from self._visit(array, np.arange(first_row, first_row + len(array), dtype=np.int64))

    def _visit(self, array: pa.Array, rows: Rows) -> Iterator[Found]:
        kind = array.type
        is_a = pa.types
        if isinstance(kind, pa.BaseExtensionType):
            yield from self._visit(array.storage, rows)
        elif is_a.is_dictionary(kind):
            yield from self._dictionary(array, rows)
        elif is_a.is_run_end_encoded(kind):
            yield from self._visit(pc.run_end_decode(array), rows)
        elif is_a.is_struct(kind):
            for child in array.flatten():
                yield from self._visit(child, rows)
        elif is_a.is_union(kind):
            for child in range(kind.num_fields):  # children of a union may have other lengths than it has
                values = array.field(child)
                yield from self._visit(values, np.full(len(values), rows[0] if len(rows) else _NO_ROW))
        elif is_a.is_map(kind):
            offsets = array.offsets.to_numpy()
            inner = np.repeat(rows, np.diff(offsets))
            for child in (array.keys, array.items):
                yield from self._visit(child[offsets[0] : offsets[-1]] if len(offsets) else child, inner)
        elif kind.num_fields == 1:  # lists of all sorts
            yield from self._visit(pc.list_flatten(array), rows[pc.list_parent_indices(array).to_numpy()])
        elif _is_bytes(kind):
            yield from self._bytes(array, rows)
        else:
            yield from self._numbers_and_times(array, rows)

    def _dictionary(self, array: pa.DictionaryArray, rows: Rows) -> Iterator[Found]:
        indices = pc.fill_null(array.indices.cast(pa.int64()), -1).to_numpy()
        for line, how, value in self._visit(array.dictionary, np.arange(len(array.dictionary))):
            uses = np.flatnonzero(indices == value)
            yield line, how, int(rows[uses[0]]) if len(uses) else _NO_ROW

    def _bytes(self, array: pa.Array, rows: Rows) -> Iterator[Found]:
        """Search all values of an array at once; what lies across the border of two is none."""
        array = array.cast(pa.large_binary())
        _, offsets_buffer, data = array.buffers()
        if not len(array) or data is None:
            return
        offsets = np.frombuffer(offsets_buffer, np.int64)[array.offset : array.offset + len(array) + 1]
        base = int(offsets[0])
        view = memoryview(data)[base : int(offsets[-1])]
        for hit in self._streams.hits([view]):
            place = int(np.searchsorted(offsets, hit.start + base, "right")) - 1
            if hit.stop + base <= offsets[place + 1]:
                yield hit.line, hit.how, int(rows[place])

    def _numbers_and_times(self, array: pa.Array, rows: Rows) -> Iterator[Found]:
        kind = array.type
        is_a = pa.types
        if is_a.is_date(kind) or is_a.is_timestamp(kind):
            for days in _days_of(array):
                yield from self._days.found(days, rows, "date")
        elif is_a.is_integer(kind):
            if is_a.is_uint64(kind):  # beyond int64 stands no number of a word
                array = pc.if_else(pc.greater(array, pa.scalar(2**63 - 1, pa.uint64())), None, array)
            yield from self._numbers.found(array.cast(pa.int64()), rows, "number")
        elif is_a.is_floating(kind) or is_a.is_decimal(kind):
            yield from self._numbers.found(array.cast(pa.float64()), rows, "number")


class _Table:
    """From a number to its word's line."""

    def __init__(self, lines: dict[int, int]) -> None:
        self._values = np.array(sorted(lines), np.int64)
        self._lines = [lines[int(value)] for value in self._values]

    def found(self, array: pa.Array, rows: Rows, how: str) -> Iterator[Found]:
        if not len(self._values):
            return
        is_there = array.is_valid().to_numpy(zero_copy_only=False)
        values: Any = pc.fill_null(array, 0).to_numpy(zero_copy_only=False)
        for place in np.flatnonzero(is_there & np.isin(values, self._values)):
            index = int(np.searchsorted(self._values, values[place]))
            yield self._lines[index], how, int(rows[place])


def _is_bytes(kind: pa.DataType) -> bool:
    is_a = pa.types
    tests = (is_a.is_string, is_a.is_large_string, is_a.is_binary, is_a.is_large_binary, is_a.is_fixed_size_binary)
    return any(test(kind) for test in (*tests, is_a.is_string_view, is_a.is_binary_view))


def _days_of(array: pa.Array) -> Iterator[pa.Array]:
    """Give the days of dates or times; of times with a zone, those in the zone and those in UTC, where they differ."""
    if pa.types.is_date(array.type):
        yield array.cast(pa.date32()).cast(pa.int32())
        return
    yield _whole_days(array)
    if array.type.tz is not None:
        # A birth date that was stored as midnight of its zone is another day in UTC.
        local = _whole_days(pc.local_timestamp(array))
        yield pc.if_else(pc.equal(local, _whole_days(array)), None, local)


def _whole_days(times: pa.Array) -> pa.Array:
    """Cut times to days, without overflow at the ends of their range."""
    per_day = {"s": 86_400, "ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}[times.type.unit]
    ticks = times.cast(pa.int64())
    days = np.floor_divide(pc.fill_null(ticks, 0).to_numpy(zero_copy_only=False), per_day)
    is_null = ~ticks.is_valid().to_numpy(zero_copy_only=False)
    return pa.array(np.clip(days, -(2**31), 2**31 - 1).astype(np.int32), pa.int32(), mask=is_null)
