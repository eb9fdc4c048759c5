"""How many samples a feature sees: counted by the encoder, measured by the gradient."""

import runpy
from pathlib import Path

import pytest
import torch
from torch import nn

from hemometric.encoders import CompactConfig, ResNet1dConfig
from hemometric.encoders.trunk import receptive_field

catalogue = runpy.run_path(str(Path(__file__).with_name("catalogue.py")))
SMALL, built = catalogue["SMALL"], catalogue["built"]

# The geometry of the encoders as they come, with few channels.
GEOMETRIES = {
    "ResNet-18": ResNet1dConfig(widths=(2,) * 4, norm="batch"),
    "ResNet-34": ResNet1dConfig(widths=(2,) * 4, norm="batch", blocks=(3, 4, 6, 3)),
    "ResNet-50": ResNet1dConfig(widths=(2,) * 4, norm="batch", blocks=(3, 4, 6, 3), block="bottleneck"),
    "released ResNet-50": ResNet1dConfig(
        widths=(2,) * 4, norm="batch", blocks=(3, 4, 6, 3), block="bottleneck", kernel=11, outer_kernel=7
    ),
    "xresnet1d101": SMALL["xresnet1d101"].model_copy(update={"width": 2, "norm": "batch"}),
    "pclr": SMALL["pclr"].model_copy(update={"norm": "batch"}),
    "compact": CompactConfig(widths=(2,) * len(CompactConfig().widths), norm="batch"),
}


@pytest.mark.parametrize("config", GEOMETRIES.values(), ids=GEOMETRIES)
def test_a_feature_sees_as_many_samples_as_the_encoder_says(config):
    """By the gradient of one feature in the middle, where every weight is a mean, so that nothing cancels out.

    A max-pool lets the gradient of one sample through: its last of a rising signal, its first of a falling one.
    """
    encoder = config.build(1).double().eval().requires_grad_(False)
    for module in encoder.modules():
        if isinstance(module, nn.Conv1d):
            module.weight.fill_(1.0 / module.weight[0].numel())
        elif isinstance(module, nn.BatchNorm1d):
            module.weight.fill_(1.0)
    num_samples = encoder.receptive_field * 5 // 4 + 64
    seen = torch.zeros(num_samples, dtype=torch.bool)
    for start, end in ((1.0, 2.0), (2.0, 1.0)):
        signal = torch.linspace(start, end, num_samples, dtype=torch.float64)[None, None].requires_grad_()
        features = encoder.trunk.features(signal)
        features[0, :, features.shape[-1] // 2].sum().backward()
        seen |= signal.grad[0, 0] != 0
    samples = seen.nonzero().flatten()
    assert int(samples[-1] - samples[0]) + 1 == encoder.receptive_field
    assert samples[0] > 0, "the signal's beginning cuts the field off"
    assert samples[-1] < num_samples - 1, "the signal's end cuts the field off"


@pytest.mark.parametrize("name", ["transformer", "transformer, token"])
def test_a_transformer_s_features_see_everything(name):
    encoder = built(SMALL[name], 1).eval()
    assert encoder.receptive_field == SMALL[name].max_samples
    signal = torch.randn(1, 1, SMALL[name].max_samples, requires_grad=True)
    features = encoder.trunk.features(signal)
    features[0, 0, features.shape[-1] // 2].backward()
    assert (signal.grad != 0).all()


def test_each_layer_adds_its_reach_at_its_spacing():
    path = [nn.Conv1d(1, 1, 15, stride=2), nn.Sequential(nn.MaxPool1d(3, stride=2), nn.ReLU()), nn.AvgPool1d(2)]
    assert receptive_field() == 1
    assert [receptive_field(*path[:num]) for num in (1, 2, 3)] == [15, 15 + 2 * 2, 19 + 1 * 4]
    assert receptive_field(*path, nn.Conv1d(1, 1, 5)) == 23 + 4 * 8
