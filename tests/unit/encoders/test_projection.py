"""The projection behind an embedding that contrastive training uses."""

import pytest
import torch
from torch import nn

from hemometric.config import Config, decode
from hemometric.encoders import GlobalBatchNorm1d, MlpProjection, NoProjection, ProjectionConfig
from hemometric.errors import UsageError


class Holder(Config):
    projection: ProjectionConfig = NoProjection()


def test_none_gives_the_embedding_itself():
    embeddings = torch.randn(3, 7)
    assert NoProjection().build(7)(embeddings) is embeddings
    assert NoProjection().width_of(7) == 7
    assert not list(NoProjection().build(7).parameters())


@pytest.mark.parametrize(("layers", "width"), [(1, 5), (2, 320), (3, 8)])
@pytest.mark.parametrize("normalised", [False, True])
def test_layers_and_widths(layers, width, normalised):
    config = MlpProjection(layers=layers, width=width, normalised=normalised)
    projection = config.build(7)
    assert projection(torch.randn(4, 7)).shape == (4, width)
    assert config.width_of(7) == width
    hidden = [nn.Linear, GlobalBatchNorm1d, nn.ReLU] if normalised else [nn.Linear, nn.ReLU]
    assert [type(module) for module in projection] == hidden * (layers - 1) + [nn.Linear]
    found = sum(parameter.numel() for parameter in projection.parameters())
    norms = 2 * width * (layers - 1) if normalised else 0
    assert found == 7 * width + width + (layers - 1) * (width * width + width) + norms


def test_forward_is_the_formula():
    projection = MlpProjection(width=6).build(4).double()
    weights = projection.state_dict()
    embeddings = torch.randn(5, 4, dtype=torch.float64)
    hidden = (embeddings @ weights["0.weight"].T + weights["0.bias"]).clamp(min=0)
    assert torch.allclose(projection(embeddings), hidden @ weights["2.weight"].T + weights["2.bias"])
    assert (weights["0.bias"] == 0).all()


@pytest.mark.parametrize(
    ("norm", "kind"), [("batch", nn.BatchNorm1d), ("global", GlobalBatchNorm1d), ("group", nn.GroupNorm)]
)
def test_its_norm_is_the_encoder_s(norm, kind):
    projection = MlpProjection(width=16, normalised=True).build(4, norm)
    assert type(projection[1]) is kind
    assert projection(torch.randn(3, 4)).isfinite().all()


def test_it_reads_from_plain_data():
    found = decode(Holder, {"projection": {"kind": "mlp", "layers": 2, "width": 320}}).projection
    assert found == MlpProjection(width=320)
    for data in ({"kind": "mlp", "layers": 0}, {"kind": "mlp", "width": 1}, {"kind": "none", "width": 3}):
        with pytest.raises(UsageError, match="projection"):
            decode(Holder, {"projection": data})
    with pytest.raises(UsageError, match="unknown kind 'mpl'; did you mean 'mlp'"):
        decode(Holder, {"projection": {"kind": "mpl"}})
