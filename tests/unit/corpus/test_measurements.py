"""Catheter tables: every value has exactly one fate, and what was planted is counted as it was planted."""

from __future__ import annotations

import csv
import datetime
import gzip
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from hemometric.config.base import essence, fingerprint
from hemometric.corpus import ColumnsTable, Key
from hemometric.corpus.identity import IdRules
from hemometric.corpus.measured_rows import FATES, clean, hash_of, stage_measurements
from hemometric.corpus.measurements import ColumnLabel, ItemLabel, LongTable, Pair, WideTable, labels_of
from hemometric.corpus.pairing import Pairing
from hemometric.errors import IntegrityError, UsageError

HEADER = ("mrn", "charttime", "itemid", "valuenum", "valueuom")
NOON = "2151-03-04 12:00:00"
PAIR = Pair(before_h=24, after_h=24)
WEDGE = ItemLabel(items=("223771",), unit="mmHg", low=-5, high=60)

# Row by row: what a hospital's table may hold, and the fate that it must have.
PLANTED = [
    (("1", NOON, "223771", "12", "mmHg"), "used"),
    (("1", NOON, "223771", "12", "mmHg"), "repeated"),
    (("1", NOON, "223771", "12.0", "mm Hg"), "repeated"),
    (("01", NOON, "223771", "13", "mmHg"), "used"),  # another patient
    (("2", NOON, "223771", "2", "kPa"), "used"),  # 15.0 mmHg
    (("2", "2151-03-04 13:00:00", "223771", "20", "cmH2O"), "used"),  # 14.7 mmHg
    (("2", "2151-03-04 14:00:00", "223771", "20", ""), "used"),  # no unit: that of the config
    (("2", "2151-03-04 15:00:00", "223771", "20", "furlongs"), "unknown_unit"),
    (("2", "2151-03-04 16:00:00", "223771", "20", "L/min"), "unknown_unit"),
    (("3", NOON, "223771", "-40", "mmHg"), "out_of_range"),
    (("3", NOON, "223771", "999", "mmHg"), "out_of_range"),
    (("3", NOON, "223771", "9", "kPa"), "out_of_range"),  # 67.5 mmHg
    (("3", NOON, "223771", "-5", "mmHg"), "used"),  # the ends are within
    (("4", NOON, "223771", "10", "mmHg"), "contradicted"),
    (("4", NOON, "223771", "11", "mmHg"), "contradicted"),
    (("4", NOON, "223771", "10", "mmHg"), "contradicted"),
    (("4", "2151-03-04T12:00:01", "223771", "11", "mmHg"), "used"),
    (("", NOON, "223771", "10", "mmHg"), "no_patient"),
    (("NULL", NOON, "223771", "10", "mmHg"), "no_patient"),
    (("5", "", "223771", "10", "mmHg"), "no_time"),
    (("5", "2151-02-30 12:00:00", "223771", "10", "mmHg"), "no_time"),
    (("5", "2151-03-04", "223771", "10", "mmHg"), "no_time"),  # midnight is nobody's guess
    (("5", "yesterday", "223771", "10", "mmHg"), "no_time"),
    (("5", NOON, "223771", "", "mmHg"), "no_value"),
    (("5", NOON, "223771", "NaN", "mmHg"), "no_value"),
    (("5", NOON, "223771", "12 mmHg", "mmHg"), "unreadable"),
    (("5", NOON, "223771", "1e400", "mmHg"), "unreadable"),
    (("1", NOON, "220061", "30", "mmHg"), None),  # another item
]


