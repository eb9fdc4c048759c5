"""alpha * metric + task: values against loops, missing labels, and no broadcasting ever."""

from __future__ import annotations

import math

import pytest
import torch
from sklearn.metrics import log_loss, root_mean_squared_error
from torch import Tensor

from hemometric.config import decode
from hemometric.errors import UsageError
from hemometric.mining import LabelMiner, NPairMiner, SemihardMiner, SofthardMiner
from hemometric.objectives import MarginObjective, NoMetric, SupervisedObjective, TripletObjective

NUM = 20
IDS = [f"r{i:02d}" for i in range(NUM)]
PATIENTS = [f"p{i // 2}" for i in range(NUM)]
KNOWN = torch.tensor([i % 5 != 0 for i in range(NUM)])


def data() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(NUM, 4, generator=generator, dtype=torch.float64).requires_grad_()
    outputs = torch.randn(NUM, generator=generator, dtype=torch.float64).requires_grad_()
    targets = 15.7 + 8.1 * torch.randn(NUM, generator=generator, dtype=torch.float64)
    return z, outputs, targets.masked_fill(~KNOWN, torch.nan)


def test_rmse_is_that_of_the_labelled_on_the_standardised_scale_and_in_the_labels_unit() -> None:
    z, outputs, targets = data()
    module = SupervisedObjective(metric=NoMetric()).build(scale_mean=15.7, scale_sd=8.1)
    loss, parts = module(z, outputs, targets, IDS, PATIENTS, 0, 0)
    in_unit = root_mean_squared_error(targets[KNOWN], 15.7 + 8.1 * outputs.detach()[KNOWN])
    assert loss.item() == pytest.approx(in_unit / 8.1, rel=1e-9)
    assert float(parts["rmse"]) == pytest.approx(in_unit, rel=1e-9)
    assert float(parts["task"]) == loss.item()
    assert float(parts["num_labels"]) == 16
    loss.backward()
    assert outputs.grad is not None
    assert (outputs.grad[~KNOWN] == 0).all()
    assert (outputs.grad[KNOWN] != 0).all()


def test_mse_is_its_square() -> None:
    _, rmse = run(SupervisedObjective(metric=NoMetric()))
    loss, mse = run(SupervisedObjective(metric=NoMetric(), task_loss="mse"))
    assert loss.item() == pytest.approx(float(rmse["task"]) ** 2, rel=1e-9)
    assert float(mse["rmse"]) == pytest.approx(float(rmse["rmse"]), rel=1e-9)


def run(config: SupervisedObjective, epoch: int = 0) -> tuple[Tensor, dict[str, Tensor]]:
    loss, parts = config.build(scale_mean=15.7, scale_sd=8.1)(*data(), IDS, PATIENTS, 0, epoch)
    return loss, parts


@pytest.mark.parametrize("alpha", [0.0, 1.0, 2.5])
@pytest.mark.parametrize("metric", [TripletObjective(), MarginObjective()], ids=["triplet", "margin"])
@pytest.mark.parametrize("miner", [LabelMiner(), NPairMiner()], ids=["label", "npair"])
def test_alpha_weighs_the_metric_loss_of_label_triplets(
    alpha: float, metric: TripletObjective | MarginObjective, miner: LabelMiner | NPairMiner
) -> None:
    loss, parts = run(SupervisedObjective(alpha=alpha, metric=metric, miner=miner), epoch=3)
    z, _, targets = data()
    expected, _ = metric.build().of_triplets(z, miner.build().select(targets, IDS, PATIENTS, 0, 3))
    assert expected.item() > 0
    assert float(parts["metric"]) == pytest.approx(expected.item())
    assert loss.item() == pytest.approx(float(parts["task"]) + alpha * expected.item(), rel=1e-9)
    assert float(parts["metric_num_triplets"]) > 5


