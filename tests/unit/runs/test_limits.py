"""Limits follow from the facts of a study, whatever its config says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from hemometric.corpus import open_corpus
from hemometric.encoders import load
from hemometric.runs.limits import FEW_PATIENTS, limits_of
from hemometric.runs.studies import Rows, Study
from hemometric.runs.tasks import RegressionTask

TASKS = (RegressionTask(label="mpcwp_mmhg", unit="mmHg"),)


def rows(num_test: int, sites: list[str | None], num_refused: int = 0) -> Rows:
    """Two test recordings a patient, and as many of training patients, who do not count."""
    patients = [f"p{n // 2}" for n in range(4 * num_test)]
    where = [sites[n % len(sites)] for n in range(4 * num_test)]
    split = ["test"] * (2 * num_test) + ["train"] * (2 * num_test)
    table = pa.table({"patient": patients, "site": pa.array(where, pa.string()), "split": split})
    return Rows(table, {"a": np.zeros((4 * num_test, 1), np.float32)}, num_refused=num_refused)


def told(line: Any, encoder: Path, found: Rows, *, corpus: Path | None = None, **fields: Any) -> list[str]:
    place = corpus or line.labelled
    study = Study(name="S", corpus=place, encoder=encoder, tasks=TASKS, **fields)
    return limits_of(study, found, open_corpus(place), load(encoder), None)


@pytest.mark.parametrize(
    ("num", "sites", "sentence"),
    [
        (7, ["x"], "S: the test split holds 7 patients (14 recordings), all of one site; with so few"),
        (
            FEW_PATIENTS,
            ["x", "y", None],
            f"S: the test split holds {FEW_PATIENTS} patients (200 recordings), of 2 sites.",
        ),
        (
            FEW_PATIENTS,
            [None],
            f"S: the test split holds {FEW_PATIENTS} patients (200 recordings), their sites are not",
        ),
    ],
)
def test_patients_and_sites_of_the_test_split_are_counted(
    line: Any, encoder: Path, num: int, sites: list[str | None], sentence: str
) -> None:
    assert told(line, encoder, rows(num, sites))[0].startswith(sentence)


def test_a_synthetic_cohort_is_called_one(line: Any, encoder: Path, tmp_path: Path) -> None:
    planted = told(line, encoder, rows(9, ["x"]), reachable=tmp_path / "reachable.json")
    assert any("synthetic" in sentence and "planted" in sentence for sentence in planted)
    assert not any("synthetic" in sentence for sentence in told(line, encoder, rows(9, ["x"])))


def test_a_model_of_another_corpus_may_know_the_patients(line: Any, encoder: Path) -> None:
    elsewhere = told(line, encoder, rows(9, ["x"]))
    assert any("the encoder was trained on another corpus" in sentence for sentence in elsewhere)
    # It was pretrained on the training split of this one, which holds no test patient.
    assert len(told(line, encoder, rows(9, ["x"]), corpus=line.real)) == 1


def test_what_was_refused_is_counted(line: Any, encoder: Path) -> None:
    assert "S: 3 of 39 recordings of the corpus are left out" in told(line, encoder, rows(9, ["x"], 3))[-1]
