import math

import numpy as np
import pytest
from scipy import stats

from hemometric.evaluation.intervals import bootstrap, by_rows, paired_difference, replicates
from hemometric.evaluation.scores import BINARY_SCORES, REGRESSION_SCORES, regression_scores

RMSE = REGRESSION_SCORES[0]


def pressures(num, seed=0):
    rng = np.random.default_rng(seed)
    true = rng.normal(15.7, 8.1, num)
    return true, true + rng.normal(0, 5, num)


def rmse_of(true, predicted):
    return lambda weights: RMSE.weighted(true, predicted, weights)


def test_one_recording_for_each_patient_is_the_plain_bootstrap():
    true, predicted = pressures(40)
    patients = [f"p{i:02d}" for i in range(40)]
    found = replicates(patients, {"rmse": rmse_of(true, predicted)}, num=25, seed=3)["rmse"]
    for resample, value in enumerate(found):
        rows = np.random.default_rng([3, resample]).integers(40, size=40)
        assert value == pytest.approx(regression_scores(true[rows], predicted[rows])["rmse"])


def test_all_recordings_of_a_drawn_patient_come_along():
    true, predicted = pressures(30)
    patients = np.array([f"p{i % 7}" for i in range(30)])
    found = replicates(patients, {"rmse": rmse_of(true, predicted)}, num=25, seed=1)["rmse"]
    names = sorted(set(patients.tolist()))
    for resample, value in enumerate(found):
        drawn = np.random.default_rng([1, resample]).integers(7, size=7)
        rows = np.concatenate([np.flatnonzero(patients == names[patient]) for patient in drawn])
        assert value == pytest.approx(regression_scores(true[rows], predicted[rows])["rmse"])


def test_interval_agrees_with_scipy():
    true, predicted = pressures(150)
    ours = bootstrap([str(i) for i in range(150)], rmse_of(true, predicted), num=4000, seed=0)
    theirs = stats.bootstrap(
        (true, predicted),
        lambda t, p, axis: np.sqrt(np.mean((t - p) ** 2, axis=axis)),
        paired=True,
        vectorized=True,
        method="percentile",
        n_resamples=4000,
        rng=1,
    ).confidence_interval
    assert ours.low == pytest.approx(theirs.low, abs=0.05)
    assert ours.high == pytest.approx(theirs.high, abs=0.05)
    assert ours.estimate == pytest.approx(regression_scores(true, predicted)["rmse"])
    assert ours.low < ours.estimate < ours.high


def test_repeated_patients_widen_the_interval():
    true, predicted = pressures(50)
    true, predicted = np.repeat(true, 6), np.repeat(predicted, 6)
    by_patient = bootstrap(np.repeat(np.arange(50), 6), rmse_of(true, predicted))
    by_recording = bootstrap(np.arange(300), rmse_of(true, predicted))
    # Six copies tell nothing new: the honest interval is sqrt(6) = 2.4 times as wide.
    ratio = (by_patient.high - by_patient.low) / (by_recording.high - by_recording.low)
    assert 2.0 < ratio < 3.0
    assert by_patient.estimate == by_recording.estimate


def test_paired_difference_is_narrower_than_two_intervals_suggest():
    true, predicted = pressures(100)
    better = true + 0.95 * (predicted - true)
    patients = np.arange(100)
    difference = paired_difference(patients, rmse_of(true, better), rmse_of(true, predicted), seed=2)
    alone = bootstrap(patients, rmse_of(true, predicted), seed=2)
    assert difference.estimate == pytest.approx(-0.05 * alone.estimate)
    # On the same resamples one RMSE is always 0.95 of the other.
    assert difference.low == pytest.approx(-0.05 * alone.high)
    assert difference.high == pytest.approx(-0.05 * alone.low)
    assert difference.high < 0


def test_same_seed_same_interval_whatever_the_chunks(monkeypatch):
    true, predicted = pressures(60)
    patients = np.arange(60) // 2
    whole = bootstrap(patients, rmse_of(true, predicted), num=100, seed=4)
    monkeypatch.setattr("hemometric.evaluation.intervals._CELLS_AT_ONCE", 60 * 7)
    assert bootstrap(patients, rmse_of(true, predicted), num=100, seed=4) == whole
    assert bootstrap(patients, rmse_of(true, predicted), num=100, seed=5) != whole


def test_order_of_recordings_does_not_matter():
    true, predicted = pressures(60)
    patients = np.array([f"p{i // 3:02d}" for i in range(60)])
    order = np.random.default_rng(0).permutation(60)
    first = bootstrap(patients, rmse_of(true, predicted), num=50)
    second = bootstrap(patients[order], rmse_of(true[order], predicted[order]), num=50)
    assert (first.low, first.high) == pytest.approx((second.low, second.high))


def test_any_function_of_rows_can_be_resampled():
    true, predicted = pressures(30)
    slow = by_rows(lambda rows: regression_scores(true[rows], predicted[rows])["rmse"])
    patients = np.arange(30) // 2
    slowly, fast = (bootstrap(patients, statistic, num=40) for statistic in (slow, rmse_of(true, predicted)))
    assert (slowly.estimate, slowly.low, slowly.high) == pytest.approx((fast.estimate, fast.low, fast.high))


def test_resamples_of_one_class_are_counted_and_left_out():
    true = np.array([1.0] + [0.0] * 9)
    probability = np.linspace(0.9, 0.1, 10)
    found = bootstrap(np.arange(10), lambda weights: BINARY_SCORES[0].weighted(true, probability, weights), num=500)
    # The only positive is missed with probability 0.9^10 = 0.35.
    assert 130 < found.num_undefined < 220
    assert found.estimate == 1.0
    assert found.high == 1.0


def test_what_cannot_be_resampled_says_why():
    true, predicted = pressures(5)
    alone = bootstrap(["p"] * 5, rmse_of(true, predicted))
    assert alone.estimate > 0
    assert math.isnan(alone.low)
    assert alone.reason == "one patient cannot be resampled"
    nothing = bootstrap([], rmse_of(np.empty(0), np.empty(0)))
    assert math.isnan(nothing.estimate)
    assert nothing.reason
    with pytest.raises(ValueError, match="num=0"):
        bootstrap(["a", "b"], lambda weights: weights.sum(axis=1), num=0)
    with pytest.raises(ValueError, match="level=95"):
        bootstrap(["a", "b"], lambda weights: weights.sum(axis=1), level=95)
