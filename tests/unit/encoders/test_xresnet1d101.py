"""The xResNet: 101 layers, blocks that begin as their shortcut, mean and maximum over time."""

import pytest
import torch
from torch import nn

from hemometric.encoders import XResNet1d101Config, dropout_keys


def expected_count(width, num_leads, embedding_dim):
    """Layer by layer; a norm holds two a channel, convolutions have no bias."""
    half, out = width // 2, 4 * width
    total = num_leads * half * 5 + half * half * 5 + half * width * 5 + 2 * (2 * half + width)
    num_in = width
    for _ in range(33):
        total += num_in * width + width * width * 5 + width * out + 2 * (2 * width + out)
        if num_in != out:
            total += num_in * out + 2 * out
            num_in = out
    return total + 2 * (2 * out) + 2 * out * embedding_dim + embedding_dim


@pytest.mark.parametrize(("width", "num_leads", "parameters"), [(64, 12, 1_871_360), (64, 1, None), (16, 8, None)])
def test_parameters(width, num_leads, parameters):
    encoder = XResNet1d101Config(width=width).build(num_leads)
    found = sum(parameter.numel() for parameter in encoder.parameters())
    assert found == expected_count(width, num_leads, 128)
    assert parameters is None or found == parameters


def test_it_is_101_layers_deep():
    trunk = XResNet1d101Config(width=4).build(12).trunk
    shortcuts = [module for block in trunk.blocks for module in block.shortcut if isinstance(module, nn.Conv1d)]
    convolutions = [module for module in trunk.modules() if isinstance(module, nn.Conv1d)]
    # 3 in the stem in place of 1, as all xResNets; the 101st is the classifier's.
    assert len(convolutions) - len(shortcuts) == 3 + 99
    assert len(shortcuts) == 1
    assert [module.kernel_size[0] for module in convolutions[:6]] == [5, 5, 5, 1, 5, 1]


def test_lengths_shrink_and_every_stage_has_one_width():
    trunk = XResNet1d101Config(width=4).build(12).eval().trunk
    x = trunk.stem(torch.randn(1, 12, 2500))
    assert x.shape == (1, 4, 625)
    shapes = []
    for block in trunk.blocks:
        x = block(x)
        shapes.append(tuple(x.shape[1:]))
    assert shapes == [(16, 625)] * 3 + [(16, 313)] * 4 + [(16, 157)] * 23 + [(16, 79)] * 3


def test_a_block_begins_as_its_shortcut():
    block = XResNet1d101Config(width=4, norm="batch").build(2).eval().trunk.blocks[3]
    x = torch.randn(2, 16, 9).abs()
    averaged = torch.cat([x[..., :8].unflatten(-1, (4, 2)).mean(-1), x[..., 8:]], dim=-1)  # the last stands alone
    assert torch.allclose(block(x), averaged)


def test_features_are_the_means_and_then_the_maxima():
    trunk = XResNet1d101Config(width=4, norm="batch").build(2).eval().trunk
    signals = torch.randn(3, 2, 200)
    features = trunk.features(signals)
    pooled = torch.cat([features.mean(-1), features.max(-1).values], dim=1) / (1 + 1e-5) ** 0.5
    assert torch.allclose(trunk(signals), pooled, atol=1e-6)


def test_dropout_is_of_the_pooled_features_alone():
    encoder = XResNet1d101Config(width=4, norm="group", dropout=0.5).build(2)
    with dropout_keys(torch.arange(3), step=0, seed=0):
        dropped = encoder.trunk(torch.randn(3, 2, 200))
    assert 0.2 < (dropped == 0).float().mean() < 0.8
