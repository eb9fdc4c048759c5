"""What an ingest says of sites, of values that were lost and of measurements that met no ECG."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from hemometric.corpus import ColumnsTable, IngestConfig, LabelSpec, SiteSplit
from hemometric.corpus.identity import Identity
from hemometric.corpus.link_file import LinkRows
from hemometric.corpus.measurements import ColumnLabel, ItemLabel, LongTable, Pair, WideTable
from hemometric.runs import ingest, ingest_estimate
from hemometric.runs.ingest import IngestRun
from hemometric.runs.ingest_summary import link_lines, nulled_lines, unpaired, unusable
from hemometric.runs.inspect import inspect_corpus
from hemometric.runs.site_counts import SiteCounts

NUM = 12
PAIR = Pair(before_h=1, after_h=1)


@pytest.fixture
def run(line: Any, tmp_path: Path) -> Any:
    """Give an ingest of twelve records of twelve patients, by what its table says of them and its further fields."""
    headers = sorted(line.cohort.rglob("*.hea"))[:NUM]
    for header in headers:
        (tmp_path / "archive").mkdir(exist_ok=True)
        for suffix in (".hea", ".dat"):
            target = tmp_path / "archive" / header.with_suffix(suffix).name
            target.write_bytes(header.with_suffix(suffix).read_bytes())

    def made(columns: dict[str, list[object]], **fields: Any) -> IngestRun:
        given = {"record": [header.stem for header in headers], "mrn": [f"p{n}" for n in range(NUM)], **columns}
        rows = [given.keys(), *zip(*given.values(), strict=True)]
        (tmp_path / "ecgs.csv").write_text("".join(";".join(map(str, row)) + "\n" for row in rows))
        known = {"age": "age", "sex": "sex", "site": "site", "acquired": "acquired"}
        names = {field: name for field, name in known.items() if name in columns}
        labels = {"wedge": LabelSpec(column="wedge", unit="mmHg", low=0, high=60)} if "wedge" in columns else {}
        decimal = fields.pop("decimal", ".")
        path = tmp_path / "ecgs.csv"
        table = ColumnsTable(
            path=path, record="record", patient="mrn", delimiter=";", decimal=decimal, labels=labels, **names
        )
        settings = IngestConfig(table=table, find_duplicates=False, **fields)
        return IngestRun(
            sources=(tmp_path / "archive",), out=tmp_path / "out", key=line.key, workers=0, ingest=settings
        )

    return made


def beginning(lines: list[str], start: str) -> list[str]:
    return [line for line in lines if line.startswith(start)]


def test_sites_are_said_by_an_ingest_a_dry_run_and_inspect(run: Any) -> None:
    config = run(
        {"site": ["north"] * 6 + ["south"] * 5 + ["Nroth"]},
        split=SiteSplit(validation=(), test=("south",)),
    )
    told = ["sites: north 6 (train 6), south 5 (test 5), 1 site of fewer than 5 patients 1 (train 1)"]
    assert beginning(ingest_estimate.run(config), "sites: ") == told
    assert beginning(ingest.run(config), "sites: ") == told
    assert beginning(inspect_corpus(config.out, draw=None, out=config.out / "x.png"), "sites: ") == told


def test_sites_are_counted_over_shards_and_few_patients_name_none() -> None:
    counts = SiteCounts()
    assert counts.lines() == []
    for start in (0, 3):
        patients = [f"p{number}" for number in range(start, start + 3)] * 2
        rows = [("a", name) for name in patients] + [("b", "p1"), (None, "p1")]
        columns = [pa.chunked_array([list(column)], pa.string()) for column in zip(*rows, strict=True)]
        counts.add(*columns, lambda _: None)
    assert counts.lines() == ["sites: a 12, 1 site of fewer than 5 patients 2, none 2"]
    for number in range(12):
        names = pa.chunked_array([[f"p{one}" for one in range(5)]], pa.string())
        counts.add(pa.chunked_array([[f"s{number:02d}"] * 5], pa.string()), names, lambda _: "train")
    (line,) = counts.lines()
    assert "s08 5 (train 5), 3 more 15 (train 15), 1 site of fewer" in line


def test_values_that_cannot_be_read_are_told_from_those_out_of_range(run: Any) -> None:
    told = ingest.run(run({"age": ["56.0"] * 10 + ["999", "44"], "wedge": [12, "high", 99, *range(9)]}))
    assert beginning(told, "values") == [
        "values that cannot be read, now absent: label.wedge 1",
        "values out of range, now absent: age_years 1, label.wedge 1",
    ]
    assert not beginning(told, "careful: nearly all")


@pytest.mark.parametrize(
    ("columns", "fields", "warning"),
    [
        (
            {"age": ["56.0"] * NUM},
            {"decimal": ","},
            "age_years cannot be read; see its column (table.age) and",
        ),
        ({"sex": ["lab 3"] * NUM}, {}, "sex cannot be read; see its column (table.sex) and table.sexes"),
        (
            {"acquired": ["north"] * NUM},
            {},
            "acquired cannot be read; see its column (table.acquired), time_format",
        ),
        ({"wedge": [1200] * 6 + [""] * 6}, {}, "label.wedge are out of range; see its unit, source_unit, low and high"),
        ({"age": [1960] * NUM}, {}, "age_years are out of range; see its column (table.age): it holds years"),
    ],
)
def test_a_column_of_which_nearly_all_is_lost_is_warned_of(
    run: Any, columns: dict[str, list[object]], fields: dict[str, Any], warning: str
) -> None:
    told = beginning(ingest.run(run(columns, **fields)), "careful: nearly all values of ")
    assert len(told) == 1
    assert warning in told[0]


@pytest.mark.parametrize(
    ("patient", "when", "items", "warning"),
    [
        ("q", "10:00", "PCWP", "no ECG has a value of wedge; see the table's patient and items, and identity.rules"),
        ("p", "20:00", "PCWP", "no ECG has a value of wedge; see the table's time, time_format and pair"),
        ("p", "10:00", "PAWP", "no row of its table is a value of wedge; see its items"),
        ("p", "10:00", "PCWP", None),
    ],
)
def test_measurements_that_meet_no_ecg_are_warned_of(
    run: Any, tmp_path: Path, patient: str, when: str, items: str, warning: str | None
) -> None:
    rows = [f"{patient}{number},2020-01-01 {when},PCWP,{10 + number}" for number in range(NUM)]
    (tmp_path / "catheter.csv").write_text("\n".join(["who,at,item,value", *rows]) + "\n")
    labels = {"wedge": ItemLabel(items=(items,), unit="mmHg")}
    names = {"patient": "who", "time": "at", "item": "item", "value": "value"}
    table = LongTable(path=tmp_path / "catheter.csv", labels=labels, pair=PAIR, **names)
    told = ingest.run(run({"acquired": ["2020-01-01 10:30"] * NUM}, measurements=(table,)))
    warned = [line for line in beginning(told, "careful: ") if "wedge" in line]
    assert warned == ([] if warning is None else [f"careful: {warning}"])


def test_a_column_without_a_value_is_warned_of(run: Any, tmp_path: Path) -> None:
    (tmp_path / "catheter.csv").write_text("who,at,wedge\np0,2020-01-01 10:00,\n")
    labels = {"wedge": ColumnLabel(column="wedge", unit="mmHg")}
    table = WideTable(path=tmp_path / "catheter.csv", patient="who", time="at", labels=labels, pair=PAIR)
    told = ingest.run(run({"acquired": ["2020-01-01 10:30"] * NUM}, measurements=(table,)))
    assert "careful: no row of its table has a value of wedge; see its column" in told


def test_warnings_are_of_the_counts_alone() -> None:
    outcomes = {"paired": 0, "no_time": 5, "no_partner": 1, "out_of_window": 1}
    assert "see the ECGs' own time" in unpaired({"w": outcomes}, {"w": {"used": 3}})[0]
    assert unpaired({"w": {**outcomes, "paired": 1}}, {"w": {"used": 3}}) == []
    assert unpaired({"w": outcomes}, {"w": {"used": 0}}) == [], "what became of the values is said"
    assert unusable({"w": {"used": 1, "no_value": 9}}) == []
    assert nulled_lines({}) == []


def test_a_link_file_says_what_its_rows_came_to_and_that_links_stay(run: Any, tmp_path: Path) -> None:
    links = tmp_path / "links.csv"
    links.write_text("id,same_as\np0,p1\nq0,q1\np3,\n")
    config = run({}, identity=Identity(same=links))
    told = beginning(ingest.run(config), "link file: ")
    assert told == ["link file: 3 rows, 1 of patients of the corpus, 1 of nobody in it, 1 without two ids"]
    links.write_text("id,same_as\n")
    told = ingest.run(config)
    assert any("nothing to do" in line for line in told)
    (line,) = beginning(told, "1 patient goes under another's name")
    assert line.endswith("links stay, and a corpus without one must be made anew")


def test_a_link_file_that_joins_nobody_is_warned_of() -> None:
    assert link_lines(LinkRows(0, 2, 0, 3, 0)) == [
        "link file: 5 rows, 0 of patients of the corpus, 2 of nobody in it, 3 without two ids",
        "careful: the link file joins nobody; see that its ids are spelt as in the table, identity.rules",
    ]
    assert link_lines(LinkRows(0, 0, 0, 0, 0)) == ["link file: 0 rows, 0 of patients of the corpus"]
