"""Swapped electrodes: what a swap makes of the leads, and how often it is noticed."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from hemometric.ecg import INDEPENDENT_LEADS, LEADS
from hemometric.synthesis import SynthesisConfig, generate
from hemometric.waveform import QualityConfig, assess
from hemometric.waveform.reversals import SWAPS, moments, reversal_evidence, swap_matrix

EIGHT = [LEADS.index(lead) for lead in INDEPENDENT_LEADS]
ENOUGH = QualityConfig().reversal_evidence
FOUND = {"arm": 0.95, "ra_ll": 0.95, "v1_v2": 0.95, "v3_v4": 0.95, "v4_v5": 0.95, "v5_v6": 0.9}
"""Least share of the swaps made in synthetic ECGs that is found; 0.95 for those of next but one."""


@pytest.fixture(scope="module")
def ecgs() -> list[np.ndarray]:
    """Synthetic ECGs, float32 [8, sample] mV, whose maker knows nothing of the figures that are tested."""
    return [visit.signal[EIGHT] for visit in generate(SynthesisConfig(num_patients=100, visits_max=1, seed=3))]


def most(eight: np.ndarray) -> tuple[str, float]:
    evidence = reversal_evidence(eight, 500.0)
    assert set(evidence) == set(SWAPS)
    swap = max(evidence, key=lambda name: evidence[name])
    return swap, evidence[swap]


@pytest.mark.parametrize("swap", [*SWAPS, "la_ll"])
def test_a_swap_is_what_electrodes_that_change_places_do(swap: str) -> None:
    names = ["RA", "LA", "LL", *LEADS[6:]]
    potentials = np.random.default_rng(0).normal(size=(9, 50))

    def leads(electrodes: np.ndarray) -> np.ndarray:
        ra, la, ll = electrodes[:3]
        return np.stack([la - ra, ll - ra, *(electrodes[3:] - (ra + la + ll) / 3)])

    pair = ("RA", "LA") if swap == "arm" else tuple(swap.upper().split("_"))
    first, second = (names.index(name) for name in pair)
    changed = potentials.copy()
    changed[[first, second]] = changed[[second, first]]
    matrix = swap_matrix(swap)
    np.testing.assert_allclose(matrix @ leads(potentials), leads(changed), atol=1e-12)
    np.testing.assert_allclose(matrix @ matrix, np.eye(8), atol=1e-12)


def test_swaps_are_named_and_nothing_else_is(ecgs: list[np.ndarray]) -> None:
    for swap in SWAPS:
        matrix = swap_matrix(swap).astype(np.float32)
        named = Counter(name for name, evidence in (most(matrix @ ecg) for ecg in ecgs) if evidence >= ENOUGH)
        assert named[swap] >= FOUND.get(swap, 0.95) * len(ecgs), (swap, named)
        assert named.total() - named[swap] <= 0.02 * len(ecgs), (swap, named)
    assert all(most(ecg)[1] < ENOUGH for ecg in ecgs)


def test_undoing_a_swap_turns_the_evidence_round(ecgs: list[np.ndarray]) -> None:
    for swap in SWAPS[2:]:  # of chest leads, which leave it as it is which changes are the largest
        there = reversal_evidence(ecgs[0], 500.0)[swap]
        back = reversal_evidence(swap_matrix(swap).astype(np.float32) @ ecgs[0], 500.0)[swap]
        assert back == pytest.approx(-there, abs=1e-4)


def test_offset_gain_gaps_and_rate_make_no_difference(ecgs: list[np.ndarray]) -> None:
    ecg = ecgs[1]
    wanted = reversal_evidence(ecg, 500.0)
    offsets = np.linspace(-20, 20, 8, dtype=np.float32)[:, None]
    holed = ecg.copy()
    holed[3, 2000:2200] = np.nan
    for changed, tolerance in ((3 * ecg, 1e-4), (ecg + offsets, 1e-2), (holed, 0.1)):
        assert reversal_evidence(changed, 500.0) == pytest.approx(wanted, abs=tolerance)
    assert reversal_evidence(ecg[:, ::2], 250.0) == pytest.approx(wanted, abs=0.05)
    assert np.trace(moments(ecg, 500.0), axis1=1, axis2=2) == pytest.approx([1, 1])


def test_nothing_that_moves_is_no_evidence() -> None:
    assert reversal_evidence(np.zeros((8, 500), np.float32), 500.0) == {}
    assert reversal_evidence(np.full((8, 500), np.nan, np.float32), 500.0) == {}
    assert reversal_evidence(np.zeros((8, 3), np.float32), 500.0) == {}


def test_the_flag_names_the_swap(ecgs: list[np.ndarray], record) -> None:
    matrix = swap_matrix("v1_v2").astype(np.float32)
    result = assess(record(matrix @ ecgs[0], leads=INDEPENDENT_LEADS), QualityConfig())
    assert "v1_v2_reversal_suspected" in result.flags
    assert result.quality.reversal_evidence >= ENOUGH
