"""Pairs of one patient's recordings within limits of time; every recording that has a partner once an epoch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from hemometric.batches import Order, PairBatches, Roster
from hemometric.batches.partners import Partners
from hemometric.errors import UsageError

Archive = Callable[..., Roster]
LIMITS = [(0, None), (0, 0), (0, 30), (0.5, None), (1, 1), (7, 60), (0.4, 0.6), (500, None)]


def slow_partners(roster: Roster, low: float, high: float | None) -> list[set[int]]:
    """Look at all pairs."""
    num, times = len(roster), roster.acquired
    assert times is not None
    found: list[set[int]] = [set() for _ in range(num)]
    for i in range(num):
        for j in range(num):
            if i == j or roster.patients[i] != roster.patients[j]:
                continue
            if low == 0 and high is None:
                found[i].add(j)
            elif not np.isnat(times[i]) and not np.isnat(times[j]):
                days = abs((times[i] - times[j]) / np.timedelta64(1, "D"))
                if low <= days and (high is None or days <= high):
                    found[i].add(j)
    return found


@pytest.mark.parametrize("limits", LIMITS)
@pytest.mark.parametrize(("num", "num_patients"), [(60, 4), (120, 40)])
def test_each_anchor_once_an_epoch_beside_one_that_fits(
    archive: Archive, limits: tuple[float, float | None], num: int, num_patients: int
) -> None:
    roster = archive(num, num, num_patients)
    fits = slow_partners(roster, *limits)
    anchors = [n for n in range(num) if fits[n]]
    config = PairBatches(min_gap_days=limits[0], max_gap_days=limits[1])
    if len(anchors) < 2:
        with pytest.raises(UsageError, match="recordings have another of their patient"):
            config.build(roster, 4, 9)
        return
    order = config.build(roster, 4, 9)
    pairs = np.concatenate([order.batch(step) for step in range(order.num_steps(6))]).reshape(-1, 2)
    plain = Order(len(anchors), 2, 9)
    for epoch in range(6):
        of_epoch = pairs[epoch * len(anchors) : (epoch + 1) * len(anchors)].tolist()
        assert sorted(anchor for anchor, _ in of_epoch) == anchors
        assert all(partner in fits[anchor] for anchor, partner in of_epoch)
    assert all(order.epoch(step) == plain.epoch(step) for step in range(20))
    assert sum(order.left_out.values()) == num - len(anchors)
    assert roster.acquired is not None
    has_limits = limits != (0, None)
    assert order.left_out.get("no_time", 0) == has_limits * int(np.isnat(roster.acquired).sum())


def test_the_grid_meets_both_sides_of_a_limit(archive: Archive) -> None:
    nums = [sum(map(len, slow_partners(archive(120, 120, 40), *limits))) for limits in LIMITS]
    assert len(set(nums)) >= len(LIMITS) - 1
    assert nums[1] > 0
    assert nums[-1] == 0


def test_partners_are_drawn_anew_and_evenly() -> None:
    roster = Roster(patients=np.repeat([5, 6], 4))
    order = PairBatches().build(roster, 16, 1)
    partners = Counter(dict(order.batch(epoch).reshape(-1, 2).tolist())[2] for epoch in range(900))
    assert set(partners) == {0, 1, 3}
    assert min(partners.values()) > 240  # of 300; standard deviation 14
    assert order.left_out == {}


def test_equal_times_are_a_pair_only_without_a_minimum() -> None:
    times = np.array(["2100-01-01T10:00:00", "2100-01-01T10:00:00", "2100-01-02T10:00:00"], "datetime64[s]")
    roster = Roster(patients=np.zeros(3, dtype=np.int64), acquired=times)
    assert PairBatches(max_gap_days=0).build(roster, 2, 0).paired.tolist() == [0, 1]
    apart = PairBatches(min_gap_days=1e-6).build(roster, 4, 0)
    assert {tuple(sorted(pair)) for pair in apart.batch(0).reshape(-1, 2).tolist()} <= {(0, 2), (1, 2)}
    exact = PairBatches(min_gap_days=1, max_gap_days=1).build(roster, 4, 0)
    assert exact.partners.num.tolist() == [1, 1, 2]


@pytest.mark.parametrize("seed", range(20))
def test_partners_are_those_of_a_plain_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    num = int(rng.integers(0, 40))
    patients = rng.integers(-3, 5, num)
    seconds = rng.integers(-50, 50, num) * 10 ** int(rng.integers(0, 9))
    low = int(rng.integers(0, 3)) * int(10 ** rng.integers(0, 9))
    high = None if seed % 3 == 0 else low + int(10 ** rng.integers(0, 9)) - 1
    found = Partners.of(patients, seconds, low, high)
    for n in range(num):
        gaps = abs(seconds - seconds[n])
        fits = (patients == patients[n]) & (gaps >= low) & (np.arange(num) != n)
        fits &= True if high is None else gaps <= high
        nth = np.arange(int(found.num[n]))
        picked = found.pick(np.full(len(nth), n), nth).tolist()
        assert sorted(picked) == np.flatnonzero(fits).tolist()


def test_limits_that_no_whole_second_meets_give_nobody() -> None:
    found = Partners.of(np.zeros(3, dtype=np.int64), np.array([0, 1, 2]), 2, 1)
    assert found.num.tolist() == [0, 0, 0]


def test_what_does_not_fit_is_one_sentence() -> None:
    roster = Roster(patients=np.array([0, 0, 1, 2]))
    with pytest.raises(UsageError, match="batch_size 3 is odd"):
        PairBatches().build(roster, 3, 0)
    with pytest.raises(UsageError, match="takes 3 pairs, and only 2 recordings have another of their patient; lower"):
        PairBatches().build(roster, 6, 0)
    for times in (None, np.full(4, "NaT", dtype="datetime64[s]")):
        timed = Roster(patients=roster.patients, acquired=times)
        with pytest.raises(
            UsageError, match=r"batches\.min_gap_days and max_gap_days need times .*; ingest again with"
        ):
            PairBatches(min_gap_days=1).build(timed, 2, 0)
        assert PairBatches().build(timed, 2, 0).paired.tolist() == [0, 1]
    days = np.array(["2100-01-01", "2100-01-05", "2100-01-05", "2100-01-05"], "datetime64[s]")
    timed = Roster(patients=roster.patients, acquired=days)
    with pytest.raises(UsageError, match=r"only 0 recordings have another of their patient 7 to 9 days apart; lower"):
        PairBatches(min_gap_days=7, max_gap_days=9).build(timed, 2, 0)
    with pytest.raises(UsageError, match=r"at least 7 days apart; lower batch_size or widen batches\.min_gap_days"):
        PairBatches(min_gap_days=7).build(timed, 2, 0)
