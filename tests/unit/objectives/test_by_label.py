"""Metric losses of continuous labels against slow loops, and their corner cases."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from hemometric.objectives import SupervisedObjective
from hemometric.objectives.label_distance import LabelDistanceObjective
from hemometric.objectives.rank_n_contrast import RankNContrastObjective

NUM = 9


def data(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Embeddings; labels of which some are equal and one is missing; two recordings a patient."""
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(NUM, 3, generator=generator, dtype=torch.float64).requires_grad_()
    labels = torch.tensor([0.0, 1.0, 1.0, 2.5, -1.0, math.nan, 0.5, 3.0, -1.0], dtype=torch.float64)
    return z, labels, torch.arange(NUM) // 2


def rank_n_contrast_by_loop(z: Tensor, labels: Tensor, patients: Tensor, temperature: float) -> tuple[float, int]:
    points, y, who = z.detach().tolist(), labels.tolist(), patients.tolist()
    known = [i for i in range(NUM) if not math.isnan(y[i])]
    terms = []
    for i in known:
        for j in known:
            if i == j:
                continue
            others = [k for k in known if k not in (i, j) and who[k] != who[i] and abs(y[i] - y[k]) >= abs(y[i] - y[j])]
            if not others:
                continue
            s = {k: -math.dist(points[i], points[k]) / temperature for k in [j, *others]}
            top = max(s.values())
            terms.append(top + math.log(sum(math.exp(x - top) for x in s.values())) - s[j])
    return sum(terms) / len(terms), len(terms)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("temperature", [2.0, 0.05])
def test_rank_n_contrast_equals_a_loop(seed: int, temperature: float) -> None:
    z, labels, patients = data(seed)
    loss, parts = RankNContrastObjective(temperature=temperature).build().of_labels(z, labels, patients)
    expected, num = rank_n_contrast_by_loop(z, labels, patients, temperature)
    assert loss.item() == pytest.approx(expected, rel=1e-9)
    assert parts["num_terms"].item() == num
    module = RankNContrastObjective(temperature=max(temperature, 0.5)).build()
    assert torch.autograd.gradcheck(lambda x: module.of_labels(x, labels, patients)[0], (z,))


def label_distance_by_loop(z: Tensor, labels: Tensor, patients: Tensor, per_sd: float) -> tuple[float, int, int]:
    points, y, who = z.detach().tolist(), labels.tolist(), patients.tolist()
    known = [i for i in range(NUM) if not math.isnan(y[i])]
    found = []
    for a in known:
        for p in known:
            for n in known:
                wider = abs(y[a] - y[n]) - abs(y[a] - y[p])
                if a not in (p, n) and who[n] != who[a] and wider > 0:
                    short = math.dist(points[a], points[p]) ** 2 - math.dist(points[a], points[n]) ** 2
                    found.append(max(0.0, short + per_sd * wider))
    return sum(found) / len(found), sum(one > 0 for one in found), len(found)


@pytest.mark.parametrize("seed", range(3))
def test_label_distance_equals_a_loop(seed: int) -> None:
    z, labels, patients = data(seed)
    loss, parts = LabelDistanceObjective(margin_per_sd=0.7).build().of_labels(z, labels, patients)
    expected, active, num = label_distance_by_loop(z, labels, patients, 0.7)
    assert loss.item() == pytest.approx(expected, rel=1e-9)
    assert parts["num_triplets"].item() == num
    assert parts["active"].item() == pytest.approx(active / num)


@pytest.mark.parametrize("config", [RankNContrastObjective(), LabelDistanceObjective()], ids=lambda config: config.kind)
@pytest.mark.parametrize("labels", [[math.nan] * 4, [1.0, math.nan, math.nan, math.nan], [2.0, 2.0, 2.0, 2.0]])
def test_without_order_the_gradient_is_0_or_finite(config: RankNContrastObjective, labels: list[float]) -> None:
    z = torch.ones(4, 3, dtype=torch.float64, requires_grad=True)  # embeddings that are one
    loss, _ = config.build().of_labels(z, torch.tensor(labels, dtype=torch.float64), torch.arange(4))
    loss.backward()
    assert math.isfinite(loss.item())
    assert torch.isfinite(z.grad).all()
    if len({label for label in labels if not math.isnan(label)}) < 1 or config.kind == "label_distance":
        assert loss.item() == 0.0


@pytest.mark.parametrize("metric", [RankNContrastObjective(), LabelDistanceObjective()], ids=lambda metric: metric.kind)
def test_beside_a_task_they_see_standardised_labels(metric: RankNContrastObjective) -> None:
    z, labels, patients = data()
    outputs = torch.zeros(NUM, dtype=torch.float64)
    names, who = [f"r{i}" for i in range(NUM)], [f"p{i}" for i in patients.tolist()]
    objective = SupervisedObjective(alpha=3.0, metric=metric).build(scale_mean=15.0, scale_sd=8.0)
    loss, parts = objective(z, outputs, labels * 8 + 15, names, who, 0, 0)
    expected, _ = metric.build().of_labels(z, labels, patients)
    assert parts["metric"].item() == pytest.approx(expected.item(), rel=1e-9)
    assert loss.item() == pytest.approx(3.0 * expected.item() + parts["task"].item(), rel=1e-9)


def test_numbers_are_ranked_and_classes_refused() -> None:
    with pytest.raises(ValueError, match="wants the numbers of a regression"):
        SupervisedObjective(metric=RankNContrastObjective(), task_loss="bce").build()
    with pytest.raises(ValueError, match="wants the numbers of a regression"):
        SupervisedObjective(metric=LabelDistanceObjective(), task_loss="bce").build(threshold=18.0)
    SupervisedObjective(metric=RankNContrastObjective(), task_loss="bce").build(threshold=18.0)
