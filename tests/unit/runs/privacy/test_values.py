"""Whatever type a column has, a word in it is found with its row, and a part of a number is none."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from hemometric.runs.privacy.search import Search, Streams
from hemometric.runs.privacy.values import Values
from hemometric.runs.privacy.words import Word, patterns_of

DAY = dt.date(1951, 3, 17)
NAME, NUMBER = "Zbigniewska", 8675309
WORDS = (Word(1, NAME, ()), Word(2, "17.03.1951", (DAY,)), Word(3, f"0{NUMBER}", ()))
TEXT = f"x{NAME} "
MORNING = dt.datetime(1951, 3, 17, 9, 30)


def arrow(values: list[Any], kind: Any = None) -> pa.Array:
    return pa.array(values, kind)


COLUMNS: dict[str, tuple[int, pa.Array]] = {
    "string": (1, arrow(["a", None, TEXT])),
    "large string": (1, arrow(["a", None, TEXT], pa.large_string())),
    "string view": (1, arrow(["a", None, TEXT], pa.string_view())),
    "binary": (1, arrow([b"", None, TEXT.encode("utf-16-le")])),
    "binary view": (1, arrow([b"", None, TEXT.encode()], pa.binary_view())),
    "fixed binary": (1, arrow([b"0" * 13, None, TEXT.encode()], pa.binary(13))),
    "list": (1, arrow([["a"], None, ["b", TEXT]])),
    "list of lists": (1, arrow([[["a"]], None, [["b"], ["c", TEXT]]])),
    "large list": (1, arrow([["a"], None, ["b", TEXT]], pa.large_list(pa.string()))),
    "fixed list": (1, arrow([["a", "b"], None, ["c", TEXT]], pa.list_(pa.string(), 2))),
    "list view": (1, arrow([["a"], None, ["c", TEXT]], pa.list_view(pa.string()))),
    "struct": (1, arrow([{"a": 1}, None, {"b": TEXT}])),
    "list of structs": (1, arrow([[{"a": "x"}], [], [{"a": "y"}, {"a": TEXT}]])),
    "map": (1, arrow([[("k", "v")], None, [("q", TEXT)]], pa.map_(pa.string(), pa.string()))),
    "key of a map": (1, arrow([[("k", "v")], None, [(TEXT, "v")]], pa.map_(pa.string(), pa.string()))),
    "dictionary": (1, arrow(["a", None, TEXT]).dictionary_encode()),
    "run ends": (1, pc.run_end_encode(arrow(["a", "a", TEXT]))),
    "int64": (3, arrow([1, None, NUMBER])),
    "int32": (3, arrow([1, None, NUMBER], pa.int32())),
    "uint64": (3, arrow([1, 2**64 - 1, NUMBER], pa.uint64())),
    "float32": (3, arrow([1, None, NUMBER], pa.float32())),
    "float64": (3, arrow([float("nan"), None, float(NUMBER)])),
    "decimal": (3, arrow([1, None, NUMBER], pa.decimal128(12, 2))),
    "date as a number": (2, arrow([1, None, 19510317])),
    "date32": (2, arrow([None, None, DAY])),
    "date64": (2, arrow([None, None, DAY], pa.date64())),
    "timestamp us": (2, arrow([None, dt.datetime(2200, 1, 1), MORNING])),
    "timestamp ns": (2, arrow([None, None, MORNING], pa.timestamp("ns"))),
    "timestamp s": (2, arrow([-(2**63) + 1, 2**63 - 1, (DAY - dt.date(1970, 1, 1)).days * 86_400], pa.timestamp("s"))),
    "midnight in a zone": (2, pc.assume_timezone(arrow([None, None, dt.datetime(1951, 3, 17)]), "Europe/Berlin")),
    "morning in a zone": (2, pc.assume_timezone(arrow([None, None, MORNING]), "Europe/Berlin")),
    "list of dates": (2, arrow([[None], None, [None, DAY]])),
}


@pytest.fixture(scope="module")
def values() -> Values:
    patterns = patterns_of(WORDS)
    return Values(Streams([Search(patterns.folded, fold=True), Search(patterns.exact, fold=False)]), WORDS)


@pytest.mark.parametrize("kind", sorted(COLUMNS))
def test_found_in_its_row(values: Values, kind: str) -> None:
    line, array = COLUMNS[kind]
    assert [(found, row) for found, _, row in values.found(array, 10)] == [(line, 12)]
    assert [(found, row) for found, _, row in values.found(array[2:], 12)] == [(line, 12)]
    assert [found for found in values.found(array[:2]) if found[2] >= 0] == []


def test_a_dictionary_s_value_that_no_row_uses_is_found(values: Values) -> None:
    array = pa.DictionaryArray.from_arrays(arrow([0, 0]), arrow(["a", TEXT]))
    assert list(values.found(array)) == [(1, "text", -1)]


def test_a_union_s_children_are_searched(values: Values) -> None:
    union = pa.UnionArray.from_sparse(arrow([0, 1], pa.int8()), [arrow([1, 2]), arrow(["a", TEXT])])
    assert [line for line, *_ in values.found(union)] == [1]


def test_what_is_none(values: Values) -> None:
    """Neighbours that make a word together, parts of numbers, other days, and types that hold neither."""
    clean = [
        arrow(["Zbigni", "ewska"]),
        arrow([86753090, 186753, -NUMBER]),
        arrow([NUMBER + 0.5]),
        arrow([DAY + dt.timedelta(days=1)]),
        arrow([dt.datetime(1951, 3, 18), dt.datetime(1951, 3, 16, 23, 59, 59)]),
        arrow([True, None]),
        pa.nulls(2),
        arrow([NUMBER], pa.duration("s")),
        pa.array(np.ones(2, np.float16)),
        arrow([], pa.string()),
        arrow([[], None], pa.list_(pa.string())),
    ]
    assert [list(values.found(array)) for array in clean] == [[]] * len(clean)
