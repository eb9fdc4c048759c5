"""PCLR's encoder: its size, its shapes, Keras's padding, and features that are the embedding."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from hemometric.encoders import HeadConfig, MlpProjection, PclrConfig
from hemometric.encoders.pclr import _padded, _SameConvolution


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("norm", ["batch", "global", "group"])
def test_it_has_the_published_number_of_parameters_without_the_projection(norm):
    encoder = PclrConfig(norm=norm).build(12)
    convolutions = 12 * 64 * 16
    norms = 2 * 64
    for num_in, num_out in ((64, 128), (128, 196), (196, 256), (256, 320)):
        convolutions += num_in * num_out * 16 + num_out * num_out * 16 + num_in * num_out
        norms += 4 * num_out
    assert count(encoder) == convolutions + norms == 6_391_184
    projection = MlpProjection(width=320).build(320)
    assert count(projection) == 2 * (320 * 320 + 320) == 205_440
    assert count(encoder) + count(projection) == 6_596_624


def test_lengths_shrink_as_published():
    trunk = PclrConfig().build(12).eval().trunk
    with torch.no_grad():
        active = carried = trunk.stem(torch.randn(1, 12, 4096))
        assert active.shape == (1, 64, 4096)
        shapes = []
        for unit in trunk.units:
            active, carried = unit(active, carried)
            assert carried.shape == active.shape
            shapes.append((active.shape[2], active.shape[1]))
    assert shapes == [(1024, 128), (256, 196), (64, 256), (16, 320)]


@pytest.mark.parametrize(("num_samples", "positions"), [(1, 1), (255, 1), (257, 2), (1000, 4), (2500, 10), (4096, 16)])
def test_lengths_that_do_not_divide_are_rounded_up(num_samples, positions):
    trunk = PclrConfig().build(1).eval().trunk
    with torch.no_grad():
        assert trunk.features(torch.randn(1, 1, num_samples)).shape == (1, 320, positions)


@pytest.mark.parametrize("kernel", [4, 16])
@pytest.mark.parametrize("stride", [1, 4])
@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 15, 16, 17, 18, 19, 20])
def test_padding_is_keras_s_same(kernel, stride, length):
    """Against a loop over windows, by the rule in TensorFlow's documentation of padding `same`."""
    x = torch.randn(1, 1, length, dtype=torch.float64)
    weight = torch.randn(kernel, dtype=torch.float64)
    surplus = stride if length % stride == 0 else length % stride
    before = max(kernel - surplus, 0) // 2
    expected = [
        sum(weight[tap] * x[0, 0, start + tap] for tap in range(kernel) if 0 <= start + tap < length)
        for start in range(-before, length - before, stride)
    ][: -(-length // stride)]
    found = _SameConvolution(1, 1, kernel, stride).double()
    with torch.no_grad():
        found.weight.copy_(weight)
        assert torch.allclose(found(x)[0, 0], torch.stack([torch.as_tensor(value) for value in expected]))


def test_padding_never_wins_a_maximum():
    x = -torch.ones(1, 1, 5)
    assert F.max_pool1d(_padded(x, 4, 4, float("-inf")), 4).tolist() == [[[-1.0, -1.0]]]


def test_forward_is_the_published_order_of_operations(build):
    """Two streams: what was normalised goes into the next convolution, the sum before it into the next shortcut."""
    encoder = build(config=PclrConfig(), head=None, num_leads=2)[0].double().eval()
    weights, signals = encoder.state_dict(), torch.randn(2, 2, 512, dtype=torch.float64)

    def norm(x, name):
        mean, var, scale, shift = (
            weights[f"trunk.{name}.{part}"][:, None] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return ((x - mean) / (var + 1e-5).sqrt() * scale + shift).clamp(min=0)

    x = y = norm(F.conv1d(F.pad(signals, (7, 8)), weights["trunk.stem.0.weight"]), "stem.1")
    for unit in range(4):
        name = f"units.{unit}"
        x = norm(F.conv1d(F.pad(x, (7, 8)), weights[f"trunk.{name}.residual.0.weight"]), f"{name}.residual.1")
        x = F.conv1d(F.pad(x, (6, 6)), weights[f"trunk.{name}.residual.4.weight"], stride=4)
        y = x + F.conv1d(F.max_pool1d(y, 4), weights[f"trunk.{name}.shortcut.weight"])
        x = norm(y, f"{name}.activation.0")
    assert torch.allclose(encoder(signals), x.mean(-1), rtol=1e-9)


def test_the_pooled_features_are_the_embedding():
    encoder = PclrConfig().build(1).eval()
    signals = torch.randn(2, 1, 256)
    assert isinstance(encoder.embedding, nn.Identity)
    assert torch.equal(encoder(signals), encoder.trunk(signals))
    assert HeadConfig().build(encoder.embedding_dim).eval()(encoder(signals)).shape == (2,)
    other = PclrConfig(embedding_dim=128).build(1)
    assert other.embedding.weight.shape == (128, 320)
    assert count(other) - count(encoder) == 320 * 128 + 128
