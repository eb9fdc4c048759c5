"""What holds for every encoder that a config may name."""

import re
import runpy
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from torch import nn

from hemometric.config import Config, decode
from hemometric.config.yaml_reader import read_value
from hemometric.encoders import (
    EncoderConfig,
    GlobalBatchNorm1d,
    KeyedDropout,
    ResNet1dConfig,
    dropout_keys,
    load,
    load_trunk,
)
from hemometric.errors import UsageError

SCRIPT = Path(__file__).with_name("catalogue.py")
README = Path(__file__).parents[3] / "configs" / "README.md"
catalogue = runpy.run_path(str(SCRIPT))
SMALL, built = catalogue["SMALL"], catalogue["built"]
ROW = re.compile(r"^\| `encoder: (\{.*\})` \| .+ \| ([\d,]+) \| ([\d.]+|all) \|$", re.MULTILINE)
every = pytest.mark.parametrize("config", SMALL.values(), ids=SMALL)


class Holder(Config):
    encoder: EncoderConfig = ResNet1dConfig()


def members():
    return [get_args(tagged)[0] for tagged in get_args(get_args(EncoderConfig)[0])]


def parameters_of(config, num_leads=12):
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in config.build(num_leads).parameters())


def signals_of(num_leads, num_samples, rows=4):
    return torch.randn(rows, num_leads, num_samples, generator=torch.Generator().manual_seed(num_samples))


def test_every_kind_is_here():
    kinds = {member.model_fields["kind"].default for member in members()}
    assert kinds == {config.kind for config in SMALL.values()}
    assert len(kinds) == len(members()) == 5


def test_the_table_of_encoders_tells_the_truth():
    rows = ROW.findall(README.read_text(encoding="utf-8"))
    found = {}
    for text, parameters, seen in rows:
        config = decode(Holder, {"encoder": read_value(text, source="row")}).encoder
        with torch.device("meta"):
            encoder = config.build(12)
        assert f"{parameters_of(config):,}" == parameters, text
        expected = "all" if config.kind == "transformer" else f"{encoder.receptive_field / 250:.1f}"
        assert seen == expected, text
        found.setdefault(config.kind, []).append(config)
    assert set(found) == {config.kind for config in SMALL.values()}
    # Each kind as it comes is in it, and the encoder of the laptop configs.
    assert all(member() in found[member.model_fields["kind"].default] for member in members())
    assert any(config.widths == (16, 32, 64, 128) for config in found["resnet1d"])


@pytest.mark.parametrize("member", members(), ids=lambda member: member.__name__)
def test_each_docstring_counts_the_parameters(member):
    first = member.__doc__.split("\n\n")[0]
    assert f"{parameters_of(member()):,} parameters" in first


@pytest.mark.parametrize("num_leads", [1, 2, 8, 12])
@every
def test_any_leads_and_lengths(config, num_leads):
    encoder = built(config, num_leads).eval()
    for num_samples in (1, 90, 260):
        embeddings = encoder(signals_of(num_leads, num_samples, rows=2))
        assert embeddings.shape == (2, config.embedding_dim)
        assert embeddings.isfinite().all()
        if num_samples > 1:
            assert not torch.allclose(embeddings[0], embeddings[1], rtol=1e-3), "different signals, one embedding"


@every
def test_another_shape_is_refused(config):
    encoder = config.build(2).eval()
    for shape in ((3, 1, 50), (3, 3, 50), (2, 50), (3, 2, 0)):
        with pytest.raises(ValueError, match=r"expected \[b, 2, sample\]"):
            encoder(torch.zeros(shape))
    with pytest.raises(ValueError, match="an encoder of 0 leads cannot be built"):
        config.build(0)


@every
def test_evaluation_is_of_each_row_alone(config):
    encoder = built(config, 2).eval()
    signals = signals_of(2, 90)
    with torch.no_grad():
        whole = encoder(signals)
        assert torch.equal(encoder(signals), whole)
        alone = torch.cat([encoder(signals[[row]]) for row in (2, 0, 3, 1)])
    assert (alone - whole[[2, 0, 3, 1]]).abs().max() < 1e-5 * whole.abs().max()


@every
def test_training_is_a_function_of_keys(config):
    encoder = built(config.model_copy(update={"dropout": 0.3, "norm": "group"}), 2).double()
    signals = signals_of(2, 90).double()
    with pytest.raises(RuntimeError, match="dropout_keys"):
        encoder(signals)

    def embed(rows, step=0):
        with dropout_keys(torch.tensor([5, 6, 7, 8])[rows], step=step, seed=1):
            return encoder(signals[rows])

    whole = embed(slice(None))
    assert torch.allclose(embed([2, 0, 1]), whole[[2, 0, 1]])
    assert not torch.allclose(embed(slice(None), step=1), whole, rtol=1e-3)


