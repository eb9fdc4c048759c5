import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from hemometric.encoders import HeadConfig, ResNet1dConfig
from hemometric.errors import IntegrityError, UsageError
from hemometric.learning import Learner, World
from hemometric.objectives import MarginObjective, SupervisedObjective, TripletObjective, pretrain_loss

NARROW = ResNet1dConfig(blocks=(1,), widths=(8,), stem_kernel=5, kernel=3, embedding_dim=4)


def pretraining(tiny):
    return Learner(NARROW.build(tiny.NUM_LEADS), pretrain_loss(MarginObjective(boundary=0.5), 4), seed=1), False


def supervised(tiny):
    objective = SupervisedObjective(metric=TripletObjective(margin=5.0)).build(scale_mean=0.0, scale_sd=0.1)
    return Learner(NARROW.build(tiny.NUM_LEADS), objective, seed=1, head=HeadConfig(hidden=8).build(4)), True


@pytest.mark.parametrize("make", [pretraining, supervised])
def test_every_parameter_that_should_learn_is_in_the_optimiser_and_moves(tiny, make):
    torch.manual_seed(2)
    learner, targets = make(tiny)
    before = {name: value.detach().clone() for name, value in learner.named_parameters()}

    def batches(first_step):
        for step in range(first_step, 5):
            yield tiny.make_batch(step, targets=targets)

    tiny.train(learner, batches=batches, num_steps=5, validate=None)
    after = dict(learner.named_parameters())
    assert [name for name, value in before.items() if torch.equal(value, after[name])] == []
    assert any(name.startswith("head.") for name in before) == targets
    assert any(name.startswith("objective.") for name in before) != targets


class Forgetful(nn.Module):
    """An objective that never looks at the head's outputs."""

    def forward(self, z, outputs, targets, **_):
        return z.square().mean(), {}


def test_a_head_that_cannot_learn_is_found_out(tiny):
    learner = Learner(tiny.Encoder(), Forgetful(), seed=1, head=tiny.Head())
    with pytest.raises(IntegrityError, match=r"should learn: head\.linear\.weight, head\.linear\.bias$"):
        learner(tiny.make_batch(0, targets=True), World())


class Absent(nn.Module):
    """An objective that leaves the outputs out of the graph where there is no label."""

    def forward(self, z, outputs, targets, **_):
        known = ~torch.isnan(targets)
        return (z.square().mean() + outputs[known].sum() if known.any() else z.square().mean()), {}


def test_an_objective_may_leave_the_head_out_of_a_batch_without_labels(tiny):
    learner = Learner(tiny.Encoder(), Absent(), seed=1, head=tiny.Head())
    batch = tiny.make_batch(0, targets=True)
    learner(dataclasses.replace(batch, targets=torch.full_like(batch.targets, torch.nan)), World())[0].backward()
    assert learner.head.linear.weight.grad is not None


def test_a_batch_without_labels_still_reaches_every_parameter(tiny):
    learner = tiny.make_supervised()
    batch = tiny.make_batch(0, targets=True)
    loss, _ = learner(dataclasses.replace(batch, targets=torch.full_like(batch.targets, torch.nan)), World())
    loss.backward()
    assert all(parameter.grad is not None for parameter in learner.parameters())
    assert learner.head.linear.weight.grad.abs().max() == 0


def test_a_batch_without_triplets_still_reaches_every_parameter(tiny):
    learner = pretraining(tiny)[0]
    batch = tiny.make_batch(0)
    nobody = torch.zeros(0, dtype=torch.int64)
    mined = dataclasses.replace(batch.mined, anchors=nobody, positives=nobody, negatives=nobody)
    loss, _ = learner(dataclasses.replace(batch, mined=mined), World())
    loss.backward()
    assert all(parameter.grad is not None for parameter in learner.parameters())


def test_what_the_batch_lacks_is_named(tiny):
    with pytest.raises(UsageError, match="needs mined triplets"):
        tiny.make_learner()(tiny.make_batch(0, targets=True), World())
    with pytest.raises(UsageError, match="needs targets"):
        tiny.make_supervised()(tiny.make_batch(0), World())


@pytest.mark.parametrize(
    "change",
    [
        {"positions": torch.arange(8).flip(0)},
        {"patients": ("a",) * 7},
        {"signals": torch.zeros(4, 2, 40), "positions": torch.arange(4)},
    ],
)
def test_rows_out_of_order_or_missing_are_refused(tiny, change):
    with pytest.raises(IntegrityError, match="step 0: "):
        tiny.make_learner()(dataclasses.replace(tiny.make_batch(0), **change), World())


def test_positions_may_count_on_through_the_run(tiny):
    batch = tiny.make_batch(3)
    learner = tiny.make_learner().eval()  # this tiny encoder has torch's own dropout, which draws anew at each pass
    counted_on, _ = learner(dataclasses.replace(batch, positions=batch.positions + 3 * tiny.BATCH), World())
    assert counted_on.item() == learner(batch, World())[0].item()


def test_dropout_is_keyed_by_recording_step_and_seed(tiny):
    def loss(step=0, seed=1, shift=0):
        torch.manual_seed(2)
        learner = Learner(NARROW.build(tiny.NUM_LEADS), pretrain_loss(TripletObjective(margin=5.0), 4), seed=seed)
        batch = tiny.make_batch(0)
        return learner(dataclasses.replace(batch, step=step, keys=batch.keys + shift), World())[0].item()

    assert loss() == loss()
    assert len({loss(), loss(step=1), loss(seed=2), loss(shift=1)}) == 4


def test_a_frozen_encoder_stays_still(tiny):
    learner = tiny.make_supervised()
    learner.encoder.requires_grad_(False)
    before = {name: value.clone() for name, value in learner.encoder.state_dict().items()}
    tiny.train(
        learner,
        batches=lambda first: (tiny.make_batch(step, targets=True) for step in range(first, 3)),
        num_steps=3,
        validate=None,
    )
    learner.train()
    assert not learner.encoder.training
    assert learner.head.training
    for name, value in learner.encoder.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_embedding_is_evaluation_in_any_batch_size_and_leaves_the_mode(tiny):
    learner = tiny.make_learner().train()
    signals = tiny.make_batch(0).signals.numpy()
    signals.flags.writeable = False
    together = learner.embed(signals)
    assert together.shape == (8, 3)
    assert together.dtype == np.float32
    np.testing.assert_allclose(learner.embed(signals, batch_size=3), together, rtol=1e-6, atol=1e-7)
    assert learner.training
    learner.eval()
    expected = learner.encoder(torch.tensor(signals)).detach().numpy()
    np.testing.assert_array_equal(learner.embed(signals), expected)
    assert not learner.training


def test_prediction_is_the_heads(tiny):
    learner = tiny.make_supervised()
    signals = tiny.make_batch(0).signals.numpy()
    expected = learner.embed(signals) @ learner.head.linear.weight.detach().numpy()[0] + learner.head.linear.bias.item()
    np.testing.assert_allclose(learner.predict(signals), expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(UsageError, match="no head"):
        tiny.make_learner().predict(signals)
    with pytest.raises(UsageError, match="no signals"):
        learner.embed(signals[:0])