def write_long(path: Path, rows: Sequence[Sequence[str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        writer.writerows(rows)
    return path


def long_table(path: Path, **changes: object) -> LongTable:
    fields: dict[str, object] = {
        "path": path, "patient": "mrn", "time": "charttime", "item": "itemid", "value": "valuenum",
        "unit": "valueuom", "labels": {"mpcwp_mmhg": WEDGE}, "pair": PAIR,
    }  # fmt: skip
    return LongTable(**fields | changes)  # type: ignore[arg-type]


def planted_counts() -> dict[str, int]:
    return {fate: sum(planted == fate for _, planted in PLANTED) for fate in FATES}


def write_csv(folder: Path, rows: Sequence[Sequence[str]]) -> Path:
    return write_long(folder / "t.csv", rows)


def write_gzip(folder: Path, rows: Sequence[Sequence[str]]) -> Path:
    content = write_long(folder / "plain.csv", rows).read_bytes()
    (folder / "t.csv.gz").write_bytes(gzip.compress(content))
    return folder / "t.csv.gz"


def write_parquet(folder: Path, rows: Sequence[Sequence[str]]) -> Path:
    columns = {name: [row[place] for row in rows] for place, name in enumerate(HEADER)}
    pq.write_table(pa.table(columns), folder / "t.parquet", row_group_size=5)
    return folder / "t.parquet"


@pytest.mark.parametrize("write", [write_csv, write_gzip, write_parquet])
def test_every_planted_value_has_the_fate_that_was_planted(tmp_path: Path, key: Key, write: object) -> None:
    rows, counts = clean([long_table(write(tmp_path, [row for row, _ in PLANTED]))], key)  # type: ignore[operator]
    assert counts == {"mpcwp_mmhg": planted_counts()}
    expected = [12, 13, 2 * 7.500615, 20 * 0.735559, 20, -5, 11]
    assert sorted(rows["value"].to_pylist()) == pytest.approx(sorted(expected), rel=1e-5)


def test_the_order_of_the_rows_changes_nothing(tmp_path: Path, key: Key) -> None:
    rows = [row for row, _ in PLANTED]
    one = clean([long_table(write_long(tmp_path / "a.csv", rows))], key)
    random.Random(4).shuffle(rows)
    other = clean([long_table(write_long(tmp_path / "b.csv", rows))], key)
    assert one[0].equals(other[0])
    assert one[1] == other[1]


def test_items_and_patients_stored_as_numbers_are_those_of_the_text(tmp_path: Path, key: Key) -> None:
    noon = datetime.datetime(2151, 3, 4, 12)
    table = pa.table(
        {
            "mrn": pa.array([1.0, 2.0]), "charttime": pa.array([noon, noon], pa.timestamp("ns")),
            "itemid": pa.array([223771, 5], pa.int32()), "valuenum": pa.array([12.0, 13.0]),
            "valueuom": pa.array(["mmHg", None]).dictionary_encode(),
        }
    )  # fmt: skip
    pq.write_table(table, tmp_path / "t.parquet")
    typed, counts = clean(
        [long_table(tmp_path / "t.parquet", labels={"w": ItemLabel(items=(223771,), unit="mmHg")})], key
    )
    text, _ = clean([long_table(write_long(tmp_path / "t.csv", [PLANTED[0][0]]))], key)
    assert typed.equals(text)
    assert counts["w"]["used"] == sum(counts["w"].values()) == 1


def test_a_wide_table_is_the_long_one_laid_beside(tmp_path: Path, key: Key) -> None:
    (tmp_path / "w.csv").write_text(
        "MRN;Datum;PAWP;HZV\n1;04.03.2151 12:00;12;5000\n1;05.03.2151 09:30;;4000\n2;31.02.2151 09:00;11;999999\n"
    )
    config = WideTable(
        path=tmp_path / "w.csv", patient="MRN", time="Datum", delimiter=";", time_format="%d.%m.%Y %H:%M", pair=PAIR,
        labels={
            "mpcwp_mmhg": ColumnLabel(column="PAWP", unit="mmHg"),
            "co_l_min": ColumnLabel(column="HZV", unit="L/min", source_unit="mL/min", low=0.5, high=20),
        },
    )  # fmt: skip
    rows, counts = clean([config], key)
    nothing = dict.fromkeys(FATES, 0)
    assert counts["mpcwp_mmhg"] == nothing | {"used": 1, "no_value": 1, "no_time": 1}
    assert counts["co_l_min"] == nothing | {"used": 2, "no_time": 1}
    assert sorted(rows["value"].to_pylist()) == [4.0, 5.0, 12.0]


def test_times_with_a_zone_are_brought_to_the_wall_clock_and_mixtures_are_refused(tmp_path: Path, key: Key) -> None:
    aware = [("1", "2151-07-04T10:00:00Z", "223771", "12", ""), ("1", "2151-07-04T13:30:00+02:00", "223771", "13", "")]
    naive = [("1", "2151-07-04 12:00:00", "223771", "12", ""), ("1", "2151-07-04 13:30:00", "223771", "13", "")]
    berlin, _ = clean([long_table(write_long(tmp_path / "a.csv", aware), time_zone="Europe/Berlin")], key)
    wall, _ = clean([long_table(write_long(tmp_path / "n.csv", naive), time_zone="Europe/Berlin")], key)
    assert berlin.equals(wall)
    with pytest.raises(UsageError, match="carry a time zone; set time_zone"):
        clean([long_table(tmp_path / "a.csv")], key)
    with pytest.raises(UsageError, match="2 times carry a time zone and 2 carry none"):
        clean([long_table(write_long(tmp_path / "m.csv", aware + naive), time_zone="Europe/Berlin")], key)


def test_the_staged_file_holds_no_id_and_no_date_and_is_made_once(tmp_path: Path, key: Key) -> None:
    rows = [("MRN-CANARY", NOON, "223771", "12", "mmHg")]
    table = long_table(write_long(tmp_path / "t.csv", rows))
    measured = stage_measurements([table], tmp_path / "staging", key)
    content = measured.path.read_bytes()
    assert b"CANARY" not in content
    micro = int((datetime.datetime.fromisoformat(NOON) - datetime.datetime(1970, 1, 1)).total_seconds()) * 1_000_000
    assert micro.to_bytes(8, "little") not in content
    before = measured.path.stat().st_mtime_ns
    assert stage_measurements([table], tmp_path / "staging", key) == measured
    assert measured.path.stat().st_mtime_ns == before
    measured.path.write_bytes(content[:-9])
    with pytest.raises(IntegrityError, match="damaged"):
        Pairing(measured)
    assert stage_measurements([table], tmp_path / "staging", key) == measured
    assert measured.path.read_bytes() == content
    other = long_table(write_long(tmp_path / "o.csv", [*rows, *rows]))
    assert stage_measurements([other], tmp_path / "staging", key).path != measured.path


def test_rules_of_ids_hold_for_the_catheter_too(tmp_path: Path, key: Key) -> None:
    table = long_table(write_long(tmp_path / "t.csv", [("00-123", NOON, "223771", "12", "mmHg")]))
    ruled = replace(key, rules=IdRules(remove="-", leading_zeros="strip"))
    noon = datetime.datetime.fromisoformat(NOON)
    for of_key, expected in ((key, None), (ruled, 12.0)):
        measured = stage_measurements([table], tmp_path / "staging", of_key)
        patient = of_key.patient("123")
        found = Pairing(measured).paired(patient, noon + of_key.date_shift(patient))
        assert found.columns["label.mpcwp_mmhg"] == expected
    assert len(list((tmp_path / "staging").glob("*.arrow"))) == 2


def test_a_moved_table_is_the_same_and_a_missing_one_is_one_sentence(tmp_path: Path, key: Key) -> None:
    table = long_table(write_long(tmp_path / "t.csv", [PLANTED[0][0]]))
    moved = long_table(write_long(tmp_path / "u.csv", [PLANTED[0][0]]))
    assert hash_of([table]) == hash_of([moved])
    assert hash_of([table]) != hash_of([long_table(tmp_path / "t.csv", pair=Pair(before_h=1, after_h=1))])
    with pytest.raises(UsageError, match="does not exist"):
        stage_measurements([long_table(tmp_path / "none.csv")], tmp_path / "staging", key)


def test_a_cut_off_gzip_ends_in_one_sentence(tmp_path: Path, key: Key) -> None:
    path = write_gzip(tmp_path, [row for row, _ in PLANTED] * 500)
    content = path.read_bytes()
    for keep in (3, 30, len(content) // 2, len(content) - 3):
        path.write_bytes(content[:keep])
        with pytest.raises(UsageError, match="cannot be read") as caught:
            clean([long_table(path)], key)
        assert "\n" not in str(caught.value)


def test_labels_come_with_their_distance_in_hours() -> None:
    one = long_table(Path("t"))
    assert [(label.name, label.kind, label.unit) for label in labels_of([one])] == [
        ("mpcwp_mmhg", "number", "mmHg"), ("mpcwp_mmhg_delta_h", "number", "h"),
    ]  # fmt: skip
    listed = long_table(Path("t"), pair=Pair(before_h=1, after_h=1, choose="all"), labels={"w": WEDGE})
    assert {label.kind for label in labels_of([listed])} == {"numbers"}
    with pytest.raises(ValueError, match="two labels have the name 'mpcwp_mmhg'"):
        labels_of([one, one])


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"labels": {"a": WEDGE, "b": WEDGE}}, "item 223771 stands in two places"),
        ({"labels": {"A": WEDGE}}, "lower-case"),
        (
            {"labels": {"a": WEDGE, "a_delta_h": ItemLabel(items=("1",), unit="h")}},
            "two labels have the name 'a_delta_h'",
        ),
        ({"time_zone": "Middle/Earth"}, "time_zone 'Middle/Earth' is not known"),
        ({"time_format": "YYYY"}, "time_format 'YYYY' must be iso"),
        ({"delimiter": ";;"}, "one ASCII character"),
    ],
)
def test_tables_that_make_no_sense_are_refused(changes: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        long_table(Path("t"), **changes)


def test_units_and_ranges_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="source_unit 'L/min' cannot be converted to unit 'mmHg'"):
        ItemLabel(items=("1",), unit="mmHg", source_unit="L/min")
    with pytest.raises(ValueError, match="below high"):
        ColumnLabel(column="x", unit="mmHg", low=3, high=3)


