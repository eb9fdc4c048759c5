import math

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from hemometric.errors import UsageError
from hemometric.evaluation.probe import STRENGTHS, logistic_probe, ridge_probe


def embeddings(num=(120, 40, 50), dim=16, seed=0):
    rng = np.random.default_rng(seed)
    scale = 10.0 ** rng.uniform(-3, 3, dim)
    direction = rng.normal(size=dim)
    splits, numbers = [], []
    for n in num:
        z = rng.normal(size=(n, dim))
        numbers.append(15 + 3 * z @ direction + rng.normal(0, 5, n))
        splits.append(z * scale + 100)
    return splits, numbers


@pytest.mark.parametrize("strength", [1e-3, 0.1, 10.0])
def test_ridge_equals_sklearn(strength):
    (train, validation, test), (y, y_validation, _) = embeddings()
    probe = ridge_probe(train, y, validation, y_validation, test, strengths=[strength])
    scaler = StandardScaler().fit(train)
    model = Ridge(alpha=strength * len(train)).fit(scaler.transform(train), y)
    np.testing.assert_allclose(probe.predicted, model.predict(scaler.transform(test)), rtol=1e-7)


@pytest.mark.parametrize("strength", [1e-3, 0.1, 10.0])
def test_logistic_equals_sklearn(strength):
    (train, validation, test), (y, y_validation, _) = embeddings()
    probe = logistic_probe(train, y > 18, validation, y_validation > 18, test, strengths=[strength])
    scaler = StandardScaler().fit(train)
    model = LogisticRegression(C=1 / (strength * len(train)), max_iter=5000, tol=1e-8).fit(
        scaler.transform(train), y > 18
    )
    np.testing.assert_allclose(probe.predicted, model.predict_proba(scaler.transform(test))[:, 1], atol=1e-4)


def test_strength_is_the_best_on_validation():
    (train, validation, test), (y, y_validation, _) = embeddings(num=(20, 200, 10))
    chosen = ridge_probe(train, y, validation, y_validation, test)
    each = {
        s: ridge_probe(train, y, validation, y_validation, test, strengths=[s]).validation_losses[0] for s in STRENGTHS
    }
    assert chosen.strengths == (min(each, key=each.get),)
    assert min(STRENGTHS) < chosen.strengths[0] < max(STRENGTHS)
    assert chosen.validation_losses[0] == min(each.values())


def test_test_embeddings_do_not_reach_the_fit():
    (train, validation, test), (y, y_validation, _) = embeddings()
    alone = ridge_probe(train, y, validation, y_validation, test[:1])
    among = ridge_probe(train, y, validation, y_validation, np.concatenate([test[:1], test * 1e6]))
    assert alone.predicted[0] == pytest.approx(among.predicted[0])
    assert alone.strengths == among.strengths


def test_validation_reaches_only_the_choice_of_strength():
    (train, validation, test), (y, y_validation, _) = embeddings()
    one = ridge_probe(train, y, validation, y_validation, test, strengths=[0.1])
    other = ridge_probe(train, y, validation * 7, -y_validation, test, strengths=[0.1])
    np.testing.assert_array_equal(one.predicted, other.predicted)


def test_unlabelled_recordings_are_left_out_and_counted():
    (train, validation, test), (y, y_validation, _) = embeddings()
    with_gaps = np.where(np.arange(120) < 90, y, np.nan)
    probe = ridge_probe(train, with_gaps, validation, y_validation, test)
    np.testing.assert_allclose(
        probe.predicted, ridge_probe(train[:90], y[:90], validation, y_validation, test).predicted
    )
    assert probe.num_train == (90,)
    assert probe.num_validation == (40,)
    assert probe.notes == ("training split: 30 of 120 recordings have no label and were left out",)


def test_each_label_is_a_probe_of_its_own():
    (train, validation, test), (y, y_validation, y_test) = embeddings()
    labels = [np.stack([values > 12, values > 20, values > 1e9], axis=1) for values in (y, y_validation)]
    joint = logistic_probe(train, labels[0], validation, labels[1], test)
    assert joint.predicted.shape == (50, 3)
    for column in range(2):
        alone = logistic_probe(train, labels[0][:, column], validation, labels[1][:, column], test)
        np.testing.assert_array_equal(joint.predicted[:, column], alone.predicted)
        assert joint.strengths[column] == alone.strengths[0]
    assert roc_auc_score(y_test > 12, joint.predicted[:, 0]) > 0.8
    assert (joint.predicted[:, 2] == 0).all()
    assert math.isnan(joint.strengths[2])
    assert joint.notes == ("label 2: the training split holds class 0 only; it was predicted for everyone",)


@pytest.mark.parametrize("seed", range(12))
def test_few_recordings_give_finite_predictions_without_warnings(seed):
    rng = np.random.default_rng(seed)
    num, dim = int(rng.integers(1, 9)), int(rng.integers(1, 200))
    train = rng.normal(size=(num, dim)) * 10.0 ** rng.uniform(-6, 6, dim)
    train[:, : dim // 3] = 3.3
    # Perfectly separable, when both classes are there.
    y = (train[:, -1] > np.median(train[:, -1])).astype(float)
    test = train + rng.normal(size=train.shape)
    probability = logistic_probe(train, y, train[:1], y[:1], test).predicted
    assert np.isfinite(probability).all()
    assert ((probability >= 0) & (probability <= 1)).all()
    assert np.isfinite(ridge_probe(train, train[:, -1], train[:1], train[:1, -1], test).predicted).all()


def test_a_dimension_that_never_moves_in_training_is_ignored():
    (train, validation, test), (y, y_validation, _) = embeddings()
    plain = ridge_probe(train, y, validation, y_validation, test)
    moved = [
        np.concatenate([z, np.full((len(z), 1), 0.1 + extra)], axis=1)
        for z, extra in ((train, 0), (validation, 5), (test, 1e6))
    ]
    np.testing.assert_allclose(ridge_probe(moved[0], y, moved[1], y_validation, moved[2]).predicted, plain.predicted)


def test_a_collapsed_embedding_predicts_the_training_mean():
    y = np.array([10.0, 20.0, 30.0, 60.0])
    ones = np.ones((4, 8))
    np.testing.assert_allclose(ridge_probe(ones, y, ones, y, ones).predicted, 30.0)
    np.testing.assert_allclose(logistic_probe(ones, y > 50, ones, y > 50, ones).predicted, 0.25)


def test_refusals():
    (train, validation, test), (y, y_validation, _) = embeddings()
    with pytest.raises(UsageError, match="validation split: none of its 40 recordings has the label"):
        ridge_probe(train, y, validation, np.full(40, np.nan), test)
    with pytest.raises(ValueError, match=r"train_labels has shape \(119,\)"):
        ridge_probe(train, y[:-1], validation, y_validation, test)
    with pytest.raises(ValueError, match="one dim"):
        ridge_probe(train, y, validation, y_validation, test[:, :-1])
    with pytest.raises(ValueError, match="not finite"):
        ridge_probe(train * np.nan, y, validation, y_validation, test)
    with pytest.raises(ValueError, match="classes other than 0 and 1"):
        logistic_probe(train, y, validation, y_validation, test)
    with pytest.raises(ValueError, match="above zero"):
        ridge_probe(train, y, validation, y_validation, test, strengths=[0.0])