@every
def test_each_dropout_is_keyed_and_has_a_number_of_its_own(config):
    modules = list(config.build(2).modules())
    numbers = [module.layer for module in modules if isinstance(module, KeyedDropout)]
    assert sorted(numbers) == list(range(1, len(numbers) + 1))  # 0 is the head's
    assert {module.p for module in modules if isinstance(module, KeyedDropout)} == {config.dropout}
    assert not [module for module in modules if type(module).__module__ == "torch.nn.modules.dropout"]


@pytest.mark.parametrize(
    ("norm", "kind"), [("batch", nn.BatchNorm1d), ("global", GlobalBatchNorm1d), ("group", nn.GroupNorm)]
)
@every
def test_norms_are_those_of_the_config(config, norm, kind):
    modules = list(config.model_copy(update={"norm": norm}).build(2).modules())
    found = {type(module) for module in modules if isinstance(module, (nn.BatchNorm1d, nn.GroupNorm, nn.LayerNorm))}
    assert found == ({nn.LayerNorm} if config.kind == "transformer" else {kind})


@every
def test_normalised_embeddings_have_length_one(config):
    assert config.normalised is False
    encoder = built(config.model_copy(update={"normalised": True}), 2).eval()
    plain = built(config, 2).eval()
    signals = signals_of(2, 90)
    lengths = encoder(signals).norm(dim=-1)
    assert torch.allclose(lengths, torch.ones(4))
    assert torch.allclose(plain(signals) / plain(signals).norm(dim=-1, keepdim=True), encoder(signals), atol=1e-6)


@every
def test_every_parameter_gets_a_gradient(config):
    encoder = built(config, 3)
    with dropout_keys(torch.arange(6), step=0, seed=0):
        encoder(signals_of(3, 130, rows=6)).square().sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@every
def test_first_weights_come_from_torch_s_generator(config):
    torch.manual_seed(0)
    first = config.build(2).state_dict()
    torch.manual_seed(0)
    second = config.build(2).state_dict()
    third = config.build(2).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in second)
    assert any(not torch.equal(first[name], third[name]) for name in third)


@every
def test_a_folder_gives_the_same_bits_back(config, tmp_path, save_model):
    encoder, _, _ = save_model(tmp_path / "model", config=config, head=None)
    model = load(tmp_path / "model", device="cpu")
    assert model.description.encoder == config
    found, expected = model.encoder.state_dict(), encoder.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    signals = signals_of(12, 1000) * 0.2
    with torch.no_grad():
        assert np.array_equal(model.embed_prepared(signals.numpy()), encoder.eval()(signals).numpy())


@every
def test_a_trunk_moves_to_another_embedding_size_and_not_to_another_kind(config, tmp_path, save_model):
    save_model(tmp_path / "model", config=config, head=None)
    model = load(tmp_path / "model", device="cpu")
    encoder = config.model_copy(update={"embedding_dim": 9}).build(12)
    assert load_trunk(model, encoder) == ["embedding"]
    assert load_trunk(model, config.build(12)) == []
    moved, trained = encoder.trunk.state_dict(), model.encoder.trunk.state_dict()
    assert all(torch.equal(moved[name], tensor) for name, tensor in trained.items())
    other = next(other for other in SMALL.values() if other.kind != config.kind)
    with pytest.raises(UsageError, match=f"kind '{other.kind}' [(]the model's is '{config.kind}'[)]"):
        load_trunk(model, other.build(12))


@pytest.fixture(scope="module")
def two_ranks(run_two_ranks):
    return run_two_ranks(SCRIPT)


@pytest.mark.parametrize("name", SMALL)
def test_two_ranks_are_one_process_on_the_joined_batch(two_ranks, name):
    expected = catalogue["train"](SMALL[name], slice(None))
    zero, one = ({part: rank[f"{name}/{part}"] for part in expected} for rank in two_ranks)
    zero["embeddings"] = torch.stack([zero["embeddings"], one["embeddings"]], dim=1).flatten(0, 1)
    one["embeddings"] = zero["embeddings"]
    for part, tensor in expected.items():
        assert torch.equal(zero[part], one[part]), f"{part} differs between the ranks"
        error = (zero[part] - tensor).abs().max() / tensor.abs().max().clamp(min=1.0)
        assert error < 1e-10, f"{part} is off by {error}"