@pytest.mark.parametrize("metric", [TripletObjective(normalised=True), MarginObjective()], ids=["triplet", "margin"])
@pytest.mark.parametrize("miner", [SemihardMiner(), SofthardMiner()], ids=["semihard", "softhard"])
def test_hard_miners_see_the_distances_that_the_metric_loss_compares(
    metric: TripletObjective | MarginObjective, miner: SemihardMiner | SofthardMiner
) -> None:
    _, parts = run(SupervisedObjective(metric=metric, miner=miner), epoch=3)
    z, _, targets = data()
    unit = z / z.norm(dim=1, keepdim=True) if metric.normalised else z
    far = torch.cdist(unit, unit) ** (2 if metric.squared else 1)
    triplets = miner.build(margin=metric.margin).select(targets, IDS, PATIENTS, 0, 3, far)
    expected, _ = metric.build().of_triplets(z, triplets)
    assert float(parts["metric"]) == pytest.approx(expected.item())
    assert float(parts["metric_num_triplets"]) > 5


def test_the_metric_loss_reaches_the_embedding_and_the_boundary() -> None:
    module = SupervisedObjective(metric=MarginObjective()).build()
    assert [name for name, _ in module.named_parameters()] == ["metric.loss.beta"]
    z, outputs, targets = data()
    module(z, outputs, targets, IDS, PATIENTS, 0, 0)[0].backward()
    assert z.grad is not None
    assert float(z.grad.abs().sum()) > 0
    assert all(parameter.grad is not None and float(parameter.grad) != 0 for parameter in module.parameters())


def test_bce_of_a_threshold_mines_by_pressure() -> None:
    z, outputs, targets = data()
    module = SupervisedObjective(task_loss="bce").build(threshold=18.0)
    loss, parts = module(z, outputs, targets, IDS, PATIENTS, 0, 0)
    probability = torch.sigmoid(outputs.detach())[KNOWN]
    expected = log_loss((targets[KNOWN] > 18).long(), probability)
    assert float(parts["task"]) == pytest.approx(expected, rel=1e-9)
    assert "rmse" not in parts
    metric, _ = TripletObjective().build().of_triplets(z, LabelMiner().build().select(targets, IDS, PATIENTS, 0, 0))
    assert loss.item() == pytest.approx(expected + metric.item(), rel=1e-9)


def test_bce_of_classes_mines_by_class() -> None:
    z, outputs, targets = data()
    classes = (targets > 18).double().masked_fill(~KNOWN, torch.nan)
    _, parts = SupervisedObjective(task_loss="bce").build()(z, outputs, classes, IDS, PATIENTS, 0, 0)
    by_threshold = SupervisedObjective(task_loss="bce").build(threshold=18.0)
    assert float(parts["task"]) == pytest.approx(
        float(by_threshold(z, outputs, targets, IDS, PATIENTS, 0, 0)[1]["task"]), rel=1e-9
    )
    assert float(parts["metric_num_triplets"]) == 16
    with pytest.raises(ValueError, match="neither 0 nor 1"):
        SupervisedObjective(task_loss="bce").build()(z, outputs, targets, IDS, PATIENTS, 0, 0)


@pytest.mark.parametrize("task_loss", ["rmse", "mse", "bce"])
def test_a_batch_without_labels_has_a_loss_and_gradients_of_zero(task_loss: str) -> None:
    z, outputs, targets = data()
    module = SupervisedObjective.model_validate({"task_loss": task_loss, "metric": MarginObjective()}).build()
    loss, parts = module(z, outputs, torch.full_like(targets, torch.nan), IDS, PATIENTS, 0, 0)
    loss.backward()
    assert loss.item() == 0
    for tensor in (z, outputs, *module.parameters()):
        assert tensor.grad is not None
        assert float(tensor.grad.abs().sum()) == 0
    assert all(math.isfinite(float(value)) for value in parts.values())


