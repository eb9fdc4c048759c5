"""Eight lines instead of twelve leads: the same distances wherever the limb leads follow from I and II."""

from __future__ import annotations

import numpy as np
import pytest

from hemometric.distances import EuclideanDistance, pairwise, reduced_leads


def twelve(eight: np.ndarray) -> np.ndarray:
    """The standard leads of I, II, V1 … V6."""
    i, ii = eight[:, 0], eight[:, 1]
    return np.concatenate([np.stack([i, ii, ii - i, -(i + ii) / 2, i - ii / 2, ii - i / 2], 1), eight[:, 2:]], 1)


@pytest.mark.parametrize("window", [None, 0, 0.1])
def test_distances_are_those_of_twelve_leads(window, noise):
    signals = twelve(noise(6, 8, 60).astype(np.float64)).astype(np.float32)
    reduced = reduced_leads(signals)
    assert reduced.shape == (6, 8, 60)
    assert reduced.dtype == np.float32
    np.testing.assert_allclose(pairwise(reduced, window=window), pairwise(signals, window=window), rtol=1e-5)


def test_stored_leads_change_distances_by_no_more_than_is_documented(ecgs):
    euclid = EuclideanDistance().build().pairwise
    for distance, error in ((lambda signals: pairwise(signals, window=0.1), 8.5e-4), (euclid, 3.3e-4)):
        true = distance(ecgs)
        np.testing.assert_allclose(distance(reduced_leads(ecgs)), true, rtol=error)


def test_any_axes_before_and_any_real_numbers(noise):
    signals = noise(6, 12, 10)
    expected = reduced_leads(signals)
    assert np.array_equal(reduced_leads(signals.reshape(2, 3, 12, 10)), expected.reshape(2, 3, 8, 10))
    assert np.array_equal(reduced_leads(signals[0]), expected[0])
    np.testing.assert_allclose(reduced_leads(signals.astype(np.float64)), expected, rtol=1e-5, atol=1e-6)
    assert reduced_leads((signals * 100).astype(np.int16)).dtype == np.float32


@pytest.mark.parametrize("signals", [np.zeros((3, 8, 10)), np.zeros(12), np.zeros((12, 3), complex), np.zeros((1, 12))])
def test_other_shapes_and_kinds_are_refused(signals):
    with pytest.raises(ValueError, match=r"^signals has shape"):
        reduced_leads(signals)


def test_leads_of_unequal_length_are_refused():
    with pytest.raises(ValueError, match=r"^signals: parts differ in shape"):
        reduced_leads([[0.0]] * 11 + [[0.0, 1.0]])
