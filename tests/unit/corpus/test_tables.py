"""Tables: joined by name, values checked and counted, columns that are missing proposed."""

import ast
import csv
import re
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hemometric.corpus import AutoTable, ColumnsTable, LabelSpec, MetadataTable, NoTable, PtbxlTable, discover_table
from hemometric.corpus.metadata import NULLED
from hemometric.errors import IntegrityError, UsageError

CLASSES = {"NORM": ["NORM"], "IMI": ["MI"], "SR": [], "LVH": ["HYP"]}


def write_ptbxl(folder: Path, **changes: str) -> Path:
    row = {
        "patient_id": "15709.0", "age": "300.0", "sex": "1", "site": "0.0", "strat_fold": "3",
        "scp_codes": "{'NORM': 100.0, 'SR': 0.0}", "recording_date": "1984-11-09 09:17:34",
        "filename_lr": "records100/00000/00001_lr", "filename_hr": "records500/00000/00001_hr",
    }  # fmt: skip
    row.update(changes)
    with (folder / "ptbxl_database.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, row)
        writer.writeheader()
        writer.writerow(row)
    (folder / "scp_statements.csv").write_text(
        ",description,diagnostic,diagnostic_class\nNORM,n,1.0,NORM\nIMI,i,1.0,MI\nSR,s,,\nLVH,l,1.0,HYP\nXX,x,,MI\n"
    )
    return folder


def test_ptbxl_agrees_with_a_plain_reading_of_its_files(bundled: Path) -> None:
    table = PtbxlTable().build([bundled])
    with (bundled / "scp_statements.csv").open(newline="") as file:
        classes = {row[""]: row["diagnostic_class"] for row in csv.DictReader(file) if row["diagnostic"] == "1.0"}
    with (bundled / "ptbxl_database.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) > 100
    for row in rows:
        age = float(row["age"]) if row["age"] else None
        for column in ("filename_lr", "filename_hr"):
            found = table.lookup(f"any/where/{row[column]}")
            assert found is not None
            assert found.patient_id == str(int(float(row["patient_id"])))
            assert found.age_years == (90 if age is not None and age > 89 else age)
            assert found.sex == {"0": "male", "1": "female"}[row["sex"]]
            assert found.fold == int(row["strat_fold"])
            assert found.acquired is not None
            assert str(found.acquired) == row["recording_date"]
            codes = re.findall(r"'(\w+)':", row["scp_codes"])
            assert found.labels == {"superclasses": sorted({classes[code] for code in codes if code in classes})}


def test_ptbxl_statements_keep_their_likelihoods(bundled: Path) -> None:
    table = PtbxlTable(statements=True).build([bundled])
    sure = PtbxlTable(min_likelihood=80).build([bundled])
    with (bundled / "scp_statements.csv").open(newline="") as file:
        classes = {row[""]: row["diagnostic_class"] for row in csv.DictReader(file) if row["diagnostic"] == "1.0"}
    with (bundled / "ptbxl_database.csv").open(newline="") as file:
        stated = {row["filename_lr"]: ast.literal_eval(row["scp_codes"]) for row in csv.DictReader(file)}
    num_unsure = 0
    for name, codes in stated.items():
        found, of_sure = table.lookup(f"x/{name}"), sure.lookup(f"x/{name}")
        assert found is not None
        assert of_sure is not None
        assert found.labels["scp_codes"] == sorted(codes)
        assert found.labels["scp_codes_likelihoods"] == [codes[code] for code in sorted(codes)]
        believed = sorted({classes[code] for code, value in codes.items() if value >= 80 and code in classes})
        assert of_sure.labels == {"superclasses": believed}
        num_unsure += believed != found.labels["superclasses"]
    assert num_unsure > 10
    assert [(label.name, label.kind, label.unit) for label in table.labels[1:]] == [
        ("scp_codes", "codes", ""), ("scp_codes_likelihoods", "numbers", "%"),
    ]  # fmt: skip


def test_ptbxl_reads_300_years_as_over_89(tmp_path: Path) -> None:
    found = PtbxlTable().build([write_ptbxl(tmp_path)]).lookup("x/records100/00000/00001_lr")
    assert found is not None
    assert found.age_years == 90
    assert found.site == "0"
    assert found.labels == {"superclasses": ["NORM"]}


@pytest.mark.parametrize(
    "codes",
    ["__import__('os').system('true')", "{'a': ", "[1]", "(" * 9000, "{'NORM':" + " " * 20_000 + "1}", "9" * 9000],
)
def test_ptbxl_never_evaluates_and_counts_what_it_cannot_read(tmp_path: Path, codes: str) -> None:
    table = PtbxlTable().build([write_ptbxl(tmp_path, scp_codes=codes, age="-3", strat_fold="x")])
    row = table.rows.to_pylist()[0]
    assert row["label.superclasses"] is None
    assert row["age_years"] is None
    assert row["fold"] is None
    assert row[NULLED] == ["age_years", "fold (unreadable)", "label.superclasses (unreadable)"]


def test_ptbxl_needs_its_statements_and_its_columns(tmp_path: Path, bundled: Path) -> None:
    write_ptbxl(tmp_path)
    (tmp_path / "scp_statements.csv").unlink()
    with pytest.raises(UsageError, match=r"scp_statements\.csv"):
        PtbxlTable(path=tmp_path / "ptbxl_database.csv").build([])
    shutil.copy(bundled / "scp_statements.csv", tmp_path)
    text = (tmp_path / "ptbxl_database.csv").read_text()
    (tmp_path / "ptbxl_database.csv").write_text(text.replace("strat_fold", "stratfold"))
    with pytest.raises(UsageError, match="'strat_fold'; did you mean 'stratfold'"):
        PtbxlTable().build([tmp_path])


def test_discovery_looks_in_the_source_and_three_folders_up(tmp_path: Path) -> None:
    write_ptbxl(tmp_path)
    inner = tmp_path / "a" / "b" / "c"
    (inner / "d").mkdir(parents=True)
    expected = tmp_path.resolve() / "ptbxl_database.csv"
    assert discover_table([tmp_path]) == discover_table([tmp_path / "other", inner]) == expected
    assert discover_table([inner / "d"]) is None
    assert AutoTable().build([inner]).kind == "ptbxl"
    assert AutoTable().build([inner / "d"]).kind == NoTable().build([inner]).kind == "none"
    with pytest.raises(UsageError, match=r"table\.path"):
        PtbxlTable().build([inner / "d"])


def test_names_match_by_whole_parts_from_either_end(tmp_path: Path) -> None:
    table = PtbxlTable().build([write_ptbxl(tmp_path)])
    keys = {
        "records100/00000/00001_lr": 0,
        "ptbxl/records100/00000/00001_lr": 0,
        "ptbxl/records500/00000/00001_hr": 0,
        "00000/00001_lr": 0,  # the source was the inner folder
        "00001_lr": -1,
        "elsewhere/00001_lr": -1,
        "xrecords100/00000/00001_lr": -1,
        "0000/00001_lr": -1,
        "records100/00000/00002_lr": -1,
    }
    for key, expected in keys.items():
        assert table.positions([key]).tolist() == [expected], key
        assert (table.lookup(key) is None) == (expected < 0)


COLUMNS = {
    "record": ["site_a/r1", "site_a/r2.hea", "./site_b/r3", "r4"],
    "mrn": ["00123", " 00124 ", "", "ä-1"],
    "years": ["51.5", "90.2", "-1", "old"],
    "gender": ["F", "male", "?", ""],
    "place": ["A", "A", "B", ""],
    "fold": ["1", "2.5", "x", ""],
    "wedge": ["12.5", "-40", "999", "n/k"],
    "codes": ["AF; LBBB;AF", "", " ; ", "LVH"],
}


def columns_config(path: Path) -> ColumnsTable:
    return ColumnsTable(
        path=path, record="record", patient="mrn", age="years", sex="gender", site="place", fold="fold",
        labels={
            "mpcwp_mmhg": LabelSpec(column="wedge", unit="mmHg", low=1, high=60),
            "rhythm": LabelSpec(column="codes", kind="codes"),
        },
    )  # fmt: skip


def write_columns(path: Path) -> Path:
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(zip(*COLUMNS.values(), strict=True))
    return path


def write_parquet(path: Path) -> Path:
    pq.write_table(pa.table({name: [value or None for value in values] for name, values in COLUMNS.items()}), path)
    return path


@pytest.mark.parametrize("write", [write_columns, write_parquet])
def test_columns_are_read_as_written_and_what_is_unbelievable_is_counted(tmp_path: Path, write: object) -> None:
    table = columns_config(write(tmp_path / "t")).build([])  # type: ignore[operator]
    keys = ["src/site_a/r1", "src/site_a/r2", "src/site_b/r3", "src/r4", "src/r5"]
    rows = table.take(table.positions(keys)).to_pylist()
    assert [row["patient_id"] for row in rows] == ["00123", "00124", None, "ä-1", None]
    assert [row["age_years"] for row in rows] == [51.5, 90, None, None, None]
    assert [row["sex"] for row in rows] == ["female", "male", None, None, None]
    assert [row["site"] for row in rows] == ["A", "A", "B", None, None]
    assert [row["fold"] for row in rows] == [1, None, None, None, None]
    assert [row["label.mpcwp_mmhg"] for row in rows] == [12.5, None, None, None, None]
    assert [row["label.rhythm"] for row in rows] == [["AF", "LBBB"], None, [], ["LVH"], None]
    assert [row[NULLED] for row in rows] == [
        [],
        ["fold (unreadable)", "label.mpcwp_mmhg"],
        ["age_years", "sex (unreadable)", "fold (unreadable)", "label.mpcwp_mmhg"],
        ["age_years (unreadable)", "label.mpcwp_mmhg (unreadable)"],
        None,
    ]
    assert [(label.name, label.kind, label.unit, label.low, label.high) for label in table.labels] == [
        ("mpcwp_mmhg", "number", "mmHg", 1, 60), ("rhythm", "codes", "", None, None),
    ]  # fmt: skip


def test_typed_parquet_numbers_lists_and_dictionaries(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    typed = pa.table(
        {
            "record": pa.array(["a", "b", "c"]).dictionary_encode(),
            "mrn": pa.array([15709.0, None, 7.0]),
            "wedge": pa.array([np.nan, np.inf, 8.0]),
            "codes": pa.array([["B", "A", "B"], [], None]),
        }
    )
    pq.write_table(typed, path)
    labels = {"w": LabelSpec(column="wedge"), "c": LabelSpec(column="codes", kind="codes")}
    rows = ColumnsTable(path=path, record="record", patient="mrn", labels=labels).build([]).rows.to_pylist()
    assert [row["patient_id"] for row in rows] == ["15709", None, "7"]
    assert [row["label.w"] for row in rows] == [None, None, 8.0]
    assert [row[NULLED] for row in rows] == [[], ["label.w (unreadable)"], []]  # a Parquet NaN is an absent value
    assert [row["label.c"] for row in rows] == [["A", "B"], [], None]


def test_extensions_of_versions_are_no_extensions(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("record\nP1.V0\nP1.V1\nQ2.xml\n")
    table = ColumnsTable(path=tmp_path / "t.csv", record="record").build([])
    assert table.positions(["s/P1.V0", "s/P1.V1", "s/Q2", "s/P1"]).tolist() == [0, 1, 2, -1]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("recrd,mrn\na,1\n", "no column 'record'; did you mean 'recrd'"),
        ("", "no column 'record'; it has none"),
        (
            "r0,90001,DOE^JOHN\n",
            "no column 'record'; some of the 3 names in its first row are numbers: give it a header",
        ),
        ("r0,1956-03-04,DOE^JOHN\n", "no column 'record'; some of the 3 names in its first row are numbers"),
        ("file,who\na,DOE^JOHN\n", "no column 'record'; it has file, who"),
        ("record,mrn,mrn\na,1,2\n", "'mrn' stands twice"),
        ("record,mrn\na,1\na,2\n", "a record is named again, with other values, in row 2 below the header"),
        ("record,mrn\n,1\n", "names no record"),
        ("record,mrn\na,1,2,3\n", "cannot be read as CSV"),
        (b"record,mrn\n\xff\xfe,1\n", "UTF-8|CSV"),
        (b"PAR1 but not really", "cannot be read as Parquet"),
    ],
)
def test_tables_that_do_not_fit_end_in_one_sentence(tmp_path: Path, content: str | bytes, sentence: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UsageError, match=sentence) as caught:
        ColumnsTable(path=path, record="record", patient="mrn").build([])
    assert "\n" not in str(caught.value)
    assert "DOE" not in str(caught.value)


def test_missing_table_and_truncated_parquet(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        ColumnsTable(path=tmp_path / "t.csv", record="record").build([])
    path = write_parquet(tmp_path / "t.parquet")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UsageError, match="cannot be read as Parquet"):
        ColumnsTable(path=path, record="record").build([])


def test_extension_types_are_refused_before_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    tensor = pa.FixedShapeTensorArray.from_numpy_ndarray(np.zeros((1, 2)))
    pq.write_table(pa.table({"record": tensor}), path)
    with pytest.raises(IntegrityError, match="extension type"):
        ColumnsTable(path=path, record="record").build([])


def test_one_name_for_two_sources_is_ambiguous(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("record,mrn\n001,5\n")
    table = ColumnsTable(path=tmp_path / "t.csv", record="record", patient="mrn").build([])
    assert table.positions(["a/001"]).tolist() == [0]
    with pytest.raises(UsageError, match="fits more than one source, in row 1 below the header"):
        table.positions(["a/001", "b/001"])


def test_rows_that_name_records_again_are_counted_and_the_first_are_said(tmp_path: Path) -> None:
    lines = [f"r{number % 7},{number}" for number in range(14)]
    (tmp_path / "t.csv").write_text("\n".join(["record,mrn", *lines]) + "\n")
    with pytest.raises(UsageError, match=r"in 7 rows \(8, 9, 10, …\) below the header; keep one row"):
        ColumnsTable(path=tmp_path / "t.csv", record="record", patient="mrn").build([])


def test_the_empty_table_knows_nothing() -> None:
    table = MetadataTable.empty()
    assert table.lookup("a/b") is None
    assert table.take(table.positions(["a/b", "c"]))["patient_id"].null_count == 2


@pytest.mark.parametrize(
    ("fields", "word"),
    [({"low": 3, "high": 2}, "below high"), ({"kind": "codes", "low": 0}, "no low")],
)
def test_label_ranges_make_sense(fields: dict[str, object], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        LabelSpec(column="x", **fields)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="lower-case"):
        ColumnsTable(path=Path("x"), record="r", labels={"Bad name": LabelSpec(column="x")})


def test_a_record_is_found_with_or_without_the_suffix_of_its_file(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("record,mrn\n1234,a\n5678.xml,b\nrec.v2,c\nrec,d\n")
    table = ColumnsTable(path=tmp_path / "t.csv", record="record", patient="mrn").build([])
    keys = ["muse/1234.xml", "muse/5678.xml", "muse/9.xml", "wfdb/rec.v2", "wfdb/rec.v3", "h5/part.h5/1234"]
    found = [table.lookup(key) for key in keys]
    assert [one and one.patient_id for one in found] == ["a", "b", None, "c", None, "a"]


@pytest.mark.parametrize("other", ["r0.hea,p9", "r0.dat,p9", "src/r0,p9"])
@pytest.mark.parametrize("turned", [False, True])
def test_two_rows_that_mean_one_record_are_refused(tmp_path: Path, other: str, turned: bool) -> None:
    rows = ["r0,p0", other][:: -1 if turned else 1]
    (tmp_path / "t.csv").write_text("\n".join(["record,mrn", *rows, "r1,p1"]) + "\n")
    table = ColumnsTable(path=tmp_path / "t.csv", record="record", patient="mrn").build([])
    with pytest.raises(UsageError, match=r"named again, by another spelling or a shorter path, in row [12] below"):
        table.positions(["src/r0", "src/r1"])
    if other.startswith("src"):  # a shorter path may be that of a record elsewhere
        assert (table.positions(["src/r0", "top/r0", "src/r1"]) >= 0).all()
