import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr
from sklearn import metrics

from hemometric.evaluation.scores import (
    BINARY_SCORES,
    MULTILABEL_SCORES,
    REGRESSION_SCORES,
    binary_scores,
    multilabel_scores,
    regression_scores,
    roc_points,
)


def noisy_pressures(num=200, seed=0):
    rng = np.random.default_rng(seed)
    true = rng.normal(15.7, 8.1, num)
    return true, 15 + 0.5 * (true - 15) + rng.normal(0, 5, num)


def noisy_classes(num=200, seed=0, places=2):
    rng = np.random.default_rng(seed)
    true = (rng.random(num) < 0.3).astype(float)
    # Rounded, so that there are many ties.
    return true, np.round(np.clip(0.25 * true + 0.75 * rng.random(num), 0, 1), places)


def test_regression_scores_equal_sklearn_and_scipy():
    true, predicted = noisy_pressures()
    scores = regression_scores(true, predicted)
    assert scores["rmse"] == pytest.approx(metrics.root_mean_squared_error(true, predicted))
    assert scores["mae"] == pytest.approx(metrics.mean_absolute_error(true, predicted))
    assert scores["r2"] == pytest.approx(metrics.r2_score(true, predicted))
    assert scores["r"] == pytest.approx(pearsonr(true, predicted).statistic)
    assert scores.reasons == {}


@pytest.mark.parametrize("places", [1, 2, 15])
def test_binary_scores_equal_sklearn_with_and_without_ties(places):
    true, probability = noisy_classes(places=places)
    scores = binary_scores(true, probability)
    assert scores["auroc"] == pytest.approx(metrics.roc_auc_score(true, probability))
    assert scores["auprc"] == pytest.approx(metrics.average_precision_score(true, probability))
    assert scores["brier"] == pytest.approx(metrics.brier_score_loss(true, probability))


def test_weighted_scores_equal_sklearn_with_sample_weights():
    rng = np.random.default_rng(5)
    weights = rng.integers(0, 4, size=(7, 200)).astype(float)
    true, predicted = noisy_pressures()
    by_name = {score.name: score.weighted(true, predicted, weights) for score in REGRESSION_SCORES}
    for row, w in enumerate(weights):
        rows = np.repeat(np.arange(200), w.astype(int))
        assert by_name["rmse"][row] == pytest.approx(metrics.root_mean_squared_error(true, predicted, sample_weight=w))
        assert by_name["mae"][row] == pytest.approx(metrics.mean_absolute_error(true, predicted, sample_weight=w))
        assert by_name["r2"][row] == pytest.approx(metrics.r2_score(true, predicted, sample_weight=w))
        assert by_name["r"][row] == pytest.approx(pearsonr(true[rows], predicted[rows]).statistic)
    true, probability = noisy_classes()
    by_name = {score.name: score.weighted(true, probability, weights) for score in BINARY_SCORES}
    for row, w in enumerate(weights):
        assert by_name["auroc"][row] == pytest.approx(metrics.roc_auc_score(true, probability, sample_weight=w))
        assert by_name["auprc"][row] == pytest.approx(
            metrics.average_precision_score(true, probability, sample_weight=w)
        )
        assert by_name["brier"][row] == pytest.approx(metrics.brier_score_loss(true, probability, sample_weight=w))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4)), min_size=1, max_size=30))
def test_auroc_is_the_share_of_pairs_in_the_right_order(cases):
    true = np.array([case[0] for case in cases], dtype=float)
    probability = np.array([case[1] / 4 for case in cases])
    pairs = [
        1.0 if p > q else 0.5 if p == q else 0.0
        for t, p in zip(true, probability, strict=True)
        for u, q in zip(true, probability, strict=True)
        if t == 1 and u == 0
    ]
    scores = binary_scores(true, probability)
    if pairs:
        assert scores["auroc"] == pytest.approx(np.mean(pairs))
    else:
        assert math.isnan(scores["auroc"])
        assert math.isnan(scores["auprc"])


def test_roc_points_equal_sklearn():
    true, probability = noisy_classes()
    false_rate, true_rate = roc_points(true, probability)
    expected_false, expected_true, _ = metrics.roc_curve(true, probability, drop_intermediate=False)
    np.testing.assert_allclose(false_rate, expected_false)
    np.testing.assert_allclose(true_rate, expected_true)


