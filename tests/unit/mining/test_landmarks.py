"""Distances to landmarks: their scale, what is absent, and that each recording is measured once."""

from __future__ import annotations

import numpy as np
import pytest

from hemometric.distances import DtwDistance, EuclideanDistance
from hemometric.errors import UsageError
from hemometric.mining import Landmarks

NUM, LEADS, SAMPLES = 7, 2, 30


def signals(num: int = NUM, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(num, LEADS, SAMPLES)).astype(np.float32)


def ids(num: int, first: str = "r") -> list[str]:
    return [f"{first}{number}" for number in range(num)]


@pytest.mark.parametrize("config", [DtwDistance(), EuclideanDistance()], ids=lambda config: config.kind)
def test_each_landmark_has_a_scale_of_its_own(config: DtwDistance) -> None:
    marks, others = signals(), signals(20, seed=1)
    landmarks = Landmarks(marks, ids(NUM, "m"), config.build())
    found = landmarks(others, ids(20))
    apart = config.build().pairwise(marks).astype(float)
    least = apart[apart > 0].min() / 2  # nobody is nearer than half of what the two nearest landmarks are
    between = np.log(np.maximum(apart, least))
    far = np.log(np.maximum(config.build().cross(others, marks).astype(float), least))
    for mark in range(NUM):
        own = np.delete(between[:, mark], mark)
        np.testing.assert_allclose(found[:, mark], (far[:, mark] - own.mean()) / own.std(), rtol=1e-4, atol=1e-4)
    assert found.dtype == np.float32
    assert len(landmarks) == NUM


def test_an_outlier_counts_like_the_others() -> None:
    marks = signals()
    marks[3] *= 100
    found = Landmarks(marks, ids(NUM, "m"), EuclideanDistance().build())(signals(200, seed=1), ids(200))
    assert np.abs(found).max() < 40
    assert 0.2 < np.abs(found[:, 3]).mean() / np.abs(np.delete(found, 3, axis=1)).mean() < 5


def test_a_landmark_is_near_itself_and_absent_recordings_are_unknown() -> None:
    marks = signals()
    some = np.concatenate([marks[:2], np.zeros((1, LEADS, SAMPLES), np.float32)])
    found = Landmarks(marks, ids(NUM, "m"), EuclideanDistance().build())(some, ids(3))
    assert np.isfinite(found[:2]).all()
    assert (found[:2].argmin(axis=1) == [0, 1]).all()
    assert np.isnan(found[2]).all()


def test_a_recording_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    distance = EuclideanDistance().build()
    asked: list[int] = []
    landmarks = Landmarks(signals(), ids(NUM, "m"), distance)
    cross = type(distance).cross

    def counted(self: object, queries: np.ndarray, others: np.ndarray, threads: int | None = None) -> np.ndarray:
        asked.append(len(queries))
        return cross(self, queries, others, threads)

    monkeypatch.setattr(type(distance), "cross", counted)
    others = signals(5, seed=2)
    first = landmarks(others[:3], ids(3))
    again = landmarks(others, ids(5))
    assert asked == [3, 2]
    np.testing.assert_array_equal(again[:3], first)
    monkeypatch.setattr("hemometric.mining.landmarks.MAX_BYTES", 0)
    forgetful = Landmarks(signals(), ids(NUM, "m"), distance)
    np.testing.assert_array_equal(forgetful(others, ids(5)), forgetful(others, ids(5)))
    assert asked == [3, 2, 5, 5]


def test_too_few_or_equal_landmarks_are_refused() -> None:
    with pytest.raises(UsageError, match="at least 3"):
        Landmarks(signals(2), ids(2), EuclideanDistance().build())
    with pytest.raises(UsageError, match="copies of one recording"):
        Landmarks(np.repeat(signals(1), 4, axis=0), ids(4), EuclideanDistance().build())
