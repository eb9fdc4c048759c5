"""What is compared: the right leads, at the right rate, with or without amplitude."""

from __future__ import annotations

import numpy as np
import pytest

from hemometric.ecg import INDEPENDENT_LEADS, LEADS
from hemometric.errors import UsageError
from hemometric.mining import WholeRecord
from hemometric.waveform import resample


def signals(
    num: int = 3, num_leads: int = 12, num_samples: int = 500
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.random.default_rng(0).normal(size=(num, num_leads, num_samples)).astype(np.float32)


def test_the_eight_measured_leads_at_the_same_rate_are_taken_as_they_are() -> None:
    prepared = signals()
    compared = WholeRecord().build()(prepared, 100.0, LEADS)
    rows = [LEADS.index(lead) for lead in INDEPENDENT_LEADS]
    np.testing.assert_array_equal(compared, prepared[:, rows])
    assert compared.dtype == np.float32
    assert compared.flags.c_contiguous


def test_all_prepared_leads() -> None:
    prepared = signals(num_leads=3)
    np.testing.assert_array_equal(WholeRecord(leads="all").build()(prepared, 100.0, ("I", "aVF", "V2")), prepared)
    np.testing.assert_array_equal(WholeRecord().build()(prepared, 100.0, ("I", "aVF", "V2")), prepared[:, [0, 2]])


def test_a_higher_rate_is_resampled_by_the_waveform_room() -> None:
    prepared = signals(num_leads=2, num_samples=2500)
    compared = WholeRecord(rate_hz=100).build()(prepared, 250.0, ("I", "II"))
    assert compared.shape == (3, 2, 1000)
    np.testing.assert_array_equal(compared, resample(prepared, 250.0, 100.0))


def test_one_gain_for_a_recording_takes_amplitude_and_keeps_the_leads_proportions() -> None:
    prepared = signals(num_leads=2)
    prepared[:, 1] *= 5
    compare = WholeRecord(gain="record", leads="all").build()
    compared = compare(prepared, 100.0, ("I", "II"))
    np.testing.assert_allclose(
        compared / prepared, (compared / prepared)[:, :1, :1] * np.ones_like(prepared), rtol=1e-5
    )
    gains = np.array([0.25, 1.0, 40.0], np.float32)[:, None, None]
    np.testing.assert_allclose(compare(prepared * gains, 100.0, ("I", "II")), compared, rtol=1e-5)
    centred = compared - compared.mean(axis=2, keepdims=True)
    np.testing.assert_allclose(np.sqrt((centred**2).mean(axis=(1, 2))), 1, rtol=1e-5)
    assert not np.allclose(WholeRecord(leads="all").build()(prepared * gains, 100.0, ("I", "II")), compared)


def test_an_electrodes_offset_is_no_amplitude() -> None:
    prepared = signals(num_leads=2)
    offset = np.array([3.0, -1.0], np.float32)[None, :, None]
    compare = WholeRecord(gain="record", leads="all").build()
    first, second = compare(prepared, 100.0, ("I", "II")), compare(prepared + offset, 100.0, ("I", "II"))
    np.testing.assert_allclose(np.diff(first, axis=2), np.diff(second, axis=2), atol=1e-5)


def test_a_flat_recording_stays_finite() -> None:
    compared = WholeRecord(gain="record").build()(np.zeros((1, 12, 50), np.float32), 100.0, LEADS)
    assert (compared == 0).all()


def test_what_the_preparation_lacks_is_said() -> None:
    with pytest.raises(UsageError, match="compares at 100 Hz, but recordings are prepared at 50 Hz"):
        WholeRecord().build()(signals(), 50.0, LEADS)
    with pytest.raises(UsageError, match="leads to all"):
        WholeRecord().build()(signals(num_leads=2), 100.0, ("III", "aVR"))
    with pytest.raises(ValueError, match="2 leads"):
        WholeRecord().build()(signals(num_leads=3), 100.0, ("I", "II"))
