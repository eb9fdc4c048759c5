"""Local scaling against a loop over pairs, and on the batches that break careless ones."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from hemometric.mining.scaling import local_scales, scaled

Float32 = npt.NDArray[np.float32]


def batch(num: int, seed: int = 0) -> tuple[Float32, npt.NDArray[np.bool_]]:
    points = np.random.default_rng(seed).normal(size=(num, 3))
    squared = ((points[:, None] - points[None, :]) ** 2).sum(-1).astype(np.float32)
    return (squared + squared.T) / 2, ~np.eye(num, dtype=bool)


def scale_locally(distances: Float32, others: npt.NDArray[np.bool_], neighbour: int) -> Float32:
    return scaled(distances, local_scales(distances, others, neighbour))


def by_loop(distances: Float32, others: npt.NDArray[np.bool_], neighbour: int) -> npt.NDArray[np.float64]:
    num = len(distances)
    scale = []
    for i in range(num):
        near = sorted(float(distances[i, j]) for j in range(num) if others[i, j])
        scale.append(near[min(neighbour, len(near)) - 1])
    return np.array([[float(distances[i, j]) / (scale[i] * scale[j]) ** 0.5 for j in range(num)] for i in range(num)])


@pytest.mark.parametrize("neighbour", [1, 3, 10, 19, 20, 500])
def test_equals_a_loop_also_where_the_batch_is_smaller_than_the_neighbour(neighbour: int) -> None:
    distances, others = batch(20)
    result = scale_locally(distances, others, neighbour)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, by_loop(distances, others, neighbour), rtol=1e-6)
    np.testing.assert_array_equal(result, result.T)


def test_squared_distances_give_the_square_of_what_roots_give() -> None:
    distances, others = batch(30)
    of_roots = scale_locally(np.sqrt(distances), others, 10).astype(np.float64)
    np.testing.assert_allclose(scale_locally(distances, others, 10), of_roots**2, rtol=1e-5)


def test_a_recording_is_no_neighbour_of_its_own_copy() -> None:
    distances, _ = batch(12)
    copied = np.r_[np.arange(12), 0]  # recording 0 stands at positions 0 and 12
    twice = distances[np.ix_(copied, copied)]
    others_of_twice = copied[:, None] != copied[None, :]
    result = scale_locally(twice, others_of_twice, 3)
    np.testing.assert_allclose(result, by_loop(twice, others_of_twice, 3), rtol=1e-6)
    np.testing.assert_allclose(result[0, 1:12], result[12, 1:12])


def test_identical_signals_give_finite_distances() -> None:
    distances, others = batch(12)
    same = np.array([0, 0, 0, 0, 0, 1, 2, 3, 4, 5])  # five recordings with one and the same signal
    distances, others = distances[np.ix_(same, same)], others[:10, :10]
    result = scale_locally(distances, others, 2)
    assert np.isfinite(result).all()
    assert (result[:5, :5] == 0).all()
    assert (result[:5, 5:] > 0).all()
    assert (scale_locally(np.zeros((4, 4), np.float32), ~np.eye(4, dtype=bool), 2) == 0).all()


def test_a_batch_of_one_stays_as_it_is() -> None:
    assert scale_locally(np.zeros((1, 1), np.float32), np.zeros((1, 1), bool), 10).shape == (1, 1)


def test_an_outlier_is_no_longer_everyones_farthest() -> None:
    # The reason to scale at all: a dense and a sparse cluster, and an outlier beyond both.
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.normal(0, 0.1, (15, 2)), rng.normal(5, 2, (15, 2)), [[40.0, 40.0]]])
    squared = ((points[:, None] - points[None, :]) ** 2).sum(-1).astype(np.float32)
    farthest = squared[:30].argmax(axis=1)
    result = scale_locally(squared, ~np.eye(31, dtype=bool), 5)[:30].argmax(axis=1)
    assert (farthest == 30).all()
    assert (result[15:] < 15).all()  # the sparse cluster is now far from the dense one
