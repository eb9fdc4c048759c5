"""Batches of pairs of one patient's recordings, so far apart in time and no farther: PCLR, and Liu et al. 2025."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, floor
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from hemometric.batches.hashes import hashes
from hemometric.batches.order import Order, Positions
from hemometric.batches.partners import Partners
from hemometric.batches.roster import Roster
from hemometric.config import Config
from hemometric.errors import UsageError

_DAY_S = 86400


@dataclass(frozen=True, eq=False)
class PairOrder:
    """Pairs of an anchor and a partner; positions 2 i and 2 i + 1 of a batch are the i-th pair.

    Attributes
    ----------
    anchors : Order
        Of half a batch, over `paired`.
    paired : int64 [anchor]
        The recordings that have a partner.
    partners : Partners
        Of all recordings.
    left_out : mapping of int
    """

    anchors: Order
    paired: Positions
    partners: Partners
    left_out: Mapping[str, int]

    def batch(self, step: int) -> Positions:
        """Give the recordings of one batch, int64 [batch_size], the same for every world.

        A recording may stand in it several times, as an anchor and as a partner; its copies are no pair for a miner.
        """
        anchors = self.paired[self.anchors.batch(step)]
        drawn = hashes(anchors, self.anchors.seed, self.anchors.epochs(step))
        nth = (drawn % self.partners.num[anchors].astype(np.uint64)).astype(np.int64)
        return np.stack([anchors, self.partners.pick(anchors, nth)], axis=1).reshape(-1)

    def epoch(self, step: int) -> int:
        """Give the epoch of a batch's first pair."""
        return self.anchors.epoch(step)

    def num_steps(self, num_epochs: int) -> int:
        """Give the steps in which each anchor comes so many times."""
        return self.anchors.num_steps(num_epochs)


class PairBatches(Config):
    """Each epoch is one permutation of the anchors, each beside another recording of its patient.

    Each recording that has a partner is an anchor exactly once an epoch; the partner is drawn anew each epoch among
    those that fit, so that a recording comes more or less often as one. Those without are left out and counted.
    Without limits the times play no part; with them a recording without a time has no partner.

    Attributes
    ----------
    min_gap_days, max_gap_days : float
        How far apart in time the two were acquired, in either order, both limits included. Two of one time are a pair
        only where the minimum is 0; a maximum of None is no limit.
    """

    kind: Literal["pairs"] = "pairs"
    min_gap_days: float = Field(default=0.0, ge=0.0, le=1e6)
    max_gap_days: float | None = Field(default=None, ge=0.0, le=1e6)
    num_neighbours: ClassVar[int] = 0

    @model_validator(mode="after")
    def _some_gap_fits(self) -> Self:
        if self.max_gap_days is not None and self.max_gap_days < self.min_gap_days:
            raise ValueError(
                f"max_gap_days {self.max_gap_days:g} is less than min_gap_days {self.min_gap_days:g}; raise it"
            )
        return self

    def build(self, roster: Roster, batch_size: int, seed: int) -> PairOrder:
        """Give the order.

        Raises
        ------
        UsageError
            The batch is odd, there are limits and no recording has a time, or fewer recordings than half a batch have
            a partner.
        """
        if batch_size % 2:
            raise UsageError(
                f"batch_size {batch_size} is odd, and batches of kind pairs are of pairs; take an even one"
            )
        patients, seconds = roster.patients, np.zeros(len(roster), dtype=np.int64)
        timed = np.ones(len(roster), dtype=bool)
        if self._has_limits:
            if roster.acquired is None or np.isnat(roster.acquired).all():
                raise UsageError(
                    "batches.min_gap_days and max_gap_days need times of acquisition, and no recording has one; ingest "
                    "again with the table's acquired, or leave both out"
                )
            timed = ~np.isnat(roster.acquired)
            since = roster.acquired[timed] - roster.acquired[timed].min()
            seconds[timed] = since.astype("timedelta64[s]").astype(np.int64)
            # Without a time, a patient of one's own: nobody's partner.
            alone = patients.max() + 1 + np.arange(len(roster))
            patients = np.where(timed, patients, alone)
        limit = self.max_gap_days
        partners = Partners.of(
            patients,
            seconds,
            ceil(self.min_gap_days * _DAY_S),
            None if limit is None else floor(limit * _DAY_S),
        )
        paired = np.flatnonzero(partners.num > 0)
        if len(paired) < batch_size // 2:
            raise UsageError(
                f"batch_size {batch_size} takes {batch_size // 2} pairs, and only {len(paired)} recordings have "
                f"another of their patient{self._words}; lower batch_size"
                + (" or widen batches.min_gap_days and max_gap_days" if self._has_limits else ", or take another kind")
            )
        counts = {"no_time": np.count_nonzero(~timed), "no_partner": np.count_nonzero(timed & (partners.num == 0))}
        left_out = {reason: int(num) for reason, num in counts.items() if num}
        return PairOrder(Order(len(paired), batch_size // 2, seed), paired, partners, left_out)

    @property
    def _has_limits(self) -> bool:
        return self.min_gap_days > 0 or self.max_gap_days is not None

    @property
    def _words(self) -> str:
        """How far a partner may be, to follow 'another of their patient'."""
        if not self._has_limits:
            return ""
        if self.max_gap_days is None:
            return f" at least {self.min_gap_days:g} days apart"
        return f" {self.min_gap_days:g} to {self.max_gap_days:g} days apart"
