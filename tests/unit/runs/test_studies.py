"""Joining, labelling and scoring a study, against scikit-learn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn import metrics as sk

from hemometric.corpus import Corpus, Label, open_corpus
from hemometric.encoders import load
from hemometric.errors import UsageError
from hemometric.runs.studies import (
    AGE_SEX,
    PRETRAINED,
    RANDOM,
    SEX,
    TRAINED,
    CodesTask,
    Study,
    check,
    fits,
    labels_of,
    ranks,
    read_reachable,
    score,
)
from hemometric.runs.study_rows import Rows, joined
from hemometric.runs.tasks import RegressionTask, ThresholdTask

NUM = 150
REGRESSION = RegressionTask(label="p", unit="mmHg")
THRESHOLD = ThresholdTask(label="p", unit="mmHg", threshold=18.0)
CODES = CodesTask(label="codes")


@pytest.fixture(scope="module")
def rows() -> Rows:
    """A label that one system knows well, another not at all; some recordings without it."""
    random = np.random.default_rng(0)
    pressure = random.normal(17, 8, NUM)
    known = [None if n % 10 == 0 else float(p) for n, p in enumerate(pressure)]
    codes = [
        None if n % 10 == 0 else (["A"] if p > 20 else []) + (["B"] if n % 3 == 0 else [])
        for n, p in enumerate(pressure)
    ]
    table = pa.table(
        {
            "recording_id": [f"r{n:03d}" for n in range(NUM)],
            "patient": [f"p{n // 2:03d}" for n in range(NUM)],
            "split": ["train"] * 80 + ["validation"] * 30 + ["test"] * 40,
            "age_years": pa.array([None if n % 7 == 0 else 50.0 + n % 30 for n in range(NUM)], pa.float64()),
            "sex": pa.array([None if n % 11 == 0 else ("female", "male")[n % 2] for n in range(NUM)], pa.string()),
            "label.p": pa.array(known, pa.float64()),
            "label.codes": pa.array(codes, pa.list_(pa.string())),
        }
    )
    good = np.stack([pressure + random.normal(0, 2, NUM), random.normal(0, 1, NUM)], axis=1).astype(np.float32)
    noise = random.normal(0, 1, (NUM, 2)).astype(np.float32)
    return Rows(table, {RANDOM: noise, PRETRAINED: good}, estimates=pressure + 1.0)


@pytest.mark.parametrize("task", [REGRESSION, THRESHOLD])
def test_scores_are_those_of_scikit_learn_on_the_test_split(rows: Rows, task: Any, estimator: Path) -> None:
    outcome = score(rows, task, None, num_resamples=100, seed=0)
    assert list(outcome.predicted) == [AGE_SEX, RANDOM, PRETRAINED]
    known = ~np.isnan(outcome.truth)
    assert len(outcome.truth) == 40
    assert known.sum() == 36
    truth = outcome.truth[known]
    for system, predicted in outcome.predicted.items():
        found = outcome.comparison.row(system).scores
        if task is REGRESSION:
            assert found["rmse"].estimate == pytest.approx(sk.root_mean_squared_error(truth, predicted[known]))
            assert found["r2"].estimate == pytest.approx(sk.r2_score(truth, predicted[known]))
        else:
            assert set(truth) == {0.0, 1.0}
            assert found["auroc"].estimate == pytest.approx(sk.roc_auc_score(truth, predicted[known]))
            assert found["auprc"].estimate == pytest.approx(sk.average_precision_score(truth, predicted[known]))
    best = outcome.comparison.row(PRETRAINED).differences[AGE_SEX]
    if task is REGRESSION:
        assert best["rmse"].high < 0, "the one that knows beats age and sex"
        assert outcome.comparison.row(PRETRAINED).scores["rmse"].estimate < 3
    else:
        assert best["auroc"].low > 0


def test_codes_are_scored_one_by_one(rows: Rows) -> None:
    labels, codes = labels_of(rows, CODES)
    assert codes == ("A", "B")
    assert np.isnan(labels[0]).all()
    outcome = score(rows, CODES, None, num_resamples=100, seed=0)
    known = ~np.isnan(outcome.truth).any(axis=1)
    macro = np.mean(
        [sk.roc_auc_score(outcome.truth[known, n], outcome.predicted[PRETRAINED][known, n]) for n in range(2)]
    )
    names = [found.name for found in outcome.comparison.scores]
    assert outcome.comparison.row(PRETRAINED).scores[names[0]].estimate == pytest.approx(macro)


def test_a_threshold_is_above_and_not_at(rows: Rows) -> None:
    table = rows.table.set_column(5, "label.p", pa.array([18.0, 18.5, None] * 50))
    labels, _ = labels_of(Rows(table, {}), THRESHOLD)
    np.testing.assert_array_equal(labels[:3], [0.0, 1.0, np.nan])


def test_probes_never_see_the_labels_of_the_test_split(rows: Rows) -> None:
    held = rows.table["label.p"].to_pylist()
    changed = held[:110] + [None if value is None else -value for value in held[110:]]
    other = Rows(rows.table.set_column(5, "label.p", pa.array(changed)), rows.embeddings)
    one, two = (score(found, REGRESSION, None, num_resamples=100, seed=0) for found in (rows, other))
    for system in one.predicted:
        np.testing.assert_array_equal(one.predicted[system], two.predicted[system])


def test_a_fine_tuned_model_is_scored_where_it_fits(rows: Rows, estimator: Path) -> None:
    model = load(estimator)
    assert model.task is not None
    ours = RegressionTask(label="mpcwp_mmhg", unit="mmHg")
    assert fits(model, ours)
    assert not fits(model, REGRESSION)
    assert not fits(model, ThresholdTask(label="mpcwp_mmhg", threshold=18.0))
    assert TRAINED not in score(rows, REGRESSION, model, num_resamples=100, seed=0).predicted
    named = rows.table.rename_columns([name.replace("label.p", "label.mpcwp_mmhg") for name in rows.table.column_names])
    outcome = score(Rows(named, rows.embeddings, rows.estimates), ours, model, num_resamples=100, seed=0)
    known = ~np.isnan(outcome.truth)
    np.testing.assert_allclose(outcome.predicted[TRAINED][known] - outcome.truth[known], 1.0)
    assert outcome.comparison.row(TRAINED).scores["rmse"].estimate == pytest.approx(1.0)


def test_a_fine_tuned_regression_is_ranked_for_a_threshold(rows: Rows, estimator: Path) -> None:
    model = load(estimator)
    above = ThresholdTask(label="mpcwp_mmhg", unit="mmHg", threshold=18.0)
    assert ranks(model, above)
    assert not ranks(model, THRESHOLD)
    assert not ranks(model, RegressionTask(label="mpcwp_mmhg", unit="mmHg"))
    named = rows.table.rename_columns([name.replace("label.p", "label.mpcwp_mmhg") for name in rows.table.column_names])
    assert rows.estimates is not None
    noisy = np.round(rows.estimates + np.random.default_rng(0).normal(0, 6, NUM))  # with ties
    outcome = score(Rows(named, rows.embeddings, noisy), above, model, num_resamples=100, seed=0)
    known = ~np.isnan(outcome.truth)
    found = outcome.comparison.row(TRAINED).scores
    truth, estimates = outcome.truth[known], noisy[rows.mask("test")][known]
    assert found["auroc"].estimate == pytest.approx(sk.roc_auc_score(truth, estimates))
    assert found["auprc"].estimate == pytest.approx(sk.average_precision_score(truth, estimates))
    assert np.isnan(found["brier"].estimate)
    assert any("by their order alone" in note for note in outcome.notes)


@pytest.mark.parametrize(
    "task", [RegressionTask(label="age_years", unit="years"), ThresholdTask(label="age_years", threshold=65.0)]
)
def test_age_is_estimated_without_age_as_its_own_control(line: Any, rows: Rows, encoder: Path, task: Any) -> None:
    check(study(line, encoder, task), open_corpus(line.labelled), None)
    outcome = score(rows, task, None, num_resamples=100, seed=0)
    assert outcome.comparison.controls == (SEX, RANDOM)
    assert list(outcome.predicted) == [SEX, RANDOM, PRETRAINED]
    sexes = rows.column("sex")[rows.mask("test")]
    assert len({(sex, value) for sex, value in zip(sexes, outcome.predicted[SEX], strict=True)}) <= 3
    assert outcome.notes[0] == "The control is sex alone: age is what is estimated."
    assert np.isnan(outcome.truth).sum() == sum(age is None for age in rows.column("age_years")[rows.mask("test")])


def test_age_has_its_unit(line: Any, encoder: Path) -> None:
    with pytest.raises(UsageError, match="unit 'months': the corpus holds 'age_years' in years; write that"):
        check(study(line, encoder, RegressionTask(label="age_years", unit="months")), open_corpus(line.labelled), None)


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_an_empty_split_is_one_sentence(line: Any, rows: Rows, encoder: Path, split: str) -> None:
    kept = np.flatnonzero(~rows.mask(split))
    some = Rows(rows.table.take(kept), {name: values[kept] for name, values in rows.embeddings.items()})
    sentence = f"the {split} split is empty, so there is nothing to"
    for task in (REGRESSION, CODES):
        with pytest.raises(UsageError, match=sentence):
            score(some, task, None, num_resamples=100, seed=0)
    corpus = open_corpus(line.labelled)
    counts = corpus.manifest.counts
    none = counts.splits[split].model_copy(update={"recordings": 0})  # type: ignore[index]
    emptied = counts.model_copy(update={"splits": {**counts.splits, split: none}})
    bare = Corpus(corpus.path, corpus.manifest.model_copy(update={"counts": emptied}), corpus.hash)
    with pytest.raises(UsageError, match=sentence):
        check(study(line, encoder, RegressionTask(label="mpcwp_mmhg")), bare, None)


def test_no_label_in_the_test_split_is_refused(rows: Rows) -> None:
    held = rows.table["label.p"].to_pylist()[:110] + [None] * 40
    none = Rows(rows.table.set_column(5, "label.p", pa.array(held)), rows.embeddings)
    with pytest.raises(UsageError, match="no recording of the test split carries 'p'; there is nothing to score"):
        score(none, REGRESSION, None, num_resamples=100, seed=0)
    empty = Rows(rows.table.set_column(6, "label.codes", pa.array([[]] * NUM, pa.list_(pa.string()))), rows.embeddings)
    with pytest.raises(UsageError, match="no recording carries a code of 'codes'"):
        labels_of(empty, CODES)


def test_what_one_system_refused_is_left_out_for_all(line: Any) -> None:
    corpus = open_corpus(line.labelled)
    table = corpus.table()
    ids = np.array(table["recording_id"].to_pylist(), dtype=object)
    random = np.random.default_rng(0)
    some, others = random.permutation(ids)[1:], random.permutation(ids)[3:]
    value = {name: float(n) for n, name in enumerate(ids)}

    def of(names: Any) -> Any:
        return names, np.array([[value[name]] for name in names], dtype=np.float32)

    estimates = (ids[:-1], np.array([value[name] for name in ids[:-1]], dtype=np.float32))
    rows = joined(corpus, {RANDOM: of(some), PRETRAINED: of(others)}, estimates)
    kept = rows.table["recording_id"].to_pylist()
    assert set(kept) == set(some) & set(others) & set(ids[:-1])
    assert [value[name] for name in kept] == rows.embeddings[RANDOM][:, 0].tolist()
    assert [value[name] for name in kept] == rows.embeddings[PRETRAINED][:, 0].tolist()
    assert rows.estimates is not None
    assert [value[name] for name in kept] == rows.estimates.tolist()
    assert rows.num_refused == len(ids) - len(kept) > 0


def study(line: Any, encoder: Path, *tasks: Any, predictor: Path | None = None) -> Study:
    return Study(name="s", corpus=line.labelled, encoder=encoder, tasks=tasks, predictor=predictor)


@pytest.mark.parametrize(
    ("task", "sentence"),
    [
        (RegressionTask(label="mpcwp"), "the corpus has no label 'mpcwp'; it has: mpcwp_mmhg, age_years"),
        (CodesTask(label="mpcwp_mmhg"), "label 'mpcwp_mmhg' holds number, for a task of kind regression or threshold"),
    ],
)
def test_a_task_that_does_not_fit_the_corpus_is_refused(line: Any, encoder: Path, task: Any, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        check(study(line, encoder, task), open_corpus(line.labelled), None)


def test_a_regression_of_codes_is_refused(line: Any, encoder: Path) -> None:
    real = Study(name="s", corpus=line.real, encoder=encoder, tasks=(RegressionTask(label="superclasses"),))
    with pytest.raises(UsageError, match="label 'superclasses' holds codes, for a task of kind codes"):
        check(real, open_corpus(line.real), None)


@pytest.mark.parametrize("task", [RegressionTask(label="all_mmhg"), CodesTask(label="all_mmhg")])
def test_a_list_of_numbers_is_no_task(line: Any, encoder: Path, task: Any) -> None:
    corpus = open_corpus(line.labelled)
    corpus.manifest = corpus.manifest.model_copy(update={"labels": (Label(name="all_mmhg", kind="numbers"),)})
    with pytest.raises(UsageError, match="'all_mmhg' holds several numbers for a recording"):
        check(study(line, encoder, task), corpus, None)


def test_a_predictor_that_no_task_asks_for_is_refused(line: Any, encoder: Path, estimator: Path) -> None:
    ours = RegressionTask(label="mpcwp_mmhg", unit="mmHg")
    above = ThresholdTask(label="mpcwp_mmhg", threshold=18.0)
    corpus = open_corpus(line.labelled)
    check(study(line, encoder, ours, above, predictor=estimator), corpus, load(estimator))
    check(study(line, encoder, above, predictor=estimator), corpus, load(estimator))  # by its order
    age = RegressionTask(label="age_years", unit="years")
    with pytest.raises(UsageError, match="which is none of the tasks; add that task"):
        check(study(line, encoder, age, predictor=estimator), corpus, load(estimator))
    with pytest.raises(UsageError, match="has no head"):
        check(study(line, encoder, ours, predictor=encoder), corpus, load(encoder))


def test_what_is_reachable_is_read_or_refused(tmp_path: Path) -> None:
    assert read_reachable(None) == {}
    with pytest.raises(UsageError, match=r"reachable: .* does not exist; `hemometric synthesise` writes it"):
        read_reachable(tmp_path / "none.json")
    path = tmp_path / "reachable.json"
    for text in ("{", "[]", '{"rmse_mmhg": 3}', '{"rmse_mmhg": "x"}'):
        path.write_text(text)
        with pytest.raises(UsageError, match="is not the file that `hemometric synthesise` writes"):
            read_reachable(path)
    values = {"rmse_mmhg": 3.0, "r": 0.9, "auroc_above_15": 0.95, "auroc_above_18": 0.94}
    path.write_text(json.dumps(values | {"sd_mmhg": 8.0}))
    assert read_reachable(path) == values
