"""Scores of predictions, each a function of weights: a thousand bootstrap resamples are a few array operations.

Degenerate input (one class only, constant values, nothing at all) gives NaN and a reason, never a warning or a crash.

Legend: n recordings, R resamples, L labels, G groups of equal predictions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hemometric.ecg import Float64

Array = npt.ArrayLike
Weighted = Callable[[Float64, Float64, Float64], Float64]
"""(true [n] or [n, L], predicted likewise, weights [R, n]) -> scores [R], NaN where undefined."""


@dataclass(frozen=True)
class Score:
    """One score, and what a reader must know about it.

    Attributes
    ----------
    name : str
        Key in tables and trackers, such as ``rmse``.
    title : str
        Name for people.
    higher_is_better : bool
        Direction of improvement.
    in_label_unit : bool
        It carries the unit of the label (RMSE in mmHg); otherwise it has none.
    weighted : callable
        (true, predicted, weights [R, n]) -> [R].
    needs_probability : bool
        It reads predictions as probabilities; otherwise their order alone is enough.
    """

    name: str
    title: str
    higher_is_better: bool
    in_label_unit: bool
    weighted: Weighted
    needs_probability: bool = False

    @property
    def digits(self) -> int:
        """Decimals that a reader needs."""
        return 2 if self.in_label_unit else 3

    def __call__(self, true: Float64, predicted: Float64) -> float:
        """Score every recording once."""
        return float(self.weighted(true, predicted, np.ones((1, len(true))))[0])


class Scores(dict[str, float]):
    """Scores by name; `reasons` says, for each NaN among them, why it is undefined."""

    def __init__(self, values: dict[str, float], reasons: dict[str, str]) -> None:
        super().__init__(values)
        self.reasons = reasons


def regression_scores(true: Array, predicted: Array) -> Scores:
    """RMSE, MAE, R2 and Pearson's r.

    Parameters
    ----------
    true, predicted : float [n]
        In the label's unit. Rows without a label must be taken out, and counted, before.

    Returns
    -------
    Scores
        ``rmse``, ``mae``, ``r2``, ``r``.

    Raises
    ------
    ValueError
        The shapes differ or are not [n] (an [n, 1] would broadcast to [n, n] and inflate the error), or a value is
        not finite.
    """
    return _scores(REGRESSION_SCORES, *checked_regression(true, predicted))


def binary_scores(true: Array, probability: Array) -> Scores:
    """AUROC, AUPRC (average precision) and Brier score of probabilities.

    Parameters
    ----------
    true : bool or 0 / 1 [n]
    probability : float [n]
        Probability of 1. Logits are refused: their Brier score would mean nothing.

    Returns
    -------
    Scores
        ``auroc``, ``auprc``, ``brier``.

    Raises
    ------
    ValueError
        Other shapes, classes other than 0 and 1, or probabilities outside [0, 1].
    """
    return _scores(BINARY_SCORES, *checked_binary(true, probability))


def multilabel_scores(true: Array, probability: Array) -> Scores:
    """Macro AUROC: the mean over labels that have both classes.

    Parameters
    ----------
    true : bool or 0 / 1 [n, L]
    probability : float [n, L]

    Returns
    -------
    Scores
        ``macro_auroc``; `Scores.reasons` is set if no label has both classes.

    Raises
    ------
    ValueError
        Other shapes, classes other than 0 and 1, or probabilities outside [0, 1].
    """
    return _scores(MULTILABEL_SCORES, *checked_multilabel(true, probability))


def checked_regression(true: Array, predicted: Array) -> tuple[Float64, Float64]:
    """Both arrays as float64 [n], or ValueError."""
    return _checked(true, predicted, num_axes=1)


def checked_binary(true: Array, probability: Array) -> tuple[Float64, Float64]:
    """Both arrays as float64 [n], classes and probabilities in range, or ValueError."""
    return _checked_classes(*_checked(true, probability, num_axes=1))


def checked_multilabel(true: Array, probability: Array) -> tuple[Float64, Float64]:
    """Both arrays as float64 [n, L], classes and probabilities in range, or ValueError."""
    return _checked_classes(*_checked(true, probability, num_axes=2))


def roc_points(true: Array, probability: Array) -> tuple[Float64, Float64]:
    """Corners of the ROC curve: false and true positive rates [G + 1], from (0, 0) to (1, 1); empty for one class."""
    classes, scores = checked_binary(true, probability)
    positives, negatives = _grouped(classes, scores, np.ones((1, len(classes))))
    true_positives = np.concatenate([[0.0], np.cumsum(positives[0, ::-1])])
    false_positives = np.concatenate([[0.0], np.cumsum(negatives[0, ::-1])])
    if not (true_positives[-1] and false_positives[-1]):
        return np.empty(0), np.empty(0)
    return false_positives / false_positives[-1], true_positives / true_positives[-1]


def _checked(true: Array, predicted: Array, num_axes: int) -> tuple[Float64, Float64]:
    true, predicted = np.asarray(true, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    expected = "[n]" if num_axes == 1 else "[n, labels]"
    if true.shape != predicted.shape or true.ndim != num_axes:
        raise ValueError(f"true has shape {true.shape} and predicted {predicted.shape}; both must be {expected}")
    for name, values in (("true", true), ("predicted", predicted)):
        num_bad = int(np.count_nonzero(~np.isfinite(values)))
        if num_bad:
            raise ValueError(f"{num_bad} of {values.size} values of {name} are not finite; take those rows out first")
    return true, predicted


def _checked_classes(true: Float64, probability: Float64) -> tuple[Float64, Float64]:
    if not np.isin(true, (0.0, 1.0)).all():
        raise ValueError("true holds classes other than 0 and 1")
    if ((probability < 0) | (probability > 1)).any():
        raise ValueError("predicted holds values outside [0, 1]; give probabilities, not logits")
    return true, probability


def _scores(scores: Iterable[Score], true: Float64, predicted: Float64) -> Scores:
    values = {score.name: score(true, predicted) for score in scores}
    reason = why_undefined(true, predicted)
    return Scores(values, {name: reason for name, value in values.items() if np.isnan(value)})


def why_undefined(true: Float64, predicted: Float64) -> str:
    """Say what makes a score of these arrays NaN."""
    if not len(true):
        return "no labelled recording"
    if true.ndim == 2:
        return "no label has both classes" if true.shape[1] else "no class has enough patients"
    if len(true) == 1:
        return "only one recording"
    if (true == true[0]).all():
        return "all true values are the same"
    if (predicted == predicted[0]).all():
        return "all predictions are the same"
    return "undefined"


def _ratio(numerator: Float64, denominator: Float64) -> Float64:
    """Divide [R] by [R]; NaN where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.full_like(numerator, np.nan), where=denominator > 0)


