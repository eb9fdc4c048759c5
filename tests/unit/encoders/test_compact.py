"""The small network for CPUs: more weights than the narrow ResNet, fewer multiplications, one long stride."""

import pytest
import torch
from torch import nn

from hemometric.config import decode
from hemometric.encoders import CompactConfig, ResNet1dConfig
from hemometric.errors import UsageError

NARROW = ResNet1dConfig(blocks=(1, 1, 1, 1), widths=(16, 32, 64, 128))


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def expected_count(config, num_leads):
    num_in = config.widths[0]
    total = num_leads * num_in * 15 + 2 * num_in
    for stage, (num_blocks, width) in enumerate(zip(config.blocks, config.widths, strict=True)):
        for block in range(num_blocks):
            total += num_in * width * 5 + width * width * 5 + 4 * width
            if num_in != width or (stage > 0 and block == 0):
                total += num_in * width + 2 * width
            num_in = width
    return total + num_in * config.embedding_dim + config.embedding_dim


@pytest.mark.parametrize(
    ("config", "num_leads", "parameters"),
    [
        (CompactConfig(), 12, 432_288),
        (CompactConfig(), 1, None),
        (CompactConfig(blocks=(2, 1), widths=(8, 8), embedding_dim=3), 8, None),
    ],
)
def test_parameters(config, num_leads, parameters):
    found = count(config.build(num_leads))
    assert found == expected_count(config, num_leads)
    assert parameters is None or found == parameters


def work_of(encoder):
    """Multiplications of all convolutions for a signal of 12 x 1000, and values that they give."""
    multiplications, values = [], []

    def note(module, inputs, output):
        multiplications.append(output.shape[-1] * module.weight.numel())
        values.append(output.numel())

    for module in encoder.modules():
        if isinstance(module, nn.Conv1d):
            module.register_forward_hook(note)
    with torch.no_grad():
        encoder.eval()(torch.zeros(1, 12, 1000))
    return sum(multiplications), sum(values)


def test_it_holds_more_and_works_less_than_the_narrow_resnet():
    compact, narrow = CompactConfig().build(12), NARROW.build(12)
    assert count(compact) > 1.6 * count(narrow)
    assert all(ours < theirs for ours, theirs in zip(work_of(compact), work_of(narrow), strict=True))


def test_lengths_shrink_at_once():
    trunk = CompactConfig().build(12).eval().trunk
    x = trunk.stem(torch.randn(1, 12, 1000))
    assert x.shape == (1, 32, 125)
    shapes = []
    for block in trunk.stages:
        x = block(x)
        shapes.append(tuple(x.shape[1:]))
    assert shapes == [(32, 125), (48, 63), (96, 32), (192, 16)]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"blocks": [1, 1]}, "blocks names 2 stages, widths 4"),
        ({"blocks": [1, 1, 0, 1]}, "blocks must be 1 to 16 in each stage"),
        ({"widths": [32, 48, 96, 1025]}, "widths must be 1 to 1024 in each stage; for wider ones take kind resnet1d"),
        ({"kernel": 7}, "unknown field 'kernel'"),
    ],
)
def test_wrong_configs_are_refused(data, message):
    with pytest.raises(UsageError, match=message):
        decode(CompactConfig, data)
