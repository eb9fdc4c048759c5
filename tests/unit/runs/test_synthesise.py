"""A labelled cohort on disk, with the best that an estimator could reach."""

from __future__ import annotations

import csv
import errno
import json
from pathlib import Path
from typing import Any

import pytest

from hemometric.config import decode
from hemometric.errors import PrecheckError, UsageError
from hemometric.runs.folder import held_folder
from hemometric.runs.synthesise import SynthesiseRun, run


def config(out: Path, **cohort: Any) -> SynthesiseRun:
    fields = {"num_patients": 5, "visits_min": 1, "visits_max": 2, "rate_hz": 100, "seed": 4} | cohort
    return decode(SynthesiseRun, {"out": str(out), "cohort": fields, "num_draws": 400})


def test_it_writes_records_labels_and_what_is_reachable(tmp_path: Path) -> None:
    lines = run(config(tmp_path / "cohort"))
    with (tmp_path / "cohort" / "labels.csv").open(encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    headers = sorted((tmp_path / "cohort").rglob("*.hea"))
    assert {f"{tmp_path}/cohort/{row['record']}.hea" for row in rows} == {str(path) for path in headers}
    assert len({row["patient_id"] for row in rows}) == 5
    assert all(2 <= float(row["mpcwp_mmhg"]) <= 45 for row in rows)
    best = json.loads((tmp_path / "cohort" / "reachable.json").read_text())
    assert 0 < best["rmse_mmhg"] < best["sd_mmhg"]
    assert 0.5 < best["auroc_above_18"] < 1
    assert lines[0] == f"{len(rows)} recordings of 5 patients, mPCWP planted"
    assert lines[1].startswith(f"best reachable: RMSE {best['rmse_mmhg']:.2f} mmHg (r {best['r']:.2f}), AUROC ")
    assert lines[2] == f"labels: {tmp_path / 'cohort' / 'labels.csv'}"


def test_the_same_call_again_ends_in_the_same_bytes(tmp_path: Path) -> None:
    run(config(tmp_path / "cohort"))
    before = {path: path.read_bytes() for path in (tmp_path / "cohort").rglob("*") if path.is_file()}
    next(iter((tmp_path / "cohort").rglob("*.dat"))).unlink()
    run(config(tmp_path / "cohort"))
    assert {path: path.read_bytes() for path in (tmp_path / "cohort").rglob("*") if path.is_file()} == before


def test_another_cohort_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    run(config(tmp_path / "cohort"))
    with pytest.raises(UsageError, match="holds a synthetic cohort of another config or version"):
        run(config(tmp_path / "cohort", seed=5))


def test_a_second_command_in_the_same_folder_changes_nothing(tmp_path: Path) -> None:
    with held_folder(tmp_path / "cohort"):
        with pytest.raises(PrecheckError, match="out: another command is writing into"):
            run(config(tmp_path / "cohort"))
        assert [path.name for path in (tmp_path / "cohort").iterdir()] == [".lock"]
    run(config(tmp_path / "cohort"))


def test_somebodys_folder_is_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(UsageError, match="is not empty and holds no synthetic cohort"):
        run(config(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    ("code", "error", "sentence"),
    [
        (errno.EACCES, UsageError, r"out: .*cohort cannot be written: the reason; choose another"),
        (errno.ENOSPC, PrecheckError, r"out: no room left to write in .*cohort \(the reason\); free some space"),
    ],
)
def test_a_place_that_refuses_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, error: type[Exception], sentence: str
) -> None:
    def refused(*_: object, **__: object) -> int:
        raise OSError(code, "the reason")

    monkeypatch.setattr(Path, "write_bytes", refused)
    with pytest.raises(error, match=sentence):
        run(config(tmp_path / "cohort"))
