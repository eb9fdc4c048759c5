"""DTW against its definition: every shape, every band, both kernels."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from hemometric.distances import cross, engine, half_rows, lanes, pairwise, plain

LENGTHS = (1, 2, 3, 4, 5, 6, 7, 15, 16, 17, 63, 64, 65, 127, 250)
SIZES = (1, 2, 3, 63, 64, 65)


def windows(num_samples: int) -> list[int | None]:
    return [
        None,
        *sorted({w for w in (0, 1, 2, 3, 4, 5, 6, 17, num_samples - 1, num_samples) if 0 <= w <= num_samples}),
    ]


def relative_error(found: np.ndarray, true: np.ndarray) -> float:
    return float(np.max(np.abs(found - true) / np.where(true > 0, true, 1.0), initial=0.0))


@pytest.fixture(params=["fast", "narrow", "plain"])
def kernel(monkeypatch, request):
    """Run with each kernel: the one chosen for this CPU, the blocks of narrower CPUs, the plain one."""
    engine.kernel_for.cache_clear()
    if request.param == "plain":
        monkeypatch.setattr(engine, "_fast", engine._plain)
    elif request.param == "narrow":
        monkeypatch.setattr(lanes, "shape_for", lambda num_leads: ((0,) * num_leads, (0,) * 3, (0,) * 16))
    yield request.param
    engine.kernel_for.cache_clear()


@pytest.fixture(scope="module")
def truth(oracle, noise):
    """For a length: three signals of two leads, and their true distances at each band, computed only once."""

    @functools.cache
    def make(num_samples: int) -> tuple[np.ndarray, dict[int | None, np.ndarray]]:
        signals = noise(3, 2, num_samples)
        true = {window: np.zeros((3, 3)) for window in windows(num_samples)}
        for window, distances in true.items():
            for i, j in ((0, 1), (0, 2), (1, 2)):
                distances[i, j] = distances[j, i] = oracle(signals[i], signals[j], window)
        return signals, true

    return make


@pytest.mark.parametrize("num_samples", LENGTHS)
def test_equals_the_definition_at_every_length_and_band(kernel, num_samples, truth):
    signals, expected = truth(num_samples)
    for window, true in expected.items():
        np.testing.assert_allclose(pairwise(signals, window=window, threads=1), true, rtol=1e-5, atol=0)


@pytest.mark.parametrize("num_leads", [1, 8, 12])
@pytest.mark.parametrize("window", [None, 3])
def test_equals_the_definition_at_every_number_of_leads(num_leads, window, noise, oracle):
    signals = noise(3, num_leads, 23)
    true = np.array([[oracle(a, b, window) for b in signals] for a in signals])
    assert relative_error(pairwise(signals, window=window), true) < 1e-5
    apart = sum(
        np.array([[oracle(a[[k]], b[[k]], window) for b in signals] for a in signals]) for k in range(num_leads)
    )
    assert relative_error(pairwise(signals, window=window, metric="independent"), apart) < 1e-5


@pytest.mark.parametrize("num_signals", SIZES)
@pytest.mark.parametrize("metric", ["dependent", "independent"])
def test_every_batch_size_fills_every_pair(num_signals, metric, noise):
    signals = noise(num_signals, 2, 21)
    found = pairwise(signals, window=4, metric=metric)
    true = np.zeros_like(found)
    for i in range(num_signals):  # the plain kernel, one pair at a time
        for j in range(num_signals):
            cell = np.zeros((1, 1), np.float32)
            how = {"independent": metric == "independent", "form": "difference"}
            plain.solve(signals[[i]], signals[[j]], np.array([[0, 0, 0, 1]]), 4, np.zeros(1, np.uint8), cell, **how)
            true[i, j] = cell[0, 0]
    assert relative_error(found, true) < 1e-5


@pytest.mark.parametrize("num_signals", SIZES)
def test_matrix_is_float32_symmetric_and_zero_on_the_diagonal(num_signals, noise):
    found = pairwise(noise(num_signals, 2, 30))
    assert found.dtype == np.float32
    assert found.shape == (num_signals, num_signals)
    assert np.array_equal(found, found.T)
    assert np.all(np.diag(found) == 0)
    assert np.all(found[~np.eye(num_signals, dtype=bool)] > 0)


@pytest.mark.parametrize("num_signals", [*SIZES, 66, 130])
@pytest.mark.parametrize("world", [1, 2, 4])
def test_rows_of_all_ranks_add_up_to_pairwise_exactly(num_signals, world, noise):
    signals = noise(num_signals, 2, 12)
    whole = np.full((num_signals, num_signals), -1, np.float32)
    for rank in range(world):
        rows = np.arange(rank, num_signals, world)
        whole[rows] = half_rows(signals, rows, window=0.2)
    assert np.array_equal(whole + whole.T, pairwise(signals, window=0.2))
    owned = whole > 0
    assert not np.any(owned & owned.T)  # no pair twice
    assert np.all(owned | owned.T | np.eye(num_signals, dtype=bool))  # none left out
    for i in range(num_signals):
        reach = num_signals // 2 if num_signals % 2 or i < num_signals // 2 else num_signals // 2 - 1
        assert set(np.flatnonzero(owned[i])) == {(i + step) % num_signals for step in range(1, reach + 1)}


def test_rows_may_be_few_unordered_or_none(noise):
    signals = noise(10, 2, 12)
    every = half_rows(signals, np.arange(10))
    assert np.array_equal(half_rows(signals, np.array([7, 2])), every[[7, 2]])
    assert half_rows(signals, np.array([], np.int64)).shape == (0, 10)
    assert half_rows(signals, []).shape == (0, 10)


@pytest.mark.parametrize(("num_queries", "num_others"), [(1, 1), (1, 33), (5, 32), (33, 2), (3, 70)])
@pytest.mark.parametrize("metric", ["dependent", "independent"])
def test_cross_equals_pairwise_of_the_joined_batch(num_queries, num_others, metric, noise):
    signals = noise(num_queries + num_others, 2, 19)
    joined = pairwise(signals, window=3, metric=metric)
    found = cross(signals[:num_queries], signals[num_queries:], window=3, metric=metric)
    assert np.array_equal(found, joined[:num_queries, num_queries:])
    assert np.array_equal(cross(signals, signals, window=3, metric=metric), joined)


def test_one_lead_is_the_same_by_either_metric(noise):
    signals = noise(5, 1, 50)
    assert np.array_equal(pairwise(signals, metric="independent"), pairwise(signals, metric="dependent"))


KINDS = (
    "random",
    "real",
    "shifted",
    "scaled",
    "near duplicates",
    "nearer duplicates",
    "constant",
    "huge offset",
    "offset per signal",
    "tiny",
    "large",
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("num_leads", [1, 12])
@pytest.mark.parametrize("window", [None, 0.1, 0])
def test_real_ecgs_however_spoilt(kind, num_leads, window, ecgs, oracle, spoilt):
    signals = spoilt(kind, ecgs[:3, :num_leads, 200:320])
    band = None if window is None else int(120 * window)
    true = np.zeros((3, 3))
    for i, j in ((0, 1), (0, 2), (1, 2)):
        true[i, j] = true[j, i] = oracle(signals[i], signals[j], band)
    assert relative_error(pairwise(signals, window=window), true) < 1e-5


@pytest.mark.parametrize("num_leads", [1, 8])
@pytest.mark.parametrize("kind", ["constant", "real", "huge offset"])
def test_long_sums_err_by_no_more_than_is_documented(kind, num_leads, ecgs, spoilt):
    """Against the plain kernel, whose sums are float64; the worst are equal terms, all rounded the same way."""
    signals = spoilt(kind, np.tile(ecgs[:3, :num_leads], 3)[:, :, :2500]) * np.float32(1.1)
    true = np.zeros((3, 3), np.float32)
    tasks = np.array([[row, row, 0, 3] for row in range(3)])
    plain.solve(signals, signals, tasks, 2500, np.zeros(1, np.uint8), true, independent=False, form="difference")
    assert relative_error(pairwise(signals), true) < 2e-8 * 2500


def test_a_shift_in_time_is_warped_away_and_one_across_leads_is_not(ecgs, oracle):
    """The published run warped over leads: there the copy with its leads moved by one would be the near one."""
    signal, later = ecgs[0][:8, 100:400], ecgs[0][:8, 94:394]
    relead = np.roll(signal, 1, axis=0)
    euclid_later, euclid_relead = ((signal - later) ** 2).sum(), ((signal - relead) ** 2).sum()
    to_later, to_relead = pairwise(np.stack([signal, later, relead]), window=0.1)[0, 1:]
    assert to_later < 0.25 * euclid_later
    assert to_relead > 0.75 * euclid_relead
    assert oracle(signal.T, later.T) > 0.75 * euclid_later  # the mistake, which this test would therefore see
    assert oracle(signal.T, relead.T) < 0.75 * euclid_relead
