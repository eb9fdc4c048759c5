"""Two-rate mining: the nearest is that of the fine rate, the rest keeps its place, and only candidates are measured."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from hemometric.config import decode
from hemometric.distances import DtwDistance
from hemometric.ecg import INDEPENDENT_LEADS, LEADS
from hemometric.errors import UsageError
from hemometric.mining import MiningConfig, NearestMiner, RefineConfig, WholeRecord
from hemometric.mining.pairs import Int64, Pairs, pairs
from hemometric.mining.refinement import reordered

Float32 = npt.NDArray[np.float32]


class Measuring:
    """Fine distances from a matrix, and who was asked for."""

    def __init__(self, fine: Float32, num_candidates: int) -> None:
        self.fine = fine
        self.num_candidates = num_candidates
        self.asked: list[Int64] = []

    def __call__(self, candidates: Int64) -> Float32:
        self.asked.append(candidates)
        rows = np.arange(len(candidates))[:, None]
        return np.where(candidates >= 0, self.fine[rows, candidates], np.inf).astype(np.float32)


def symmetric(rng: np.random.Generator, num: int) -> Float32:
    square = rng.uniform(1, 9, (num, num)).astype(np.float32)
    square = square + square.T
    np.fill_diagonal(square, 0)
    return square


def batch(num: int = 14) -> tuple[Float32, Float32, list[str], Pairs]:
    """Coarse and fine distances that have little in common; the last position is a copy of the first."""
    rng = np.random.default_rng(1)
    source = np.r_[np.arange(num - 1), 0]
    coarse, fine = (symmetric(rng, num)[np.ix_(source, source)] for _ in range(2))
    ids = [f"r{i * 5 % 17:02d}" for i in source]
    return coarse, fine, ids, pairs(ids, [f"p{i // 2}" for i in source])


@pytest.mark.parametrize("with_scales", [False, True])
@pytest.mark.parametrize("num_candidates", [1, 4, 12, 40])
def test_candidates_exchange_their_places_and_nobody_else_moves(with_scales: bool, num_candidates: int) -> None:
    coarse, fine, ids, eligible = batch()
    scales = np.random.default_rng(2).uniform(1, 5, 14) if with_scales else None
    if scales is not None:
        scales[-1] = scales[0]
    measure = Measuring(fine, num_candidates)
    found = reordered(coarse, eligible, scales, measure)
    assert len(measure.asked) == 1
    for anchor in range(14):
        others = [j for j in range(13) if ids[j] != ids[anchor]]
        ranked = sorted(others, key=lambda j: coarse[anchor, j])
        top, rest = ranked[:num_candidates], ranked[num_candidates:]
        assert {ids[j] for j in measure.asked[0][anchor] if j >= 0} == {ids[j] for j in top}
        weight = np.ones(14) if scales is None else 1 / np.sqrt(scales)
        top.sort(key=lambda j: fine[anchor, j] * weight[j])
        assert sorted(others, key=lambda j: found[anchor, j]) == [*top, *rest]
        np.testing.assert_array_equal(np.sort(found[anchor, others]), np.sort(coarse[anchor, others]))
        np.testing.assert_array_equal(found[anchor, rest], coarse[anchor, rest])
    np.testing.assert_array_equal(found[:, 0], found[:, -1])
    np.testing.assert_array_equal(found[0], found[-1])


def test_equal_coarse_distances_still_show_the_fine_order() -> None:
    coarse = np.full((5, 5), 2, np.float32)
    fine = symmetric(np.random.default_rng(0), 5)
    ids = list("abcde")
    found = reordered(coarse, pairs(ids, ids), None, Measuring(fine, 4))
    for anchor in range(5):
        others = [j for j in range(5) if j != anchor]
        order = sorted(others, key=lambda j: fine[anchor, j])
        assert sorted(others, key=lambda j: found[anchor, j]) == order
        assert len(set(found[anchor, others])) == 4
    np.testing.assert_allclose(found, coarse, rtol=1e-6)


def test_candidates_stay_nearer_than_others_that_were_equally_far() -> None:
    coarse = np.full((6, 6), 2, np.float32)
    np.fill_diagonal(coarse, 0)
    ids = list("abcdef")
    measure = Measuring(symmetric(np.random.default_rng(0), 6), 3)
    found = reordered(coarse, pairs(ids, ids), None, measure)
    for anchor, candidates in enumerate(measure.asked[0]):
        others = sorted({*range(6)} - {anchor, *candidates.tolist()})
        assert found[anchor, candidates].max() < found[anchor, others].min()
    assert (np.diag(found) == 0).all()


def test_without_other_recordings_nothing_is_asked() -> None:
    for ids in (["a"], ["a", "a"], []):
        square = np.zeros((len(ids), len(ids)), np.float32)
        measure = Measuring(square, 3)
        assert (reordered(square, pairs(ids, ids), None, measure) == 0).all()
        assert (measure.asked[0] == -1).all()


@pytest.mark.parametrize("scaling", ["none", "local"])
def test_the_positive_is_the_nearest_at_the_fine_rate(scaling: str) -> None:
    # Signals that differ only above 10 Hz look alike at 20 Hz, whose order is then another.
    rng = np.random.default_rng(0)
    slow = np.repeat(rng.normal(size=(12, 8, 10)).cumsum(axis=2), 20, axis=2)
    signals = (slow + 2 * rng.normal(size=(12, 8, 200))).astype(np.float32)
    ids = [f"r{i:02d}" for i in range(12)]
    distance = DtwDistance(window=0.1)
    miner = NearestMiner.model_validate({"scaling": scaling, "scaling_neighbour": 4})
    config = MiningConfig(
        compared=WholeRecord(rate_hz=20),
        distance=distance,
        miner=miner,
        refine=RefineConfig(compared=WholeRecord(rate_hz=100), candidates=11),
        threads=1,
    )
    assert distance.build().pairwise(signals).shape == (12, 12)
    work = config.build(rate_hz=100, leads=INDEPENDENT_LEADS, seed=0)
    work.warm_up()
    mined = work.mine(signals, np.arange(12), ids, ids, 0)
    coarse = config.model_copy(update={"refine": None}).build(rate_hz=100, leads=INDEPENDENT_LEADS, seed=0)
    only_coarse = coarse.mine(signals, np.arange(12), ids, ids, 0)
    fine = distance.build().pairwise(signals, threads=1)
    if scaling == "local":
        at_20 = WholeRecord(rate_hz=20).build()(signals, 100, INDEPENDENT_LEADS)
        scales = np.sort(distance.build().pairwise(at_20, threads=1), axis=1)[:, 4]
        fine = fine / np.sqrt(scales[:, None] * scales)
    np.fill_diagonal(fine, np.inf)
    assert mined.positives.tolist() == fine.argmin(axis=1).tolist()
    assert mined.positives.tolist() != only_coarse.positives.tolist()
    # With every other recording a candidate, the whole ranking is that of the fine rate.
    found = mined.distances.numpy().copy()
    np.fill_diagonal(found, np.inf)
    np.testing.assert_array_equal(found.argsort(axis=1), fine.argsort(axis=1))


def test_what_cannot_be_refined_is_said() -> None:
    refine = {"compared": {"kind": "whole", "rate_hz": 500}, "candidates": 4}
    with pytest.raises(UsageError, match="leave refine out"):
        decode(MiningConfig, {"miner": {"kind": "random"}, "refine": refine})
    with pytest.raises(UsageError, match=r"give distance\.window as a fraction"):
        decode(MiningConfig, {"distance": {"kind": "dtw", "window": 10}, "refine": refine})
    with pytest.raises(UsageError, match=r"set mining\.refine\.compared\.rate_hz to 250"):
        decode(MiningConfig, {"refine": refine}).build(rate_hz=250, leads=LEADS, seed=0).warm_up()


def test_fewer_candidates_than_positives_are_drawn_from_are_refused() -> None:
    data = {
        "refine": {"compared": {"kind": "whole", "rate_hz": 250}, "candidates": 4},
        "miner": {"kind": "nearest", "positives": {"kind": "random_of_nearest", "k": 5}},
    }
    with pytest.raises(
        UsageError,
        match=r"mining\.refine\.candidates is 4, fewer than the mining\.miner\.positives\.k = 5 nearest .*; set "
        r"the first to 5 or more, or the second to 4 or less$",
    ):
        decode(MiningConfig, data)
    assert decode(MiningConfig, data, ["miner.positives.k=4"]).refine is not None
    assert decode(MiningConfig, data, ["miner.positives={kind: graph, k: 5}", "graph={path: a}"]).refine is not None
