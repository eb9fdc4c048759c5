"""The published run's warp across leads, and how it differs from one in time."""

from __future__ import annotations

import numpy as np
import pytest

from hemometric.distances import DtwAcrossLeadsDistance, EuclideanDistance, pairwise, pairwise_across_leads


def test_is_dtw_of_the_turned_signals(oracle, noise):
    signals = noise(5, 4, 9)
    true = np.array([[oracle(a.T, b.T) for b in signals] for a in signals])
    found = pairwise_across_leads(signals, threads=2)
    np.testing.assert_allclose(found, true, rtol=1e-6)
    assert found.dtype == np.float32
    assert np.array_equal(found, found.T)
    assert np.all(np.diag(found) == 0)
    distance = DtwAcrossLeadsDistance().build()
    distance.warm_up(4)
    assert np.array_equal(distance.pairwise(signals), found)
    assert np.array_equal(distance.cross(signals[:2], signals, threads=1), found[:2])
    assert np.array_equal(distance.refine(signals, [[1], [2], [0], [-1], [3]])[:3, 0], found[[0, 1, 2], [1, 2, 0]])


def test_a_copy_later_in_time_is_near_only_where_time_is_warped(ecgs):
    """What a warp in time forgives, one across leads does not: the published mistake is as far as Euclid, or nearly."""
    for ecg in ecgs:
        signals = np.stack([ecg[:, 100:400], ecg[:, 92:392]])
        euclid = EuclideanDistance().build().pairwise(signals)[0, 1]
        assert pairwise(signals, window=0.1)[0, 1] < 0.4 * euclid
        assert 0.6 * euclid < pairwise_across_leads(signals)[0, 1] <= euclid * (1 + 1e-5)


def test_refuses_as_the_others_do(noise):
    with pytest.raises(ValueError, match=r"^signals"):
        pairwise_across_leads(noise(3, 4))
    with pytest.raises(ValueError, match=r"^threads"):
        pairwise_across_leads(noise(3, 4, 5), threads=0)
