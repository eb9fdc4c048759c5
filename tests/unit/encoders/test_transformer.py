"""The transformer: its size, its pieces, attention by the formula, positions, and the longest signal."""

import math

import pytest
import torch
from torch.nn import functional as F

from hemometric.encoders import TransformerConfig

TINY = TransformerConfig(patch=10, max_samples=200, width=8, depth=2, num_heads=2, embedding_dim=5)


def expected_count(config, num_leads):
    width = config.width
    layer = 4 * width * width + 4 * width + 8 * width * width + 5 * width + 4 * width
    positions = math.ceil(config.max_samples / config.patch) * width if config.positions == "learned" else 0
    token = width if config.pool == "token" else 0
    pieces = num_leads * config.patch * width + width
    return pieces + positions + token + config.depth * layer + 2 * width + (width + 1) * config.embedding_dim


@pytest.mark.parametrize(
    ("config", "num_leads", "parameters"),
    [
        (TransformerConfig(), 12, 2_790_464),
        (TransformerConfig(positions="sinusoidal"), 12, 2_752_064),
        (TINY, 1, None),
        (TINY.model_copy(update={"pool": "token"}), 8, None),
    ],
)
def test_parameters(config, num_leads, parameters):
    found = sum(parameter.numel() for parameter in config.build(num_leads).parameters())
    assert found == expected_count(config, num_leads)
    assert parameters is None or found == parameters


def norm(x, weights, name):
    centred = x - x.mean(-1, keepdim=True)
    scaled = centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
    return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def linear(x, weights, name):
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


@pytest.mark.parametrize("pool", ["mean", "token"])
def test_forward_is_the_formula(build, pool):
    """Pieces and positions; attention with an explicit softmax, a head at a time; a hidden layer; norm; pool."""
    encoder = build(config=TINY.model_copy(update={"pool": pool}), head=None, num_leads=3)[0].double().eval()
    weights, signals = encoder.state_dict(), torch.randn(2, 3, 60, dtype=torch.float64)
    pieces = signals.unflatten(-1, (6, 10)).permute(0, 2, 1, 3).flatten(2)  # [b, piece, lead * sample]
    x = pieces @ weights["trunk.embed.weight"].flatten(1).T + weights["trunk.embed.bias"]
    x = x + weights["trunk.positions"][:6]
    if pool == "token":
        x = torch.cat([weights["trunk.token"].expand(2, 1, 8), x], dim=1)
    for index in range(2):
        name = f"trunk.layers.{index}"
        q, k, v = linear(norm(x, weights, f"{name}.attention_norm"), weights, f"{name}.attention_in").chunk(3, dim=-1)
        heads = []
        for head in (slice(0, 4), slice(4, 8)):
            scores = q[..., head] @ k[..., head].transpose(1, 2) / 2.0  # the root of four
            heads.append(scores.softmax(-1) @ v[..., head])
        x = x + linear(torch.cat(heads, dim=-1), weights, f"{name}.attention_out.0")
        hidden = F.gelu(linear(norm(x, weights, f"{name}.hidden.0"), weights, f"{name}.hidden.1"))
        x = x + linear(hidden, weights, f"{name}.hidden.3")
    x = norm(x, weights, "trunk.norm")
    pooled = x.mean(1) if pool == "mean" else x[:, 0]
    assert torch.allclose(encoder(signals), linear(pooled, weights, "embedding"), rtol=1e-9)


def test_positions_begin_as_sines():
    encoders = [TINY.model_copy(update={"positions": kind}).build(1) for kind in ("learned", "sinusoidal")]
    positions = encoders[0].trunk.positions
    assert positions.shape == (20, 8)
    for at in (0, 1, 7, 19):
        for pair in range(4):
            angle = at / 10_000.0 ** (2 * pair / 8)
            assert positions[at, 2 * pair].item() == pytest.approx(math.sin(angle), abs=1e-5)
            assert positions[at, 2 * pair + 1].item() == pytest.approx(math.cos(angle), abs=1e-5)
    assert torch.equal(positions, encoders[1].trunk.positions)
    assert [name for name, _ in encoders[0].named_parameters() if "positions" in name]
    assert not [name for name, _ in encoders[1].named_parameters() if "positions" in name]


def test_the_end_is_filled_with_0_mv():
    encoder = TINY.build(2).eval()
    signals = torch.randn(3, 2, 47)
    assert torch.equal(encoder(signals), encoder(F.pad(signals, (0, 3))))
    assert not torch.allclose(encoder(signals), encoder(F.pad(signals, (0, 13))), atol=1e-4)


def test_order_and_voltage_count():
    torch.manual_seed(0)
    encoder = TINY.build(2).eval()
    signals = torch.randn(1, 2, 40) * 0.3
    exchanged = signals.unflatten(-1, (4, 10)).flip(2).flatten(2)
    for other in (exchanged, 2 * signals):
        assert F.cosine_similarity(encoder(signals), encoder(other)) < 0.999


def test_a_longer_signal_is_refused():
    encoder = TINY.build(2).eval()
    assert encoder(torch.zeros(1, 2, 200)).shape == (1, 5)
    with pytest.raises(ValueError, match=r"201 samples, and this transformer takes 200; set encoder[.]max_samples"):
        encoder(torch.zeros(1, 2, 201))
