"""The GEMM form: the same distances between different ECGs, and the harm that its documentation tells of."""

from __future__ import annotations

import numpy as np
import pytest

from hemometric.distances import DtwDistance, cross, engine, half_rows, pairwise, plain, warm_up


@pytest.mark.parametrize("metric", ["dependent", "independent"])
@pytest.mark.parametrize("window", [None, 0.1, 0])
def test_agrees_between_different_ecgs(metric, window, ecgs):
    signals = ecgs[:, :2, :129]
    safe = pairwise(signals, window=window, metric=metric)
    found = pairwise(signals, window=window, metric=metric, form="gemm")
    np.testing.assert_allclose(found, safe, rtol=1e-5)
    assert np.array_equal(found, found.T)
    assert np.all(np.diag(found) == 0)
    half = half_rows(signals, [3, 1], window=window, metric=metric, form="gemm")
    assert np.array_equal(half[half > 0], found[[3, 1]][half > 0])
    between = cross(signals[:5], signals[5:], window=window, metric=metric, form="gemm")
    assert np.array_equal(between, found[:5, 5:])
    config = DtwDistance(window=window, metric=metric, form="gemm").build()
    config.warm_up(2)
    assert np.array_equal(config.pairwise(signals), found)


def test_errs_between_near_duplicates_and_is_never_negative(ecgs):
    jitter = np.random.default_rng(0).standard_normal((4, 2, 200))
    signals = (ecgs[:1, :2, :200] + 1e-4 * ecgs[0, :2].std() * jitter).astype(np.float32)
    safe, found = pairwise(signals), pairwise(signals, form="gemm")
    assert np.all(found >= 0)
    assert np.max(np.abs(found - safe)) > 1e-2 * safe.max()


def test_the_plain_kernel_takes_the_safe_form(monkeypatch, noise):
    expected = pairwise(noise(3, 2, 20))
    engine.kernel_for.cache_clear()
    monkeypatch.setattr(engine, "_fast", engine._plain)
    np.testing.assert_allclose(pairwise(noise(3, 2, 20), form="gemm"), expected, rtol=1e-6)
    assert engine.kernel_for(2, "gemm") is plain
    engine.kernel_for.cache_clear()


def test_unknown_forms_are_refused(noise):
    for call in (
        lambda: pairwise(noise(2, 2, 9), form="GEMM"),
        lambda: cross(noise(2, 2, 9), noise(2, 2, 9), form=""),
        lambda: warm_up(2, form="fast"),
    ):
        with pytest.raises(ValueError, match=r"^form"):
            call()
