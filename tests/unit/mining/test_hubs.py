"""The share of triplets that few recordings supply."""

from __future__ import annotations

import pytest
import torch

from hemometric.mining import HubCounter, Mined


def mined(positives: list[int], negatives: list[int], num: int) -> Mined:
    return Mined(
        anchors=torch.arange(len(positives)),
        positives=torch.tensor(positives, dtype=torch.int64),
        negatives=torch.tensor(negatives, dtype=torch.int64),
        distances=torch.zeros(num, num),
        valid=~torch.eye(num, dtype=torch.bool),
        repels=~torch.eye(num, dtype=torch.bool),
        recording_ids=tuple(f"r{i}" for i in range(num)),
    )


def test_share_of_the_most_used_twentieth() -> None:
    ids = [f"r{i}" for i in range(40)]  # a twentieth of 40 recordings is two
    counter = HubCounter()
    counter.update(mined([1, 2, 3, 4], [7, 7, 8, 9], 40), ids)
    assert counter.share("negatives") == pytest.approx(3 / 4)
    assert counter.share("positives") == pytest.approx(2 / 4)
    counter.update(mined([5, 6, 7, 8], [9, 9, 9, 1], 40), ids)  # now 9: four, 7: two
    assert counter.share() == pytest.approx(6 / 8)
    assert counter.shares() == {
        "hub_share_positives": pytest.approx(2 / 8),
        "hub_share_negatives": pytest.approx(6 / 8),
    }


def test_a_part_of_a_recording_counts_as_one() -> None:
    counter = HubCounter()
    counter.update(mined([1, 2, 3, 4], [7, 7, 8, 9], 30), [f"r{i}" for i in range(30)])  # 1.5 recordings: two
    assert counter.share() == pytest.approx(3 / 4)


def test_recordings_are_counted_by_id_wherever_they_lie() -> None:
    counter = HubCounter()
    counter.update(mined([0], [1], 3), ["a", "b", "c"])
    counter.update(mined([2], [0], 3), ["b", "c", "a"])
    assert counter.share("positives") == 1.0
    assert counter.share("negatives") == 1.0


def test_nothing_mined_is_no_share() -> None:
    counter = HubCounter()
    assert counter.share() == 0.0
    counter.update(mined([], [], 2), ["a", "b"])
    assert counter.shares() == {"hub_share_positives": 0.0, "hub_share_negatives": 0.0}


def test_above_one_half_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    ids = [f"r{i}" for i in range(100)]
    counter = HubCounter()
    for _ in range(9):
        counter.update(mined(list(range(50)), [0] * 30 + list(range(20)), 100), ids)
    counter.shares()
    assert not caplog.records  # 450 draws are few
    counter.update(mined(list(range(50)), [0] * 30 + list(range(20)), 100), ids)
    for _ in range(3):
        counter.shares()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "mined negatives come from the most used 5 % of 100 recordings" in caplog.text
