"""Each recording is an anchor once an epoch, beside one of its neighbours; pure in (seed, step)."""

import numpy as np
import numpy.typing as npt
import pytest

from hemometric.batches import NeighbourBatches, RandomBatches, Roster
from hemometric.errors import UsageError

RING = np.stack([(np.arange(30) + offset) % 30 for offset in (1, -1, 2)], axis=1)
"""Recording i's neighbours are i + 1, i - 1, i + 2."""


def known(neighbours: npt.NDArray[np.int64] | None = RING) -> Roster:
    return Roster(patients=np.arange(30), neighbours=neighbours)


@pytest.mark.parametrize(("batch_size", "seed"), [(2, 0), (8, 1), (60, 2), (14, 2**64 - 1)])
def test_anchors_are_one_permutation_and_partners_their_neighbours(batch_size: int, seed: int) -> None:
    order = NeighbourBatches(k=2).build(known(), batch_size, seed)
    plain = RandomBatches().build(known(), batch_size // 2, seed)
    for step in range(order.num_steps(2)):
        batch = order.batch(step)
        anchors, partners = batch[::2], batch[1::2]
        assert anchors.tolist() == plain.batch(step).tolist()
        assert order.epoch(step) == plain.epoch(step)
        assert all(partner in RING[anchor, :2] for anchor, partner in zip(anchors, partners, strict=True))
        assert order.batch(step).tolist() == batch.tolist()


def test_every_neighbour_comes_and_epochs_draw_anew() -> None:
    order = NeighbourBatches(k=3).build(known(), 60, 5)
    partners = np.stack([dict(order.batch(epoch).reshape(-1, 2).tolist())[7] for epoch in range(60)])
    assert set(partners.tolist()) == {8, 6, 9}


def test_batches_across_the_border_of_epochs_draw_by_each_pair_s_own_epoch() -> None:
    whole, odd = (NeighbourBatches(k=3).build(known(), size, 5) for size in (60, 28))
    pairs = np.concatenate([odd.batch(step).reshape(-1, 2) for step in range(5)])[:60]
    assert pairs.tolist() == np.concatenate([whole.batch(0), whole.batch(1)]).reshape(-1, 2).tolist()


def test_without_neighbours_anyone_else_is_the_partner() -> None:
    alone = np.full((30, 3), -1)
    alone[4] = [5, -1, -1]
    order = NeighbourBatches(k=3).build(known(alone), 60, 5)
    for step in range(3):
        pairs = order.batch(step).reshape(-1, 2)
        assert (pairs[:, 0] != pairs[:, 1]).all()
        assert dict(pairs.tolist())[4] == 5


def test_what_does_not_fit_is_one_sentence() -> None:
    with pytest.raises(UsageError, match="batch_size 7 is odd"):
        NeighbourBatches().build(known(), 7, 0)
    with pytest.raises(UsageError, match=r"need a table of them; set mining\.graph\.path"):
        NeighbourBatches().build(known(None), 8, 0)
    with pytest.raises(UsageError, match="lower batch_size"):
        NeighbourBatches().build(known(), 62, 0)
