"""Each batch lies within one site; sites in proportion to their sizes."""

from __future__ import annotations

import numpy as np
import pytest

from hemometric.batches import Roster, SiteBatches
from hemometric.errors import UsageError


def of_sizes(*sizes: int) -> Roster:
    """Sites 0, 1, … of these sizes, mixed."""
    sites = np.random.default_rng(sum(sizes)).permutation(np.repeat(np.arange(len(sizes)), sizes))
    return Roster(patients=np.arange(len(sites)), sites=sites)


GRID = [
    ((40, 17, 9), 8, 0),
    ((40, 17, 9), 9, 1),
    ((100,), 7, 2),
    ((64, 64, 128, 1000), 64, 3),
    ((31, 32, 33), 30, 2**63),
]


@pytest.mark.parametrize(("sizes", "size", "seed"), GRID)
def test_sites_in_proportion_and_recordings_in_turn(sizes: tuple[int, ...], size: int, seed: int) -> None:
    roster = of_sizes(*sizes)
    assert roster.sites is not None
    order = SiteBatches().build(roster, size, seed)
    times = np.zeros(sum(sizes), dtype=int)
    num_of = np.zeros(len(sizes), dtype=int)
    step = 0
    for epoch in range(9):
        while step < order.num_steps(epoch + 1):
            batch = order.batch(step)
            assert order.epoch(step) == epoch
            assert len(set(roster.sites[batch].tolist())) == 1
            num_of[roster.sites[batch[0]]] += 1
            np.add.at(times, batch, 1)
            step += 1
        assert num_of.tolist() == [(epoch + 1) * num // size for num in sizes]
        assert times.max() <= epoch + 1
        assert times.min() >= epoch
    assert order.left_out == {}


def test_sites_alternate_within_an_epoch_and_otherwise_in_the_next() -> None:
    roster = of_sizes(80, 80)
    assert roster.sites is not None
    order = SiteBatches().build(roster, 8, 4)
    epochs = [tuple(int(roster.sites[order.batch(step)[0]]) for step in range(20 * e, 20 * e + 20)) for e in range(8)]
    assert len(set(epochs)) == 8
    assert all(sum(epoch) == 10 for epoch in epochs)
    changes = [np.count_nonzero(np.diff(epoch)) for epoch in epochs]
    assert min(changes) > 3  # one block a site would be 1


def test_small_sites_and_recordings_without_one_are_left_out_and_counted() -> None:
    sites = np.array([0] * 9 + [-1] * 4 + [1] * 3 + [2] * 4)
    order = SiteBatches().build(Roster(patients=np.arange(20), sites=sites), 4, 0)
    assert order.left_out == {"no_site": 4, "site_below_batch_size": 3}
    assert set(np.concatenate([order.batch(step) for step in range(40)]).tolist()) == {*range(9), *range(16, 20)}


def test_what_does_not_fit_is_one_sentence() -> None:
    for sites in (None, np.full(9, -1)):
        with pytest.raises(UsageError, match="no recording has one; ingest again with the table's site, or take"):
            SiteBatches().build(Roster(patients=np.arange(9), sites=sites), 4, 0)
    with pytest.raises(UsageError, match=r"batch_size 8 is more than the 7 recordings of the largest site.*lower"):
        SiteBatches().build(of_sizes(7, 5), 8, 0)
