"""Batches of P patients with K recordings each: every anchor meets another ECG of its patient."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from hemometric.batches.groups import Groups
from hemometric.batches.order import Order, Positions
from hemometric.batches.roster import Roster
from hemometric.config import Config
from hemometric.errors import UsageError


@dataclass(frozen=True, eq=False)
class PatientOrder:
    """Each patient once an epoch, with K recordings; positions K i … K i + K - 1 of a batch are its i-th patient.

    A patient's recordings stand in a seeded order, from which each epoch takes the next K; where fewer than K are
    left, a new order begins. So of a patient with at least K recordings they are K different ones, and none comes
    again within ``size // K`` epochs. One with fewer gives all that there are, and begins again with the first: each
    of them then comes ``K // size`` times, or once more.

    Attributes
    ----------
    patients : Order
        Of patients, P in a batch.
    recordings : Groups
        Of each patient.
    num_each : int
        K.
    left_out : mapping of int
    """

    patients: Order
    recordings: Groups
    num_each: int
    left_out: Mapping[str, int]

    def batch(self, step: int) -> Positions:
        """Give the recordings of one batch, int64 [P * K], the same for every world.

        Across the border of two epochs a patient may stand in it twice.
        """
        patients = self.patients.batch(step)
        sizes = self.recordings.sizes[patients]
        passes, windows = np.divmod(self.patients.epochs(step), np.maximum(1, sizes // self.num_each))
        places = (windows[:, None] * self.num_each + np.arange(self.num_each)) % sizes[:, None]
        turns = (passes * sizes)[:, None] + places
        return self.recordings.take(np.repeat(patients, self.num_each), turns.reshape(-1), self.patients.seed)

    def epoch(self, step: int) -> int:
        """Give the epoch of a batch's first patient."""
        return self.patients.epoch(step)

    def num_steps(self, num_epochs: int) -> int:
        """Give the steps in which each patient comes so many times."""
        return self.patients.num_steps(num_epochs)


class PatientBatches(Config):
    """Each epoch is one permutation of the patients, each with so many of their recordings, side by side.

    Each patient comes exactly once an epoch; their recordings take turns (see `PatientOrder`), those of a patient
    with many come more rarely than in `random`.

    Attributes
    ----------
    recordings_per_patient : int
        K; it divides batch_size.
    fewer : {"repeat", "leave_out"}
        What becomes of patients with fewer than K: their recordings come several times in a batch, where copies are
        no pair for a miner; or they are left out, and counted.
    """

    kind: Literal["patients"] = "patients"
    recordings_per_patient: int = Field(default=2, ge=2)
    fewer: Literal["repeat", "leave_out"] = "repeat"
    num_neighbours: ClassVar[int] = 0

    def build(self, roster: Roster, batch_size: int, seed: int) -> PatientOrder:
        """Give the order.

        Raises
        ------
        UsageError
            K does not divide the batch, or there are fewer patients than a batch takes.
        """
        num_each = self.recordings_per_patient
        if batch_size % num_each:
            raise UsageError(
                f"batch_size {batch_size} is no multiple of batches.recordings_per_patient, {num_each}; make it one"
            )
        recordings = Groups.of(roster.patients, 1 if self.fewer == "repeat" else num_each)
        num_patients = batch_size // num_each
        if len(recordings) < num_patients:
            enough = "" if self.fewer == "repeat" else f" with at least {num_each} recordings"
            raise UsageError(
                f"batch_size {batch_size} takes {num_patients} patients, and there are {len(recordings)}{enough}; "
                "lower batch_size or, where patients have few recordings, batches.recordings_per_patient"
            )
        left_out = len(roster) - len(recordings.recordings)
        return PatientOrder(
            Order(len(recordings), num_patients, seed),
            recordings,
            num_each,
            {"patient_has_fewer": left_out} if left_out else {},
        )