def _mean(values: Float64, weights: Float64) -> Float64:
    """Weighted means [R] of values [n]."""
    return _ratio(weights @ values, weights.sum(axis=1))


def _variance(values: Float64, weights: Float64) -> Float64:
    """Weighted variances [R] of values [n] that were shifted close to 0; exactly 0 if only rounding is left."""
    square = _mean(values * values, weights)
    variance = square - _mean(values, weights) ** 2
    return np.where(variance > 1e-12 * square, variance, 0.0)


def _shifted(values: Float64) -> Float64:
    """Values minus their median, so that sums of squares cancel well and a constant becomes exactly 0."""
    return values - np.median(values) if len(values) else values


def _squared_error(true: Float64, predicted: Float64, weights: Float64) -> Float64:
    return _mean((predicted - true) ** 2, weights)


def _rmse(true: Float64, predicted: Float64, weights: Float64) -> Float64:
    return np.sqrt(_squared_error(true, predicted, weights))


def _mae(true: Float64, predicted: Float64, weights: Float64) -> Float64:
    return _mean(np.abs(predicted - true), weights)


def _r2(true: Float64, predicted: Float64, weights: Float64) -> Float64:
    return 1.0 - _ratio(_squared_error(true, predicted, weights), _variance(_shifted(true), weights))


def _pearson(true: Float64, predicted: Float64, weights: Float64) -> Float64:
    true, predicted = _shifted(true), _shifted(predicted)
    covariance = _mean(true * predicted, weights) - _mean(true, weights) * _mean(predicted, weights)
    r = _ratio(covariance, np.sqrt(_variance(true, weights) * _variance(predicted, weights)))
    return np.clip(r, -1.0, 1.0)


def _grouped(true: Float64, predicted: Float64, weights: Float64) -> tuple[Float64, Float64]:
    """Weights of positives and of negatives [R, G] in each group of equal predictions, groups ascending."""
    order = np.argsort(predicted, kind="stable")
    ascending = predicted[order]
    starts = np.flatnonzero(np.concatenate([np.ones(min(1, len(ascending)), bool), ascending[1:] != ascending[:-1]]))
    if not len(starts):
        return np.zeros((len(weights), 0)), np.zeros((len(weights), 0))
    ordered = weights[:, order]
    total = np.add.reduceat(ordered, starts, axis=1)
    positives = np.add.reduceat(ordered * true[order], starts, axis=1)
    return positives, total - positives


def _auroc(true: Float64, predicted: Float64, weights: Float64) -> Float64:
    """Probability that a positive is ranked above a negative, ties counting half (Mann and Whitney 1947)."""
    positives, negatives = _grouped(true, predicted, weights)
    below = np.cumsum(negatives, axis=1) - 0.5 * negatives
    return _ratio((positives * below).sum(axis=1), positives.sum(axis=1) * negatives.sum(axis=1))


def _auprc(true: Float64, predicted: Float64, weights: Float64) -> Float64:
    """Average precision: sum over thresholds of (gain in recall) x precision, without interpolation."""
    positives, negatives = (side[:, ::-1] for side in _grouped(true, predicted, weights))
    found = np.cumsum(positives, axis=1)
    called = found + np.cumsum(negatives, axis=1)
    precision = np.divide(found, called, out=np.zeros_like(found), where=called > 0)
    both_classes = np.where(negatives.sum(axis=1) > 0, positives.sum(axis=1), 0.0)
    return _ratio((positives * precision).sum(axis=1), both_classes)


def _macro_auroc(true: Float64, predicted: Float64, weights: Float64) -> Float64:
    """Mean of the AUROCs of the labels that have both classes in the data.

    A resample that lacks one class of one of them has no value: the mean over the others is another quantity.
    """
    both = [label for label in range(true.shape[1]) if len(set(true[:, label])) == 2]
    columns = [_auroc(true[:, label], predicted[:, label], weights) for label in both]
    return np.mean(columns, axis=0) if columns else np.full(len(weights), np.nan)


REGRESSION_SCORES = (
    Score("rmse", "RMSE", False, True, _rmse),
    Score("mae", "MAE", False, True, _mae),
    Score("r2", "R²", True, False, _r2),
    Score("r", "Pearson r", True, False, _pearson),
)
"""The first of each tuple is the one that systems are compared by."""

BINARY_SCORES = (
    Score("auroc", "AUROC", True, False, _auroc),
    Score("auprc", "AUPRC", True, False, _auprc),
    Score("brier", "Brier", False, False, _squared_error, needs_probability=True),
)

MULTILABEL_SCORES = (Score("macro_auroc", "Macro AUROC", True, False, _macro_auroc),)
