"""P patients with K recordings each; every patient once an epoch, and their recordings in turn."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Literal

import numpy as np
import pytest

from hemometric.batches import Order, ParticipantBatches, PatientBatches, Roster
from hemometric.errors import UsageError

Archive = Callable[..., Roster]
GRID = [(40, 6, 2, 0), (90, 12, 3, 1), (150, 20, 4, 2), (300, 32, 8, 2**63)]


def members(roster: Roster) -> dict[int, list[int]]:
    of = defaultdict(list)
    for position, patient in enumerate(roster.patients.tolist()):
        of[patient].append(position)
    return of


@pytest.mark.parametrize(("num", "size", "each", "seed"), GRID)
@pytest.mark.parametrize("fewer", ["repeat", "leave_out"])
def test_each_patient_once_an_epoch_with_k_recordings(
    archive: Archive, num: int, size: int, each: int, seed: int, fewer: Literal["repeat", "leave_out"]
) -> None:
    roster = archive(num, num, num // 5)
    order = PatientBatches(recordings_per_patient=each, fewer=fewer).build(roster, size, seed)
    of = {p: rows for p, rows in members(roster).items() if fewer == "repeat" or len(rows) >= each}
    num_epochs = 7
    drawn = np.concatenate([order.batch(step) for step in range(order.num_steps(num_epochs))]).reshape(-1, each)
    seats = roster.patients[drawn]
    assert (seats == seats[:, :1]).all()
    for epoch in range(num_epochs):
        assert sorted(seats[epoch * len(of) : (epoch + 1) * len(of), 0].tolist()) == sorted(of)
    for patient, recordings in of.items():
        turns = drawn[: num_epochs * len(of)][seats[: num_epochs * len(of), 0] == patient]
        assert turns.shape == (num_epochs, each)
        for turn in turns.tolist():
            counts = Counter(turn)
            if len(recordings) >= each:
                assert set(counts.values()) == {1}
            else:
                assert sorted(counts) == recordings
                assert max(counts.values()) - min(counts.values()) <= 1
        # Within a pass of its recordings none comes again.
        windows = max(1, len(recordings) // each)
        for start in range(0, num_epochs, windows):
            some = turns[start : start + windows].reshape(-1)
            assert len(set(some.tolist())) == min(len(some), len(recordings))
    left_out = num - sum(map(len, of.values()))
    assert order.left_out == ({"patient_has_fewer": left_out} if left_out else {})


def test_patients_come_in_the_order_of_plain_batches_and_across_epochs(archive: Archive) -> None:
    roster = archive(3, 60)
    order = PatientBatches(recordings_per_patient=2).build(roster, 14, 5)
    names = np.unique(roster.patients)
    plain = Order(len(names), 7, 5)
    for step in range(12):
        assert roster.patients[order.batch(step)][::2].tolist() == names[plain.batch(step)].tolist()
        assert order.epoch(step) == plain.epoch(step)


@pytest.mark.parametrize(("num", "size", "seed"), [(40, 6, 0), (90, 12, 1), (300, 32, 2**64 - 1)])
def test_every_participant_weighs_the_same_and_their_recordings_take_turns(
    archive: Archive, num: int, size: int, seed: int
) -> None:
    roster = archive(num, num)
    of = members(roster)
    num_epochs = 3 * max(map(len, of.values()))
    order = ParticipantBatches().build(roster, size, seed)
    drawn = np.concatenate([order.batch(step) for step in range(order.num_steps(num_epochs))])
    drawn = drawn[: num_epochs * len(of)].reshape(num_epochs, len(of))
    assert (np.sort(roster.patients[drawn], axis=1) == sorted(of)).all()
    for patient, recordings in of.items():
        turns = drawn[roster.patients[drawn] == patient]  # in the order of epochs
        for start in range(0, num_epochs - len(recordings) + 1, len(recordings)):
            assert sorted(turns[start : start + len(recordings)].tolist()) == recordings


def test_the_order_of_a_patient_s_recordings_differs_between_passes_and_patients() -> None:
    order = ParticipantBatches().build(Roster(patients=np.repeat(np.arange(20), 6)), 20, 0)
    drawn = np.sort(np.stack([order.batch(epoch) for epoch in range(60)]), axis=1) % 6
    passes = {tuple(drawn[start : start + 6, patient].tolist()) for start in range(0, 60, 6) for patient in range(20)}
    assert len(passes) > 150  # of 200 among 720 orders, 174 different ones are expected


def test_what_does_not_fit_is_one_sentence() -> None:
    roster = Roster(patients=np.array([0, 0, 0, 1, 1, 2, 3]))
    with pytest.raises(UsageError, match=r"batch_size 8 is no multiple of batches\.recordings_per_patient, 3"):
        PatientBatches(recordings_per_patient=3).build(roster, 8, 0)
    with pytest.raises(UsageError, match="takes 5 patients, and there are 4; lower batch_size"):
        PatientBatches().build(roster, 10, 0)
    with pytest.raises(UsageError, match="takes 3 patients, and there are 2 with at least 2 recordings; lower"):
        PatientBatches(fewer="leave_out").build(roster, 6, 0)
    with pytest.raises(UsageError, match="batch_size 5 takes as many patients, and there are 4; lower batch_size"):
        ParticipantBatches().build(roster, 5, 0)
    assert PatientBatches(fewer="leave_out").build(roster, 4, 0).left_out == {"patient_has_fewer": 2}
