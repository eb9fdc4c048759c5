"""A column means the same in CSV and in Parquet, and a type that cannot mean it ends in one sentence."""

from __future__ import annotations

import csv
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from hemometric.corpus import ColumnsTable, LabelSpec, PtbxlTable
from hemometric.corpus.metadata import NULLED
from hemometric.corpus.table_files import read_columns
from hemometric.errors import UsageError

NAN = float("nan")
ODD: dict[str, pa.Array] = {
    "list": pa.array([["a"], ["b"]]),
    "struct": pa.array([{"code": "a"}, {"code": "b"}]),
    "map": pa.array([[("a", 1)], []], pa.map_(pa.string(), pa.int64())),
    "date32": pa.array([1, 2], pa.date32()),
    "timestamp": pa.array([1, 2], pa.timestamp("us")),
    "duration": pa.array([1, 2], pa.duration("us")),
    "binary": pa.array([b"\xff\xfe", b"a"]),
    "fixed_size_binary": pa.array([b"\xff\xfe", b"ab"], pa.binary(2)),
    "string": pa.Array.from_buffers(pa.string(), 2, pa.array([b"\xff\xfe", b"a"]).buffers()),
    "list of struct": pa.array([[{"a": 1}], []]),
}
LABELS = ("number", "codes", "likelihoods", "yes or no")


def parquet(folder: Path, **columns: Any) -> Path:
    pq.write_table(pa.table({"record": ["r1", "r2"]} | columns), folder / "t.parquet")
    return folder / "t.parquet"


def table_of(path: Path, field: Any, column: str = "x") -> Any:
    given: dict[str, Any] = {field: column}
    if field in ("number", "codes"):
        given = {"labels": {"x": LabelSpec(column=column, kind=field)}}
    elif field == "likelihoods":
        given = {"labels": {"x": LabelSpec(column=column, kind="codes", likelihoods=True)}}
    elif field == "yes or no":
        given = {"labels": {"x": LabelSpec(columns=(column,), kind="codes")}}
    return ColumnsTable(path=path, **({"record": "record"} | given)).build([])


@pytest.mark.parametrize("field", ["record", "patient", "age", "sex", "site", "fold", "acquired", *LABELS])
@pytest.mark.parametrize("kind", ODD)
def test_types_that_cannot_be_meant_are_one_sentence(tmp_path: Path, kind: str, field: str) -> None:
    path = parquet(tmp_path, x=ODD[kind])
    if (kind, field) == ("list", "codes"):
        assert table_of(path, field).rows["label.x"].to_pylist() == [["a"], ["b"]]
        return
    if (kind, field) == ("map", "likelihoods"):
        assert table_of(path, field).rows["label.x"].to_pylist() == [["a"], []]
        return
    if (kind, field) == ("timestamp", "acquired"):
        assert table_of(path, field).rows["acquired"].null_count == 0
        return
    with pytest.raises(UsageError) as caught:
        table_of(path, field)
    sentence = str(caught.value)
    assert sentence.startswith(f"table {path}: column 'x' holds {kind.partition(' ')[0]}")
    assert sentence.endswith("write it as text, or name another column")
    assert "\n" not in sentence


@pytest.mark.parametrize("kind", [pa.float64(), pa.float32(), pa.float16()])
def test_an_id_that_is_no_number_is_absent_and_never_a_patient(tmp_path: Path, kind: pa.DataType) -> None:
    values = pa.array(np.array([4, NAN, 7, NAN, np.inf, 2.5], kind.to_pandas_dtype()))
    pq.write_table(pa.table({"record": [f"r{n}" for n in range(6)], "x": values}), tmp_path / "t.parquet")
    with (tmp_path / "t.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [["record", "x"], ["r0", "4"], ["r1", ""], ["r2", "7"], ["r3", "NaN"], ["r4", " nan "], ["r5", "2.5"]]
        )
    found = [table_of(tmp_path / name, "patient").rows["patient_id"].to_pylist() for name in ("t.parquet", "t.csv")]
    assert found[0] == found[1] == ["4", None, "7", None, None, "2.5"]


@pytest.mark.parametrize("absent", ["", " ", "NA", " NA", "nan", "null ", "None", "<NA>", "n/a", "NaT"])
def test_absent_text_is_absent_in_either_file_and_in_each_meaning(tmp_path: Path, absent: str) -> None:
    written = parquet(tmp_path, x=[absent, "5"])
    with (tmp_path / "t.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["record", "x"], ["r1", absent], ["r2", "5"]])
    for path in (written, tmp_path / "t.csv"):
        columns = read_columns(path, ["x"])
        assert columns.text("x").to_pylist() == [None, "5"]
        assert [column.to_pylist() for column in columns.numbers("x")] == [[None, 5.0], [False, False]]
        assert columns.codes("x", ";").to_pylist() == [None, ["5"]]


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (pa.array([15709.0, None]), ["15709", None]),
        (pa.array([Decimal("4.0"), Decimal("7.0")]), ["4", "7"]),
        (pa.array([4, None], pa.uint64()), ["4", None]),
        (pa.array(["00123", "4.0"]), ["00123", "4.0"]),
        (pa.array(["4.0", "7.0"]), ["4", "7"]),
        (pa.array([b"00123", None]), ["00123", None]),
        (pa.array(["a", "b"], pa.string_view()), ["a", "b"]),
        (pa.array(["a", None], pa.large_string()).dictionary_encode(), ["a", None]),
        (pa.array([b"a", b"b"]).dictionary_encode(), ["a", "b"]),
        (pa.array([True, False]), ["true", "false"]),
        (pa.nulls(2), [None, None]),
        (pa.nulls(2, pa.float64()), [None, None]),
    ],
)
def test_text(tmp_path: Path, values: pa.Array, text: list[str | None]) -> None:
    assert read_columns(parquet(tmp_path, x=values), ["x"]).text("x").to_pylist() == text


