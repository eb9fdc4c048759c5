"""NT-Xent, KoLeo, angular and multi-similarity against slow loops, a library, and where careless sums break."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from pytorch_metric_learning.losses import NPairsLoss as LibraryNPairs
from pytorch_metric_learning.losses import NTXentLoss as LibraryNtXent
from torch import Tensor

from hemometric.errors import UsageError
from hemometric.mining import Mined, NearestMiner
from hemometric.objectives import (
    AngularObjective,
    GlobalBatch,
    KoLeoObjective,
    LandmarkObjective,
    MultiSimilarityObjective,
    NtXentObjective,
    RelativeObjective,
    SumObjective,
    Term,
    TripletObjective,
    pretrain_loss,
)

NUM, VIEWS, DIM = 10, 2, 4


def names(num: int = NUM) -> tuple[list[str], list[str]]:
    """Two recordings a patient, side by side, and one recording twice."""
    ids = [f"r{i}" for i in range(num - 1)] + ["r0"]
    return ids, [f"p{i // 2}" for i in range(num - 1)] + ["p0"]


def mined_of(num: int = NUM, seed: int = 0) -> Mined:
    points = np.random.default_rng(seed).normal(size=(num, 3))
    distances = ((points[:, None] - points[None, :]) ** 2).sum(-1).astype(np.float32)
    return NearestMiner().build().select((distances + distances.T) / 2, *names(num), 0, 0)


def batch_of(num: int = NUM, seed: int = 0) -> GlobalBatch:
    return GlobalBatch.of(*names(num), torch.device("cpu"), mined_of(num, seed))


def embeddings(num: int = NUM, views: int = VIEWS, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(views, num, DIM, generator=generator, dtype=torch.float64).requires_grad_()


def attracts(kind: str, i: int, v: int, j: int, w: int) -> bool:
    ids, patients = names()
    match kind:
        case "recording":
            return ids[i] == ids[j] and v != w
        case "patient":
            return patients[i] == patients[j] and (ids[i] != ids[j] or v != w)
        case "pair":
            return i // 2 == j // 2 and i != j
        case _:
            mined = mined_of()
            return (i, j) in set(zip(mined.anchors.tolist(), mined.positives.tolist(), strict=True))


def nt_xent_by_loop(z: Tensor, kind: str, temperature: float) -> float:
    _, patients = names()
    unit = [[[x / math.hypot(*row) for x in row] for row in view] for view in z.tolist()]
    rows = [(v, i) for v in range(VIEWS) for i in range(NUM)]

    def s(a: tuple[int, int], b: tuple[int, int]) -> float:
        pairs = zip(unit[a[0]][a[1]], unit[b[0]][b[1]], strict=True)
        return sum(x * y for x, y in pairs) / temperature

    terms = []
    for v, i in rows:
        against = [s((v, i), (w, j)) for w, j in rows if patients[i] != patients[j] and not attracts(kind, i, v, j, w)]
        for w, j in rows:
            if attracts(kind, i, v, j, w):
                own = s((v, i), (w, j))
                top = max([own, *against])
                terms.append(top + math.log(sum(math.exp(x - top) for x in [own, *against])) - own)
    return sum(terms) / len(terms)


@pytest.mark.parametrize("kind", ["recording", "patient", "pair", "mined"])
@pytest.mark.parametrize("temperature", [1.0, 0.1, 0.005])
def test_nt_xent_equals_a_loop(kind: str, temperature: float) -> None:
    z = embeddings()
    loss, parts = NtXentObjective(temperature=temperature, positives=kind).build()(z, batch_of())
    assert loss.item() == pytest.approx(nt_xent_by_loop(z.detach(), kind, temperature), rel=1e-10)
    expected = sum(
        attracts(kind, i, v, j, w) for v in range(2) for w in range(2) for i in range(NUM) for j in range(NUM)
    )
    assert parts["num_pairs"].item() == expected
    assert torch.autograd.gradcheck(
        lambda x: NtXentObjective(temperature=max(temperature, 0.1), positives=kind).build()(x, batch_of())[0], (z,)
    )


def test_nt_xent_of_views_is_the_library_s_where_nobody_shares_a_patient() -> None:
    z = embeddings(views=2)
    ids = [f"r{i}" for i in range(NUM)]
    loss, _ = NtXentObjective(temperature=0.2).build()(z, GlobalBatch.of(ids, ids, torch.device("cpu")))
    library = LibraryNtXent(temperature=0.2)(z.flatten(0, 1), torch.arange(NUM).repeat(2))
    assert loss.item() == pytest.approx(library.item(), rel=1e-6)


def test_a_recording_of_the_same_patient_never_repels() -> None:
    """Two patients with two recordings each, all four alike: whoever repels their own pays for it."""
    z = torch.ones(2, 4, 3, dtype=torch.float64)
    ids = ["r0", "r1", "r2", "r3"]
    ours, _ = NtXentObjective().build()(z, GlobalBatch.of(ids, ["p", "p", "q", "q"], z.device))
    careless, _ = NtXentObjective().build()(z, GlobalBatch.of(ids, ids, z.device))
    assert ours.item() == pytest.approx(math.log(1 + 4))
    assert careless.item() == pytest.approx(math.log(1 + 6))


@pytest.mark.parametrize("ids", [["a"], ["a", "b"]])
def test_nt_xent_without_negatives_is_0_with_a_gradient_of_0(ids: list[str]) -> None:
    z = embeddings(num=len(ids))
    loss, parts = NtXentObjective(positives="patient").build()(z, GlobalBatch.of(ids, ["p"] * len(ids), z.device))
    loss.backward()
    assert loss.item() == 0.0
    assert parts["num_pairs"].item() == 0.0
    assert torch.equal(z.grad, torch.zeros_like(z))


def test_nt_xent_of_equal_embeddings_is_the_logarithm_of_their_number() -> None:
    z = torch.ones(2, 6, 3, dtype=torch.float64, requires_grad=True)
    ids = [f"r{i}" for i in range(6)]
    loss, _ = NtXentObjective(temperature=0.01).build()(z, GlobalBatch.of(ids, ids, z.device))
    assert loss.item() == pytest.approx(math.log(1 + 10))
    loss.backward()
    assert torch.isfinite(z.grad).all()


def test_koleo_equals_a_loop_and_spreads() -> None:
    z = embeddings()
    ids, _ = names()
    loss, parts = KoLeoObjective().build()(z, batch_of())
    nearest = [
        min((view[i] - view[j]).norm().item() for j in range(NUM) if ids[i] != ids[j])
        for view in torch.nn.functional.normalize(z.detach(), dim=2)
        for i in range(NUM)
    ]
    assert loss.item() == pytest.approx(-np.log(nearest).mean(), rel=1e-9)
    assert parts["nearest"].item() == pytest.approx(np.mean(nearest), rel=1e-9)
    step = torch.autograd.grad(loss, z)[0]
    after, _ = KoLeoObjective().build()(z.detach() - 1e-3 * step, batch_of())
    assert after.item() < loss.item()


def test_koleo_survives_embeddings_that_are_one_and_a_batch_of_one() -> None:
    z = torch.ones(1, 4, 3, dtype=torch.float64, requires_grad=True)
    ids = [f"r{i}" for i in range(4)]
    loss, _ = KoLeoObjective().build()(z, GlobalBatch.of(ids, ids, z.device))
    loss.backward()
    assert math.isfinite(loss.item())
    assert torch.isfinite(z.grad).all()
    lone, _ = KoLeoObjective().build()(z[:, :1], GlobalBatch.of(["r"], ["r"], z.device))
    assert lone.item() == 0.0


def angular_by_loop(z: Tensor, mined: Mined, angle_deg: float) -> tuple[float, float]:
    tan2 = math.tan(math.radians(angle_deg)) ** 2
    pairs = list(zip(mined.anchors.tolist(), mined.positives.tolist(), strict=True))
    n_pair, angular = 0.0, 0.0
    for a, p in pairs:
        negatives = [n for b, n in pairs if b != a and n != p and mined.repels[a, n]]
        own = (z[a] @ z[p]).item()
        n_pair += math.log1p(sum(math.exp((z[a] @ z[n]).item() - own) for n in negatives))
        angular += math.log1p(
            sum(math.exp(4 * tan2 * ((z[a] + z[p]) @ z[n]).item() - 2 * (1 + tan2) * own) for n in negatives)
        )
    return n_pair / len(pairs), angular / len(pairs)


@pytest.mark.parametrize("angle_deg", [36.0, 45.0])
def test_angular_equals_a_loop(angle_deg: float) -> None:
    z, mined = embeddings(views=1)[0], mined_of()
    loss, parts = AngularObjective(angle_deg=angle_deg).build()(z, mined)
    n_pair, angular = angular_by_loop(z.detach(), mined, angle_deg)
    assert parts["n_pair"].item() == pytest.approx(n_pair, rel=1e-9)
    assert parts["angular"].item() == pytest.approx(angular, rel=1e-9)
    norm = z.detach().square().sum(1).mean().item()
    assert loss.item() == pytest.approx(n_pair + 2.0 * angular + 0.005 * norm, rel=1e-9)


def test_n_pair_is_the_library_s_where_each_pair_is_a_class() -> None:
    """Eight classes of two; the library normalises embeddings, so that they are given with length 1."""
    num = 8
    z = torch.nn.functional.normalize(embeddings(num=2 * num, views=1)[0].detach(), dim=1)
    classes = torch.arange(num).repeat_interleave(2)
    anchors, positives = torch.arange(num) * 2, torch.arange(num) * 2 + 1
    different = classes[:, None] != classes[None, :]
    ids = tuple(f"r{i}" for i in range(2 * num))
    mined = Mined(anchors, positives, positives.roll(1), torch.zeros(2 * num, 2 * num), different, different, ids)
    _, parts = AngularObjective(angle_deg=40.0).build()(z, mined)
    assert parts["n_pair"].item() == pytest.approx(LibraryNPairs()(z, classes).item(), rel=1e-5)


def test_multi_similarity_equals_its_formula() -> None:
    z, mined = embeddings(views=1)[0], mined_of()
    alpha, beta, base = 2.0, 40.0, 0.5
    loss, parts = MultiSimilarityObjective(alpha=alpha, beta=beta, base=base).build()(z, mined)
    unit = torch.nn.functional.normalize(z.detach(), dim=1)
    cosine = (unit @ unit.T).tolist()
    chosen = set(zip(mined.anchors.tolist(), mined.positives.tolist(), strict=True))
    terms = []
    for i in range(NUM):
        near = [cosine[i][j] for j in range(NUM) if (i, j) in chosen]
        far = [cosine[i][j] for j in range(NUM) if mined.repels[i, j] and (i, j) not in chosen]
        pull = math.log1p(sum(math.exp(-alpha * (c - base)) for c in near)) / alpha
        push = math.log1p(sum(math.exp(beta * (c - base)) for c in far)) / beta
        terms.append(pull + push if near else 0.0)
    assert loss.item() == pytest.approx(sum(terms) / NUM, rel=1e-6)
    assert parts["num_pairs"].item() == len(chosen)


def test_a_sum_is_the_weighted_sum_and_names_its_parts() -> None:
    z, batch = embeddings(), batch_of()
    terms = (
        Term(weight=2.0, objective=NtXentObjective()),
        Term(weight=0.5, objective=TripletObjective()),
        Term(weight=0.25, objective=TripletObjective(soft=True)),
    )
    loss, parts = pretrain_loss(SumObjective(terms=terms), DIM)(z, batch)
    alone = [pretrain_loss(term.objective, DIM)(z, batch)[0] for term in terms]
    assert loss.item() == pytest.approx(sum(t.weight * x.item() for t, x in zip(terms, alone, strict=True)))
    assert parts["nt_xent"].item() == pytest.approx(alone[0].item())
    assert parts["triplet2"].item() == pytest.approx(alone[2].item())
    assert {"nt_xent_num_pairs", "triplet_active", "triplet2_active"} <= parts.keys()


def test_an_objective_of_one_view_is_averaged_over_views() -> None:
    z, batch = embeddings(), batch_of()
    loss, parts = pretrain_loss(RelativeObjective(), DIM)(z, batch)
    each = [RelativeObjective().build()(view, batch.mined) for view in z]
    assert loss.item() == pytest.approx(np.mean([one.item() for one, _ in each]))
    assert parts["num_terms"].item() == pytest.approx(each[0][1]["num_terms"].item())


@pytest.mark.parametrize("config", [TripletObjective(), NtXentObjective(positives="mined")])
def test_without_mined_triplets_an_objective_that_needs_them_says_so(
    config: TripletObjective | NtXentObjective,
) -> None:
    batch = GlobalBatch.of(*names(), torch.device("cpu"))
    with pytest.raises(UsageError, match=r"need.* mined triplets"):
        pretrain_loss(config, DIM)(embeddings(), batch)


@pytest.mark.parametrize("shape", [(NUM, DIM), (VIEWS, NUM - 1, DIM)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    for config in (NtXentObjective(), KoLeoObjective()):
        with pytest.raises(ValueError, match=r"expected \[view, 10, dim\]"):
            config.build()(torch.zeros(shape), batch_of())


def test_landmark_equals_a_loop_and_passes_what_is_unknown() -> None:
    torch.manual_seed(0)
    z, wanted = embeddings(views=1)[0], torch.randn(NUM, 5, dtype=torch.float64)
    wanted[3] = math.nan
    module = LandmarkObjective(num=5).build(DIM).double()
    loss, parts = module(z, replace(mined_of(), landmark_distances=wanted))
    errors = []
    for i in range(NUM):
        for mark in range(5):
            if not math.isnan(wanted[i, mark]):
                told = (module.linear.weight[mark] @ z[i] + module.linear.bias[mark]).item()
                errors.append(told - wanted[i, mark].item())
    huber = [0.5 * e * e if abs(e) <= 1 else abs(e) - 0.5 for e in errors]
    assert loss.item() == pytest.approx(sum(huber) / len(huber))
    assert parts["num_known"].item() == 5 * (NUM - 1)
    known = np.delete(wanted.numpy(), 3, axis=0)
    spread = ((known - known.mean(axis=0)) ** 2).sum()
    assert parts["explained"].item() == pytest.approx(1 - sum(e * e for e in errors) / spread)
    with pytest.raises(UsageError, match="needs distances to 5 landmarks; this batch has 0"):
        module(z, mined_of())
