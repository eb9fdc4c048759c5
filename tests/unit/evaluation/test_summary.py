import math

import numpy as np
import pytest

from hemometric.evaluation.classes import class_table
from hemometric.evaluation.intervals import Interval, bootstrap, paired_difference
from hemometric.evaluation.scores import BINARY_SCORES, REGRESSION_SCORES
from hemometric.evaluation.summary import compare


def cohort(seed=0):
    rng = np.random.default_rng(seed)
    patients = np.repeat([f"p{i:02d}" for i in range(40)], 2)
    true = rng.normal(15.7, 8.1, 80)
    predicted = {"model": true + rng.normal(0, 4, 80), "age + sex": rng.normal(15.7, 1, 80)}
    return patients, true, predicted


def test_rows_equal_single_bootstraps():
    patients, true, predicted = cohort()
    found = compare("regression", true, predicted, patients, controls=["age + sex"], num_resamples=60, seed=7)
    assert [row.system for row in found.rows] == ["model", "age + sex"]
    rmse = [lambda weights, p=p: REGRESSION_SCORES[0].weighted(true, p, weights) for p in predicted.values()]
    assert found.row("model").scores["rmse"] == bootstrap(patients, rmse[0], 60, 7)
    assert found.row("model").differences["age + sex"]["rmse"] == paired_difference(patients, *rmse, 60, 7)
    assert found.row("age + sex").differences == {}
    assert set(found.row("model").scores) == {"rmse", "mae", "r2", "r"}
    assert (found.num_recordings, found.num_patients, found.num_unlabelled) == (80, 40, 0)
    with pytest.raises(KeyError):
        found.row("nobody")


def test_unlabelled_recordings_are_left_out_for_all_and_counted():
    patients, true, predicted = cohort()
    some = np.where(np.arange(80) < 10, np.nan, true)
    found = compare("regression", some, predicted, patients, num_resamples=20)
    alone = compare(
        "regression", true[10:], {name: p[10:] for name, p in predicted.items()}, patients[10:], num_resamples=20
    )
    assert found.rows == alone.rows
    assert (found.num_recordings, found.num_patients, found.num_unlabelled) == (70, 35, 10)
    assert any("10 recordings without a label" in note for note in found.notes())


def test_threshold_and_multilabel():
    patients, true, predicted = cohort()
    probability = {name: 1 / (1 + np.exp(-(p - 18) / 4)) for name, p in predicted.items()}
    found = compare("threshold", true > 18, probability, patients, num_resamples=20)
    assert set(found.row("model").scores) == {score.name for score in BINARY_SCORES}
    several = np.stack([true > 12, true > 18, true > 1e9], axis=1)
    found = compare(
        "multilabel",
        several,
        {name: np.stack([p] * 3, axis=1) for name, p in probability.items()},
        patients,
        num_resamples=20,
    )
    assert found.row("model").scores["macro_auroc"].estimate > 0.85
    assert [one.name for one in found.classes if one.counts] == ["label 0", "label 1"]
    assert found.controls == ()
    assert found.strongest_control() is None


def test_a_class_of_few_patients_is_counted_and_left_out_of_the_macro_score():
    rng = np.random.default_rng(5)
    patients = np.array([f"p{i}" for i in range(20)] + ["p0"] * 4)
    true = (rng.random((24, 3)) < 0.5).astype(float)
    true[:, 2] = 0.0
    true[[0, 20, 21, 22, 23], 2] = 1.0  # five recordings, and all of one patient
    probability = rng.random((24, 3))
    arguments = {"num_resamples": 200, "seed": 1}
    names = ["CD", "MI", "HYP"]
    found = compare("multilabel", true, {"model": probability}, patients, classes=names, **arguments)
    macro = found.row("model").scores["macro_auroc"]
    of_two = compare(
        "multilabel", true[:, :2], {"model": probability[:, :2]}, patients, classes=["CD", "MI"], **arguments
    )
    assert macro == of_two.row("model").scores["macro_auroc"]
    hyp = found.classes[2]
    assert (hyp.num_positive, hyp.num_positive_patients, hyp.num_negative_patients) == (5, 1, 19)
    assert not hyp.counts
    assert hyp.aurocs == {}
    note = next(note for note in found.notes() if note.startswith("Left out of the macro AUROC, for fewer than 5 test"))
    assert note.endswith(": HYP (1 with it, 19 without).")
    assert not any("Left out" in note for note in of_two.notes())
    alone = compare("threshold", true[:, 0], {"model": probability[:, 0]}, patients, **arguments)
    assert found.classes[0].aurocs["model"] == alone.row("model").scores["auroc"]
    assert macro.estimate == pytest.approx(np.mean([found.flat()[f"model/auroc_{name}"] for name in ("CD", "MI")]))
    assert "model/auroc_HYP" not in found.flat()
    table = class_table(found.classes, ["model"], "One by one")
    assert [row[:3] for row in table.rows][2] == ("HYP", 5, 1)
    assert table.rows[2][3] is None
    assert table.rows[0][3] == found.classes[0].aurocs["model"]


def test_resamples_without_a_class_are_undefined_and_counted():
    patients, true, _ = cohort()
    rare = (np.arange(80) < 10).astype(float)  # five patients of forty
    probability = np.random.default_rng(0).random((80, 2))
    both = np.stack([true > 16, rare], axis=1)
    found = compare("multilabel", both, {"model": probability}, patients, num_resamples=1000)
    num = found.row("model").scores["macro_auroc"].num_undefined
    assert 0 < num < 20
    assert any(note.startswith(f"{num} of 1,000 resamples lack positives or negatives") for note in found.notes())


