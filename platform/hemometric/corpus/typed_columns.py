"""Columns of a table as text, numbers or codes, whatever type they are stored in: a CSV and a Parquet file agree.

Every column passes through `TypedColumns`, so that a type that cannot mean what is asked for ends in one sentence.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from hemometric.corpus.clocks import MixedClocks, wall_clock
from hemometric.corpus.coded_cells import Likelihoods, checked, read_likelihoods
from hemometric.errors import UsageError

ABSENT = ("", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "NaT", "null", "NULL", "None", "<NA>")
"""How tables write "no value"; spaces around them do not matter."""

Decimal = Literal[".", ","]
"""What stands before the decimals of a number that is written as text."""

_YES = ("1", "true", "yes", "t", "y")
_NO = ("0", "false", "no", "f", "n")
_NUMBERS: dict[Decimal, str] = {
    ".": r"^[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?$",
    ",": r"^[-+]?([0-9]+,?[0-9]*|,[0-9]+)([eE][-+]?[0-9]+)?$",
}
_WHOLE_AS_FLOAT = r"^[-+]?[0-9]+\.0$"
_EXACT = {16: 2**11, 32: 2**24, 64: 2**53}  # whole numbers up to which floats of so many bits tell all apart


class TypedColumns:
    """The columns of one table.

    Parameters
    ----------
    table : pyarrow.Table
        Names are unique.
    path : Path
        Where it was read, for what must be said of it.
    decimal : "." or ","
        Of the numbers that are text. Digits are never grouped: with ``,`` both ``1.234`` and ``1.234,5`` are no number.
    """

    def __init__(self, table: pa.Table, path: Path, decimal: Decimal = ".") -> None:
        self._table = table
        self._path = path
        self._decimal: Decimal = decimal

    @property
    def num_rows(self) -> int:
        """Rows of the table."""
        return int(self._table.num_rows)

    def text(self, name: str) -> pa.Array:
        """Give trimmed text, null where absent; whole numbers stored as floats (``15709.0``) lose their ``.0``.

        Raises
        ------
        UsageError
            The column holds neither text nor numbers, or numbers too large for their type to tell ids apart.
        """
        column = self._plain(name)
        if pa.types.is_floating(column.type):
            text = self._floats_as_text(column, name)
        elif _is_text(column.type) or _is_number(column.type):
            text = pc.cast(column, pa.string())
        else:
            raise self._unfit(name, column.type, "text or numbers are needed")
        text = _present(text)
        # Decided over the column: the one "4.0" of a text column of versions stays what it is.
        if pc.all(pc.match_substring_regex(text, _WHOLE_AS_FLOAT)).as_py():
            text = pc.utf8_slice_codeunits(text, 0, -2)
        return text

    def numbers(self, name: str, low: float | None = None, high: float | None = None) -> tuple[pa.Array, pa.Array]:
        """Give finite float64 numbers in [low, high], null elsewhere; and where a value stood that is none of them.

        Raises
        ------
        UsageError
            The column holds neither numbers nor text.
        """
        column = self._plain(name)
        if _is_text(column.type):
            column = _present(column)
            readable = pc.fill_null(pc.match_substring_regex(column, _NUMBERS[self._decimal]), False)
            points = pc.replace_substring(column, self._decimal, ".")
            numbers = pc.cast(pc.if_else(readable, points, None), pa.float64())
        elif _is_number(column.type):
            numbers = pc.cast(column, pa.float64(), safe=False)
            column = pc.if_else(pc.is_nan(numbers), None, numbers)  # a Parquet NaN is how pandas writes "absent"
        else:
            raise self._unfit(name, column.type, "numbers are needed")
        fits = pc.is_finite(numbers)
        if low is not None:
            fits = pc.and_(fits, pc.greater_equal(numbers, low))
        if high is not None:
            fits = pc.and_(fits, pc.less_equal(numbers, high))
        numbers = pc.if_else(pc.fill_null(fits, False), numbers, None)
        return numbers, pc.and_(pc.is_valid(column), pc.is_null(numbers))

    def whole(self, name: str) -> tuple[pa.Array, pa.Array]:
        """Give whole numbers from 0 as int32, null elsewhere; and where a value stood that is none.

        Raises
        ------
        UsageError
            The column holds neither numbers nor text.
        """
        numbers, refused = self.numbers(name, 0, 2**31 - 1)
        broken = pc.fill_null(pc.not_equal(pc.floor(numbers), numbers), False)
        return pc.cast(pc.if_else(broken, None, numbers), pa.int32()), pc.or_(refused, broken)

    def codes(self, name: str, separator: str) -> pa.Array:
        """Give sorted sets of codes, from lists or from text with a separator; null where there is no cell.

        Raises
        ------
        UsageError
            The column holds neither text nor lists of text or of whole numbers.
        """
        column = self._plain(name)
        kind = column.type
        cells: list[list[object] | None]
        if _is_text(kind):
            cells = [None if cell is None else cell.split(separator) for cell in _present(column).to_pylist()]
        elif _is_list(kind) and _is_code(kind.value_type):
            cells = column.to_pylist()
        elif pa.types.is_null(kind):
            cells = [None] * len(column)
        else:
            raise self._unfit(name, kind, "codes are text, or lists of text")
        sets = [None if cell is None else {str(code).strip() for code in cell if code is not None} for cell in cells]
        return pa.array([None if codes is None else sorted(codes - {""}) for codes in sets], pa.list_(pa.string()))

    def likelihoods(self, name: str, separator: str) -> tuple[list[Likelihoods | None], pa.Array]:
        """Give codes with their likelihoods, None where there is no cell; and where a cell stood that is none.

        Raises
        ------
        UsageError
            The column holds neither text nor a map of text to numbers.
        """
        column = self._plain(name)
        found: list[Likelihoods | None]
        if _is_text(column.type):
            column = _present(column)
            found = [None if cell is None else read_likelihoods(cell, separator) for cell in column.to_pylist()]
        elif pa.types.is_map(column.type) and _is_code(column.type.key_type) and _is_number(column.type.item_type):
            found = [None if cell is None else checked(cell) for cell in column.to_pylist()]
        elif pa.types.is_null(column.type):
            found = [None] * len(column)
        else:
            raise self._unfit(name, column.type, "codes with likelihoods are text, or a map of text to numbers")
        return found, pc.and_(pc.is_valid(column), pa.array([cell is None for cell in found], pa.bool_()))

    def yes_no(self, name: str) -> tuple[pa.Array, pa.Array]:
        """Give booleans from ``1``, ``true``, ``yes`` and their likes; and where a value stood that is none.

        Raises
        ------
        UsageError
            The column holds neither text nor numbers.
        """
        text = pc.utf8_lower(self.text(name))
        yes, no = (pc.is_in(text, pa.array(words)) for words in (_YES, _NO))
        answer = pc.if_else(yes, True, pc.if_else(no, False, None))
        return answer, pc.and_(pc.is_valid(text), pc.is_null(answer))

    def times(self, name: str, time_format: str, time_zone: str | None) -> tuple[pa.Array, pa.Array]:
        """Give wall-clock times; see `clocks.wall_clock`.

        Raises
        ------
        UsageError
            The column holds no times, or times of several clocks.
        """
        column = self._plain(name)
        try:
            return wall_clock(_present(column) if _is_text(column.type) else column, time_format, time_zone)
        except MixedClocks as error:
            raise UsageError(f"table {self._path}: column {name!r}: {error}") from None
        except TypeError as error:
            raise self._unfit(name, column.type, str(error)) from None

    def _plain(self, name: str) -> pa.Array:
        """Join the chunks, unpack a dictionary encoding, and make bytes that are text into text."""
        array = self._table[name].combine_chunks()
        try:
            array.validate(full=True)  # Parquet promises UTF-8, and nobody has looked
            if pa.types.is_dictionary(array.type):
                array = pc.cast(array, array.type.value_type)
            if _is_binary(array.type) or (_is_text(array.type) and not pa.types.is_string(array.type)):
                array = pc.cast(array, pa.string())
        except (pa.ArrowException, UnicodeDecodeError):
            raise self._unfit(name, array.type, "text must be UTF-8") from None
        return array

    def _floats_as_text(self, column: pa.Array, name: str) -> pa.Array:
        exact = _EXACT[column.type.bit_width]
        if column.type == pa.float16():
            column = pc.cast(column, pa.float32())
        column = pc.if_else(pc.is_finite(column), column, None)
        whole = pc.equal(pc.floor(column), column)
        if pc.any(pc.and_(whole, pc.greater(pc.abs(column), exact))).as_py():
            raise self._unfit(name, self._table[name].type, f"above {exact} such numbers tell no two ids apart")
        integers = pc.cast(pc.if_else(whole, column, None), pa.int64())
        return pc.if_else(whole, pc.cast(integers, pa.string()), pc.cast(column, pa.string()))

    def _unfit(self, name: str, kind: pa.DataType, need: str) -> UsageError:
        return UsageError(
            f"table {self._path}: column {name!r} holds {_short(kind)}, and {need}; "
            "write it as text, or name another column"
        )


def _present(text: pa.Array) -> pa.Array:
    """Trim text, and make what says "no value" null."""
    text = pc.utf8_trim_whitespace(text)
    return pc.if_else(pc.is_in(text, pa.array(ABSENT)), None, text)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_binary(kind: pa.DataType) -> bool:
    types = pa.types
    return any(is_kind(kind) for is_kind in (types.is_binary, types.is_large_binary, types.is_fixed_size_binary))


def _is_number(kind: pa.DataType) -> bool:
    types = pa.types
    found = (types.is_integer, types.is_floating, types.is_decimal, types.is_boolean, types.is_null)
    return any(is_kind(kind) for is_kind in found)


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _is_code(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(_is_text(kind) or pa.types.is_integer(kind) or pa.types.is_null(kind))


def _short(kind: pa.DataType) -> str:
    """Name a type by its first word: what is inside a struct is nobody's business here."""
    return str(kind).partition("<")[0]
