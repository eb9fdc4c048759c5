"""The relative loss against a double loop, its gradient against differences, and where careless sums break."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from hemometric.mining import Mined, NearestMiner
from hemometric.objectives import RelativeObjective


def batch(seed: int = 0, num: int = 12, *, ties: bool = False) -> Mined:
    """A batch with two recordings a patient and one recording twice, its distances many times equal or never."""
    rng = np.random.default_rng(seed)
    points = rng.integers(0, 3, (num, 2)) if ties else rng.normal(size=(num, 3))
    points[-1] = points[0]
    distances = ((points[:, None] - points[None, :]) ** 2).sum(-1).astype(np.float32)
    ids = [f"r{i}" for i in range(num - 1)] + ["r0"]
    patients = [f"p{i // 2}" for i in range(num - 1)] + ["p0"]
    return NearestMiner().build().select((distances + distances.T) / 2, ids, patients, 0, 0)


def embeddings(num: int = 12, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(num, 4, generator=generator, dtype=torch.float64).requires_grad_()


def by_loop(z: Tensor, mined: Mined, temperature: float) -> float:
    rows = [[value / math.hypot(*row) for value in row] for row in z.tolist()]
    num = len(rows)
    distances, valid, repels = mined.distances.tolist(), mined.valid.tolist(), mined.repels.tolist()

    def similarity(i: int, j: int) -> float:
        return sum(x * y for x, y in zip(rows[i], rows[j], strict=True)) / temperature

    terms = []
    for i in range(num):
        for j in range(num):
            if not valid[i][j]:
                continue
            farther = [similarity(i, k) for k in range(num) if repels[i][k] and distances[i][k] > distances[i][j]]
            if not farther:
                continue
            own = similarity(i, j)
            top = max([own, *farther])
            terms.append(top + math.log(math.exp(own - top) + sum(math.exp(s - top) for s in farther)) - own)
    return sum(terms) / len(terms)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("temperature", [1.0, 0.1, 0.003])
@pytest.mark.parametrize("seed", range(3))
def test_equals_a_double_loop(ties: bool, temperature: float, seed: int) -> None:
    mined, z = batch(seed, ties=ties), embeddings(seed=seed)
    loss, _ = RelativeObjective(temperature=temperature).build()(z, mined)
    assert loss.item() == pytest.approx(by_loop(z, mined, temperature), rel=1e-9)


def test_by_hand_the_nearer_attracts_and_only_the_farther_repels() -> None:
    pairs = ~torch.eye(3, dtype=torch.bool)
    distances = torch.tensor([[0.0, 1.0, 2.0], [1.0, 0.0, 1.0], [2.0, 1.0, 0.0]])
    none = torch.zeros(0, dtype=torch.int64)
    mined = Mined(none, none, none, distances, pairs, pairs, tuple("abc"))
    z = torch.tensor([[1.0, 0.0], [0.6, 0.8], [-1.0, 0.0]], requires_grad=True)
    loss, parts = RelativeObjective(temperature=1.0).build()(z, mined)
    # Anchor 0: to 1 (cosine .6) against 2 (-1); anchor 2: to 1 (-.6) against 0 (-1); anchor 1 has equals, none farther.
    assert loss.item() == pytest.approx((math.log1p(math.exp(-1.6)) + math.log1p(math.exp(-0.4))) / 2)
    assert float(parts["num_terms"]) == 2
    assert float(parts["nearest_similarity"]) == pytest.approx((0.6 + 0.6 - 0.6) / 3)
    assert float(parts["mean_similarity"]) == pytest.approx(-1 / 3)


@pytest.mark.parametrize("ties", [False, True])
def test_gradient_equals_differences(ties: bool) -> None:
    mined = batch(1, num=7, ties=ties)
    objective = RelativeObjective(temperature=0.3).build()
    assert torch.autograd.gradcheck(lambda z: objective(z, mined)[0], (embeddings(7),))


@pytest.mark.parametrize("temperature", [0.5, 0.05, 0.005])
def test_float32_stays_finite_and_close_at_any_temperature(temperature: float) -> None:
    mined, z = batch(2, num=64), embeddings(64)
    objective = RelativeObjective(temperature=temperature).build()
    exact = objective(z, mined)[0]
    (exact_gradient,) = torch.autograd.grad(exact, z)
    single = z.detach().float().requires_grad_()
    loss = objective(single, mined)[0]
    (gradient,) = torch.autograd.grad(loss, single)
    assert loss.item() == pytest.approx(exact.item(), rel=1e-4)
    assert torch.isfinite(gradient).all()
    torch.testing.assert_close(
        gradient.double(), exact_gradient, rtol=1e-2, atol=1e-3 * float(exact_gradient.abs().max())
    )


def test_a_batch_sorted_by_distance_scores_better_than_one_sorted_against_it() -> None:
    angle = torch.linspace(0, 1.2, 8, dtype=torch.float64)
    z = torch.stack([angle.cos(), angle.sin()], dim=1)
    distances = (angle[:, None] - angle[None, :]).square().float()
    pairs = ~torch.eye(8, dtype=torch.bool)
    none = torch.zeros(0, dtype=torch.int64)
    right = Mined(none, none, none, distances, pairs, pairs, tuple("abcdefgh"))
    wrong = replace(right, distances=distances.max() - distances)
    objective = RelativeObjective().build()
    assert objective(z, right)[0].item() < objective(z, wrong)[0].item() - 1


def test_a_patients_other_recording_is_never_pushed_away() -> None:
    # 0 and 1 are of one patient, and 1 is the farther one: were it a negative, moving it would change anchor 0's terms.
    distances = torch.tensor([[0.0, 9.0, 1.0], [9.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
    valid = ~torch.eye(3, dtype=torch.bool)
    repels = valid.clone()
    repels[0, 1] = repels[1, 0] = False
    none = torch.zeros(0, dtype=torch.int64)
    z = embeddings(3)
    loss, parts = RelativeObjective().build()(z, Mined(none, none, none, distances, valid, repels, tuple("abc")))
    assert loss.item() == 0
    assert float(parts["num_terms"]) == 0


def test_copies_of_a_recording_take_no_part_for_each_other() -> None:
    mined = batch(3)  # rows 0 and 11 are one recording
    objective = RelativeObjective().build()
    weights = torch.autograd.functional.jacobian(lambda z: objective(z, mined)[0], embeddings())
    # Were the copy at distance 0 taken as the nearest positive, the mean would have more terms.
    assert float(objective(embeddings(), mined)[1]["num_terms"]) == sum(
        bool(((mined.distances[i] > mined.distances[i, j]) & mined.repels[i]).any())
        for i in range(12)
        for j in range(12)
        if mined.valid[i, j]
    )
    assert torch.isfinite(weights).all()


def test_without_pairs_the_loss_is_zero_with_a_gradient_of_zero() -> None:
    nothing = torch.zeros(4, 4, dtype=torch.bool)
    none = torch.zeros(0, dtype=torch.int64)
    z = embeddings(4)
    mined = Mined(none, none, none, torch.zeros(4, 4), nothing, nothing, tuple("abcd"))
    loss, parts = RelativeObjective().build()(z, mined)
    loss.backward()
    assert loss.item() == 0
    assert z.grad is not None
    assert float(z.grad.abs().sum()) == 0
    assert all(math.isfinite(float(value)) for value in parts.values())


def test_embeddings_and_distances_must_fit() -> None:
    with pytest.raises(ValueError, match=r"expected \[12, dim\]"):
        RelativeObjective().build()(embeddings(11), batch())
