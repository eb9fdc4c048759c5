"""Catheter values through a whole ingest: stored, counted, and the same however it was cut."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hemometric.corpus import ColumnsTable, IngestConfig, Key, LabelSpec, open_corpus
from hemometric.corpus.identity import Identity
from hemometric.corpus.measured_rows import FATES
from hemometric.corpus.measurements import ColumnLabel, Pair, WideTable
from hemometric.corpus.pairing import OUTCOMES
from hemometric.errors import UsageError
from hemometric.runs.ingest_summary import summary

ECG = datetime(2020, 5, 10, 12)


@pytest.fixture
def archive(tmp_path: Path, write_record: Callable[..., Path]) -> Path:
    """Twelve ECGs of six patients, two each, a day apart; the last patient has no time."""
    lines = ["record,mrn,time,scp"]
    for number in range(12):
        write_record(tmp_path / "src", f"r{number:02d}", seed=number)
        mrn, second = divmod(number, 2)
        time = "" if mrn == 5 else (ECG + timedelta(days=second)).isoformat()
        lines.append(f"r{number:02d},P{mrn},{time},NORM:100;SR:0")
    (tmp_path / "ecgs.csv").write_text("\n".join(lines) + "\n")
    rows = [
        ("P0", ECG + timedelta(hours=2), "18"),  # of the first ECG; the second came 22 h later
        ("P1", ECG + timedelta(hours=26), "25"),  # of both, 26 h and 2 h after
        ("P2", ECG + timedelta(hours=2), "-40"),
        ("P3", ECG - timedelta(days=9), "11"),
        ("P4", ECG, "12"),
        ("P4", ECG, "13"),
        ("P5", ECG, "14"),
    ]
    text = "".join(f"{mrn},{time.isoformat()},{wedge}\n" for mrn, time, wedge in rows)
    (tmp_path / "cath.csv").write_text("mrn,time,wedge\n" + text)
    return tmp_path


def config_of(archive: Path, **changes: Any) -> IngestConfig:
    scp = LabelSpec(column="scp", kind="codes", likelihoods=True)
    fields: dict[str, Any] = {
        "table": ColumnsTable(
            path=archive / "ecgs.csv", record="record", patient="mrn", acquired="time", labels={"scp": scp}
        ),
        "measurements": (
            WideTable(
                path=archive / "cath.csv", patient="mrn", time="time", pair=Pair(before_h=0, after_h=48),
                labels={"mpcwp_mmhg": ColumnLabel(column="wedge", unit="mmHg", low=-5, high=60)},
            ),
        ),
    }  # fmt: skip
    return IngestConfig(**fields | changes)


def test_every_ecg_and_every_value_is_accounted_for(archive: Path, key: Key, ingest: Callable[..., Any]) -> None:
    manifest = ingest(config_of(archive), [archive / "src"], archive / "out", key)
    fates = dict.fromkeys(FATES, 0) | {"used": 4, "out_of_range": 1, "contradicted": 2}
    assert manifest.counts.measurements == {"mpcwp_mmhg": fates}
    assert manifest.pairs == {"mpcwp_mmhg": Pair(before_h=0, after_h=48)}
    outcomes = dict.fromkeys(OUTCOMES, 0) | {"paired": 3, "out_of_window": 3, "no_partner": 4, "no_time": 2}
    assert manifest.counts.paired == {"mpcwp_mmhg": outcomes}
    assert manifest.counts.labels["mpcwp_mmhg"] == manifest.counts.labels["mpcwp_mmhg_delta_h"] == 3
    by_id = {row["recording_id"]: row for row in open_corpus(archive / "out").table().to_pylist()}
    found = {n: by_id[key.recording_id(f"src/r{n:02d}")] for n in range(12)}
    assert {n: (row["label.mpcwp_mmhg"], row["label.mpcwp_mmhg_delta_h"]) for n, row in found.items()} == {
        n: {0: (18, 2), 2: (25, 26), 3: (25, 2)}.get(n, (None, None)) for n in range(12)
    }
    assert all(
        row["label.scp"] == ["NORM", "SR"] and row["label.scp_likelihoods"] == [100, 0] for row in by_id.values()
    )
    assert not list((archive / "out").rglob("measurements-*"))
    said = "\n".join(summary(manifest))
    assert "mpcwp_mmhg: ECGs no_partner 4, no_time 2, out_of_window 3, paired 3" in said
    assert "its table's values contradicted 2, out_of_range 1, used 4" in said


def test_a_table_none_of_whose_values_is_read_is_warned_of(archive: Path, key: Key, ingest: Callable[..., Any]) -> None:
    path = archive / "cath.csv"
    assert "careful: no value" not in "\n".join(
        summary(ingest(config_of(archive), [archive / "src"], archive / "one", key))
    )
    path.write_text("mrn;time;wedge\n" + f"P0;{ECG.isoformat()};26,2\nP1;{ECG.isoformat()};\n")
    before = config_of(archive).measurements[0].model_copy(update={"delimiter": ";"})
    manifest = ingest(config_of(archive, measurements=(before,)), [archive / "src"], archive / "out", key)
    assert manifest.counts.measurements["mpcwp_mmhg"]["unreadable"] == 1
    careful = "careful: no value of mpcwp_mmhg is a readable number; see decimal and delimiter of its table"
    assert careful in summary(manifest)
    after = before.model_copy(update={"decimal": ","})
    manifest = ingest(config_of(archive, measurements=(after,)), [archive / "src"], archive / "comma", key)
    assert manifest.counts.labels["mpcwp_mmhg"] == 1
    assert careful not in summary(manifest)


def test_the_cut_into_units_changes_nothing(archive: Path, key: Key, ingest: Callable[..., Any]) -> None:
    one = ingest(config_of(archive), [archive / "src"], archive / "one", key)
    many = ingest(config_of(archive, unit_recordings=1), [archive / "src"], archive / "many", key, backwards=True)
    assert one == many


def test_measurements_that_came_later_label_what_is_there(archive: Path, key: Key, ingest: Callable[..., Any]) -> None:
    first = ingest(config_of(archive), [archive / "src"], archive / "out", key)
    assert ingest(config_of(archive), [archive / "src"], archive / "out", key) == first
    (archive / "cath.csv").write_text((archive / "cath.csv").read_text() + "P3,2020-05-10T13:00:00,20\n")
    second = ingest(config_of(archive), [archive / "src"], archive / "out", key)
    clean = ingest(config_of(archive), [archive / "src"], archive / "clean", key)
    assert second.counts == clean.counts
    assert second.counts.paired["mpcwp_mmhg"]["paired"] == 4
    rows = [open_corpus(archive / name).table().sort_by("recording_id").to_pylist() for name in ("out", "clean")]
    assert rows[0] == rows[1]


def test_what_is_read_again_counts_once(archive: Path, key: Key, ingest: Callable[..., Any]) -> None:
    first = ingest(config_of(archive), [archive / "src"], archive / "out", key)
    table = archive / "ecgs.csv"
    table.write_text(table.read_text().replace("NORM:100;SR:0", "NORM:80;SR:0"))  # every row says something else
    second = ingest(config_of(archive), [archive / "src"], archive / "out", key)
    assert second.num_ingests == 2
    assert second.counts == first.counts


def test_measurements_under_a_linked_id_belong_to_the_same_person(
    archive: Path, key: Key, ingest: Callable[..., Any]
) -> None:
    (archive / "links.csv").write_text("id,same_as\nCATH-7,P3\n")
    (archive / "cath.csv").write_text((archive / "cath.csv").read_text() + "CATH-7,2020-05-10T13:00:00,20\n")
    linked = config_of(archive, identity=Identity(same=archive / "links.csv"))
    assert ingest(config_of(archive), [archive / "src"], archive / "alone", key).counts.labels["mpcwp_mmhg"] == 3
    assert ingest(linked, [archive / "src"], archive / "out", key).counts.labels["mpcwp_mmhg"] == 4
    # The first ECG of P3 was an hour before the catheter.
    table = open_corpus(archive / "out").table(columns=["recording_id", "label.mpcwp_mmhg_delta_h"]).to_pylist()
    assert {"recording_id": key.recording_id("src/r06"), "label.mpcwp_mmhg_delta_h": 1.0} in table


def test_one_label_of_table_and_measurements_is_refused(archive: Path, key: Key, ingest: Callable[..., Any]) -> None:
    table = ColumnsTable(path=archive / "ecgs.csv", record="record", labels={"mpcwp_mmhg": LabelSpec(column="mrn")})
    with pytest.raises(UsageError, match="two labels have the name 'mpcwp_mmhg'"):
        ingest(config_of(archive, table=table), [archive / "src"], archive / "out", key)
