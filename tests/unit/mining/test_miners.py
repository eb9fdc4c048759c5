"""Every miner of distances, over random batches: against loops, under every order, and never a published mistake."""

from __future__ import annotations

from collections import Counter
from typing import get_args

import numpy as np
import numpy.typing as npt
import pytest
import torch
from pytorch_metric_learning.losses import TripletMarginLoss

from hemometric.errors import UsageError
from hemometric.mining import (
    FarthestNegatives,
    GraphPositives,
    Mined,
    Miner,
    MinerConfig,
    NearestMiner,
    NegativesConfig,
    NeighbourGraph,
    PositivesConfig,
    RandomMiner,
    RandomNegatives,
    RandomOfNearestPositives,
    SemihardRankNegatives,
)
from hemometric.mining.pairs import pairs

Float32 = npt.NDArray[np.float32]

CATALOGUE = {
    "nearest random": NearestMiner(),
    "nearest farthest": NearestMiner(negatives=FarthestNegatives(k=2)),
    "nearest local": NearestMiner(scaling="local", scaling_neighbour=4),
    "nearest local farthest": NearestMiner(negatives=FarthestNegatives(k=3), scaling="local", scaling_neighbour=4),
    "near random": NearestMiner(positives=RandomOfNearestPositives(k=3)),
    "near semihard": NearestMiner(positives=RandomOfNearestPositives(k=2), negatives=SemihardRankNegatives(k=4)),
    "graph archive": NearestMiner(positives=GraphPositives(k=6), scaling="archive", scaling_neighbour=3),
    "random": RandomMiner(),
}


class Batch:
    """A batch with all that is awkward: several recordings of a patient, a recording twice, equal distances."""

    def __init__(self, seed: int, num: int = 24, *, ties: bool = False, copies: bool = True) -> None:
        rng = np.random.default_rng(seed)
        points = rng.integers(0, 3, (num, 2)) if ties else rng.normal(size=(num, 4))
        if copies:
            points[-1] = points[0]
        squared = ((points[:, None] - points[None, :]) ** 2).sum(-1).astype(np.float32)
        self.distances: Float32 = (squared + squared.T) / 2
        self.recording_ids = [f"{number:016x}" for number in rng.integers(0, 2**62, num)]
        self.patients = [f"p{i // 2}" for i in range(num)]
        if copies:
            self.recording_ids[-1] = self.recording_ids[0]
            self.patients[-1] = self.patients[0]

    def shuffled(self, seed: int) -> Batch:
        order = np.random.default_rng(seed).permutation(len(self.patients))
        other = object.__new__(Batch)
        other.distances = self.distances[np.ix_(order, order)]
        other.recording_ids = [self.recording_ids[i] for i in order]
        other.patients = [self.patients[i] for i in order]
        return other

    def select(self, miner: Miner, seed: int = 0, epoch: int = 0) -> Mined:
        return miner.select(self.distances, self.recording_ids, self.patients, seed, epoch)

    def by_id(self, mined: Mined) -> list[tuple[str, ...]]:
        return sorted(tuple(self.recording_ids[i] for i in triplet) for triplet in triplets(mined))


def triplets(mined: Mined) -> list[tuple[int, int, int]]:
    rows = zip(*(positions.tolist() for positions in mined.as_tuple()), strict=True)
    return [(int(a), int(p), int(n)) for a, p, n in rows]


def test_the_catalogue_holds_every_kind() -> None:
    kinds = {config.kind for config in CATALOGUE.values()}
    assert kinds == {member.model_fields["kind"].default for member in get_args(get_args(MinerConfig)[0])}
    nearest = [config for config in CATALOGUE.values() if isinstance(config, NearestMiner)]
    for union, shown in (
        (NegativesConfig, {config.negatives.kind for config in nearest}),
        (PositivesConfig, {config.positives.kind for config in nearest}),
    ):
        assert shown == {member.model_fields["kind"].default for member in get_args(get_args(union)[0])}
    scalings = get_args(NearestMiner.model_fields["scaling"].annotation)
    assert {config.scaling for config in nearest} == set(scalings)


