"""Which rows carry a label, the scale they fix, and the scores of a validation, against scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk

from hemometric.encoders import Task
from hemometric.errors import UsageError
from hemometric.runs.tasks import RegressionTask, ThresholdTask, labelled_rows, scaled, validation_metrics

REGRESSION = RegressionTask(label="mpcwp_mmhg", unit="mmHg")
THRESHOLD = ThresholdTask(label="mpcwp_mmhg", unit="mmHg", threshold=18.0)


class Held:
    """As much of a cache as the tasks ask for."""

    def __init__(self, values: Any, splits: Any) -> None:
        self.values, self.splits = np.asarray(values, dtype=float), np.asarray(splits)

    def rows(self, split: str) -> Any:
        return np.flatnonzero(self.splits == split)

    def column(self, name: str) -> Any:
        assert name == "mpcwp_mmhg"
        return self.values


def test_rows_are_those_of_the_split_that_carry_the_label() -> None:
    splits = ["train", "test"] * 12
    values = [np.nan if n in (4, 5, 6) else float(n) for n in range(24)]
    rows = labelled_rows(Held(values, splits), REGRESSION, "train")  # type: ignore[arg-type]
    assert rows.tolist() == [n for n in range(0, 24, 2) if n not in (4, 6)]


def test_too_few_labels_are_refused_with_their_number() -> None:
    held = Held([1.0] * 7 + [np.nan], ["train"] * 8)
    with pytest.raises(UsageError, match=r"task.label 'mpcwp_mmhg': 7 recordings of the train split carry it"):
        labelled_rows(held, REGRESSION, "train")  # type: ignore[arg-type]


def test_a_regression_has_mean_0_and_sd_1_on_the_training_labels() -> None:
    values = np.array([3.0, 18.0, 9.5, 30.25])
    task = scaled(REGRESSION, values)
    scaled_values = (values - task.scale_mean) / task.scale_sd
    assert scaled_values.mean() == pytest.approx(0)
    assert scaled_values.std() == pytest.approx(1)
    assert (task.kind, task.label, task.unit) == ("regression", "mpcwp_mmhg", "mmHg")
    np.testing.assert_allclose(task.estimates(__import__("torch").from_numpy(scaled_values)), values, rtol=1e-6)


def test_a_threshold_is_above_and_not_at() -> None:
    assert scaled(THRESHOLD, np.array([18.0, 18.1])).threshold == 18.0
    with pytest.raises(UsageError, match="every training label of 'mpcwp_mmhg' lies on one side"):
        scaled(THRESHOLD, np.array([18.0, 3.0]))
    with pytest.raises(UsageError, match="lies on one side"):
        scaled(THRESHOLD, np.array([18.5, 30.0]))


def test_equal_labels_teach_nothing() -> None:
    with pytest.raises(UsageError, match="all training values are equal"):
        scaled(REGRESSION, np.full(9, 12.5))


def test_scores_of_a_regression_are_in_the_label_s_unit() -> None:
    random = np.random.default_rng(0)
    values = random.normal(15.7, 8.1, 50)
    outputs = ((values - 15) / 8 + random.normal(0, 0.3, 50)).astype(np.float32)
    task = Task(kind="regression", label="mpcwp_mmhg", unit="mmHg", scale_mean=15.0, scale_sd=8.0)
    found = validation_metrics(task, values, outputs)
    estimates = outputs.astype(np.float64) * 8 + 15
    rmse = sk.root_mean_squared_error(values, estimates)
    assert found["validation_loss"] == pytest.approx(rmse, rel=1e-6)
    assert found["validation_rmse"] == pytest.approx(rmse, rel=1e-6)
    assert found["validation_mae"] == pytest.approx(sk.mean_absolute_error(values, estimates), rel=1e-6)
    assert found["validation_r2"] == pytest.approx(sk.r2_score(values, estimates), rel=1e-6)
    assert found["validation_r"] == pytest.approx(np.corrcoef(values, estimates)[0, 1], rel=1e-6)


def test_scores_of_a_threshold_are_of_probabilities() -> None:
    random = np.random.default_rng(1)
    values = random.normal(18, 8, 60)
    logits = ((values - 18) / 4 + random.normal(0, 2, 60)).astype(np.float32)
    task = Task(kind="threshold", label="mpcwp_mmhg", unit="mmHg", threshold=18.0)
    found = validation_metrics(task, values, logits)
    probability = 1 / (1 + np.exp(-logits.astype(np.float64)))
    assert found["validation_loss"] == pytest.approx(sk.log_loss(values > 18, probability), rel=1e-5)
    assert found["validation_auroc"] == pytest.approx(sk.roc_auc_score(values > 18, probability), rel=1e-6)
    assert found["validation_auprc"] == pytest.approx(sk.average_precision_score(values > 18, probability), rel=1e-6)


def test_a_sure_and_wrong_estimate_has_a_finite_loss() -> None:
    task = Task(kind="threshold", label="mpcwp_mmhg", unit="mmHg", threshold=18.0)
    found = validation_metrics(task, np.array([10.0, 30.0]), np.array([200.0, -200.0], dtype=np.float32))
    assert found["validation_loss"] == pytest.approx(-np.log(1e-7), rel=1e-6)
