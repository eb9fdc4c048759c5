"""The share of triplets that few recordings supply."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from hemometric.mining import HubCounter, Mined, MiningTally


def mined(positives: list[int], negatives: list[int], ids: list[str]) -> Mined:
    num = len(ids)
    return Mined(
        anchors=torch.arange(len(positives)),
        positives=torch.tensor(positives, dtype=torch.int64),
        negatives=torch.tensor(negatives, dtype=torch.int64),
        distances=torch.zeros(num, num),
        valid=~torch.eye(num, dtype=torch.bool),
        repels=~torch.eye(num, dtype=torch.bool),
        recording_ids=tuple(ids),
    )


def test_share_of_the_most_used_twentieth() -> None:
    ids = [f"r{i}" for i in range(40)]  # a twentieth of 40 recordings is two
    counter = HubCounter()
    counter.update(mined([1, 2, 3, 4], [7, 7, 8, 9], ids))
    assert counter.share("negatives") == pytest.approx(3 / 4)
    assert counter.share("positives") == pytest.approx(2 / 4)
    counter.update(mined([5, 6, 7, 8], [9, 9, 9, 1], ids))  # now 9: four, 7: two
    assert counter.share() == pytest.approx(6 / 8)
    assert counter.shares() == {
        "hub_share_positives": pytest.approx(2 / 8),
        "hub_share_negatives": pytest.approx(6 / 8),
    }


def test_a_part_of_a_recording_counts_as_one() -> None:
    counter = HubCounter()
    counter.update(mined([1, 2, 3, 4], [7, 7, 8, 9], [f"r{i}" for i in range(30)]))  # 1.5 recordings: two
    assert counter.share() == pytest.approx(3 / 4)


def test_recordings_are_counted_by_id_wherever_they_lie() -> None:
    counter = HubCounter()
    counter.update(mined([0], [1], ["a", "b", "c"]))
    counter.update(mined([2], [0], ["b", "c", "a"]))
    assert counter.share("positives") == 1.0
    assert counter.share("negatives") == 1.0


def test_nothing_mined_is_no_share() -> None:
    counter = HubCounter()
    assert counter.share() == 0.0
    counter.update(mined([], [], ["a", "b"]))
    assert counter.shares() == {"hub_share_positives": 0.0, "hub_share_negatives": 0.0}


def test_above_one_half_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    ids = [f"r{i}" for i in range(100)]
    counter = HubCounter()
    for _ in range(9):
        counter.update(mined(list(range(50)), [0] * 30 + list(range(20)), ids))
    counter.shares()
    assert not caplog.records  # 450 draws are few
    counter.update(mined(list(range(50)), [0] * 30 + list(range(20)), ids))
    counter.shares(warn=False)
    assert not caplog.records
    for _ in range(3):
        counter.shares()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "mined negatives come from the most used 5 % of 100 recordings" in caplog.text


def test_shares_equal_those_of_a_plain_count() -> None:
    rng = np.random.default_rng(0)
    ids = [f"r{i}" for i in range(70)]
    counter, counts = HubCounter(), Counter[str]()
    for _ in range(30):
        drawn = rng.integers(0, rng.integers(5, 70), 20).tolist()
        counter.update(mined(drawn, drawn[::-1], ids))
        counts.update(ids[i] for i in drawn)
        expected = sum(count for _, count in counts.most_common(4)) / counts.total()  # 4 of 70
        assert counter.share("positives") == counter.share("negatives") == pytest.approx(expected)


def test_counting_begins_anew_beyond_so_many_recordings_and_tells_the_last_shares_meanwhile() -> None:
    counter = HubCounter(max_recordings=30, min_draws=5)
    counter.update(mined([0, 0, 0, 1], [0, 1, 2, 3], [f"r{i}" for i in range(40)]))
    before = counter.shares()
    assert before["hub_share_positives"] == 1.0
    counter.update(mined([1, 2, 3, 4], [5, 5, 5, 5], [f"s{i}" for i in range(20)]))
    assert counter.shares() == before
    counter.update(mined([5, 6, 7, 8], [5, 5, 5, 5], [f"s{i}" for i in range(20)]))
    assert counter.shares() == {"hub_share_positives": 1 / 8, "hub_share_negatives": 1.0}


def test_a_tally_tells_of_hubs_and_of_what_was_taken_instead(caplog: pytest.LogCaptureFixture) -> None:
    tally = MiningTally()
    assert tally.read(warn=True) == {}
    one = mined([1] * 400, [2] * 400, [f"r{i}" for i in range(400)])
    tally.add(replace(one, fallbacks={"graph": 300}))
    tally.add(replace(one, fallbacks={"graph": 100, "scale": 40}))
    found = tally.read(warn=False)
    assert not caplog.records
    assert found["fallback_share_graph"] == pytest.approx(0.5)
    assert found["fallback_share_scale"] == pytest.approx(0.05)
    assert found["hub_share_negatives"] == 1.0
    tally.add(one)
    assert set(tally.read(warn=True)) == {"hub_share_positives", "hub_share_negatives"}
    assert len(caplog.records) == 2
