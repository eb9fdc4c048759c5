"""Parts of a lead on one scale: exactly where integers allow it, else with a named error."""

import numpy as np
import pytest

from hemometric.ecg import INVALID_COUNT
from hemometric.vendors.scale import ABSENT
from hemometric.vendors.traces import Lead, Trace, join, to_lead


def millivolts(lead: Lead) -> np.ndarray:
    values = (lead.counts - lead.offset_counts) / lead.gain_per_mv
    return np.where(lead.counts == INVALID_COUNT, np.nan, values)


def trace(counts: list[int], gain_per_mv: float, offset_counts: float = 0) -> Trace:
    return Trace(np.array(counts, dtype=np.int32), gain_per_mv, offset_counts)


def test_one_scale_keeps_the_counts_and_fills_gaps() -> None:
    lead = join([(1, trace([5, -7], 200.0, 3)), (5, trace([9], 200.0, 3))], 7)
    assert lead.counts.tolist() == [INVALID_COUNT, 5, -7, INVALID_COUNT, INVALID_COUNT, 9, INVALID_COUNT]
    assert (lead.gain_per_mv, lead.offset_counts, lead.error_mv) == (200.0, 3, 0.0)


@pytest.mark.parametrize(
    ("gains", "common"), [((200.0, 1000.0), 1000), ((200.0, 300.0), 600), ((1.25, 0.5), 2.5), ((204.8, 409.6), 409.6)]
)
def test_gains_with_a_common_multiple_lose_nothing(gains: tuple[float, float], common: float) -> None:
    lead = join([(0, trace([100, ABSENT, -50], gains[0], 4)), (3, trace([7], gains[1], -1))], 4)
    assert lead.gain_per_mv == pytest.approx(common)
    assert lead.error_mv == 0
    expected = [96 / gains[0], np.nan, -54 / gains[0], 8 / gains[1]]
    np.testing.assert_allclose(millivolts(lead), expected, rtol=1e-12)


def test_an_exact_scale_far_from_zero_is_shifted() -> None:
    lead = join([(0, trace([100_000, 100_001], 1000.0)), (2, trace([50_001], 500.0))], 3)
    assert lead.error_mv == 0
    np.testing.assert_allclose(millivolts(lead), [100.0, 100.001, 100.002], rtol=1e-12)


@pytest.mark.parametrize(
    "gains",
    [
        (86.0, 67.0, 53.0, 49.0, 66.0, 22.0, 11.0, 35.0, 69.0, 81.0, 1e5),  # the common multiple leaves 32 bits
        (np.pi, 200.0),  # no ratio of small numbers
        (1e-7 * np.e, 1.0),
    ],
)
def test_gains_without_a_common_multiple_name_their_error(gains: tuple[float, ...]) -> None:
    parts = [trace([-100, ABSENT, index, 127], gain, 1) for index, gain in enumerate(gains)]
    lead = join([(5 * index, part) for index, part in enumerate(parts)], 5 * len(parts))
    expected = np.full(5 * len(parts), np.nan)
    for index, (gain, part) in enumerate(zip(gains, parts, strict=True)):
        expected[5 * index : 5 * index + 4] = np.where(part.counts == ABSENT, np.nan, (part.counts - 1) / gain)
    assert lead.error_mv > 0
    assert lead.error_mv == pytest.approx((np.nanmax(expected) - np.nanmin(expected)) / 65000 / 2)
    np.testing.assert_allclose(millivolts(lead), expected, atol=1.001 * lead.error_mv, rtol=1e-9)


def test_the_same_voltage_at_odd_gains_is_a_constant() -> None:
    lead = join([(0, trace([3], np.pi, 3)), (1, trace([5], np.e, 5))], 3)
    np.testing.assert_array_equal(millivolts(lead), [0.0, 0.0, np.nan])
    nothing = join([(0, trace([ABSENT], np.pi)), (1, trace([ABSENT], np.e))], 2)
    assert (nothing.counts == INVALID_COUNT).all()
    assert np.isfinite([nothing.gain_per_mv, nothing.offset_counts]).all()


def test_offsets_that_are_no_whole_counts() -> None:
    lead = join([(0, trace([10], 100.0, 0.5)), (1, trace([30], 200.0, 0.25))], 2)
    np.testing.assert_allclose(millivolts(lead), [0.095, 0.14875], atol=1.001 * lead.error_mv)


def test_extremes_of_32_bits() -> None:
    wide = 2**31 - 1
    lead = join([(0, trace([wide, -wide], 1.0, -(10**10))), (2, trace([wide], 2.0))], 3)
    expected = np.array([wide + 1e10, -wide + 1e10, wide / 2])
    np.testing.assert_allclose(millivolts(lead), expected, atol=1.001 * lead.error_mv)
    single = to_lead(trace([wide, -wide, ABSENT], 1.0))
    np.testing.assert_allclose(millivolts(single), [wide, -wide, np.nan], atol=1.001 * single.error_mv)
