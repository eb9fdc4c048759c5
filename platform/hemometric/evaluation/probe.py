"""Linear probes: how much of a label a frozen embedding gives to a straight line.

Embeddings are standardised with the mean and deviation of the labelled training recordings. The strength of the ridge
penalty is the one that does best on the validation split; the test split is only predicted, and the weights are those
of the training split alone. Sizes may be as small as two recordings: what cannot be learnt is answered by the
training mean, and said in `Probe.notes`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression

from hemometric.ecg import Float64
from hemometric.errors import UsageError

STRENGTHS = tuple(float(10.0**power) for power in np.arange(-4.0, 3.5, 0.5))
"""Ridge penalties per recording: n recordings weigh against strength x n x |w|^2 / 2."""

_MAX_NEWTON_STEPS = 200
_SMALLEST_SHARE = 1e-6


@dataclass(frozen=True, eq=False)
class Probe:
    """A probe's predictions and how it came by them.

    Attributes
    ----------
    predicted : float64 [test] or [test, label]
        In the label's unit, or probabilities.
    strengths : tuple of float
        The chosen penalty of each label; NaN where nothing could be learnt.
    validation_losses : tuple of float
        Of the chosen penalty: RMSE for numbers, mean log loss for classes; NaN likewise.
    num_train, num_validation : tuple of int
        Labelled recordings that were used, for each label.
    notes : tuple of str
        What a reader should know: recordings without a label, labels of one class.
    """

    predicted: Float64
    strengths: tuple[float, ...]
    validation_losses: tuple[float, ...]
    num_train: tuple[int, ...]
    num_validation: tuple[int, ...]
    notes: tuple[str, ...] = ()


def ridge_probe(
    train: npt.ArrayLike,
    train_labels: npt.ArrayLike,
    validation: npt.ArrayLike,
    validation_labels: npt.ArrayLike,
    test: npt.ArrayLike,
    *,
    strengths: Sequence[float] = STRENGTHS,
) -> Probe:
    """Ridge regression of a number.

    Parameters
    ----------
    train, validation, test : float [n, dim]
        Frozen embeddings.
    train_labels, validation_labels : float [n] or [n, label]
        NaN where unlabelled; those recordings are left out and counted in the notes. Each label has a penalty of its
        own.
    strengths : sequence of float
        Penalties to choose from.

    Raises
    ------
    UsageError
        A split has no labelled recording.
    ValueError
        Shapes differ, an embedding is not finite, or a penalty is not above zero.
    """
    splits = _Splits.of(train, train_labels, validation, validation_labels, test)
    return _probe(splits, _RIDGE, strengths, several=np.ndim(train_labels) == 2)


def logistic_probe(
    train: npt.ArrayLike,
    train_labels: npt.ArrayLike,
    validation: npt.ArrayLike,
    validation_labels: npt.ArrayLike,
    test: npt.ArrayLike,
    *,
    strengths: Sequence[float] = STRENGTHS,
) -> Probe:
    """Logistic regression of one class [n], or of several that do not exclude each other [n, label].

    Parameters
    ----------
    train, validation, test : float [n, dim]
        Frozen embeddings.
    train_labels, validation_labels : 0, 1 or NaN [n] or [n, label]
        NaN where unlabelled. Each label is a probe of its own, with a penalty of its own.
    strengths : sequence of float
        Penalties to choose from; the loss to choose by is the log loss, which also tells a confident error from a
        mild one.

    Raises
    ------
    UsageError
        A split has no labelled recording.
    ValueError
        Shapes differ, an embedding is not finite, a label is not 0, 1 or NaN, or a penalty is not above zero.
    """
    splits = _Splits.of(train, train_labels, validation, validation_labels, test)
    for name, labels in (("train", splits.train_labels), ("validation", splits.validation_labels)):
        if not np.isin(labels[~np.isnan(labels)], (0.0, 1.0)).all():
            raise ValueError(f"{name}_labels holds classes other than 0 and 1")
    return _probe(splits, _LOGISTIC, strengths, several=np.ndim(train_labels) == 2)


@dataclass(frozen=True, eq=False)
class _Splits:
    train: Float64  # [n, dim]
    train_labels: Float64  # [n, label]
    validation: Float64
    validation_labels: Float64
    test: Float64

    @classmethod
    def of(
        cls,
        train: npt.ArrayLike,
        train_labels: npt.ArrayLike,
        validation: npt.ArrayLike,
        validation_labels: npt.ArrayLike,
        test: npt.ArrayLike,
    ) -> _Splits:
        embeddings = {
            name: np.asarray(values, dtype=np.float64)
            for name, values in (("train", train), ("validation", validation), ("test", test))
        }
        labels = {
            name: np.asarray(values, dtype=np.float64)
            for name, values in (("train", train_labels), ("validation", validation_labels))
        }
        for name, values in embeddings.items():
            if values.ndim != 2 or values.shape[1] != embeddings["train"].shape[-1]:
                raise ValueError(f"{name} has shape {values.shape}; expected [n, dim] with one dim for all splits")
            if not np.isfinite(values).all():
                raise ValueError(f"{name} holds embeddings that are not finite")
        for name, values in labels.items():
            num = len(embeddings[name])
            if values.ndim not in (1, 2) or len(values) != num or values.shape[1:] != labels["train"].shape[1:]:
                raise ValueError(f"{name}_labels has shape {values.shape}; expected [{num}] or [{num}, label]")
        columns = {name: values[:, None] if values.ndim == 1 else values for name, values in labels.items()}
        return cls(
            embeddings["train"], columns["train"], embeddings["validation"], columns["validation"], embeddings["test"]
        )


@dataclass(frozen=True)
class _Kind:
    fit: Callable[
        [Float64, Float64, float], tuple[Float64, float]
    ]  # features [n, r], labels [n], penalty -> weights, intercept
    link: Callable[[Float64], Float64]
    loss: Callable[[Float64, Float64], float]
    needs_both_classes: bool


def _probe(splits: _Splits, kind: _Kind, strengths: Sequence[float], *, several: bool) -> Probe:
    if not strengths or min(strengths) <= 0:
        raise ValueError("strengths must be one or more numbers above zero")
    num_labels = splits.train_labels.shape[1]
    one_by_one = [
        _probe_label(splits, label, kind, strengths, f"label {label}: " if several else "")
        for label in range(num_labels)
    ]
    predicted = np.concatenate([probe.predicted[:, None] for probe in one_by_one], axis=1)
    return Probe(
        predicted if several else predicted[:, 0],
        tuple(strength for probe in one_by_one for strength in probe.strengths),
        tuple(loss for probe in one_by_one for loss in probe.validation_losses),
        tuple(num for probe in one_by_one for num in probe.num_train),
        tuple(num for probe in one_by_one for num in probe.num_validation),
        tuple(note for probe in one_by_one for note in probe.notes),
    )


def _probe_label(splits: _Splits, label: int, kind: _Kind, strengths: Sequence[float], of: str) -> Probe:
    train, train_labels, notes = _labelled(splits.train, splits.train_labels[:, label], f"{of}training")
    validation, labels, more_notes = _labelled(splits.validation, splits.validation_labels[:, label], f"{of}validation")
    notes += more_notes
    nums = (len(train),), (len(validation),)
    if kind.needs_both_classes and (train_labels == train_labels[0]).all():
        note = f"{of}the training split holds class {train_labels[0]:.0f} only; it was predicted for everyone"
        return Probe(np.full(len(splits.test), train_labels[0]), (np.nan,), (np.nan,), *nums, (*notes, note))
    rotation = _Rotation.of(train)
    turned = rotation(validation)
    fits = []
    # From strong to weak; min keeps the first of equals, the simplest.
    for strength in sorted(strengths, reverse=True):
        weights, intercept = kind.fit(rotation.train, train_labels, strength * len(train))
        fits.append((kind.loss(labels, kind.link(turned @ weights + intercept)), strength, weights, intercept))
    loss, strength, weights, intercept = min(fits, key=lambda fit: fit[0])
    predicted = kind.link(rotation(splits.test) @ weights + intercept)
    return Probe(predicted, (strength,), (loss,), *nums, notes)


def _labelled(embeddings: Float64, labels: Float64, split: str) -> tuple[Float64, Float64, tuple[str, ...]]:
    known = ~np.isnan(labels)
    if not known.any():
        raise UsageError(f"{split} split: none of its {len(known)} recordings has the label, and a probe needs some")
    num_unknown = int(np.count_nonzero(~known))
    notes = (
        (f"{split} split: {num_unknown} of {len(known)} recordings have no label and were left out",)
        if num_unknown
        else ()
    )
    return embeddings[known], labels[known], notes


@dataclass(frozen=True, eq=False)
class _Rotation:
    """Standardise on the training recordings, then turn to their principal axes.

    A ridge penalty does not change under a rotation, and its solution lies in the span of the training rows; so this
    is exact, makes the columns orthogonal, and leaves at most n of them when recordings are few.
    """

    mean: Float64  # [dim]
    deviation: Float64  # [dim]
    axes: Float64  # [dim, r]
    train: Float64  # [n, r]

    @classmethod
    def of(cls, train: Float64) -> _Rotation:
        mean, deviation = train.mean(axis=0), train.std(axis=0)
        # A dimension that never moves (but for rounding) tells nothing: it must not be blown up on other splits.
        moves = deviation > 1e-9 * np.maximum(np.abs(mean), 1e-30)
        deviation = np.where(moves, deviation, np.inf)
        left, lengths, right = np.linalg.svd((train - mean) / deviation, full_matrices=False)
        kept = lengths > 1e-10 * max(lengths.max(initial=0.0), 1e-30)
        return cls(mean, deviation, right[kept].T, left[:, kept] * lengths[kept])

    def __call__(self, embeddings: Float64) -> Float64:
        return ((embeddings - self.mean) / self.deviation) @ self.axes


def _fit_ridge(features: Float64, labels: Float64, penalty: float) -> tuple[Float64, float]:
    """Minimise |y - b - X w|^2 + penalty |w|^2 for orthogonal, centred columns (Hoerl and Kennard 1970)."""
    mean = float(labels.mean())
    return features.T @ (labels - mean) / ((features**2).sum(axis=0) + penalty), mean


def _fit_logistic(features: Float64, labels: Float64, penalty: float) -> tuple[Float64, float]:
    """Minimise the summed log loss + penalty |w|^2 / 2, intercept free."""
    if not features.shape[1]:
        share = float(labels.mean())
        return np.empty(0), float(np.log(share / (1 - share)))
    model = LogisticRegression(C=1.0 / penalty, solver="newton-cholesky", max_iter=_MAX_NEWTON_STEPS, tol=1e-6)
    model.fit(features, labels)
    return model.coef_[0], float(model.intercept_[0])


def _sigmoid(logits: Float64) -> Float64:
    return 0.5 * (1.0 + np.tanh(0.5 * logits))


def _rmse(true: Float64, predicted: Float64) -> float:
    return float(np.sqrt(np.mean((true - predicted) ** 2)))


def _log_loss(true: Float64, probability: Float64) -> float:
    clipped = np.clip(probability, _SMALLEST_SHARE, 1 - _SMALLEST_SHARE)
    return float(-np.mean(true * np.log(clipped) + (1 - true) * np.log(1 - clipped)))


_RIDGE = _Kind(_fit_ridge, lambda values: values, _rmse, needs_both_classes=False)
_LOGISTIC = _Kind(_fit_logistic, _sigmoid, _log_loss, needs_both_classes=True)
