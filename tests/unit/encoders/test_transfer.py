"""Beginning from a trained trunk."""

import pytest
import torch

from hemometric.encoders import ResNet1dConfig, load, load_trunk
from hemometric.errors import UsageError

SAME = ResNet1dConfig(blocks=(1, 1), widths=(8, 16), embedding_dim=6)


@pytest.fixture
def model(folder):
    return load(folder, device="cpu")


def equal(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def test_everything_is_copied_where_sizes_fit(model):
    encoder = SAME.build(12)
    assert not equal(encoder.trunk, model.encoder.trunk)
    assert load_trunk(model, encoder) == []
    assert equal(encoder, model.encoder)
    # A copy, not the same memory: training the new one leaves the model alone.
    with torch.no_grad():
        encoder.embedding.weight.zero_()
        encoder.trunk.stem[0].weight.zero_()
    assert model.encoder.embedding.weight.abs().sum() > 0
    assert model.encoder.trunk.stem[0].weight.abs().sum() > 0
    assert all(parameter.requires_grad for parameter in encoder.parameters())


def test_another_embedding_size_begins_anew(model):
    encoder = SAME.model_copy(update={"embedding_dim": 9}).build(12)
    fresh = encoder.embedding.weight.clone()
    assert load_trunk(model, encoder) == ["embedding"]
    assert equal(encoder.trunk, model.encoder.trunk)
    assert torch.equal(encoder.embedding.weight, fresh)


@pytest.mark.parametrize("update", [{"dropout": 0.0}, {"norm": "batch"}, {"normalised": True}])
def test_what_the_tensors_do_not_hang_on_may_differ(model, update):
    encoder = SAME.model_copy(update=update).build(12)
    assert load_trunk(model, encoder) == []
    assert equal(encoder, model.encoder)


@pytest.mark.parametrize(
    ("update", "num_leads", "message"),
    [
        ({"widths": (8, 32)}, 12, r"widths \(8, 32\) \(the model's is \(8, 16\)\); set"),
        ({"blocks": (1, 2)}, 12, r"blocks \(1, 2\) "),
        ({"kernel": 5, "stem_kernel": 9}, 12, r"stem_kernel 9 \(the model's is 15\), kernel 5 \(the model's is 7\)"),
        ({"norm": "group"}, 12, r"norm 'group' "),
        ({}, 8, r"num_leads 8 \(the model's is 12\)"),
    ],
)
def test_another_trunk_is_refused_by_field(model, update, num_leads, message):
    encoder = SAME.model_copy(update=update).build(num_leads)
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    with pytest.raises(UsageError, match=message):
        load_trunk(model, encoder)
    assert all(torch.equal(tensor, before[name]) for name, tensor in encoder.state_dict().items())
