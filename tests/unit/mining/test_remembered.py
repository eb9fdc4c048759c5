"""What is compared is computed once: where it is small, up to a bound, and equal to what a new look would give."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from hemometric.ecg import LEADS, Float32
from hemometric.mining import Compared, MedianBeat, WholeRecord
from hemometric.mining.remembered import Remembered


class Noting:
    """Notes how many recordings were looked at."""

    def __init__(self, compared: Compared) -> None:
        self.compared = compared
        self.asked: list[int] = []

    def __call__(self, signals: Float32, rate_hz: float, leads: Sequence[str]) -> Float32:
        self.asked.append(len(signals))
        return self.compared(signals, rate_hz, leads)


def signals(num: int = 6) -> Float32:
    return np.random.default_rng(0).normal(size=(num, 12, 400)).astype(np.float32)


@pytest.mark.parametrize("config", [MedianBeat(), WholeRecord(rate_hz=50)], ids=lambda config: config.kind)
def test_each_recording_is_looked_at_once(config: MedianBeat | WholeRecord) -> None:
    compare, ids = Noting(config.build()), np.array([f"r{i}" for i in range(6)])
    remembered, whole = Remembered(compare), config.build()(signals(), 100.0, LEADS)
    for rows in ([0, 1, 2], [2, 4, 0], [0, 1, 2, 4], [5, 3, 3]):
        found = remembered(signals()[rows], 100.0, LEADS, ids[rows].tolist())
        np.testing.assert_array_equal(found, whole[rows])
        assert found.flags.c_contiguous
    assert compare.asked == [3, 1, 3]


def test_another_signal_of_the_same_recording_is_looked_at_again() -> None:
    compare = Noting(WholeRecord(rate_hz=50).build())
    remembered = Remembered(compare)
    first, second = signals(), 2 * signals()
    for given in (first, second, first):
        np.testing.assert_array_equal(
            remembered(given, 100.0, LEADS, list("abcdef")), WholeRecord(rate_hz=50).build()(given, 100.0, LEADS)
        )
    assert compare.asked == [6, 6]


def test_what_is_nearly_the_signal_is_not_kept() -> None:
    compare = Noting(WholeRecord().build())
    remembered = Remembered(compare)
    for _ in range(2):
        remembered(signals(), 100.0, LEADS, list("abcdef"))
    assert compare.asked == [6, 6]


def test_beyond_its_bound_nothing_more_is_kept() -> None:
    each = WholeRecord(rate_hz=25).build()(signals(1), 100.0, LEADS).nbytes
    compare = Noting(WholeRecord(rate_hz=25).build())
    remembered = Remembered(compare, max_bytes=4 * each)
    for names in ("abc", "def", "abcd", "def", "d"):
        rows = ["abcdef".index(name) for name in names]
        remembered(signals()[rows], 100.0, LEADS, list(names))
    # "def" would not fit as a whole; d fits alone.
    assert compare.asked == [3, 3, 1, 2]
