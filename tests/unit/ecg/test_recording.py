"""A recording's millivolts, counts, and the error between them."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import hemometric
from hemometric.ecg import INDEPENDENT_LEADS, INVALID_COUNT, LEADS, Recording, Rejected

signals = hnp.arrays(
    np.float64,
    st.tuples(st.just(2), st.integers(1, 20)),
    elements=st.one_of(st.floats(-40, 40), st.just(np.nan), st.floats(-1e-6, 1e-6)),
)


@given(signals)
def test_quantising_errs_by_at_most_half_a_count(signal: np.ndarray) -> None:
    recording = Recording.from_millivolts(signal, key="k", rate_hz=100, leads=("I", "II"))
    np.testing.assert_array_equal(np.isnan(recording.signal), np.isnan(signal))
    bound = recording.quantisation_error_mv
    assert bound == pytest.approx(0.5 / recording.gain_per_mv.min())
    peak = np.nanmax(np.abs(np.nan_to_num(signal)), initial=0.0)
    assert bound <= max(0.5 / 1000, 0.5 * peak / 32000) * (1 + 1e-9)
    known = ~np.isnan(signal)
    # float32 keeps 24 bits of a value of up to 40 mV
    assert np.all(np.abs(recording.signal[known] - signal[known]) <= bound + 40 * 2.0**-24)


def test_a_real_number_of_counts_goes_through_gain_and_offset() -> None:
    recording = Recording(
        key="k",
        leads=("I", "V1"),
        rate_hz=250.0,
        counts=np.array([[100, 300, INVALID_COUNT], [0, -50, 50]], dtype=np.int16),
        gain_per_mv=np.array([200.0, 100.0]),
        offset_counts=np.array([100.0, 0.0]),
    )
    np.testing.assert_array_equal(recording.signal, np.float32([[0, 1, np.nan], [0, -0.5, 0.5]]))
    assert recording.signal.dtype == np.float32
    assert recording.num_samples == 3
    assert recording.duration_s == pytest.approx(0.012)
    assert recording.signal is recording.signal


def test_flat_empty_and_absent_leads_have_a_scale() -> None:
    signal = np.zeros((12, 0))
    empty = Recording.from_millivolts(signal, key="k", rate_hz=100)
    assert empty.num_samples == 0
    assert np.all(empty.gain_per_mv == 1000)
    absent = Recording.from_millivolts(np.full((12, 5), np.nan), key="k", rate_hz=100)
    assert np.all(absent.counts == INVALID_COUNT)
    assert np.isnan(absent.signal).all()
    flat = Recording.from_millivolts(np.zeros((12, 5)), key="k", rate_hz=100)
    assert np.all(flat.signal == 0)


@pytest.mark.parametrize("shape", [(5,), (11, 5), (12, 5, 2), (0, 0)])
def test_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected \[lead, sample\] with 12 leads"):
        Recording.from_millivolts(np.zeros(shape), key="k", rate_hz=100)


@pytest.mark.parametrize("bad", [np.inf, -np.inf])
def test_an_infinity_is_refused(bad: float) -> None:
    signal = np.zeros((12, 5))
    signal[3, 2] = bad
    with pytest.raises(ValueError, match="mark absent samples as NaN"):
        Recording.from_millivolts(signal, key="k", rate_hz=100)


def test_the_counts_keep_clear_of_the_count_that_means_nothing() -> None:
    signal = np.array([[-5.0, 5.0], [-1e-3, 1e-3]])
    recording = Recording.from_millivolts(signal, key="k", rate_hz=100, leads=("I", "II"))
    assert recording.counts.min() == -32000
    assert INVALID_COUNT not in recording.counts


def test_the_leads_are_the_standard_ones() -> None:
    assert len(LEADS) == len(set(LEADS)) == 12
    assert [lead for lead in LEADS if lead in INDEPENDENT_LEADS] == list(INDEPENDENT_LEADS)
    assert set(LEADS) - set(INDEPENDENT_LEADS) == {"III", "aVR", "aVL", "aVF"}


def test_what_is_printed_says_nothing_of_the_patient() -> None:
    person = {"key": "ward/CANARY", "patient_id": "CANARY", "age_years": 61.0, "acquired": datetime(1961, 1, 1)}
    recording = Recording.from_millivolts(
        np.zeros((12, 1000)), rate_hz=500, sex="female", source_format="wfdb", **person
    )
    assert repr(recording) == "Recording(12 leads, 500 Hz, 2 s, wfdb)"
    assert "CANARY" not in repr(Rejected("ward/CANARY", "flat", "no lead ever changes"))


def test_the_package_lists_what_is_loaded_when_first_named() -> None:
    assert {"__version__", "distances", "load", "mining", "read", "waveform"} == set(dir(hemometric))