@pytest.mark.parametrize("write", [write_csv, write_parquet])
def test_decimal_commas_are_read_where_the_table_has_them(tmp_path: Path, key: Key, write: object) -> None:
    cells = [("26,2", "used"), (" -0,5 ", "used"), (",5", "used"), ("7", "used"), ("1,2e1", "used")]
    cells += [("26.2", "unreadable"), ("1.234,5", "unreadable"), ("1,2,3", "unreadable"), ("", "no_value")]
    planted = [(str(number), NOON, "223771", cell, "mmHg") for number, (cell, _) in enumerate(cells)]
    path = write(tmp_path, planted)  # type: ignore[operator]
    rows, counts = clean([long_table(path, delimiter=",").model_copy(update={"decimal": ","})], key)
    assert sorted(rows["value"].to_pylist()) == [-0.5, 0.5, 7, 12, 26.2]
    fates = [fate for _, fate in cells]
    assert counts["mpcwp_mmhg"] == {fate: fates.count(fate) for fate in FATES}
    assert clean([long_table(path)], key)[1]["mpcwp_mmhg"]["used"] == 2


def test_a_wide_german_table(tmp_path: Path, key: Key) -> None:
    (tmp_path / "t.csv").write_text("ID;Zeit;PAWP\n1;04.03.2151 12:00;26,2\n")
    fields: dict[str, Any] = {
        "path": tmp_path / "t.csv", "patient": "ID", "time": "Zeit", "time_format": "%d.%m.%Y %H:%M", "pair": PAIR,
        "labels": {"mpcwp_mmhg": ColumnLabel(column="PAWP", unit="mmHg")}, "delimiter": ";",
    }  # fmt: skip
    rows, _ = clean([WideTable(**fields, decimal=",")], key)
    assert rows["value"].to_pylist() == [26.2]
    assert clean([WideTable(**fields)], key)[1]["mpcwp_mmhg"]["unreadable"] == 1


def test_a_comma_cannot_part_columns_and_decimals(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="decimal and delimiter are both ','"):
        long_table(tmp_path / "t.csv", decimal=",")
    with pytest.raises(ValidationError, match="decimal and delimiter are both ','"):
        WideTable(
            path=tmp_path, patient="p", time="t", pair=PAIR, decimal=",",
            labels={"mpcwp_mmhg": ColumnLabel(column="w", unit="mmHg")},
        )  # fmt: skip
    with pytest.raises(ValidationError, match=r"decimal and delimiter are both '\.'"):
        ColumnsTable(path=tmp_path, record="r", delimiter=".")


def test_a_point_as_decimal_is_what_tables_always_meant(tmp_path: Path) -> None:
    assert fingerprint(long_table(tmp_path, delimiter=";")) != fingerprint(
        long_table(tmp_path, delimiter=";", decimal=",")
    )
    assert "decimal" not in essence(long_table(tmp_path))
