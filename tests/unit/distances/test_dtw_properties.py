"""What holds for any signals: properties that no table of examples covers."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from hemometric.distances import EuclideanDistance, band_samples, cross, half_rows, pairwise

SLACK = 1 + 1e-5  # float32 sums taken in another order

properties = settings(deadline=None, database=None, max_examples=40, derandomize=True)


@st.composite
def batches(draw: st.DrawFn) -> np.ndarray:
    """float32 [signal, 2 leads, sample]: small whole and odd values, so that ties and equal signals occur."""
    shape = (draw(st.integers(1, 5)), 2, draw(st.integers(1, 40)))
    values = st.one_of(st.integers(-3, 3).map(float), st.floats(-8, 8, width=32))
    return draw(arrays.arrays(np.float32, shape, elements=values))


@properties
@given(batches(), st.floats(0, 1))
def test_symmetric_nonnegative_and_zero_between_equals(signals, window):
    found = pairwise(np.concatenate([signals, signals[:1]]), window=window)
    assert np.array_equal(found, found.T)
    assert np.all(found >= 0)
    assert np.all(np.diag(found) == 0)
    assert found[0, -1] == 0


@properties
@given(batches())
def test_never_grows_with_the_band_and_band_0_is_euclid(signals):
    euclid = EuclideanDistance().build().pairwise(signals)
    num_samples = signals.shape[2]
    widths = sorted({0, 1, 2, 5, num_samples // 2, num_samples - 1, num_samples} & set(range(num_samples + 1)))
    bands = [pairwise(signals, window=w, threads=1) for w in widths]
    np.testing.assert_allclose(bands[0], euclid, rtol=1e-5, atol=1e-30)
    for narrow, wide in itertools.pairwise(bands):
        assert np.all(wide <= narrow)
    assert np.array_equal(bands[-1], pairwise(signals))


@properties
@given(batches(), st.integers(0, 40))
def test_a_path_for_each_lead_costs_no_more_than_one_for_all(signals, window):
    window = min(window, signals.shape[2])
    apart = pairwise(signals, window=window, metric="independent")
    assert np.all(apart <= pairwise(signals, window=window, metric="dependent") * SLACK)
    np.testing.assert_allclose(
        apart, sum(pairwise(signals[:, [k]], window=window) for k in (0, 1)), rtol=1e-5, atol=1e-30
    )


@properties
@given(batches(), st.randoms(use_true_random=False), st.integers(0, 40))
def test_a_pair_does_not_depend_on_the_batch_around_it(signals, random, window):
    window = min(window, signals.shape[2])
    order = list(range(len(signals)))
    random.shuffle(order)
    found = pairwise(signals, window=window)
    assert np.array_equal(pairwise(signals[order], window=window), found[np.ix_(order, order)])
    assert np.array_equal(cross(signals[order], signals, window=window), found[order])
    assert np.array_equal(
        half_rows(signals, order, window=window)[np.argsort(order)],
        half_rows(signals, range(len(order)), window=window),
    )


@properties
@given(batches(), st.integers(0, 40))
def test_backwards_in_time_and_permuted_leads_change_nothing_and_gain_squares(signals, window):
    window = min(window, signals.shape[2])
    found = pairwise(signals, window=window)
    np.testing.assert_allclose(pairwise(signals[:, :, ::-1], window=window), found, rtol=1e-5, atol=1e-30)
    np.testing.assert_allclose(pairwise(signals[:, ::-1], window=window), found, rtol=1e-5, atol=1e-30)
    doubled = pairwise(signals * np.float32(2), window=window)
    assert np.array_equal(doubled, found * np.float32(4))


@properties
@given(st.integers(1, 5000), st.integers(0, 100))
def test_a_fraction_is_rounded_down(num_samples, percent):
    assert band_samples(percent / 100, num_samples) == percent * num_samples // 100