def graph_of(recording_ids: list[str], num_neighbours: int = 8) -> NeighbourGraph:
    """A graph over recordings that have nothing in common but their names."""
    names = np.unique([name.encode() for name in recording_ids])
    rng = np.random.default_rng(0)
    ends = [
        rng.choice(np.delete(np.arange(len(names)), node), num_neighbours, replace=False) for node in range(len(names))
    ]
    distances = np.sort(rng.uniform(1, 9, (len(names), num_neighbours)), axis=1).astype(np.float32)
    starts = np.arange(len(names) + 1, dtype=np.int64) * num_neighbours
    return NeighbourGraph(names, starts, np.concatenate(ends).astype(np.int64), distances.ravel(), "somehow")


GRAPH = graph_of([name for seed in range(10) for name in Batch(seed).recording_ids])
ALL = pytest.mark.parametrize("miner", [config.build(GRAPH) for config in CATALOGUE.values()], ids=list(CATALOGUE))


@ALL
@pytest.mark.parametrize("seed", range(8))
def test_a_positive_is_another_recording_and_a_negative_another_patient(miner: Miner, seed: int) -> None:
    batch = Batch(seed, ties=seed % 2 == 1)
    found = triplets(batch.select(miner, seed=seed))
    assert [anchor for anchor, _, _ in found] == list(range(24))
    for anchor, positive, negative in found:
        assert batch.recording_ids[positive] != batch.recording_ids[anchor]
        assert batch.patients[negative] != batch.patients[anchor]
        assert batch.recording_ids[negative] not in (batch.recording_ids[anchor], batch.recording_ids[positive])


@ALL
@pytest.mark.parametrize("ties", [False, True])
def test_the_order_of_the_batch_does_not_matter(miner: Miner, ties: bool) -> None:
    batch = Batch(1, ties=ties)
    expected = batch.by_id(batch.select(miner))
    for seed in range(5):
        shuffled = batch.shuffled(seed)
        assert shuffled.by_id(shuffled.select(miner)) == expected


@ALL
def test_draws_repeat_within_an_epoch_and_change_between_epochs_and_seeds(miner: Miner) -> None:
    batch = Batch(2, num=64)
    first = triplets(batch.select(miner, seed=5, epoch=1))
    assert triplets(batch.select(miner, seed=5, epoch=1)) == first
    assert triplets(batch.select(miner, seed=5, epoch=2)) != first
    assert triplets(batch.select(miner, seed=6, epoch=1)) != first


@ALL
def test_a_batch_without_eligible_pairs_gives_no_triplet(miner: Miner) -> None:
    distances = np.ones((4, 4), np.float32)
    for recording_ids, patients in [
        (["a", "b", "c", "d"], ["p"] * 4),  # one patient
        (["a"] * 4, ["p"] * 4),  # one recording
        (["a", "a", "b", "b"], ["p", "p", "q", "q"]),  # the only other recording is the positive
    ]:
        mined = miner.select(distances, recording_ids, patients, 0, 0)
        assert mined.num_triplets == 0
        assert all(positions.dtype == torch.int64 and positions.shape == (0,) for positions in mined.as_tuple())
    assert miner.select(distances[:1, :1], ["a"], ["p"], 0, 0).num_triplets == 0
    assert miner.select(distances[:0, :0], [], [], 0, 0).num_triplets == 0


@ALL
def test_an_anchor_without_a_negative_gives_none_and_the_others_do(miner: Miner) -> None:
    # c's positive may be d or a; a and b, of one patient, find a negative in c or d only.
    mined = miner.select(np.ones((4, 4), np.float32), ["a", "b", "c", "d"], ["p", "p", "p", "q"], 0, 0)
    for anchor, _, negative in triplets(mined):
        assert (anchor < 3) == (negative == 3)