def test_no_class_with_enough_patients_has_a_reason_and_no_crash():
    patients, true, _ = cohort()
    few = compare("multilabel", (true > 1e9)[:, None], {"model": np.full((80, 1), 0.5)}, patients, num_resamples=5)
    assert few.row("model").scores["macro_auroc"].reason == "no class has enough patients"
    with pytest.raises(ValueError, match="1 names for 2 classes"):
        compare("multilabel", np.zeros((80, 2)), {"model": np.zeros((80, 2))}, patients, classes=["A"])


def test_a_ranking_is_scored_by_its_order_alone():
    patients, true, predicted = cohort()
    values = {"model": 1 / (1 + np.exp(18 - predicted["model"])), "age + sex": np.full(80, 0.4)}
    found = compare("threshold", true > 18, values, patients, controls=["age + sex"], rankings=["model"])
    plain = compare("threshold", true > 18, values, patients, controls=["age + sex"])
    for name in ("auroc", "auprc"):
        assert found.row("model").scores[name] == plain.row("model").scores[name]
    brier = found.row("model").scores["brier"]
    assert math.isnan(brier.estimate)
    assert brier.reason == "a ranking is no probability"
    assert math.isnan(found.row("model").differences["age + sex"]["brier"].estimate)
    assert found.row("age + sex") == plain.row("age + sex")


def test_one_class_only_gives_reasons_and_no_crash():
    patients, _true, predicted = cohort()
    probability = {name: np.full(80, 0.3) for name in predicted}
    found = compare("threshold", np.zeros(80), probability, patients, controls=["model"], num_resamples=20)
    auroc = found.row("model").scores["auroc"]
    assert math.isnan(auroc.estimate)
    assert auroc.reason == "all true values are the same"
    assert found.row("age + sex").differences["model"]["auroc"].reason == "undefined for one of the two systems"
    assert found.strongest_control() is None
    assert "model/auroc" not in found.flat()
    assert "age_sex/auroc_minus_model" not in found.flat()
    assert found.flat()["age_sex/brier"] == pytest.approx(0.09)
    nobody = compare("regression", np.full(80, np.nan), predicted, patients, num_resamples=5)
    assert nobody.row("model").scores["rmse"].reason == "no labelled recording"


def test_table_has_a_row_for_each_system_and_says_what_it_compares():
    patients, true, predicted = cohort()
    table = compare("regression", true, predicted, patients, controls=["age + sex"], num_resamples=20).table(
        "Pressures", "mmHg"
    )
    assert [column.title for column in table.columns] == [
        "System",
        "RMSE",
        "MAE",
        "R²",
        "Pearson r",
        "Δ RMSE to age + sex",
    ]
    assert [column.unit for column in table.columns] == ["", "mmHg", "mmHg", "", "", "mmHg"]
    assert [column.best for column in table.columns] == [None, "lowest", "lowest", "highest", "highest", None]
    assert table.rows[0][0] == "model"
    assert isinstance(table.rows[0][5], Interval)
    assert table.rows[0][5].high < 0
    assert table.rows[1][5] is None
    assert any("minus the control" in note and "lower is better" in note for note in table.notes)


def test_every_control_has_its_difference_and_the_strongest_is_found():
    patients, true, predicted = cohort()
    predicted["random encoder + probe"] = true + np.random.default_rng(1).normal(0, 5, 80)
    controls = ("age + sex", "random encoder + probe")
    found = compare("regression", true, predicted, patients, controls=controls, num_resamples=60, seed=7)
    assert found.strongest_control() == "random encoder + probe"
    assert list(found.row("model").differences) == list(controls)
    assert list(found.row("age + sex").differences) == ["random encoder + probe"]
    flat = found.flat()
    for key, control in (("age_sex", "age + sex"), ("random_encoder_probe", "random encoder + probe")):
        gap = found.row("model").differences[control]["rmse"]
        assert flat[f"model/rmse_minus_{key}"] == gap.estimate == flat["model/rmse"] - flat[f"{key}/rmse"]
        assert (flat[f"model/rmse_minus_{key}_low"], flat[f"model/rmse_minus_{key}_high"]) == (gap.low, gap.high)
    table = found.table("Pressures", "mmHg")
    assert [column.title for column in table.columns[5:]] == [f"Δ RMSE to {control}" for control in controls]
    assert table.rows[1][5] is None
    assert isinstance(table.rows[1][6], Interval)
    probability = {name: 1 / (1 + np.exp(-(p - 18) / 4)) for name, p in predicted.items()}
    above = compare("threshold", true > 18, probability, patients, controls=controls, num_resamples=20)
    assert above.strongest_control() == "random encoder + probe", "higher is better here"


def test_refusals():
    patients, true, predicted = cohort()
    with pytest.raises(ValueError, match="control 'nobody' is none of the systems model, age"):
        compare("regression", true, predicted, patients, controls=["nobody"])
    with pytest.raises(ValueError, match="at least one system"):
        compare("regression", true, {}, patients)
    with pytest.raises(ValueError, match=r"model: predictions have shape \(80, 1\)"):
        compare("regression", true, {"model": predicted["model"][:, None]}, patients)
    with pytest.raises(ValueError, match="79 patients"):
        compare("regression", true, predicted, patients[:-1])
    with pytest.raises(ValueError, match="not logits"):
        compare("threshold", true > 18, {"model": true}, patients)
