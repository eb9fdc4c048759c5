"""Each recording is an anchor once an epoch, beside one of its neighbours; pure in (seed, step)."""

import numpy as np
import pytest

from hemometric.batches import NeighbourBatches, RandomBatches
from hemometric.errors import UsageError

RING = np.stack([(np.arange(30) + offset) % 30 for offset in (1, -1, 2)], axis=1)
"""Recording i's neighbours are i + 1, i - 1, i + 2."""


@pytest.mark.parametrize(("num", "batch_size", "seed"), [(30, 2, 0), (30, 8, 1), (30, 60, 2), (30, 14, 2**64 - 1)])
def test_anchors_are_one_permutation_and_partners_their_neighbours(num: int, batch_size: int, seed: int) -> None:
    order = NeighbourBatches(k=2).build(num, batch_size, seed, RING)
    plain = RandomBatches().build(num, batch_size // 2, seed)
    for step in range(order.num_steps(2)):
        batch = order.batch(step)
        anchors, partners = batch[::2], batch[1::2]
        assert anchors.tolist() == plain.batch(step).tolist()
        assert order.epoch(step) == plain.epoch(step)
        assert all(partner in RING[anchor, :2] for anchor, partner in zip(anchors, partners, strict=True))
        assert order.batch(step).tolist() == batch.tolist()


def test_every_neighbour_comes_and_epochs_draw_anew() -> None:
    order = NeighbourBatches(k=3).build(30, 60, 5, RING)
    partners = np.stack([dict(order.batch(epoch).reshape(-1, 2).tolist())[7] for epoch in range(60)])
    assert set(partners.tolist()) == {8, 6, 9}


def test_batches_across_the_border_of_epochs_draw_by_each_pair_s_own_epoch() -> None:
    whole, odd = (NeighbourBatches(k=3).build(30, size, 5, RING) for size in (60, 28))
    pairs = np.concatenate([odd.batch(step).reshape(-1, 2) for step in range(5)])[:60]
    assert pairs.tolist() == np.concatenate([whole.batch(0), whole.batch(1)]).reshape(-1, 2).tolist()


def test_without_neighbours_anyone_else_is_the_partner() -> None:
    alone = np.full((30, 3), -1)
    alone[4] = [5, -1, -1]
    order = NeighbourBatches(k=3).build(30, 60, 5, alone)
    for step in range(3):
        pairs = order.batch(step).reshape(-1, 2)
        assert (pairs[:, 0] != pairs[:, 1]).all()
        assert dict(pairs.tolist())[4] == 5


def test_what_does_not_fit_is_one_sentence() -> None:
    with pytest.raises(UsageError, match="batch_size 7 is odd"):
        NeighbourBatches().build(30, 7, 0, RING)
    with pytest.raises(UsageError, match=r"need a table of them; set mining\.graph\.path"):
        NeighbourBatches().build(30, 8, 0)
    with pytest.raises(UsageError, match="lower batch_size"):
        NeighbourBatches().build(30, 62, 0, RING)
