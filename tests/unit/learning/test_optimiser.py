import pytest
import torch
from torch import nn

from hemometric.errors import IntegrityError, UsageError
from hemometric.learning import OptimiserConfig
from hemometric.learning.optimiser import check_covers, set_learning_rate, unreached


def test_norms_and_biases_and_loss_scalars_do_not_decay(tiny):
    learner = tiny.make_learner()
    optimiser = OptimiserConfig(weight_decay=0.1).build(learner)
    names = {id(value): name for name, value in learner.named_parameters()}
    decays = {names[id(value)]: g["weight_decay"] for g in optimiser.param_groups for value in g["params"]}
    assert decays == {
        "encoder.layers.0.weight": 0.1,
        "encoder.layers.0.bias": 0.0,
        "encoder.layers.1.weight": 0.0,
        "encoder.layers.1.bias": 0.0,
        "encoder.last.weight": 0.1,
        "encoder.last.bias": 0.0,
        "objective.margin": 0.0,
    }


def test_the_published_recipe_decays_everything_inside_adam(tiny):
    ours, theirs = tiny.make_learner(), tiny.make_learner()
    optimisers = [
        OptimiserConfig(kind="adam", weight_decay=0.1, decay_all=True).build(ours),
        torch.optim.Adam(theirs.parameters(), lr=1e-4, weight_decay=0.1),
    ]
    for learner, optimiser in zip((ours, theirs), optimisers, strict=True):
        for step in range(3):
            torch.manual_seed(step)
            optimiser.zero_grad()
            learner(tiny.make_batch(step), tiny.World())[0].backward()
            optimiser.step()
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=0)


def test_adam_and_adamw_differ(tiny):
    made = [OptimiserConfig(kind=kind).build(tiny.make_learner()) for kind in ("adam", "adamw")]
    assert [type(optimiser) for optimiser in made] == [torch.optim.Adam, torch.optim.AdamW]


def test_a_forgotten_parameter_is_named(tiny):
    learner = tiny.make_learner()
    optimiser = torch.optim.Adam(learner.encoder.parameters())
    with pytest.raises(IntegrityError, match=r"not in the optimiser: objective\.margin$"):
        check_covers(optimiser, learner)


def test_a_foreign_parameter_is_refused(tiny):
    learner = tiny.make_learner()
    optimiser = torch.optim.Adam([*learner.parameters(), nn.Parameter(torch.zeros(1))])
    with pytest.raises(IntegrityError, match="1 foreign"):
        check_covers(optimiser, learner)


def test_frozen_parameters_stay_out(tiny):
    learner = tiny.make_learner()
    learner.encoder.requires_grad_(False)
    optimiser = OptimiserConfig().build(learner)
    assert [value for group in optimiser.param_groups for value in group["params"]] == [learner.objective.margin]


def test_nothing_to_train_is_refused(tiny):
    learner = tiny.make_learner()
    learner.requires_grad_(False)
    with pytest.raises(UsageError, match="no trainable parameter"):
        OptimiserConfig().build(learner)


def test_every_group_gets_the_rate(tiny):
    optimiser = OptimiserConfig().build(tiny.make_learner())
    set_learning_rate(optimiser, 0.5)
    assert {group["lr"] for group in optimiser.param_groups} == {0.5}


def test_unreached_follows_the_graph():
    used, unused = nn.Linear(2, 1), nn.Linear(2, 1)
    both = nn.ModuleDict({"used": used, "unused": unused})
    assert unreached(used(torch.ones(3, 2)).sum().exp(), both) == ["unused.weight", "unused.bias"]
    assert unreached(torch.ones(()), both) == ["used.weight", "used.bias", "unused.weight", "unused.bias"]
