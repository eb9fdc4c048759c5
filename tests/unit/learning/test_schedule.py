import pytest
import torch
from torch.optim import lr_scheduler

from hemometric.config import Config, decode
from hemometric.errors import UsageError
from hemometric.learning import ConstantSchedule, CosineSchedule, PolySchedule, ScheduleConfig


def torch_factors(make, num_steps):
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = make(optimiser)
    factors = []
    for _ in range(num_steps):
        factors.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        scheduler.step()
    return factors


def test_cosine_is_torchs():
    expected = torch_factors(lambda o: lr_scheduler.CosineAnnealingLR(o, 20, eta_min=0.1), 20)
    factor = CosineSchedule(final_factor=0.1).build(20)
    assert [factor(step) for step in range(20)] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_poly_is_torchs(power):
    expected = torch_factors(lambda o: lr_scheduler.PolynomialLR(o, 20, power=power), 20)
    factor = PolySchedule(power=power).build(20)
    assert [factor(step) for step in range(20)] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("config", [ConstantSchedule, CosineSchedule, PolySchedule])
def test_warm_up_climbs_to_one_and_the_decay_begins_there(config):
    factor = config(warmup_steps=4).build(10)
    assert [factor(step) for step in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]


def test_constant_stays():
    factor = ConstantSchedule().build(5)
    assert {factor(step) for step in range(5)} == {1.0}


@pytest.mark.parametrize("config", [CosineSchedule, PolySchedule])
def test_the_decay_ends_at_the_final_factor_and_stays(config):
    factor = config(warmup_steps=2, final_factor=0.3).build(10)
    assert factor(10) == pytest.approx(0.3)
    assert factor(11) == pytest.approx(0.3)
    assert 0.3 < factor(9) < factor(5) < 1.0


@pytest.mark.parametrize("config", [ConstantSchedule, CosineSchedule, PolySchedule])
def test_a_warm_up_as_long_as_the_run_is_refused(config):
    with pytest.raises(ValueError, match=r"warmup_steps is 10 and the run has 10 steps; give fewer"):
        config(warmup_steps=10).build(10)


def test_the_kind_chooses_the_schedule():
    class Run(Config):
        schedule: ScheduleConfig

    assert decode(Run, {"schedule": {"kind": "poly", "power": 2.0}}).schedule == PolySchedule(power=2.0)
    with pytest.raises(UsageError, match="did you mean 'cosine'"):
        decode(Run, {"schedule": {"kind": "cosin"}})
