"""Distances to candidates: those of `pairwise`, bit for bit, wherever the pairs lie."""

from __future__ import annotations

import numpy as np
import pytest

from hemometric.distances import (
    DtwDistance,
    EuclideanDistance,
    MeanAbsoluteDistance,
    cross,
    engine,
    lanes,
    pairwise,
    refine,
)


@pytest.fixture(params=["fast", "narrow", "plain"])
def kernel(monkeypatch, request):
    """Run with each kernel: the one chosen for this CPU, the blocks of narrower CPUs, the plain one."""
    engine.kernel_for.cache_clear()
    engine.pairs_kernel_for.cache_clear()
    if request.param == "plain":
        monkeypatch.setattr(engine, "_fast", engine._plain)
    elif request.param == "narrow":
        monkeypatch.setattr(lanes, "shape_for", lambda num_leads: ((0,) * num_leads, (0,) * 3, (0,) * 16))
    yield request.param
    engine.kernel_for.cache_clear()
    engine.pairs_kernel_for.cache_clear()


def some(num_queries: int, num_others: int, k: int) -> np.ndarray:
    """Candidates with repetitions, the query itself and absent ones among them."""
    return np.random.default_rng((num_queries, k)).integers(-1, num_others, (num_queries, k))


def taken(matrix: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    return np.where(candidates < 0, np.inf, np.take_along_axis(matrix, np.maximum(candidates, 0), axis=1))


@pytest.mark.parametrize("metric", ["dependent", "independent"])
@pytest.mark.parametrize(("num_signals", "k"), [(1, 1), (2, 40), (7, 5), (64, 4), (33, 1)])
def test_equals_pairwise_bit_for_bit(kernel, metric, num_signals, k, noise):
    signals, candidates = noise(num_signals, 2, 67), some(num_signals, num_signals, k)
    for window in (None, 0, 5, 0.1):
        found = refine(signals, candidates, window=window, metric=metric, threads=2)
        assert found.dtype == np.float32
        assert np.array_equal(found, taken(pairwise(signals, window=window, metric=metric), candidates))


@pytest.mark.parametrize("num_samples", [1, 2, 4, 5, 6, 63, 64, 65, 129])
def test_equals_cross_at_every_length(kernel, num_samples, noise):
    queries, others = noise(5, 2, num_samples), noise(9, 2, num_samples, seed=1)
    candidates = some(5, 9, 6)
    for window in (None, 1, num_samples // 2):
        found = refine(queries, candidates, others=others, window=min(window or num_samples, num_samples))
        assert np.array_equal(found, taken(cross(queries, others, window=window), candidates))


@pytest.mark.parametrize(
    "config", [DtwDistance(), DtwDistance(window=500), EuclideanDistance(), MeanAbsoluteDistance()]
)
def test_every_distance_refines(config, noise):
    signals, candidates = noise(20, 2, 30), some(20, 20, 3)
    distance = config.build()
    assert np.array_equal(
        distance.refine(signals, candidates, threads=2), taken(distance.pairwise(signals), candidates)
    )


def test_no_candidates_are_no_distances(noise):
    signals = noise(3, 2, 10)
    assert refine(signals, np.empty((3, 0), np.int64)).shape == (3, 0)
    assert np.all(np.isinf(refine(signals, np.full((3, 2), -1))))
    assert np.all(np.isinf(EuclideanDistance().build().refine(signals, np.full((3, 2), -1))))


@pytest.mark.parametrize(
    "candidates",
    [[[0], [1]], [0, 1, 2], [[0], [1], [3]], [[0], [1], [-2]], [[0.0], [1.0], [2.0]], [[True]] * 3, [[0], [1], [2, 0]]],
)
def test_bad_candidates_are_refused_by_name(candidates, noise):
    for call in (refine, EuclideanDistance().build().refine):
        with pytest.raises(ValueError, match=r"^candidates"):
            call(noise(3, 2, 10), candidates)


def test_other_arguments_are_refused_by_name(noise):
    signals, candidates = noise(3, 2, 10), [[0]] * 3
    with pytest.raises(ValueError, match=r"^signals and others differ"):
        refine(signals, candidates, others=noise(3, 1, 10))
    with pytest.raises(ValueError, match=r"^others"):
        refine(signals, candidates, others=signals[0])
    with pytest.raises(ValueError, match=r"^signals"):
        refine(signals * np.nan, candidates)
    with pytest.raises(ValueError, match=r"^window"):
        refine(signals, candidates, window=11)
    with pytest.raises(ValueError, match=r"^threads"):
        refine(signals, candidates, threads=0)
    far = np.zeros((2, 1, 10), np.float32)
    far[1] = 1e30
    for call in (refine, EuclideanDistance().build().refine):
        with pytest.raises(ValueError, match="exceeds float32"):
            call(far, [[1], [0]])
