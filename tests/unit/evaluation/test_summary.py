import math

import numpy as np
import pytest

from hemometric.evaluation.intervals import bootstrap, paired_difference
from hemometric.evaluation.report import Interval
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
    assert found.controls == ()
    assert found.strongest_control() is None


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
