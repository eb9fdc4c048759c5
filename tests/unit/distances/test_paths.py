"""The path of a pair: a path at all, in the band, and of the least cost."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from dtaidistance import dtw_ndim
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from tslearn.metrics import dtw_path

from hemometric.distances import band_samples, cross, path, paths_kernel

properties = settings(deadline=None, database=None, max_examples=60, derandomize=True)


def cost_along(steps: np.ndarray, query: np.ndarray, other: np.ndarray) -> float:
    """Squared differences of [lead, sample] in float64, summed over the path."""
    apart = query[:, steps[:, 0]].astype(np.float64) - other[:, steps[:, 1]].astype(np.float64)
    return float(np.square(apart).sum())


@st.composite
def pairs(draw: st.DrawFn) -> np.ndarray:
    """float32 [2 signals, 2 leads, sample]: small whole and odd values, so that ties occur."""
    values = st.one_of(st.integers(-3, 3).map(float), st.floats(-8, 8, width=32))
    return draw(arrays.arrays(np.float32, (2, 2, draw(st.integers(1, 40))), elements=values))


@properties
@given(pairs(), st.integers(0, 40))
def test_it_goes_on_step_by_step_inside_the_band_and_costs_the_distance(pair, window):
    query, other = pair
    num_samples = query.shape[1]
    window = min(window, num_samples)
    steps = path(query, other, window=window)
    assert steps.dtype == np.int64
    assert steps[0].tolist() == [0, 0]
    assert steps[-1].tolist() == [num_samples - 1, num_samples - 1]
    gone = np.diff(steps, axis=0)
    assert np.isin(gone, (0, 1)).all()
    assert (gone.sum(axis=1) >= 1).all()
    assert np.abs(steps[:, 0] - steps[:, 1]).max() <= window
    distance = cross(query[None], other[None], window=window, threads=1)[0, 0]
    np.testing.assert_allclose(cost_along(steps, query, other), distance, rtol=1e-5, atol=1e-30)


@properties
@given(pairs(), st.floats(0, 1))
def test_turned_around_it_costs_the_same(pair, window):
    query, other = pair
    there, back = path(query, other, window=window), path(other, query, window=window)
    np.testing.assert_allclose(cost_along(there, query, other), cost_along(back, other, query), rtol=1e-12)
    assert np.array_equal(there, path(query, other, window=band_samples(window, query.shape[1])))


@pytest.mark.parametrize("num_leads", [1, 8, 12])
@pytest.mark.parametrize("window", [None, 0, 1, 25])
def test_no_library_finds_a_cheaper_one(num_leads, window, ecgs):
    for query, other in (ecgs[:2, -num_leads:, :250], ecgs[2:4, -num_leads:, 100:350]):
        own = cost_along(path(query, other, window=window), query, other)
        series = [np.ascontiguousarray(signal.T, np.float64) for signal in (query, other)]
        bound = {} if window is None else {"window": window + 1}
        theirs = np.array(dtw_ndim.warping_path(*series, **bound))
        np.testing.assert_allclose(own, cost_along(theirs, query, other), rtol=1e-12)
        bound = {} if window is None else {"global_constraint": "sakoe_chiba", "sakoe_chiba_radius": window}
        theirs = np.array(dtw_path(*series, **bound)[0])
        np.testing.assert_allclose(own, cost_along(theirs, query, other), rtol=1e-12)


@pytest.mark.parametrize("kind", ["random", "shifted", "near duplicates", "constant", "offset per signal", "large"])
def test_it_costs_the_distance_however_spoilt(kind, ecgs, spoilt):
    signals = spoilt(kind, ecgs[:3, :8, :500])
    for window in (None, 0.1):
        distances = cross(signals[:1], signals, window=window)[0]
        costs = [cost_along(path(signals[0], signal, window=window), signals[0], signal) for signal in signals]
        np.testing.assert_allclose(costs, distances, rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize("num_samples", [1, 2, 100])
@pytest.mark.parametrize("window", [None, 0, 0.1])
def test_equal_signals_give_the_diagonal(num_samples, window, ecgs):
    signal = ecgs[0, :, :num_samples]
    assert np.array_equal(path(signal, signal, window=window), np.arange(num_samples)[:, None].repeat(2, axis=1))


def test_a_constant_against_itself_is_the_diagonal_although_every_path_costs_nothing():
    flat = np.ones((3, 20), np.float32)
    assert np.array_equal(path(flat, flat), np.arange(20)[:, None].repeat(2, axis=1))


def test_a_shifted_copy_gives_the_shift(ecgs):
    whole = ecgs[0, :, :260]
    steps = path(whole[:, 10:], whole[:, :250], window=20)
    inside = steps[(steps[:, 0] > 30) & (steps[:, 0] < 220)]
    assert (inside[:, 1] - inside[:, 0] == 10).all()


@pytest.mark.parametrize("window", [None, 7])
def test_some_rows_at_a_time_give_the_same_path(window, ecgs, monkeypatch):
    query, other = ecgs[:2, :3, :100]
    whole = path(query, other, window=window)
    monkeypatch.setattr(paths_kernel, "_COSTS_AT_ONCE", 3 * 2 * 15)
    assert np.array_equal(path(query, other, window=window), whole)


def test_ties_go_back_in_the_query_before_the_other():
    query, other = np.array([[0, 1, 0]], np.float32), np.array([[1, 0, 1]], np.float32)
    assert path(query, other).tolist() == [[0, 0], [0, 1], [1, 2], [2, 2]], "not by (2, 1), which costs the same"
    assert path(other, query).tolist() == [[0, 0], [0, 1], [1, 2], [2, 2]]


def test_without_the_compiler_it_is_the_same_path(ecgs, tmp_path):
    np.save(tmp_path / "pair.npy", ecgs[:2, :2, :60])
    code = (
        "import numpy as np; from hemometric.distances import path; from numba import config;"
        f"assert config.DISABLE_JIT; pair = np.load({str(tmp_path / 'pair.npy')!r});"
        "print(path(*pair, window=7).tolist())"
    )
    told = subprocess.run(
        [sys.executable, "-c", code],
        env={"NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert told.strip() == str(path(*ecgs[:2, :2, :60], window=7).tolist())


GOOD = np.random.default_rng(3).integers(-50, 50, (2, 12))


class OnDevice:
    __cuda_array_interface__ = {}  # noqa: RUF012 - what libraries look for


@pytest.mark.parametrize(
    ("signal", "message"),
    [
        (np.where(np.arange(12) == 7, np.nan, GOOD), "holds NaN or infinity"),
        (GOOD[0], r"has shape \(12,\); expected \[lead, sample\]"),
        (GOOD[None], r"has shape \(1, 2, 12\)"),
        (GOOD[:, :0], r"has shape \(2, 0\)"),
        (GOOD.astype(str), "has dtype"),
        (GOOD > 0, "has dtype bool"),
        ([[1.0, 2.0], [1.0]], "leads differ in length"),
        (GOOD + 2**25, "holds integers beyond"),
        (OnDevice(), "on a CUDA device, where no path is computed"),
    ],
)
def test_bad_signals_are_refused_by_name(signal, message):
    with pytest.raises(ValueError, match=f"^query:? .*{message}|^query:? {message}"):
        path(signal, GOOD)
    with pytest.raises(ValueError, match=f"^other:? .*{message}|^other:? {message}"):
        path(GOOD, signal)


@pytest.mark.parametrize("other", [GOOD[:1], GOOD[:, :5]])
def test_the_two_must_fit(other):
    with pytest.raises(ValueError, match=r"^query and other differ: 2 leads of 12 samples against"):
        path(GOOD, other)


@pytest.mark.parametrize("window", [-1, 13, -0.1, 1.5, float("nan"), True, "0.1"])
def test_bad_windows_are_refused(window):
    with pytest.raises(ValueError, match=r"^window"):
        path(GOOD, GOOD, window=window)


def test_what_is_harmless_is_converted_and_left_alone():
    expected = path(GOOD.astype(np.float32), GOOD[:, ::-1].astype(np.float32), window=3)
    for kind in (np.float64, np.int16, ">f4"):
        signal = GOOD.astype(kind)
        assert np.array_equal(path(signal, signal[:, ::-1], window=3), expected)
        assert np.array_equal(signal, GOOD)
    assert np.array_equal(path(GOOD.tolist(), GOOD[:, ::-1].tolist(), window=3), expected)
