"""The library's triplet and margin losses as we use them, against loops over explicit triplets."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from hemometric.mining import Mined
from hemometric.objectives import MarginObjective, TripletObjective

TRIPLETS = [(0, 1, 2), (1, 0, 3), (2, 4, 0), (3, 5, 1), (0, 5, 4), (5, 5, 5)]


def embeddings(seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (0.4 * torch.randn(6, 3, generator=generator, dtype=torch.float64)).requires_grad_()


def mined(triplets: list[tuple[int, int, int]], num: int = 6) -> Mined:
    columns = torch.tensor(triplets, dtype=torch.int64).reshape(-1, 3)
    pairs = ~torch.eye(num, dtype=torch.bool)
    return Mined(
        columns[:, 0], columns[:, 1], columns[:, 2], torch.zeros(num, num), pairs, pairs, tuple("abcdef"[:num])
    )


def distance(a: Tensor, b: Tensor, *, squared: bool, normalised: bool) -> float:
    x, y = a.tolist(), b.tolist()
    if normalised:
        x = [value / math.hypot(*x) for value in x]
        y = [value / math.hypot(*y) for value in y]
    total = sum((p - q) ** 2 for p, q in zip(x, y, strict=True))
    return total if squared else math.sqrt(total)


VARIANTS = [(squared, normalised) for squared in (True, False) for normalised in (True, False)]


@pytest.mark.parametrize(("squared", "normalised"), VARIANTS)
@pytest.mark.parametrize("soft", [False, True])
def test_triplet_is_the_mean_over_all_triplets(squared: bool, normalised: bool, soft: bool) -> None:
    z = embeddings()
    loss, parts = TripletObjective(squared=squared, normalised=normalised, soft=soft).build()(z, mined(TRIPLETS))
    d_ap = [distance(z[a], z[p], squared=squared, normalised=normalised) for a, p, _ in TRIPLETS]
    d_an = [distance(z[a], z[n], squared=squared, normalised=normalised) for a, _, n in TRIPLETS]
    violations = [x - y + 0.2 for x, y in zip(d_ap, d_an, strict=True)]
    each = [math.log1p(math.exp(v)) if soft else max(0.0, v) for v in violations]
    active = sum(v > 0 for v in violations)
    assert 0 < active < len(TRIPLETS)  # else a mean over the active ones would pass too
    assert loss.item() == pytest.approx(sum(each) / len(each), rel=1e-9)
    assert float(parts["active"]) == pytest.approx(active / len(each))
    assert float(parts["d_ap"]) == pytest.approx(sum(d_ap) / len(each), rel=1e-9)
    assert float(parts["d_an"]) == pytest.approx(sum(d_an) / len(each), rel=1e-9)
    assert float(parts["num_triplets"]) == 6


def test_the_published_form_by_hand() -> None:
    z = torch.tensor([[0.0, 0.0], [0.3, 0.4], [0.6, 0.0]])
    loss, _ = TripletObjective().build()(z, mined([(0, 1, 2)], num=3))
    assert loss.item() == pytest.approx(0.25 - 0.36 + 0.2)


def test_its_gradient_pulls_the_positive_and_pushes_the_negative() -> None:
    z = torch.tensor([[0.0], [1.0], [0.5]], requires_grad=True)
    loss, _ = TripletObjective().build()(z, mined([(0, 1, 2)], num=3))
    loss.backward()
    assert z.grad is not None
    assert z.grad.flatten().tolist() == pytest.approx([-1.0, 2.0, -1.0])


@pytest.mark.parametrize(("squared", "normalised"), VARIANTS)
def test_margin_is_the_sum_over_active_pairs(squared: bool, normalised: bool) -> None:
    z = embeddings()
    objective = MarginObjective(boundary=0.5, squared=squared, normalised=normalised).build().double()
    loss, parts = objective(z, mined(TRIPLETS))
    near = [max(0.0, distance(z[a], z[p], squared=squared, normalised=normalised) - 0.5 + 0.2) for a, p, _ in TRIPLETS]
    far = [max(0.0, 0.5 - distance(z[a], z[n], squared=squared, normalised=normalised) + 0.2) for a, _, n in TRIPLETS]
    active = sum(value > 0 for value in near + far)
    assert 0 < active < 12
    assert loss.item() == pytest.approx(sum(near + far) / active, rel=1e-6)
    assert float(parts["boundary"]) == pytest.approx(0.5)


def test_the_boundary_is_learnt_where_it_should_be() -> None:
    learnt, fixed = MarginObjective().build(), MarginObjective(learnt=False).build()
    assert [name for name, _ in learnt.named_parameters()] == ["loss.beta"]
    assert not list(fixed.parameters())
    z = embeddings().float()
    learnt(z, mined(TRIPLETS))[0].backward()
    (beta,) = learnt.parameters()
    assert beta.grad is not None
    assert float(beta.grad) != 0
    torch.optim.SGD(learnt.parameters(), lr=0.1).step()
    assert beta.item() != pytest.approx(1.2)


@pytest.mark.parametrize("objective", [TripletObjective(), MarginObjective()], ids=["triplet", "margin"])
def test_without_triplets_the_loss_is_zero_and_every_parameter_stays_in_the_graph(
    objective: TripletObjective | MarginObjective,
) -> None:
    module = objective.build()
    z = torch.randn(6, 3, requires_grad=True)
    loss, parts = module(z, mined([]))
    loss.backward()
    assert loss.item() == 0
    assert z.grad is not None
    assert float(z.grad.abs().sum()) == 0
    assert all(parameter.grad is not None and float(parameter.grad) == 0 for parameter in module.parameters())
    assert all(math.isfinite(float(value)) for value in parts.values())


@pytest.mark.parametrize("objective", [TripletObjective(), MarginObjective()], ids=["triplet", "margin"])
def test_collapsed_embeddings_have_finite_gradients(objective: TripletObjective | MarginObjective) -> None:
    z = torch.ones(6, 3, requires_grad=True)
    loss, _ = objective.build()(z, mined(TRIPLETS))
    loss.backward()
    assert z.grad is not None
    assert torch.isfinite(z.grad).all()


@pytest.mark.parametrize("objective", [TripletObjective(), MarginObjective()], ids=["triplet", "margin"])
def test_close_embeddings_far_from_the_origin_keep_distances(
    objective: TripletObjective | MarginObjective,
) -> None:
    # Large enough for torch's matrix form of distances, which cancels: 0.02 off where they are about 0.6.
    z = 10 + 0.05 * torch.randn(64, 128, generator=torch.Generator().manual_seed(0))
    triplets = mined([(i, (i + 1) % 64, (i + 2) % 64) for i in range(64)], num=64)
    single, double = z.requires_grad_(), z.detach().double().requires_grad_()
    loss, _ = objective.build()(single, triplets)
    exact, _ = objective.build().double()(double, triplets)
    loss.backward()
    exact.backward()
    assert loss.item() == pytest.approx(exact.item(), rel=1e-5)
    assert single.grad is not None
    assert double.grad is not None
    assert float((single.grad - double.grad).abs().max() / double.grad.abs().max()) < 1e-3


def test_embeddings_are_a_matrix() -> None:
    with pytest.raises(ValueError, match=r"shape \(6,\); expected \[B, dim\]"):
        TripletObjective().build()(torch.zeros(6), mined(TRIPLETS))
