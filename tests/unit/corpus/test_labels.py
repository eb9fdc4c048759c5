"""Labels of a table: codes with likelihoods, units, columns that say yes or no, times, rows said twice."""

import csv
from datetime import date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from hemometric.corpus import ColumnsTable, LabelSpec
from hemometric.corpus.metadata import NULLED
from hemometric.errors import UsageError


def one_column(path: Path, cells: list[str], **fields: object) -> tuple[list[object], list[object], int]:
    """Read one label: its values, those of the label beside it, and how many cells were refused."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["record", "x"], *([f"r{n}", cell] for n, cell in enumerate(cells))])
    rows = ColumnsTable(path=path, record="record", labels={"x": LabelSpec(column="x", **fields)}).build([]).rows  # type: ignore[arg-type]
    beside = rows["label.x_likelihoods"].to_pylist() if "label.x_likelihoods" in rows.column_names else []
    return rows["label.x"].to_pylist(), beside, sum(map(len, rows[NULLED].to_pylist()))


CELLS = [
    "AF:80; LBBB:100", "{'LBBB': 100, 'AF': 80.0}", '{"AF": 80, "LBBB": 100}', "LVH", "AF:0;LVH", "", "{}",
    "AF:high", "AF:80;AF:90", "AF:80;AF:80", "{'AF': __import__('os')}", "AF:-1", "AF:nan", "{'AF': True}",
]  # fmt: skip


def test_codes_with_likelihoods_in_every_form_and_none_is_evaluated(tmp_path: Path) -> None:
    codes, likelihoods, num_refused = one_column(tmp_path / "t.csv", CELLS, kind="codes", likelihoods=True)
    both = ["AF", "LBBB"]
    assert codes == [both, both, both, ["LVH"], ["AF", "LVH"], None, [], None, None, ["AF"], None, None, None, None]
    assert likelihoods == [
        [80, 100], [80, 100], [80, 100], [None], [0, None], None, [], None, None, [80], None, None, None, None,
    ]  # fmt: skip
    assert num_refused == 6


def test_codes_below_a_likelihood_are_left_out(tmp_path: Path) -> None:
    codes, likelihoods, _ = one_column(tmp_path / "t.csv", CELLS, kind="codes", likelihoods=True, min_likelihood=90)
    assert codes[:7] == [["LBBB"], ["LBBB"], ["LBBB"], [], [], None, []]
    assert likelihoods[:4] == [[100], [100], [100], []]


def test_a_parquet_map_holds_codes_with_likelihoods(tmp_path: Path) -> None:
    cells = pa.array([[("B", 0.5), ("A", 1.0)], [], None], pa.map_(pa.string(), pa.float64()))
    pq.write_table(pa.table({"record": ["a", "b", "c"], "x": cells}), tmp_path / "t.parquet")
    spec = LabelSpec(column="x", kind="codes", likelihoods=True)
    rows = ColumnsTable(path=tmp_path / "t.parquet", record="record", labels={"x": spec}).build([]).rows
    assert rows["label.x"].to_pylist() == [["A", "B"], [], None]
    assert rows["label.x_likelihoods"].to_pylist() == [[1.0, 0.5], [], None]


def test_units_are_converted_before_the_range_is_judged(tmp_path: Path) -> None:
    values, _, num_refused = one_column(
        tmp_path / "t.csv", ["2", "8", "-0.6666", "n/k", ""], unit="mmHg", source_unit="kPa", low=-5, high=60
    )
    assert values[0] == pytest.approx(15.0012, rel=1e-5)
    assert values[1] is values[3] is values[4] is None
    assert values[2] == pytest.approx(-5.0, abs=1e-3)
    assert num_refused == 2


def test_columns_that_say_yes_or_no_become_a_set(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("record,AF,LBBB\na,True,False\nb,0,0\nc,1,yes\nd,,1\ne,maybe,1\n", encoding="utf-8")
    spec = LabelSpec(columns=("LBBB", "AF"), kind="codes")
    rows = ColumnsTable(path=tmp_path / "t.csv", record="record", labels={"x": spec}).build([]).rows
    assert rows["label.x"].to_pylist() == [["AF"], [], ["AF", "LBBB"], None, None]
    assert rows[NULLED].to_pylist() == [[], [], [], [], ["label.x (unreadable)"]]


def test_the_time_of_a_recording_and_what_is_none(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(
        "record,time\na,2180-07-23 08:44:00\nb,2180-07-23T08:44:00.25\nc,2180-02-30 08:44:00\nd,\ne,2180-07-23\n"
    )
    rows = ColumnsTable(path=tmp_path / "t.csv", record="record", acquired="time").build([]).rows
    at = datetime(2180, 7, 23, 8, 44)
    assert rows["acquired"].to_pylist() == [at, at + timedelta(seconds=0.25), None, None, None]
    assert rows[NULLED].to_pylist() == [[], [], ["acquired (unreadable)"], [], ["acquired (unreadable)"]]
    day = ColumnsTable(path=tmp_path / "t.csv", record="record", acquired="time", time_format="%Y-%m-%d").build([]).rows
    assert day["acquired"].to_pylist()[4] == datetime(2180, 7, 23)


def test_typed_times_of_parquet(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    at = pa.array([datetime(2020, 7, 1, 10)], pa.timestamp("ns"))
    columns = {"record": ["a"], "naive": at, "aware": pc.cast(at, pa.timestamp("ns", "UTC")), "day": [date(2020, 7, 1)]}
    pq.write_table(pa.table(columns), path)
    found = ColumnsTable(path=path, record="record", acquired="naive").build([]).rows["acquired"]
    assert found.to_pylist() == [datetime(2020, 7, 1, 10)]
    config = ColumnsTable(path=path, record="record", acquired="aware", time_zone="Europe/Berlin")
    assert config.build([]).rows["acquired"].to_pylist() == [datetime(2020, 7, 1, 12)]
    for column, sentence in (("aware", "set time_zone"), ("day", "time of day"), ("record", "")):
        if sentence:
            with pytest.raises(UsageError, match=sentence):
                ColumnsTable(path=path, record="record", acquired=column).build([])
        else:
            assert ColumnsTable(path=path, record="record", acquired=column).build([]).rows[NULLED].to_pylist() == [
                ["acquired (unreadable)"]
            ]


def test_a_row_said_twice_is_one_row_and_counted(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("record,mrn\na,1\nb,2\n./a,1\na, 1\n")
    table = ColumnsTable(path=tmp_path / "t.csv", record="record", patient="mrn").build([])
    assert table.num_repeated == 2
    assert table.positions(["x/a", "x/b"]).tolist() == [0, 1]
    (tmp_path / "t.csv").write_text("record,mrn\na,1\na,2\na,1\na,3\n")
    with pytest.raises(UsageError, match=r"named again, with other values, in 2 rows \(2, 4\) below"):
        ColumnsTable(path=tmp_path / "t.csv", record="record", patient="mrn").build([])


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({}, "needs a column"),
        ({"column": "x", "columns": ("y",), "kind": "codes"}, "one of the two"),
        ({"columns": ("y",)}, "for kind: codes"),
        ({"column": "x", "likelihoods": True}, "for kind: codes"),
        ({"column": "x", "kind": "codes", "min_likelihood": 3.0}, "needs likelihoods"),
        ({"columns": ("x",), "kind": "codes", "likelihoods": True}, "say yes or no"),
        ({"column": "x", "unit": "mmHg", "source_unit": "L/min"}, "cannot be converted"),
    ],
)
def test_labels_that_make_no_sense_are_refused(fields: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        LabelSpec(**fields)  # type: ignore[arg-type]
