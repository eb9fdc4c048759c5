"""A patient in two splits, by the hospital's own folds or by a hand that meddles: exit 4, and nobody is named."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hemometric.ecg import LEADS

NUM_PEOPLE = 12


@pytest.fixture
def archive(tmp_path: Path, vendor_files: dict[str, Any], clean_ecgs: Callable[..., list[np.ndarray]]) -> Path:
    """Two ECGs of each of twelve people, whose folds are written beside them."""
    lines = ["record,mrn,fold"]
    for number, ecg in enumerate(clean_ecgs(2 * NUM_PEOPLE, seed=81)):
        folder = tmp_path / "archive" / f"{number:02d}"
        folder.mkdir(parents=True)
        person = {"patient_id": "unused", "name": "Doe^Jane", "birth_date": date(1959, 1, 1), "age_years": 60}
        person |= {"sex": "female", "acquired": datetime(2019, 11, 5), "serial": "S1", "note": "none"}
        vendor_files["wfdb"].write(folder, ecg[:, :2000], LEADS, 500.0, person)
        lines.append(f"{number:02d}/ecg,MRN-CANARY-{number // 2},{number // 2}")
    (tmp_path / "folds.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "archive"


def fields(archive: Path) -> dict[str, Any]:
    table = {"kind": "columns", "record": "record", "patient": "mrn", "fold": "fold"}
    folds = {"kind": "folds", "train": list(range(6)), "validation": [6, 7, 8], "test": [9, 10, 11]}
    return {"table": table | {"path": str(archive.parent / "folds.csv")}, "split": folds}


def test_folds_that_put_a_patient_into_two_splits_end_the_ingest(archive: Path, ingested: Any) -> None:
    whole = ingested(archive, "whole", **fields(archive))
    assert whole.ended.code == 0, whole.ended
    assert {name: split["patients"] for name, split in whole.counts["splits"].items()} == {
        "train": 6, "validation": 3, "test": 3,
    }  # fmt: skip
    table = archive.parent / "folds.csv"
    table.write_text(table.read_text().replace("01/ecg,MRN-CANARY-0,0", "01/ecg,MRN-CANARY-0,9"))
    planted = ingested(archive, "planted", **fields(archive))
    assert planted.ended.code == 4, planted.ended
    assert "1 patients into more than one split" in planted.ended.err
    assert len(planted.ended.err.splitlines()) == 1
    assert "CANARY" not in planted.ended.err
    assert not (planted.corpus / "manifest.json").exists()


def test_a_patient_planted_in_two_splits_of_a_corpus_is_found(archive: Path, ingested: Any, hemometric: Any) -> None:
    """Sizes, hashes and the marker are put right, as someone would who means it."""
    done = ingested(archive, **fields(archive))
    out, manifest = done.corpus, json.loads((done.corpus / "manifest.json").read_text())
    assert hemometric("verify", out).code == 0
    shards = {entry["split"]: entry for entry in manifest["shards"]}
    of_test = pq.read_table(out / shards["test"]["path"], partitioning=None)
    train = pq.read_table(out / shards["train"]["path"], partitioning=None)
    patients = [of_test["patient"][0].as_py(), *train["patient"].to_pylist()[1:]]
    place = train.schema.get_field_index("patient")
    path = out / shards["train"]["path"]
    pq.write_table(train.set_column(place, train.schema.field(place), pa.array(patients, pa.string())), path)
    content = path.read_bytes()
    shards["train"] |= {"num_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    text = json.dumps(manifest)
    (out / "manifest.json").write_text(text)
    (out / "_SUCCESS").write_text(hashlib.sha256(text.encode()).hexdigest() + "\n")
    ended = hemometric("verify", out)
    assert ended.code == 4, ended
    assert "1 patients lie in more than one split" in ended.err
    assert patients[0] not in ended.err
