"""All patterns in one pass over the bytes: the last bytes of each pattern are its key, looked up at every place.

A bitmap of hashed keys says "no" for nearly all places; the rest are compared with the patterns of that key. The time
hardly depends on how many patterns there are, and memory grows with them and not with what is searched.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hemometric.distances.compiled import array_type, compiled, compiler_is_off, read_only

Bytes = npt.NDArray[np.uint8]
_WIDTHS = (8, 4)
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_FIRST_ROOM = 1024


@dataclass(frozen=True, order=True)
class Hit:
    """A pattern at some place of a stream of bytes.

    Attributes
    ----------
    start, stop : int
        Of its bytes.
    line : int
        Of its word.
    how : str
        How the word is written there.
    """

    start: int
    stop: int
    line: int
    how: str


class Search:
    """Finds patterns in bytes.

    Parameters
    ----------
    patterns : mapping from bytes to (line, how)
        Each of at least four bytes.
    fold : bool
        Whether the case of ASCII letters counts for nothing; patterns are then lower case.
    """

    def __init__(self, patterns: Mapping[bytes, tuple[int, str]], *, fold: bool) -> None:
        table = np.arange(256, dtype=np.uint8)
        if fold:
            table[ord("A") : ord("Z") + 1] += 32
        self._fold = read_only(table)
        shorter = {pattern: said for pattern, said in patterns.items() if len(pattern) < _WIDTHS[0]}
        longer = {pattern: said for pattern, said in patterns.items() if len(pattern) >= _WIDTHS[0]}
        self._groups = [_Group(part, width) for part, width in zip((longer, shorter), _WIDTHS, strict=True) if part]
        self.longest = max(map(len, patterns), default=0)

    def hits(self, content: Any) -> Iterator[Hit]:
        """Find all patterns in a buffer, in no order."""
        data = read_only(np.frombuffer(content, np.uint8))
        for group in self._groups:
            yield from group.hits(data, self._fold)


class _Group:
    """Patterns whose keys are equally wide."""

    def __init__(self, patterns: Mapping[bytes, tuple[int, str]], width: int) -> None:
        keys = np.array([int.from_bytes(pattern[-width:], "little") for pattern in patterns], np.uint64)
        order = np.argsort(keys, kind="stable")
        ordered = list(patterns)
        ordered = [ordered[place] for place in order]
        self._said = [patterns[pattern] for pattern in ordered]
        lengths = np.array([len(pattern) for pattern in ordered], np.int64)
        self._lengths = lengths
        unique, first = np.unique(keys[order], return_index=True)
        bits = max(12, min(30, int(len(unique) * 32).bit_length()))
        shift = np.uint64(64 - bits)
        slots = (unique * _MULTIPLIER) >> shift
        bitmap = np.zeros(1 << (bits - 3), np.uint8)
        np.bitwise_or.at(
            bitmap, (slots >> np.uint64(3)).astype(np.int64), np.uint8(1) << (slots & np.uint64(7)).astype(np.uint8)
        )
        tables = (
            bitmap,
            unique,
            np.append(first, len(ordered)).astype(np.int64),
            np.frombuffer(b"".join(ordered), np.uint8),
            np.append(0, np.cumsum(lengths)).astype(np.int64),
        )
        self._tables = tuple(read_only(table) for table in tables)
        self._key_shift, self._hash_shift = np.uint64(64 - 8 * width), shift
        self._width = width

    def hits(self, data: Bytes, fold: Bytes) -> Iterator[Hit]:
        room = _FIRST_ROOM
        while True:
            stops, which = np.empty(room, np.int64), np.empty(room, np.int64)
            num = _kernel()(data, fold, self._width, self._key_shift, self._hash_shift, *self._tables, stops, which)
            if num <= room:
                break
            room = num
        for stop, pattern in zip(stops[:num].tolist(), which[:num].tolist(), strict=True):
            line, how = self._said[pattern]
            yield Hit(stop - int(self._lengths[pattern]), stop, line, how)


class Streams:
    """Several searches over streams that come in chunks.

    Parameters
    ----------
    searches : iterable of Search
    """

    def __init__(self, searches: Iterable[Search]) -> None:
        self._searches = tuple(searches)
        self._kept = max(0, max(search.longest for search in self._searches) - 1)

    def hits(self, chunks: Iterable[bytes | memoryview]) -> Iterator[Hit]:
        """Find all words; one that several patterns show at the same place comes once.

        Between chunks the last bytes are kept, so that no cut hides a word.
        """
        tail, begin = b"", 0
        ends: dict[int, int] = {}
        for chunk in chunks:
            content = memoryview(tail + bytes(chunk) if tail else chunk)
            found = [hit for search in self._searches for hit in search.hits(content) if hit.stop > len(tail)]
            for hit in sorted(found, key=lambda hit: (hit.start, -hit.stop)):
                if begin + hit.start >= ends.get(hit.line, 0):
                    ends[hit.line] = begin + hit.stop
                    yield Hit(begin + hit.start, begin + hit.stop, hit.line, hit.how)
            tail = bytes(content[len(content) - min(self._kept, len(content)) :])
            begin += len(content) - len(tail)


@functools.cache
def _kernel() -> Any:
    from numba import types

    kernel = compiled(_find)
    if not compiler_is_off():
        bytes_, words, whole = (array_type(kind, 1) for kind in (types.uint8, types.uint64, types.int64))
        written = array_type(types.int64, 1, readonly=False)
        numbers = (types.int64, types.uint64, types.uint64)
        kernel.compile((bytes_, bytes_, *numbers, bytes_, words, whole, bytes_, whole, written, written))
    return kernel


def _find(
    data: Any,
    fold: Any,
    width: Any,
    key_shift: Any,
    hash_shift: Any,
    bitmap: Any,
    keys: Any,
    first: Any,
    patterns: Any,
    starts: Any,
    stops: Any,
    which: Any,
) -> Any:
    """Write where each found pattern stops and which it is, as far as there is room; return how many there are.

    All shifts are of unsigned numbers: numba makes floats of what mixes them with signed ones.
    """
    num = 0
    window = np.uint64(0)
    for place in range(len(data)):
        window = (window >> np.uint64(8)) | (np.uint64(fold[data[place]]) << np.uint64(56))
        key = window >> key_shift
        slot = (key * np.uint64(0x9E3779B97F4A7C15)) >> hash_shift
        if not (bitmap[slot >> np.uint64(3)] >> (slot & np.uint64(7))) & 1:
            continue
        low, high = 0, len(keys)
        while low < high:
            middle = (low + high) // 2
            if keys[middle] < key:
                low = middle + 1
            else:
                high = middle
        if low == len(keys) or keys[low] != key:
            continue
        for pattern in range(first[low], first[low + 1]):
            length = starts[pattern + 1] - starts[pattern]
            begin = place + 1 - length
            if begin < 0:
                continue
            same = True
            for step in range(length - width):
                if fold[data[begin + step]] != patterns[starts[pattern] + step]:
                    same = False
                    break
            if same:
                if num < len(stops):
                    stops[num] = place + 1
                    which[num] = pattern
                num += 1
    return num
