"""Every kind of encoder goes the whole way: pretrained, fine-tuned from there, loaded, and asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from hemometric.encoders import load
from hemometric.runs import finetune, pretrain

HERE: dict[str, Any] = {"workers": 0, "num_steps": 2, "validate_every_steps": 2, "checkpoint_every_steps": 2}
ENCODERS: list[dict[str, Any]] = [
    {"kind": "resnet1d", "block": "bottleneck", "blocks": [1, 1], "widths": [4, 4], "embedding_dim": 8},
    {"kind": "compact", "blocks": [1], "widths": [8], "embedding_dim": 8},
    {"kind": "pclr"},
    {"kind": "xresnet1d101", "width": 4, "embedding_dim": 8},
    {"kind": "transformer", "width": 16, "depth": 1, "num_heads": 2, "embedding_dim": 8},
]


@pytest.mark.parametrize("encoder", ENCODERS, ids=lambda encoder: encoder["kind"])
def test_an_encoder_is_pretrained_and_fine_tuned(line: Any, tmp_path: Path, encoder: dict[str, Any]) -> None:
    first, second = tmp_path / "pretrained", tmp_path / "tuned"
    pretrain.run(line.pretrain(first, **HERE, encoder=encoder))
    finetune.run(line.finetune(second, **HERE, encoder=encoder, model=first / "model", freeze=True, embedding_dim=4))
    before, after = load(first / "model", device="cpu"), load(second / "model", device="cpu")
    assert before.description.encoder.kind == after.description.encoder.kind == encoder["kind"]
    trunk = before.encoder.trunk.state_dict()
    assert trunk.keys() == after.encoder.trunk.state_dict().keys()
    assert all(torch.equal(trunk[name], tensor) for name, tensor in after.encoder.trunk.state_dict().items())
    signals = torch.randn(3, 12, 400).numpy() * 0.2
    assert after.embed_prepared(signals).shape == (3, 4)
    assert after.predict_prepared(signals).shape == (3,)