@ALL
def test_tuples_are_what_pytorch_metric_learning_takes(miner: Miner) -> None:
    mined = Batch(3).select(miner)
    assert all(positions.dtype == torch.int64 and positions.is_contiguous() for positions in mined.as_tuple())
    z = torch.randn(24, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    TripletMarginLoss()(z, indices_tuple=mined.as_tuple()).backward()
    assert z.grad is not None
    assert z.grad.abs().sum() > 0


@ALL
def test_masks_say_who_may_attract_and_who_may_repel(miner: Miner) -> None:
    batch = Batch(4)
    mined = batch.select(miner)
    for i in range(24):
        for j in range(24):
            assert bool(mined.valid[i, j]) == (batch.recording_ids[i] != batch.recording_ids[j])
            assert bool(mined.repels[i, j]) == (batch.patients[i] != batch.patients[j])
    assert mined.distances.dtype == torch.float32
    assert torch.equal(mined.distances, mined.distances.T)


@pytest.mark.parametrize("scaling", ["none", "local"])
@pytest.mark.parametrize("ties", [False, True])
def test_the_positive_is_the_nearest_by_a_loop_never_the_farthest(scaling: str, ties: bool) -> None:
    config = NearestMiner.model_validate({"scaling": scaling, "scaling_neighbour": 4})
    batch = Batch(5, ties=ties)
    mined = batch.select(config.build())
    distances = mined.distances.numpy()
    if scaling == "none":
        np.testing.assert_array_equal(distances, batch.distances)
    for anchor, positive, _ in triplets(mined):
        others = [j for j in range(24) if batch.recording_ids[j] != batch.recording_ids[anchor]]
        nearest = min(others, key=lambda j: (distances[anchor, j], batch.recording_ids[j]))
        assert batch.recording_ids[positive] == batch.recording_ids[nearest]
        assert distances[anchor, positive] < max(distances[anchor, j] for j in others)


def test_a_patients_other_recording_may_attract() -> None:
    distances = np.array([[0, 1, 9, 9], [1, 0, 9, 9], [9, 9, 0, 4], [9, 9, 4, 0]], np.float32)
    mined = NearestMiner().build().select(distances, ["a", "b", "c", "d"], ["p", "p", "q", "r"], 0, 0)
    assert mined.positives.tolist() == [1, 0, 3, 2]


def test_farthest_negatives_are_among_the_k_farthest_recordings_and_each_of_them_occurs() -> None:
    batch = Batch(6)
    miner = NearestMiner(negatives=FarthestNegatives(k=3)).build()
    seen: dict[int, set[str]] = {anchor: set() for anchor in range(24)}
    for epoch in range(60):
        mined = batch.select(miner, epoch=epoch)
        for anchor, positive, negative in triplets(mined):
            taken = (batch.recording_ids[anchor], batch.recording_ids[positive])
            eligible = [
                j
                for j in range(24)
                if batch.patients[j] != batch.patients[anchor]
                and batch.recording_ids[j] not in (*taken, *batch.recording_ids[:j])  # each recording once
            ]
            eligible.sort(key=lambda j: (-batch.distances[anchor, j], batch.recording_ids[j]))
            assert negative in eligible[:3]
            seen[anchor].add(batch.recording_ids[negative])
    assert min(len(ids) for ids in seen.values()) >= 2
    assert sum(len(ids) == 3 for ids in seen.values()) >= 20


@pytest.mark.parametrize("negatives", [FarthestNegatives(k=5), SemihardRankNegatives(skip=9, k=5)])
def test_fewer_candidates_than_k_are_enough(negatives: FarthestNegatives | SemihardRankNegatives) -> None:
    miner = NearestMiner(positives=RandomOfNearestPositives(k=5), negatives=negatives).build()
    mined = miner.select(np.ones((3, 3), np.float32), ["a", "b", "c"], ["p", "q", "r"], 0, 0)
    assert mined.num_triplets == 3


@pytest.mark.parametrize("ties", [False, True])
def test_random_positives_are_among_the_k_nearest_recordings_and_each_of_them_occurs(ties: bool) -> None:
    batch = Batch(6, ties=ties)
    miner = NearestMiner(positives=RandomOfNearestPositives(k=3)).build()
    seen: dict[int, set[str]] = {anchor: set() for anchor in range(24)}
    for epoch in range(60):
        for anchor, positive, _ in triplets(batch.select(miner, epoch=epoch)):
            seen[anchor].add(batch.recording_ids[positive])
    for anchor, positives in seen.items():
        others = {name: j for j, name in enumerate(batch.recording_ids) if name != batch.recording_ids[anchor]}
        nearest = sorted(others, key=lambda name: (batch.distances[anchor, others[name]], name))
        assert positives == set(nearest[:3])


@pytest.mark.parametrize("skip", [0, 3])
def test_semihard_negatives_are_ranked_behind_the_positive_after_those_left_out(skip: int) -> None:
    batch = Batch(6)
    miner = NearestMiner(negatives=SemihardRankNegatives(skip=skip, k=4)).build()
    seen: dict[int, set[str]] = {anchor: set() for anchor in range(24)}
    for epoch in range(80):
        for anchor, positive, negative in triplets(batch.select(miner, epoch=epoch)):
            assert batch.distances[anchor, negative] > batch.distances[anchor, positive]
            seen[anchor].add(batch.recording_ids[negative])
    for anchor, negatives in seen.items():
        nearest = min(
            (j for j in range(24) if batch.recording_ids[j] != batch.recording_ids[anchor]),
            key=lambda j: batch.distances[anchor, j],
        )
        behind = {
            batch.recording_ids[j]
            for j in range(24)
            if batch.patients[j] != batch.patients[anchor]
            and batch.distances[anchor, j] > batch.distances[anchor, nearest]
        }
        ranked = sorted(behind, key=lambda name: batch.distances[anchor, batch.recording_ids.index(name)])
        assert negatives == set(ranked[skip : skip + 4])


def test_with_few_behind_the_positive_fewer_are_left_out_and_with_none_the_farthest_remain() -> None:
    # Anchor a; its positive is forced by patients and distances below.
    distances = np.abs(np.subtract.outer(np.arange(6), np.arange(6))).astype(np.float32)
    pick = SemihardRankNegatives(skip=3, k=2).build().pick
    everyone = np.arange(1, 6)
    chosen = {pick(distances[0], np.delete(everyone, 1), 2, 0, epoch, "a") for epoch in range(40)}
    assert chosen == {4, 5}  # three are behind the positive 2: one is left out, not three
    chosen = {pick(distances[0], everyone[:-1], 5, 0, epoch, "a") for epoch in range(40)}
    assert chosen == {3, 4}


def test_duplicates_of_one_ecg_neither_attract_nor_repel_each_other_nor_the_positive() -> None:
    # b is a copy of a under another name and patient; c is the positive of both, d a copy of c.
    distances = np.array(
        [[0, 0, 1, 1, 4], [0, 0, 1, 1, 4], [1, 1, 0, 0, 9], [1, 1, 0, 0, 9], [4, 4, 9, 9, 0]], np.float32
    )
    ids, groups = list("abcde"), ["x", "x", "y", "y", "z"]
    for config in CATALOGUE.values():
        mined = config.build(GRAPH).select(distances, ids, ids, 0, 0, duplicate_groups=groups)
        assert mined.num_triplets == 5
        for anchor, positive, negative in triplets(mined):
            assert len({groups[anchor], groups[positive], groups[negative]}) == 3
        assert not mined.valid[0, 1]
        assert not mined.repels[2, 3]
    assert triplets(NearestMiner().build().select(distances, ids, ids, 0, 0))[0][:2] == (0, 1)


@ALL
def test_who_is_absent_is_in_no_triplet_and_no_pair(miner: Miner) -> None:
    batch = Batch(2)
    present = np.arange(24) % 5 != 2
    distances = batch.distances.copy()
    distances[~present] = distances[:, ~present] = 0.0  # as near as can be
    mined = miner.select(distances, batch.recording_ids, batch.patients, 0, 0, present=present)
    assert sorted(mined.anchors.tolist()) == np.flatnonzero(present).tolist()
    assert all(present[list(triplet)].all() for triplet in triplets(mined))
    for pairs_of in (mined.valid, mined.repels):
        assert not pairs_of[~present].any()
        assert not pairs_of[:, ~present].any()
    nobody = miner.select(distances, batch.recording_ids, batch.patients, 0, 0, present=np.zeros(24, dtype=bool))
    assert nobody.num_triplets == 0


def test_positives_come_from_the_graph_where_its_neighbours_sit_in_the_batch() -> None:
    batch = Batch(3)
    miner = NearestMiner(positives=GraphPositives(k=2)).build(GRAPH)
    seen: dict[int, set[str]] = {anchor: set() for anchor in range(24)}
    for epoch in range(40):
        mined = batch.select(miner, epoch=epoch)
        for anchor, positive, _ in triplets(mined):
            seen[anchor].add(batch.recording_ids[positive])
    plain = {anchor: positive for anchor, positive, _ in triplets(batch.select(NearestMiner().build()))}
    num_fallbacks = 0
    for anchor, name in enumerate(batch.recording_ids):
        first = [GRAPH.names[node].decode() for node in GRAPH.neighbours(int(GRAPH.nodes([name])[0]), 2)]
        here = set(first) & set(batch.recording_ids)
        num_fallbacks += not here
        assert seen[anchor] == (here or {batch.recording_ids[plain[anchor]]})
    assert mined.fallbacks == {"graph": num_fallbacks}
    assert 0 < num_fallbacks < 24


def test_a_graph_of_strangers_is_the_nearest_of_the_batch_and_counted() -> None:
    batch = Batch(3)
    strangers = graph_of([f"x{i}" for i in range(20)])
    mined = batch.select(NearestMiner(positives=GraphPositives(), scaling="archive").build(strangers))
    plain = batch.select(NearestMiner(scaling="local").build())
    assert mined.fallbacks == {"graph": 24, "scale": 24}
    assert triplets(mined) == triplets(plain)
    assert torch.equal(mined.distances, plain.distances)
    assert plain.fallbacks == {}


def test_what_wants_a_graph_says_so() -> None:
    for config in (NearestMiner(positives=GraphPositives()), NearestMiner(scaling="archive")):
        assert config.wants_graph
        with pytest.raises(UsageError, match=r"set mining\.graph\.path"):
            config.build()


def test_random_negatives_are_uniform_over_the_rest() -> None:
    batch = Batch(7, num=10, copies=False)
    miner = NearestMiner(negatives=RandomNegatives()).build()
    counts: Counter[int] = Counter()
    for epoch in range(700):
        mined = batch.select(miner, epoch=epoch)
        counts[int(mined.negatives[0])] += 1
    positive = int(mined.positives[0])
    expected = set(range(2, 10)) - {positive}
    assert set(counts) == expected
    each = 700 / len(expected)
    assert sum((count - each) ** 2 / each for count in counts.values()) < 24.4  # 7 degrees of freedom, p = .001


def test_a_recording_that_stands_twice_has_no_better_chances() -> None:
    ids = ["a", "b", "c", "c", "c", "d"]
    distances = np.array([[abs(i - j) + 1.0 for j in range(6)] for i in range(6)], np.float32)
    drawn: Counter[str] = Counter()
    for epoch in range(600):
        mined = NearestMiner().build().select(distances, ids, ids, 0, epoch)
        assert ids[int(mined.positives[0])] == "b"
        drawn[ids[int(mined.negatives[0])]] += 1
    assert set(drawn) == {"c", "d"}
    assert abs(drawn["c"] - 300) < 82  # p = .001


def test_the_random_miner_neither_needs_nor_reads_distances() -> None:
    batch = Batch(8)
    miner = RandomMiner().build()
    assert not miner.needs_distances
    assert NearestMiner().build().needs_distances
    with_distances = batch.select(miner)
    nothing = np.full_like(batch.distances, np.nan)
    without = miner.select(nothing, batch.recording_ids, batch.patients, 0, 0)
    assert triplets(with_distances) == triplets(without)
    assert torch.equal(with_distances.distances, without.distances)
    positives = {int(batch.select(miner, epoch=epoch).positives[0]) for epoch in range(300)}
    assert positives == set(range(1, 23))


@pytest.mark.parametrize(
    ("distances", "message"),
    [
        (np.zeros((3, 4), np.float32), r"\[3, 3\]"),
        (np.zeros((2, 2), np.float32), r"\[3, 3\]"),
        (np.full((3, 3), np.nan, np.float32), "finite"),
        (np.full((3, 3), np.inf, np.float32), "finite"),
        (np.full((3, 3), -1, np.float32), "not negative"),
    ],
)
def test_what_is_no_matrix_of_distances_is_refused(distances: Float32, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NearestMiner().build().select(distances, ["a", "b", "c"], ["p", "q", "r"], 0, 0)


def test_one_patient_and_one_group_for_each_recording() -> None:
    with pytest.raises(ValueError, match="3 recording ids but 2 patients"):
        pairs(["a", "b", "c"], ["p", "q"])
    with pytest.raises(ValueError, match="3 recording ids but 2 groups"):
        pairs(["a", "b", "c"], ["p", "q", "r"], ["x", "y"])
    with pytest.raises(ValueError, match="3 recording ids but 1 signs of presence"):
        pairs(["a", "b", "c"], ["p", "q", "r"], present=np.array([True]))


def test_a_batch_too_small_for_its_scale_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    miner = NearestMiner(scaling="local").build()
    for seed in range(3):
        Batch(seed, num=8).select(miner)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "only 7 others" in caplog.text


def test_mined_moves_as_a_whole() -> None:
    mined = Batch(9).select(NearestMiner().build())
    moved = mined.to("meta")
    tensors = (*moved.as_tuple(), moved.distances, moved.valid, moved.repels)
    assert all(tensor.device.type == "meta" for tensor in tensors)
