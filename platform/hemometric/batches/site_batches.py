"""Batches within one site: what tells sites apart cannot tell the recordings of a batch apart (CAPE)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from hemometric.batches.groups import Groups
from hemometric.batches.order import Positions, permutation
from hemometric.batches.roster import Roster
from hemometric.config import Config
from hemometric.errors import UsageError


@dataclass(frozen=True, eq=False)
class SiteOrder:
    """Each batch is the next of one site's sequence; within E epochs a site of n has ``E * n // batch_size`` batches.

    So sites come in proportion to their sizes, and what does not fill a batch is carried into the next epoch: after E
    epochs each recording came E times or E - 1 times. An epoch's batches are in a seeded order.

    Attributes
    ----------
    sites : Groups
        None smaller than a batch.
    batch_size : int
    seed : int
    left_out : mapping of int
    """

    sites: Groups
    batch_size: int
    seed: int
    left_out: Mapping[str, int]

    def batch(self, step: int) -> Positions:
        """Give the recordings of one batch, int64 [batch_size], the same for every world.

        Where a site's sequence begins anew, a recording may stand in it twice.
        """
        epoch = self.epoch(step)
        before = self._batches(epoch)
        sites = np.repeat(np.arange(len(self.sites)), self._batches(epoch + 1) - before)
        number = step - self.num_steps(epoch)
        order = permutation(len(sites), self.seed, epoch)
        site = sites[order[number]]
        earlier = before[site] + np.count_nonzero(sites[order[:number]] == site)
        turns = earlier * self.batch_size + np.arange(self.batch_size)
        return self.sites.take(np.full(self.batch_size, site), turns, self.seed)

    def epoch(self, step: int) -> int:
        """Give the epoch of a batch."""
        # Sites round down, so that an epoch never takes more draws than there are recordings; it may take fewer.
        epoch = step * self.batch_size // len(self.sites.recordings)
        while self.num_steps(epoch + 1) <= step:
            epoch += 1
        return epoch

    def num_steps(self, num_epochs: int) -> int:
        """Give the steps of so many epochs."""
        return int(self._batches(num_epochs).sum())

    def _batches(self, num_epochs: int) -> Positions:
        """Give how many batches each site has within so many epochs, int64 [site]."""
        return num_epochs * self.sites.sizes // self.batch_size


class SiteBatches(Config):
    """Each batch holds recordings of one site, and sites come in proportion to their sizes.

    Each recording comes once an epoch, but for those that fill no batch of their site: they come first in the next.
    Recordings without a site, and sites with fewer recordings than a batch, are left out and counted.
    """

    kind: Literal["site"] = "site"
    num_neighbours: ClassVar[int] = 0

    def build(self, roster: Roster, batch_size: int, seed: int) -> SiteOrder:
        """Give the order.

        Raises
        ------
        UsageError
            No recording has a site, or no site fills a batch.
        """
        if roster.sites is None or not (roster.sites >= 0).any():
            raise UsageError(
                "batches of kind site need sites, and no recording has one; ingest again with the table's site, "
                "or take another kind"
            )
        sites = Groups.of(roster.sites, batch_size)
        if not len(sites):
            largest = int(Groups.of(roster.sites).sizes.max())
            raise UsageError(
                f"batch_size {batch_size} is more than the {largest} recordings of the largest site, and a batch of "
                "kind site is of one; lower batch_size, or take another kind"
            )
        without = int(np.count_nonzero(roster.sites < 0))
        small = len(roster) - without - len(sites.recordings)
        counts = {"no_site": without, "site_below_batch_size": small}
        return SiteOrder(sites, batch_size, seed, {reason: num for reason, num in counts.items() if num})
