"""How often a test split was scored: each choice counts once, whichever folder it was made from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hemometric.corpus import open_corpus
from hemometric.encoders import load
from hemometric.runs.readings import num_readings, record_reading, told_of_readings
from hemometric.runs.studies import Study
from hemometric.runs.tasks import RegressionTask, ThresholdTask


def test_each_choice_counts_once(line: Any, encoder: Path, estimator: Path, tmp_path: Path) -> None:
    corpus, other, frozen, tuned = open_corpus(line.labelled), open_corpus(line.real), load(encoder), load(estimator)
    mmhg = RegressionTask(label="mpcwp_mmhg", unit="mmHg")
    study = Study(name="s", corpus=line.labelled, encoder=encoder, tasks=(mmhg,))
    out = tmp_path / "one"
    assert num_readings(out, corpus.hash) == 0
    for _ in range(2):
        record_reading(out, study, corpus, frozen, None, 0)
        fact, limit = told_of_readings(out, corpus.hash)
        assert fact.startswith("scored with 1 choice of models, tasks and seed, as test-readings/ counts them")
        assert not limit
    moved = study.model_copy(update={"name": "t", "corpus": tmp_path, "encoder": tmp_path})
    record_reading(tmp_path / "two", moved, corpus, frozen, None, 0)
    assert num_readings(out, corpus.hash) == 1, "names and places are no choice"

    above = ThresholdTask(label="mpcwp_mmhg", unit="mmHg", threshold=18)
    record_reading(tmp_path / "two", study, corpus, frozen, tuned, 0)
    record_reading(tmp_path / "two", study, corpus, frozen, None, 1)
    record_reading(out, study.model_copy(update={"tasks": (mmhg, above)}), corpus, frozen, None, 0)
    record_reading(out, study, other, frozen, None, 0)
    assert num_readings(out, corpus.hash) == num_readings(tmp_path / "two", corpus.hash) == 4
    assert num_readings(out, other.hash) == 1
    fact, limit = told_of_readings(out, corpus.hash)
    assert fact.startswith("scored with 4 different choices")
    assert "the best of them owes a part of its score to the choice" in limit
