"""DTW against three well-kept libraries, each with its own idea of a window and of a root."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dtaidistance import dtw as dtai
from dtaidistance import dtw_ndim as dtai_ndim
from tslearn.metrics import cdist_dtw

from hemometric.distances import cross, pairwise

GOLDEN = Path(__file__).parents[2] / "golden" / "dtw_aeon.npz"


def by_dtaidistance(signals: np.ndarray, window: int | None) -> np.ndarray:
    """Its window w means abs(i - j) < w; it returns the root."""
    bound = {} if window is None else {"window": window + 1}
    series = np.ascontiguousarray(signals.transpose(0, 2, 1), np.float64)
    return np.asarray(dtai_ndim.distance_matrix_fast(series, parallel=False, **bound)) ** 2


def by_tslearn(signals: np.ndarray, window: int | None) -> np.ndarray:
    """Its radius r means abs(i - j) <= r; it returns the root."""
    bound = {} if window is None else {"global_constraint": "sakoe_chiba", "sakoe_chiba_radius": window}
    return np.asarray(cdist_dtw(signals.transpose(0, 2, 1).astype(np.float64), **bound)) ** 2


@pytest.mark.parametrize("peer", [by_dtaidistance, by_tslearn])
@pytest.mark.parametrize("num_leads", [1, 8, 12])
@pytest.mark.parametrize("num_samples", [99, 250, 500])
def test_agrees_on_real_ecgs(peer, num_leads, num_samples, ecgs):
    signals = np.ascontiguousarray(ecgs[:4, -num_leads:, :num_samples])
    for window in (None, 1, num_samples // 10):
        np.testing.assert_allclose(pairwise(signals, window=window), peer(signals, window), rtol=1e-5)


@pytest.mark.parametrize("peer", [by_dtaidistance, by_tslearn])
@pytest.mark.parametrize(
    "kind", ["random", "shifted", "scaled", "near duplicates", "nearer duplicates", "constant", "huge offset"]
)
def test_agrees_on_ecgs_however_spoilt(peer, kind, ecgs, spoilt):
    signals = spoilt(kind, ecgs[:3, :1, :250])
    for window in (None, 25):
        np.testing.assert_allclose(pairwise(signals, window=window), peer(signals, window), rtol=1e-5, atol=1e-12)


def test_independent_agrees_with_dtaidistance_lead_by_lead(ecgs):
    signals = ecgs[:4, :8, :300]
    true = sum(
        np.asarray(dtai.distance_matrix_fast(signals[:, lead].astype(np.float64), window=31, parallel=False)) ** 2
        for lead in range(8)
    )
    np.testing.assert_allclose(pairwise(signals, window=0.1, metric="independent"), true, rtol=1e-5)


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("metric", ["dependent", "independent"])
def test_agrees_with_the_values_that_aeon_gave(number, metric):
    with np.load(GOLDEN) as golden:
        signals, expected = golden[f"signals_{number}"], golden[f"{metric}_{number}"]
        fractions = golden["fractions"].tolist()
    for fraction, true in zip(fractions, expected, strict=True):
        np.testing.assert_allclose(pairwise(signals, window=fraction, metric=metric), true, rtol=1e-5)
        np.testing.assert_allclose(cross(signals[:2], signals, window=fraction, metric=metric), true[:2], rtol=1e-5)