def test_a_perfect_batch_has_a_finite_gradient() -> None:
    z, _, targets = data()
    outputs = ((targets - 15.7) / 8.1).detach().requires_grad_()
    loss, _ = SupervisedObjective(metric=NoMetric()).build(scale_mean=15.7, scale_sd=8.1)(
        z, outputs, targets, IDS, PATIENTS, 0, 0
    )
    loss.backward()
    assert loss.item() < 1e-12
    assert outputs.grad is not None
    assert torch.isfinite(outputs.grad).all()


@pytest.mark.parametrize(
    ("outputs_shape", "targets_shape", "message"),
    [
        ((NUM, 1), (NUM,), "outputs have shape"),
        ((NUM,), (NUM, 1), "targets have shape"),
        ((NUM, 1), (NUM, 1), "outputs have shape"),
        ((1,), (NUM,), "outputs have shape"),
        ((NUM,), (), "targets have shape"),
    ],
)
def test_nothing_is_broadcast(outputs_shape: tuple[int, ...], targets_shape: tuple[int, ...], message: str) -> None:
    module = SupervisedObjective().build()
    with pytest.raises(ValueError, match=message):
        module(torch.zeros(NUM, 4), torch.zeros(outputs_shape), torch.zeros(targets_shape), IDS, PATIENTS, 0, 0)


def test_embeddings_must_fit_too() -> None:
    with pytest.raises(ValueError, match=r"expected \[20, dim\]"):
        SupervisedObjective().build()(torch.zeros(NUM - 1, 4), torch.zeros(NUM), torch.zeros(NUM), IDS, PATIENTS, 0, 0)


def test_what_cannot_be_built() -> None:
    with pytest.raises(ValueError, match="scale_sd is 0"):
        SupervisedObjective().build(scale_sd=0.0)
    with pytest.raises(ValueError, match="takes no threshold"):
        SupervisedObjective().build(threshold=18.0)


def test_the_config_reads_from_yaml() -> None:
    config = decode(
        SupervisedObjective,
        {"alpha": 3, "metric": {"kind": "triplet", "margin": 0.3}, "miner": {"kind": "npair", "tolerance_mmhg": 1.5}},
        ["metric.margin=0.4"],
    )
    assert config.metric == TripletObjective(margin=0.4)
    assert config.miner == NPairMiner(tolerance_mmhg=1.5)
    with pytest.raises(UsageError, match="margin"):
        decode(SupervisedObjective, {"metric": {"kind": "triplet", "margn": 0.3}})


def test_huber_is_quadratic_near_and_linear_far() -> None:
    objective = SupervisedObjective(metric=NoMetric(), task_loss="huber").build(scale_mean=10.0, scale_sd=2.0)
    outputs = torch.tensor([0.0, 0.0], dtype=torch.float64)
    targets = torch.tensor([11.0, 20.0], dtype=torch.float64)  # 0.5 and 5 standard deviations away
    loss, parts = objective(torch.zeros(2, 3, dtype=torch.float64), outputs, targets, ["a", "b"], ["p", "q"], 0, 0)
    assert loss.item() == pytest.approx((0.5 * 0.5**2 + (5.0 - 0.5)) / 2)
    assert parts["rmse"].item() == pytest.approx(2.0 * ((0.5**2 + 5.0**2) / 2) ** 0.5)


@pytest.mark.parametrize("weight", [0.25, 1.0, 7.0])
def test_a_positive_counts_as_often_as_its_weight_says(weight: float) -> None:
    objective = SupervisedObjective(metric=NoMetric(), task_loss="bce", positive_weight=weight).build(threshold=18.0)
    outputs = torch.tensor([0.3, -1.2, 2.0, 0.1], dtype=torch.float64)
    targets = torch.tensor([20.0, 10.0, 5.0, float("nan")], dtype=torch.float64)
    names = ["a", "b", "c", "d"]
    loss, _ = objective(torch.zeros(4, 3, dtype=torch.float64), outputs, targets, names, names, 0, 0)
    each = [math.log1p(math.exp(logit)) for logit in (-0.3, -1.2, 2.0)]
    assert loss.item() == pytest.approx((weight * each[0] + each[1] + each[2]) / (weight + 2))
