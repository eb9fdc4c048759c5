"""Each class of the label has the same share of every batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from hemometric.batches import LabelBatches, Roster
from hemometric.errors import UsageError

Archive = Callable[..., Roster]


def labelled(*values: float) -> Roster:
    return Roster(patients=np.arange(len(values)), targets=np.array(values, dtype=np.float32))


def slow_class(value: float, edges: list[float]) -> int:
    return sum(value > edge for edge in edges)


@pytest.mark.parametrize(("num", "size", "seed"), [(60, 6, 0), (200, 8, 1), (500, 64, 2**63 + 1)])
@pytest.mark.parametrize("edges", [[18.0], [12.0, 18.0], [5.0, 10.0, 15.0, 20.0]])
def test_every_batch_holds_every_class_equally_often(
    archive: Archive, num: int, size: int, seed: int, edges: list[float]
) -> None:
    roster = archive(seed % 7, num)
    targets = roster.targets
    assert targets is not None
    order = LabelBatches(edges=tuple(edges)).build(roster, size, seed)
    num_classes = len(edges) + 1
    of = {c: [n for n in range(num) if slow_class(targets[n], edges) == c] for c in range(num_classes)}
    of[0] = [n for n in of[0] if np.isfinite(targets[n])]
    drawn = [order.batch(step) for step in range(10 * num_classes)]
    for batch in drawn:
        counts = Counter(slow_class(targets[n], edges) for n in batch)
        assert all(counts[c] in (size // num_classes, -(-size // num_classes)) for c in of)
        for members in of.values():  # in turn: as different as they can be, but for where a sequence begins anew
            times = Counter(n for n in batch.tolist() if n in members)
            assert max(times.values()) <= size // num_classes // len(members) + 2
    for start in range(0, len(drawn), num_classes):
        some = np.concatenate(drawn[start : start + num_classes])
        assert {sum(n in of[c] for n in some.tolist()) for c in of} == {size}
    for members in of.values():  # all of a class before one comes again
        times = Counter(n for n in np.concatenate(drawn).tolist() if n in members)
        assert max(times.values()) - min(times[n] for n in members) <= 1
    num_missing = int(np.isnan(targets).sum())
    assert order.left_out == {"no_label": num_missing}
    assert [order.epoch(step) for step in range(30)] == [step * size // (num - num_missing) for step in range(30)]


def test_ranks_do_not_share_classes_out_among_them() -> None:
    roster = labelled(*[0.0] * 50, *[1.0] * 50)
    order = LabelBatches().build(roster, 8, 0)
    of_rank_0 = np.concatenate([order.batch(step)[::2] for step in range(100)]) >= 50
    assert 140 < of_rank_0.sum() < 260  # of 400


def test_without_a_cut_each_value_is_a_class_and_rare_ones_repeat() -> None:
    roster = labelled(*[0.0] * 97, 1.0, 1.0, 2.0)
    order = LabelBatches().build(roster, 12, 3)
    for step in range(20):
        batch = order.batch(step)
        assert Counter(batch.tolist())[99] == 4
        assert sorted(batch[(batch == 97) | (batch == 98)].tolist()) == [97, 97, 98, 98]
        assert len(set(batch[batch < 97].tolist())) == 4


@pytest.mark.parametrize("num", [2, 3, 5, 10])
def test_quantiles_hold_about_equally_many(num: int) -> None:
    rng = np.random.default_rng(num)
    values = rng.gamma(2, 7, 103).astype(np.float32)
    order = LabelBatches(num_quantiles=num).build(labelled(*values.tolist()), 20, 0)
    sizes = order.classes.sizes
    assert len(sizes) == num
    assert sizes.max() - sizes.min() <= 1
    ranks = np.argsort(np.argsort(values))
    of = np.repeat(np.arange(num), sizes)
    highest = [ranks[order.classes.recordings[of == c]].max() for c in range(num)]
    assert highest == [int(np.ceil(103 * (c + 1) / num)) - 1 for c in range(num)]


def test_a_value_at_an_edge_lies_below_it_also_where_float32_rounds() -> None:
    order = LabelBatches(edges=(18.1,)).build(labelled(18.1, 18.2, 18.0, 18.3), 2, 0)
    assert order.classes.recordings.tolist() == [0, 2, 1, 3]
    assert order.classes.sizes.tolist() == [2, 2]


def test_what_does_not_fit_is_one_sentence() -> None:
    with pytest.raises(UsageError, match="need a label, and pretraining has none; take another kind"):
        LabelBatches().build(Roster(patients=np.arange(9)), 4, 0)
    with pytest.raises(UsageError, match="batch_size 4: only 3 recordings carry the label; lower it"):
        LabelBatches().build(labelled(1, 2, 3, np.nan, np.nan), 4, 0)
    with pytest.raises(UsageError, match="batch_size 4: only 0 recordings carry"):
        LabelBatches(num_quantiles=3).build(labelled(np.nan, np.nan), 4, 0)
    with pytest.raises(UsageError, match="need two classes, and all labels lie in one; set"):
        LabelBatches().build(labelled(1, 1, 1, 1), 4, 0)
    with pytest.raises(UsageError, match=r"batch_size 4 .* each of the label's 6 classes; set batches\.edges or"):
        LabelBatches().build(labelled(1, 2, 3, 4, 5, 6), 4, 0)
    with pytest.raises(UsageError, match=r"batches\.edges: of its 3 classes, 1 hold no recording; take fewer"):
        LabelBatches(edges=(2, 2.5)).build(labelled(1, 2, 3, 4), 4, 0)
    with pytest.raises(UsageError, match=r"batches\.num_quantiles: of its 4 classes, 2 hold no recording"):
        LabelBatches(num_quantiles=4).build(labelled(1, 1, 1, 4), 4, 0)
