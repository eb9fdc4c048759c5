"""Euclidean and mean absolute distance against scikit-learn, and their interface."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from hemometric.distances import EuclideanDistance, MeanAbsoluteDistance

CASES = [(EuclideanDistance(), "sqeuclidean", 1.0), (MeanAbsoluteDistance(), "cityblock", 1 / 36)]


@pytest.mark.parametrize(("config", "name", "factor"), CASES)
@pytest.mark.parametrize("num_signals", [1, 2, 3, 31, 32, 33, 70])
def test_agrees_with_scipy(config, name, factor, num_signals, noise):
    signals = noise(num_signals, 3, 12)
    flat = signals.reshape(num_signals, -1).astype(np.float64)
    true = cdist(flat, flat, name) * factor
    found = config.build().pairwise(signals)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, true, rtol=1e-5)
    assert np.array_equal(found, found.T)
    assert np.all(np.diag(found) == 0)
    assert np.array_equal(config.build().cross(signals, signals, threads=2), found)
    rows = config.build().half_rows(signals, np.arange(num_signals), threads=1)
    assert np.array_equal(rows + rows.T, found)
    np.testing.assert_allclose(config.build().cross(signals[:2], signals), true[:2], rtol=1e-5)


@pytest.mark.parametrize(("config", "name", "factor"), CASES)
def test_near_duplicates_and_offsets_do_not_cancel(config, name, factor, noise):
    signals = noise(3, 3, 12)
    signals[1] = signals[0] + np.float32(1e-4)
    signals += np.float32(100)
    flat = signals.reshape(3, -1).astype(np.float64)
    np.testing.assert_allclose(config.build().pairwise(signals), cdist(flat, flat, name) * factor, rtol=1e-5)