def test_macro_auroc_skips_labels_of_one_class():
    rng = np.random.default_rng(2)
    true = rng.integers(0, 2, (80, 4)).astype(float)
    probability = rng.random((80, 4))
    expected = metrics.roc_auc_score(true[:, [0, 1, 3]], probability[:, [0, 1, 3]], average="macro")
    true[:, 2] = 1.0
    assert multilabel_scores(true, probability)["macro_auroc"] == pytest.approx(expected)
    scores = multilabel_scores(np.zeros((5, 2)), np.full((5, 2), 0.5))
    assert math.isnan(scores["macro_auroc"])
    assert scores.reasons == {"macro_auroc": "no label has both classes"}


def test_macro_auroc_is_of_the_same_labels_in_every_resample():
    rng = np.random.default_rng(3)
    true = rng.integers(0, 2, (20, 3)).astype(float)
    true[:, 2] = np.arange(20) == 0
    probability = rng.random((20, 3))
    without = np.ones((2, 20))
    without[1, 0] = 0.0  # the only positive of the third label is not drawn
    whole, lacking = MULTILABEL_SCORES[0].weighted(true, probability, without)
    assert whole == pytest.approx(metrics.roc_auc_score(true, probability, average="macro"))
    assert math.isnan(lacking), "the mean over two of three labels is another quantity"


@pytest.mark.parametrize(
    ("true", "predicted", "undefined", "reason"),
    [
        ([3.0] * 5, [1.0, 2.0, 3.0, 4.0, 5.0], {"r2", "r"}, "all true values are the same"),
        ([1.0, 2.0, 3.0], [15.68] * 3, {"r"}, "all predictions are the same"),
        ([1.0], [2.0], {"r2", "r"}, "only one recording"),
        ([], [], {"rmse", "mae", "r2", "r"}, "no labelled recording"),
    ],
)
def test_degenerate_regression_is_nan_with_a_reason(true, predicted, undefined, reason):
    scores = regression_scores(true, predicted)
    assert {name for name, value in scores.items() if math.isnan(value)} == undefined
    assert scores.reasons == dict.fromkeys(undefined, reason)


@pytest.mark.parametrize("classes", [[0, 0, 0], [1, 1, 1], [True], []])
def test_one_class_has_no_auroc(classes):
    scores = binary_scores(classes, np.linspace(0.1, 0.9, len(classes)))
    assert math.isnan(scores["auroc"])
    assert math.isnan(scores["auprc"])
    assert set(scores.reasons) >= {"auroc", "auprc"}
    assert len(roc_points(classes, np.linspace(0.1, 0.9, len(classes)))[0]) == 0


def test_constant_probability_is_chance():
    scores = binary_scores([0, 1, 1, 0], [0.3] * 4)
    assert scores["auroc"] == 0.5
    assert scores["auprc"] == 0.5


def test_large_offsets_do_not_cancel():
    true, predicted = noisy_pressures()
    assert regression_scores(true + 1e7, predicted + 1e7)["r2"] == pytest.approx(
        regression_scores(true, predicted)["r2"], abs=1e-6
    )


def test_a_column_against_a_row_is_refused():
    true, predicted = noisy_pressures(10)
    with pytest.raises(ValueError, match=r"\(10, 1\).*must be \[n\]"):
        regression_scores(true[:, None], predicted)
    with pytest.raises(ValueError, match=r"must be \[n\]"):
        regression_scores(true[:, None], predicted[:, None])
    with pytest.raises(ValueError, match=r"must be \[n\]"):
        regression_scores(true, predicted[:9])


def test_values_out_of_range_are_refused():
    with pytest.raises(ValueError, match="not logits"):
        binary_scores([0, 1], [-2.0, 3.0])
    with pytest.raises(ValueError, match="classes other than 0 and 1"):
        binary_scores([0, 2], [0.1, 0.2])
    with pytest.raises(ValueError, match="1 of 2 values of true are not finite"):
        regression_scores([np.nan, 1.0], [1.0, 1.0])
