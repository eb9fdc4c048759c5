"""Label miners against loops; missing, constant and equal labels; never the same patient as a negative."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from hemometric.mining import (
    LabelMiner,
    LabelMinerConfig,
    LabelSelection,
    NPairMiner,
    SemihardMiner,
    SofthardMiner,
    draws,
)

CATALOGUE = [
    LabelMiner(tolerance_mmhg=3.0),
    NPairMiner(tolerance_mmhg=3.0),
    SemihardMiner(tolerance_mmhg=3.0, margin=1.0),
    SofthardMiner(tolerance_mmhg=3.0),
]
ALL = pytest.mark.parametrize(
    "miner", [config.build() for config in CATALOGUE], ids=[config.kind for config in CATALOGUE]
)

Batch = tuple[Tensor, list[str], list[str]]


def batch(seed: int, num: int = 30, *, missing: int = 6) -> Batch:
    rng = np.random.default_rng(seed)
    labels = torch.from_numpy(rng.normal(15.7, 8.1, num).round(1))
    labels[:missing] = torch.nan
    return labels, [f"{number:016x}" for number in rng.integers(0, 2**62, num)], [f"p{i // 2}" for i in range(num)]


def between(recording_ids: list[str]) -> Tensor:
    """Squared distances of embeddings that belong to the recordings, wherever they lie."""
    drawn = [[draws.index(1000, 0, 0, "z", axis, name) / 500 for axis in "xyz"] for name in recording_ids]
    z = torch.tensor(drawn, dtype=torch.float64).reshape(-1, 3)
    return ((z[:, None] - z[None, :]) ** 2).sum(-1)


def triplets(miner: LabelSelection, data: Batch, seed: int = 0, epoch: int = 0) -> list[tuple[int, ...]]:
    chosen = miner.select(*data, seed, epoch, between(data[1]) if miner.needs_distances else None)
    return list(zip(*(positions.tolist() for positions in chosen), strict=True))


def test_the_catalogue_holds_every_kind() -> None:
    members = get_args(get_args(LabelMinerConfig)[0])
    assert {type(config) for config in CATALOGUE} == set(members)


@ALL
@pytest.mark.parametrize("seed", range(6))
def test_alike_attract_unlike_of_another_patient_repel(miner: LabelSelection, seed: int) -> None:
    labels, _, patients = data = batch(seed)
    found = triplets(miner, data)
    value = labels.tolist()
    eligible = [
        a
        for a in range(30)
        if any(abs(value[a] - value[p]) <= 3 for p in range(30) if p != a)
        and any(abs(value[a] - value[n]) > 3 for n in range(30) if patients[n] != patients[a])
    ]
    assert [a for a, _, _ in found] == eligible
    assert len(found) > 10
    for a, p, n in found:
        assert a != p
        assert abs(value[a] - value[p]) <= 3 < abs(value[a] - value[n])
        assert patients[a] != patients[n]


@pytest.mark.parametrize("seed", range(6))
def test_label_takes_the_most_alike_and_the_most_unlike(seed: int) -> None:
    labels, _, patients = data = batch(seed)
    value = labels.tolist()
    for a, p, n in triplets(LabelMiner(tolerance_mmhg=3.0).build(), data):
        gaps = [abs(value[a] - other) for other in value]
        assert gaps[p] == min(gaps[j] for j in range(30) if j != a and gaps[j] == gaps[j])
        assert gaps[n] == max(gaps[j] for j in range(30) if patients[j] != patients[a] and gaps[j] == gaps[j])


def test_npair_takes_any_alike_and_any_unlike() -> None:
    labels = torch.tensor([10.0, 10.5, 11.0, 20.0, 30.0, 40.0])
    data = (labels, list("abcdef"), list("pqrstu"))
    miner = NPairMiner(tolerance_mmhg=2.0).build()
    found = {triplets(miner, data, epoch=epoch)[0] for epoch in range(200)}
    assert {(p, n) for _, p, n in found} == {(p, n) for p in (1, 2) for n in (3, 4, 5)}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("margin", [0.2, 2.0])
def test_semihard_against_a_loop(seed: int, margin: float) -> None:
    labels, ids, patients = data = batch(seed, 26)
    value, far = labels.tolist(), between(ids).tolist()
    miner = SemihardMiner(tolerance_mmhg=3.0, margin=margin).build()
    seen: dict[tuple[int, int], set[int]] = {}
    for epoch in range(120):
        for a, p, n in triplets(miner, data, epoch=epoch):
            seen.setdefault((a, p), set()).add(n)
    num_hard = 0
    for a in range(26):
        positives = [p for p in range(26) if p != a and abs(value[a] - value[p]) <= 3]
        negatives = [n for n in range(26) if patients[n] != patients[a] and abs(value[a] - value[n]) > 3]
        assert {p for anchor, p in seen if anchor == a} == (set(positives) if negatives else set())
        for p in positives if negatives else []:
            hard = {n for n in negatives if far[a][p] < far[a][n] < far[a][p] + margin}
            num_hard += bool(hard)
            assert seen[a, p] <= (hard or set(negatives))
    assert num_hard > 20


@pytest.mark.parametrize("seed", range(4))
def test_softhard_against_a_loop(seed: int) -> None:
    labels, ids, patients = data = batch(seed, 26)
    value, far = labels.tolist(), between(ids).tolist()
    miner = SofthardMiner(tolerance_mmhg=3.0).build()
    seen = [triplets(miner, data, epoch=epoch) for epoch in range(250)]
    num_chosen = 0
    for a in range(26):
        positives = [p for p in range(26) if p != a and abs(value[a] - value[p]) <= 3]
        negatives = [n for n in range(26) if patients[n] != patients[a] and abs(value[a] - value[n]) > 3]
        if not positives or not negatives:
            assert not any(anchor == a for found in seen for anchor, _, _ in found)
            continue
        nearest_negative, farthest_positive = min(far[a][n] for n in negatives), max(far[a][p] for p in positives)
        hard_positives = {p for p in positives if far[a][p] > nearest_negative} or set(positives)
        hard_negatives = {n for n in negatives if far[a][n] < farthest_positive} or set(negatives)
        num_chosen += hard_positives != set(positives) or hard_negatives != set(negatives)
        assert {p for found in seen for anchor, p, _ in found if anchor == a} == hard_positives
        assert {n for found in seen for anchor, _, n in found if anchor == a} == hard_negatives
    assert num_chosen > 10


def test_embeddings_that_are_not_numbers_choose_like_npair() -> None:
    data = batch(2)
    nothing = torch.full((30, 30), torch.nan)
    chosen = [
        miner.select(*data, 0, 0, nothing)
        for miner in (SemihardMiner(margin=1.0).build(), SofthardMiner().build(), NPairMiner().build())
    ]
    for found in chosen[:2]:
        assert all(torch.equal(one, other) for one, other in zip(found, chosen[2], strict=True))


def test_hard_miners_want_the_distances_between_embeddings() -> None:
    data = batch(2)
    for config in (SemihardMiner(), SofthardMiner()):
        with pytest.raises(ValueError, match=r"needs the distances between embeddings, \[30, 30\]; it got none"):
            config.build().select(*data, 0, 0)
        with pytest.raises(ValueError, match=r"some of shape \(29, 30\)"):
            config.build().select(*data, 0, 0, torch.zeros(29, 30))


def test_the_margin_is_the_losss_where_the_config_gives_none() -> None:
    data = batch(3)
    far = between(data[1])
    with_own, with_losss = SemihardMiner(margin=0.3).build(margin=9.0), SemihardMiner().build(margin=0.3)
    for one, other in zip(with_own.select(*data, 0, 0, far), with_losss.select(*data, 0, 0, far), strict=True):
        assert torch.equal(one, other)


@ALL
def test_the_order_of_the_batch_does_not_matter(miner: LabelSelection) -> None:
    labels, ids, patients = batch(1)
    labels = labels.round()  # many equals
    expected = {tuple(ids[i] for i in triplet) for triplet in triplets(miner, (labels, ids, patients))}
    order = np.random.default_rng(0).permutation(30)
    moved_ids = [ids[i] for i in order]
    moved = triplets(miner, (labels[torch.from_numpy(order)], moved_ids, [patients[i] for i in order]))
    assert {tuple(moved_ids[i] for i in triplet) for triplet in moved} == expected


@ALL
def test_labels_that_do_not_vary_or_are_missing_give_no_triplet(miner: LabelSelection) -> None:
    _, ids, patients = batch(0)
    for labels in (torch.full((30,), 12.0), torch.full((30,), torch.nan), 12 + 2.9 * torch.rand(30)):
        chosen = miner.select(labels, ids, patients, 0, 0, between(ids))
        assert all(positions.dtype == torch.int64 and positions.shape == (0,) for positions in chosen)


@ALL
def test_a_patients_other_visit_never_repels_even_where_it_is_the_only_unlike_one(miner: LabelSelection) -> None:
    labels = torch.tensor([10.0, 30.0, 10.0, 10.5])
    found = triplets(miner, (labels, list("abcd"), ["p", "p", "q", "r"]))
    assert all(anchor in (2, 3) and negative == 1 for anchor, _, negative in found)
    assert len(found) == 2


def test_equals_share_the_work() -> None:
    # With classes all alike are equally alike: the first by id must not be everyone's positive.
    num = 60
    labels = torch.tensor([0.0, 1.0]).repeat(num // 2)
    data = (labels, [f"{i:03d}" for i in range(num)], [f"p{i}" for i in range(num)])
    for config in CATALOGUE:
        found = triplets(config.build(tolerance=0.0, margin=1.0), data)
        assert len(found) == num
        assert all(labels[a] == labels[p] != labels[n] for a, p, n in found)
        assert len({p for _, p, _ in found}) > 25
        assert len({n for _, _, n in found}) > 25


def test_labels_must_fit_and_be_finite() -> None:
    miner = LabelMiner().build()
    with pytest.raises(ValueError, match=r"expected \[2\]"):
        miner.select(torch.zeros(2, 1), ["a", "b"], ["p", "q"], 0, 0)
    with pytest.raises(ValueError, match="infinite"):
        miner.select(torch.tensor([1.0, torch.inf]), ["a", "b"], ["p", "q"], 0, 0)
