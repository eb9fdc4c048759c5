"""Odd names, tables without rows, archives of one patient: what can be read is, and the rest ends in one sentence."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hemometric.ecg import LEADS

ODD = (
    "a b", " lead", "trail ", "-rf", "--out", "ünïcödé", "心電図", "\U0001fac0", "quo'te", 'dou"ble', "per%20cent",
    "new\nline", "tab\t", "back\\slash", "colon:name", "semi;colon", "$HOME", "{curly}", "[square]", "*", "x" * 200,
    "split=train",
)  # fmt: skip
NOT_UTF_8 = b"caf\xe9"


@pytest.fixture
def write(vendor_files: dict[str, Any], clean_ecgs: Callable[..., list[np.ndarray]]) -> Callable[..., None]:
    ecgs = iter(clean_ecgs(len(ODD) + 2, seed=91))

    def make(folder: Path, person: str) -> None:
        os.makedirs(folder)  # noqa: PTH103 - a name may be no text
        known = {"patient_id": person, "name": "Doe^Jane", "birth_date": date(1959, 1, 1), "age_years": 60}
        known |= {"sex": "female", "acquired": datetime(2019, 11, 5), "serial": "S1", "note": "none"}
        vendor_files["wfdb"].write(Path(os.fsdecode(folder)), next(ecgs)[:, :2000], LEADS, 500.0, known)

    return make


def test_names_of_any_signs_are_read_and_none_is_shown(
    write: Callable[..., None], ingested: Any, hemometric: Any, tmp_path: Path
) -> None:
    archive = tmp_path / "odd archive, 2019 (50 % ünï)"
    for number, name in enumerate(ODD):
        write(archive / name, f"P{number}")
    write(archive / os.fsdecode(NOT_UTF_8), "P-last")
    done = ingested(archive)
    assert done.ended.code == 0, done.ended
    assert done.fates() == {name: ["accepted"] for name in (*ODD, "caf\\xe9")}
    assert (done.counts["found"], done.counts["rejected"]) == (len(ODD) + 1, {})
    assert hemometric("verify", done.corpus).code == 0
    shown = done.ended.out + done.ended.err
    assert not [name for name in ODD if len(name) > 3 and name != "split=train" and name in shown]


def test_one_patient_is_a_corpus_that_says_what_it_lacks(
    write: Callable[..., None], ingested: Any, tmp_path: Path
) -> None:
    write(tmp_path / "archive" / "only", "P1")
    done = ingested(tmp_path / "archive")
    assert done.ended.code == 0, done.ended
    splits = {name: split["recordings"] for name, split in done.counts["splits"].items()}
    assert sorted(splits.values()) == [0, 0, 1]
    empty = " or ".join(name for name in ("train", "validation", "test") if not splits[name])
    assert f"careful: no recording is in {empty}; see ingest.split" in done.ended.out


def test_a_table_without_a_row_is_one_sentence(write: Callable[..., None], ingested: Any, tmp_path: Path) -> None:
    write(tmp_path / "archive" / "only", "P1")
    (tmp_path / "labels.csv").write_text("record,mrn\n")
    table = {"kind": "columns", "path": str(tmp_path / "labels.csv"), "record": "record", "patient": "mrn"}
    done = ingested(tmp_path / "archive", table=table)
    assert done.ended.code == 2, done.ended
    assert done.ended.err == f"hemometric: table {tmp_path}/labels.csv: column 'record' names no record\n"
    assert not (done.corpus / "manifest.json").exists()
