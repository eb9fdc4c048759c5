"""The ResNet: its size, its shapes, its first weights, and its config."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from hemometric.config import decode, fingerprint
from hemometric.encoders import GlobalBatchNorm1d, HeadConfig, KeyedDropout, ResNet1dConfig, dropout_keys
from hemometric.errors import UsageError

NARROW = ResNet1dConfig(blocks=(1, 1, 1, 1), widths=(4, 8, 8, 16), embedding_dim=5)


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def expected_count(config, num_leads):
    """Parameters by the published table, layer by layer; a norm holds two a channel, convolutions have no bias."""
    num_in = config.widths[0]
    total = num_leads * num_in * config.stem_kernel + 2 * num_in
    for stage, (num_blocks, width) in enumerate(zip(config.blocks, config.widths, strict=True)):
        for block in range(num_blocks):
            if config.block == "basic":
                num_out = width
                total += num_in * width * config.kernel + width * width * config.kernel + 4 * width
            else:
                num_out = 4 * width
                total += (num_in + num_out) * width * config.outer_kernel + width * width * config.kernel
                total += 2 * (width + width + num_out)
            if num_in != num_out or (stage > 0 and block == 0):
                total += num_in * num_out + 2 * num_out
            num_in = num_out
    return total + num_in * config.embedding_dim + config.embedding_dim


@pytest.mark.parametrize("norm", ["batch", "global", "group"])
def test_default_is_the_published_resnet18(norm):
    encoder = ResNet1dConfig(norm=norm).build(12)
    assert count(encoder) == 8_803_072
    assert count(encoder.embedding) == 512 * 128 + 128
    convolutions = [module for module in encoder.modules() if isinstance(module, nn.Conv1d)]
    assert len(convolutions) == 17 + 3  # seventeen, and three shortcuts
    assert (convolutions[0].kernel_size, convolutions[0].stride) == ((15,), (2,))
    assert all(convolution.bias is None for convolution in convolutions)


@pytest.mark.parametrize(
    ("config", "num_leads", "parameters"),
    [
        (ResNet1dConfig(blocks=(3, 4, 6, 3)), 12, 16_666_624),
        (ResNet1dConfig(block="bottleneck", blocks=(3, 4, 6, 3)), 12, 21_257_472),
        (ResNet1dConfig(block="bottleneck", blocks=(3, 4, 23, 3)), 12, 38_021_376),
        (ResNet1dConfig(block="bottleneck", blocks=(3, 8, 36, 3)), 12, 51_830_016),
        (ResNet1dConfig(block="bottleneck", blocks=(3, 4, 6, 3), kernel=11, outer_kernel=7), 12, 82_443_520),
        (ResNet1dConfig(embedding_dim=256), 12, 8_868_736),
        (ResNet1dConfig(widths=(8, 16, 32, 64)), 12, 147_152),
        (ResNet1dConfig(widths=(16, 32, 64, 128)), 12, 566_560),
        (ResNet1dConfig(widths=(8, 16, 32, 64)), 1, 145_832),
        (NARROW, 8, None),
    ],
)
def test_parameters(config, num_leads, parameters):
    with torch.device("meta"):
        found = count(config.build(num_leads))
    assert found == expected_count(config, num_leads)
    assert parameters is None or found == parameters


def test_head_parameters():
    assert count(HeadConfig().build(128)) == 128 * 128 + 128 + 2 * 128 + 128 + 1


@pytest.mark.parametrize("num_leads", [1, 8, 12])
@pytest.mark.parametrize("num_samples", [1, 2, 99, 250, 1000])
def test_any_leads_and_lengths(num_leads, num_samples):
    encoder = NARROW.build(num_leads).eval()
    assert encoder(torch.randn(3, num_leads, num_samples)).shape == (3, 5)


def plain_norm(x, weights, name):
    """Evaluation-mode batch normalisation of [b, c] or [b, c, l], written out."""
    column = (1, -1) + (1,) * (x.dim() - 2)
    mean, var, scale, shift = (
        weights[f"{name}.{part}"].view(column) for part in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / (var + 1e-5).sqrt() * scale + shift


def test_forward_is_the_published_order_of_operations(build):
    """Convolution, norm, ReLU, pool; blocks of convolution, norm, ReLU, convolution, norm, sum, ReLU; mean; linear."""
    encoder, head = build(config=NARROW, head=HeadConfig(hidden=8), num_leads=3)
    encoder, head = encoder.double().eval(), head.double().eval()
    weights, signals = encoder.state_dict(), torch.randn(4, 3, 201, dtype=torch.float64)
    x = F.conv1d(signals, weights["trunk.stem.0.weight"], stride=2, padding=7)
    x = F.max_pool1d(plain_norm(x, weights, "trunk.stem.1").clamp(min=0), 3, stride=2, padding=1)
    for stage in range(4):
        name, stride = f"trunk.stages.{stage}.0", 1 if stage == 0 else 2
        y = F.conv1d(x, weights[f"{name}.residual.0.weight"], stride=stride, padding=3)
        y = plain_norm(y, weights, f"{name}.residual.1").clamp(min=0)
        y = plain_norm(F.conv1d(y, weights[f"{name}.residual.4.weight"], padding=3), weights, f"{name}.residual.5")
        if stage > 0:
            x = F.conv1d(x, weights[f"{name}.shortcut.0.weight"], stride=stride)
            x = plain_norm(x, weights, f"{name}.shortcut.1")
        x = (x + y).clamp(min=0)
    embeddings = x.mean(-1) @ weights["embedding.weight"].T + weights["embedding.bias"]
    assert torch.allclose(encoder(signals), embeddings, rtol=1e-10)
    weights = head.state_dict()
    hidden = embeddings @ weights["layers.0.weight"].T + weights["layers.0.bias"]
    hidden = plain_norm(hidden, weights, "layers.1").clamp(min=0)
    outputs = hidden @ weights["layers.4.weight"][0] + weights["layers.4.bias"]
    assert torch.allclose(head(embeddings), outputs, rtol=1e-10)


def test_dropout_lies_between_the_convolutions_and_before_the_output():
    kinds = [type(module) for module in NARROW.build(2).trunk.stages[0][0].residual]
    assert kinds == [nn.Conv1d, GlobalBatchNorm1d, nn.ReLU, KeyedDropout, nn.Conv1d, GlobalBatchNorm1d]
    assert [type(module) for module in HeadConfig().build(5).layers][2:] == [nn.ReLU, KeyedDropout, nn.Linear]


def test_a_bottleneck_is_he_s(build):
    """A narrow, a wide and a narrow kernel, the stride in the middle, dropout before the last."""
    config = NARROW.model_copy(update={"block": "bottleneck", "blocks": (1, 2), "widths": (2, 3), "kernel": 5})
    encoder = build(config=config, head=None, num_leads=3)[0].double().eval()
    weights, signals = encoder.state_dict(), torch.randn(4, 3, 201, dtype=torch.float64)
    x = F.conv1d(signals, weights["trunk.stem.0.weight"], stride=2, padding=7)
    x = F.max_pool1d(plain_norm(x, weights, "trunk.stem.1").clamp(min=0), 3, stride=2, padding=1)
    for name, stride in (("0.0", 1), ("1.0", 2), ("1.1", 1)):
        name = f"trunk.stages.{name}"
        y = F.conv1d(x, weights[f"{name}.residual.0.weight"])
        y = F.conv1d(
            plain_norm(y, weights, f"{name}.residual.1").clamp(min=0),
            weights[f"{name}.residual.3.weight"],
            stride=stride,
            padding=2,
        )
        y = plain_norm(y, weights, f"{name}.residual.4").clamp(min=0)
        y = plain_norm(F.conv1d(y, weights[f"{name}.residual.7.weight"]), weights, f"{name}.residual.8")
        if not name.endswith("1.1"):
            x = plain_norm(
                F.conv1d(x, weights[f"{name}.shortcut.0.weight"], stride=stride), weights, f"{name}.shortcut.1"
            )
        x = (x + y).clamp(min=0)
    assert x.shape[1] == 12
    embeddings = x.mean(-1) @ weights["embedding.weight"].T + weights["embedding.bias"]
    assert torch.allclose(encoder(signals), embeddings, rtol=1e-10)
    residual = encoder.trunk.stages[0][0].residual
    assert [index for index, module in enumerate(residual) if isinstance(module, KeyedDropout)] == [6]


def test_lengths_shrink_as_published():
    trunk = ResNet1dConfig(widths=(4, 4, 4, 4)).build(12).eval().trunk
    signals = torch.randn(1, 12, 2500)
    stem = trunk.stem(signals)
    assert stem.shape[-1] == 625
    lengths = []
    for stage in trunk.stages:
        stem = stage(stem)
        lengths.append(stem.shape[-1])
    assert lengths == [625, 313, 157, 79]
    assert torch.allclose(trunk(signals), stem.mean(-1))


def test_signals_of_another_shape_are_refused():
    encoder = NARROW.build(2).eval()
    with pytest.raises(ValueError, match=r"\[3, 1, 50\]; expected \[b, 2, sample\]"):
        encoder(torch.randn(3, 1, 50))
    with pytest.raises(ValueError, match=r"expected \[b, 2, sample\]"):
        encoder(torch.randn(2, 50))


def test_normalised_embeddings_have_length_one():
    encoder = NARROW.model_copy(update={"normalised": True}).build(2).eval()
    assert torch.allclose(encoder(torch.randn(4, 2, 80)).norm(dim=-1), torch.ones(4))


def test_first_weights_follow_he():
    torch.manual_seed(0)
    encoder = ResNet1dConfig().build(12)
    for name, module in encoder.named_modules():
        if isinstance(module, nn.Conv1d) and module.weight.numel() > 5000:
            expected = (2 / (module.out_channels * module.kernel_size[0])) ** 0.5
            assert module.weight.std().item() == pytest.approx(expected, rel=0.05), name
    torch.manual_seed(0)
    again = ResNet1dConfig().build(12)
    assert all(torch.equal(a, b) for a, b in zip(encoder.parameters(), again.parameters(), strict=True))


def test_each_dropout_has_a_number_of_its_own():
    encoder, head = ResNet1dConfig(blocks=(1, 2), widths=(4, 8)).build(3), HeadConfig().build(128)
    numbers = [module.layer for module in encoder.modules() if isinstance(module, KeyedDropout)]
    assert numbers == [1, 2, 3]
    assert [module.layer for module in head.modules() if isinstance(module, KeyedDropout)] == [0]


def test_training_is_a_function_of_keys_and_evaluation_of_none():
    torch.manual_seed(0)
    encoder = NARROW.model_copy(update={"dropout": 0.5, "norm": "group"}).build(2)
    signals = torch.randn(3, 2, 80)
    with pytest.raises(RuntimeError, match="dropout_keys"):
        encoder(signals)

    def embed(rows, step):
        with dropout_keys(torch.tensor([5, 6, 7])[rows], step=step, seed=1):
            return encoder(signals[rows])

    whole = embed(slice(None), 0)
    assert torch.allclose(embed(slice(1, 2), 0), whole[1:2], atol=1e-5)
    assert torch.allclose(embed([2, 0, 1], 0), whole[[2, 0, 1]], atol=1e-5)
    assert not torch.allclose(embed(slice(None), 1), whole, atol=1e-3)
    encoder.eval()
    assert torch.equal(encoder(signals), encoder(signals))


def test_every_parameter_gets_a_gradient():
    encoder, head = NARROW.build(3), HeadConfig(hidden=8).build(5)
    with dropout_keys(torch.arange(6), step=0, seed=0):
        head(encoder(torch.randn(6, 3, 90))).square().sum().backward()
    for name, parameter in [*encoder.named_parameters(), *head.named_parameters()]:
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0 or name.endswith("layers.0.bias"), name


@pytest.mark.parametrize("norm", ["batch", "global", "group"])
def test_head_gives_one_number_a_row(norm):
    head = HeadConfig(hidden=16).build(5, norm).eval()
    assert head(torch.randn(7, 5)).shape == (7,)
    assert head(torch.randn(1, 5)).shape == (1,)
    kinds = {"batch": nn.BatchNorm1d, "global": GlobalBatchNorm1d, "group": nn.GroupNorm}
    assert type(head.layers[1]) is kinds[norm]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"blocks": [2, 2]}, "blocks names 2 stages, widths 4"),
        ({"kernel": 4}, "odd"),
        ({"widths": [4, 4, 4, 0]}, "1 or more"),
        ({"outer_kernel": 3}, "outer_kernel is a bottleneck's; leave it out, or set block to bottleneck"),
        ({"block": "bottleneck", "outer_kernel": 2}, "outer_kernel must be odd"),
        ({"block": "botleneck"}, "did you mean 'bottleneck'"),
        ({"dropout": 1.0}, "dropout"),
        ({"norm": "layer"}, "norm"),
        ({"kind": "resnet2d"}, "kind"),
        ({"width": [4]}, "did you mean 'widths'"),
        ({"embedding_dim": 0}, "embedding_dim"),
        ({"embedding_dim": 65_537}, "embedding_dim"),
        ({"kernel": 1025}, "kernel"),
        ({"stem_kernel": 1025}, "stem_kernel"),
        ({"widths": [64, 128, 256, 8193]}, "widths 8192 or less"),
        ({"blocks": [2, 2, 65, 2]}, "blocks must be 64 or less in each stage"),
        ({"blocks": [1] * 9, "widths": [4] * 9}, "blocks"),
        ({"blocks": [64], "widths": [8192]}, "about 6.0e[+]10 weights is larger than 2e[+]09; take fewer blocks"),
    ],
)
def test_wrong_configs_are_refused(data, message):
    with pytest.raises(UsageError, match=message):
        decode(ResNet1dConfig, data)


def test_config_reads_from_plain_data_and_hashes():
    config = decode(ResNet1dConfig, {"kind": "resnet1d", "widths": [8, 16, 32, 64], "norm": "batch"})
    assert config == ResNet1dConfig(widths=(8, 16, 32, 64), norm="batch")
    assert fingerprint(config) != fingerprint(ResNet1dConfig())
    with pytest.raises(ValueError, match="0 leads"):
        config.build(0)


def test_a_head_has_bounds():
    for hidden in (1, 8193):
        with pytest.raises(UsageError, match="hidden"):
            decode(HeadConfig, {"hidden": hidden})
