"""Batches in which every patient weighs the same, however many recordings there are of each."""

from __future__ import annotations

from typing import ClassVar, Literal

from hemometric.batches.groups import Groups
from hemometric.batches.order import Order
from hemometric.batches.patient_batches import PatientOrder
from hemometric.batches.roster import Roster
from hemometric.config import Config
from hemometric.errors import UsageError


class ParticipantBatches(Config):
    """Each epoch is one permutation of the patients, each with one recording (Abbaspourazad et al. 2024).

    Each patient comes exactly once an epoch, each time with another recording: all of a patient's come once, in a
    seeded order, before any comes again.
    """

    kind: Literal["participant_balanced"] = "participant_balanced"
    num_neighbours: ClassVar[int] = 0

    def build(self, roster: Roster, batch_size: int, seed: int) -> PatientOrder:
        """Give the order.

        Raises
        ------
        UsageError
            There are fewer patients than draws in a batch.
        """
        recordings = Groups.of(roster.patients)
        if len(recordings) < batch_size:
            raise UsageError(
                f"batch_size {batch_size} takes as many patients, and there are {len(recordings)}; lower batch_size"
            )
        return PatientOrder(Order(len(recordings), batch_size, seed), recordings, 1, {})
