"""Huffman codes of SCP-ECG: the tables of section 2, and the numbers that a stream of their codes stands for.

A prefix of up to 32 bits is either a number, or announces a number of so many bits behind it, or changes the table. The
standard's example in its annex C is a test.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hemometric.vendors.source import ReadError

Int64 = npt.NDArray[np.int64]

DEFAULT = 19999
"""The number of tables that stands for the standard's own table."""

_MAX_TABLES = 4
_MAX_PREFIX_BITS = 32
_MAX_VALUE_BITS = 16  # with the prefix, a word of 64 bits still holds them when it begins 7 bits before the code
_CODE = struct.Struct("<BBBhI")


@dataclass(frozen=True)
class Table:
    """One prefix code, sorted so that a binary search finds the prefix that a word begins with.

    Attributes
    ----------
    first, span : uint64 [code]
        The words of 32 bits that begin with a prefix are those from `first` on, `span` of them.
    prefix_bits, value_bits : int64 [code]
        Bits of the prefix, and of the number behind it.
    value : int64 [code]
        The number where none is behind the prefix; for a change of table, the position of the next one.
    changes_table : bool [code]
    """

    first: npt.NDArray[np.uint64]
    span: npt.NDArray[np.uint64]
    prefix_bits: Int64
    value_bits: Int64
    value: Int64
    changes_table: npt.NDArray[np.bool_]


def parse_tables(content: bytes) -> tuple[Table, ...]:
    """Read section 2; no table means that nothing is coded.

    Raises
    ------
    ReadError
        ``truncated``, ``unreadable`` where a code begins with another one, ``unsupported``.
    """
    if len(content) < 2:
        raise ReadError("truncated", "the section of Huffman tables is empty")
    (num_tables,) = struct.unpack_from("<H", content)
    if num_tables == DEFAULT:
        return (_default_table(),)
    if num_tables > _MAX_TABLES:
        raise ReadError("unsupported", f"it uses {num_tables} Huffman tables; at most {_MAX_TABLES} are read")
    tables, place = [], 2
    for _ in range(num_tables):
        if len(content) < place + 2:
            raise ReadError("truncated", "the section of Huffman tables ends before it should")
        (num_codes,) = struct.unpack_from("<H", content, place)
        end = place + 2 + num_codes * _CODE.size
        if len(content) < end:
            raise ReadError("truncated", "the section of Huffman tables ends before it should")
        tables.append(make_table(list(_CODE.iter_unpack(content[place + 2 : end])), num_tables))
        place = end
    return tuple(tables)


def make_table(codes: Sequence[tuple[int, int, int, int, int]], num_tables: int) -> Table:
    """Sort and check the code structures of a table.

    Parameters
    ----------
    codes : sequence of (prefix_bits, code_bits, mode, value, prefix)
        As in the file: mode 0 changes to the table number `value`, counted from 1; the first bit of the prefix is the
        lowest of the number.
    """
    rows = []
    for prefix_bits, code_bits, mode, value, prefix in codes:
        if not 1 <= prefix_bits <= _MAX_PREFIX_BITS or code_bits < prefix_bits or prefix >> prefix_bits:
            raise ReadError("unreadable", "a Huffman table holds a code of impossible length")
        changes_table, value_bits = mode == 0, code_bits - prefix_bits
        if value_bits > _MAX_VALUE_BITS or mode > 1 or (value_bits and (changes_table or value)):
            raise ReadError("unsupported", "a Huffman table holds a code of an unknown kind")
        if changes_table and not 1 <= value <= num_tables:
            raise ReadError("unreadable", "a Huffman code changes to a table that is not there")
        first = int(f"{prefix:0{prefix_bits}b}"[::-1], 2) << (_MAX_PREFIX_BITS - prefix_bits)
        rows.append((first, prefix_bits, value_bits, value - 1 if changes_table else value, changes_table))
    if not rows:
        raise ReadError("unreadable", "a Huffman table is empty")
    columns = (np.array(column, dtype=np.int64) for column in zip(*sorted(rows), strict=True))
    begin, bits, behind, number, changes = columns
    span = 1 << (_MAX_PREFIX_BITS - bits)
    if (begin[:-1] + span[:-1] > begin[1:]).any():
        raise ReadError("unreadable", "a Huffman code begins with another one")
    return Table(begin.astype(np.uint64), span.astype(np.uint64), bits, behind, number, changes.astype(np.bool_))


def decode(content: bytes, tables: Sequence[Table], num_values: int) -> Int64:
    """Decode a stream that begins in the first table.

    At each bit it is first found, for all bits at once, which number would begin there and where the next one would;
    then only the chain of true beginnings is followed.

    Returns
    -------
    int64 [num_values]

    Raises
    ------
    ReadError
        ``truncated`` where the stream ends before, or comes to bits that are no code.
    """
    num_bits = 8 * len(content)
    if num_values > num_bits:  # a code has at least one bit
        raise ReadError("truncated", "the samples of a lead end before their announced number")
    # A place is a bit within one table; each table has the end of the stream and, beyond it, the place of failure.
    places = num_bits + 2
    values, following, is_number = [], [], []
    for position, table in enumerate(tables):
        length, value, changes_table = _at_each_bit(content, table)
        after = np.arange(num_bits) + length
        after[(length == 0) | (after > num_bits)] = num_bits + 1
        after += places * np.where(changes_table, value, position)
        failed = places * position + num_bits + 1
        following += [*after.tolist(), failed, failed]
        values += [value, np.zeros(2, dtype=np.int64)]
        is_number += [*(~changes_table).tolist(), True, True]
    chain: list[int] = []
    place = 0
    while len(chain) < num_values:
        if is_number[place]:
            chain.append(place)
        place = following[place]
    if place % places == num_bits + 1:
        raise ReadError("truncated", "the samples of a lead end before their announced number")
    return np.concatenate(values)[chain]


def _at_each_bit(content: bytes, table: Table) -> tuple[Int64, Int64, npt.NDArray[np.bool_]]:
    """Find what begins at each bit: the length of a code (0 if there is none), its value, whether it changes tables."""
    padded = np.frombuffer(content + bytes(8), dtype=np.uint8)
    words = np.lib.stride_tricks.sliding_window_view(padded, 8)[: len(content)].copy().view(">u8").astype(np.uint64)
    ahead = (words << np.arange(8, dtype=np.uint64)).reshape(-1)
    prefix = ahead >> np.uint64(64 - _MAX_PREFIX_BITS)
    code = np.searchsorted(table.first, prefix, side="right") - 1
    is_code = (code >= 0) & (prefix - table.first[code] < table.span[code])
    value_bits = table.value_bits[code]
    behind = (ahead << table.prefix_bits[code].astype(np.uint64)).view(np.int64)  # the shift back carries the sign
    value = np.where(value_bits > 0, behind >> np.minimum(64 - value_bits, 63), table.value[code])
    length = np.where(is_code, table.prefix_bits[code] + value_bits, 0)
    return length, value, table.changes_table[code] & is_code


def _default_table() -> Table:
    """Make the standard's table: 0; 1 to 8 ones, a zero and a sign for 1 to 8; ten bits before 8 or 16 bits."""
    codes = [(1, 1, 1, 0, 0)]
    for size in range(1, 9):
        ones = (1 << size) - 1
        codes += [(size + 2, size + 2, 1, size, ones), (size + 2, size + 2, 1, -size, ones | 1 << (size + 1))]
    return make_table([*codes, (10, 18, 1, 0, 0x1FF), (10, 26, 1, 0, 0x3FF)], 1)