@pytest.mark.parametrize(
    "values", [np.array([1e300, 1]), np.array([2**24 + 2, 1], np.float32), np.array([-(2.0**60), 1])]
)
def test_floats_too_large_to_tell_two_ids_apart_are_refused(tmp_path: Path, values: np.ndarray) -> None:
    path = parquet(tmp_path, x=pa.array(values))
    with pytest.raises(
        UsageError, match=r"column 'x' holds (double|float), and above \d+ such numbers tell no two ids"
    ):
        table_of(path, "patient")
    assert table_of(path, "number").rows["label.x"].to_pylist() == [float(values[0]), 1.0]


@pytest.mark.parametrize(
    ("values", "codes"),
    [
        (pa.array([["b", None, " a", "b"], None]), [["a", "b"], None]),
        (pa.array([["b"], []], pa.large_list(pa.large_string())), [["b"], []]),
        (pa.array([["b"], ["a"]], pa.list_(pa.dictionary(pa.int32(), pa.string()))), [["b"], ["a"]]),
        (pa.array([[426783006], []]), [["426783006"], []]),
        (pa.nulls(2), [None, None]),
    ],
)
def test_lists_of_codes(tmp_path: Path, values: pa.Array, codes: list[list[str] | None]) -> None:
    assert read_columns(parquet(tmp_path, x=values), ["x"]).codes("x", ";").to_pylist() == codes


def test_numbers_are_no_codes(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="column 'x' holds int64, and codes are text, or lists of text"):
        table_of(parquet(tmp_path, x=[1, 2]), "codes")


def test_a_parquet_column_that_stands_twice_is_named(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array(["r"]), pa.array([1]), pa.array([2])], ["record", "x", "x"])
    pq.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(UsageError, match="column 'x' stands twice in its header; rename one"):
        table_of(tmp_path / "t.parquet", "patient")


@pytest.mark.parametrize("delimiter", ["", "é", "\n", "\r", '"', "::"])
def test_a_delimiter_is_one_ascii_character(delimiter: str) -> None:
    with pytest.raises(ValidationError, match="one ASCII character"):
        ColumnsTable(path=Path("t.csv"), record="r", delimiter=delimiter)
    assert ColumnsTable(path=Path("t.csv"), record="r", delimiter="\t").delimiter == "\t"


@pytest.mark.parametrize("fold", ["1.5", "1e12", "-1", "x"])
def test_a_fold_of_ptbxl_that_is_no_whole_number_is_counted(tmp_path: Path, fold: str) -> None:
    columns = "patient_id,age,sex,site,strat_fold,scp_codes,recording_date,filename_lr,filename_hr"
    (tmp_path / "ptbxl_database.csv").write_text(
        f"{columns}\n1,50,0,2,{fold},{{}},1984-11-09 09:17:34,a,b\n2,300,1,2,3,{{}},,c,d\n"
    )
    (tmp_path / "scp_statements.csv").write_text(",diagnostic,diagnostic_class\nNORM,1.0,NORM\n")
    rows = PtbxlTable().build([tmp_path]).rows.to_pylist()
    assert [row["fold"] for row in rows] == [None, 3]
    assert [row[NULLED] for row in rows] == [["fold (unreadable)"], []]


def test_a_table_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    path = parquet(tmp_path)
    for method in ("open", "is_file"):
        with monkeypatch.context() as patched:
            patched.setattr(Path, method, refuse)
            with pytest.raises(UsageError, match=r"t\.parquet cannot be read: Permission denied"):
                read_columns(path, ["record"])


def test_ages_and_labels_with_decimal_commas(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("record;age;wedge\na;61,5;26,2\nb;61.5;x\n")
    config = ColumnsTable(
        path=tmp_path / "t.csv", record="record", age="age", delimiter=";", decimal=",",
        labels={"mpcwp_mmhg": LabelSpec(column="wedge", unit="mmHg")},
    )  # fmt: skip
    rows = config.build(()).rows.to_pylist()
    assert [(row["age_years"], row["label.mpcwp_mmhg"]) for row in rows] == [(61.5, 26.2), (None, None)]
    assert rows[1][NULLED] == ["age_years (unreadable)", "label.mpcwp_mmhg (unreadable)"]
