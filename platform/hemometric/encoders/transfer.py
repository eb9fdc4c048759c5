"""Begin an encoder from a trained one."""

from __future__ import annotations

import torch

from hemometric.encoders.encoder import Encoder
from hemometric.encoders.model import Model
from hemometric.errors import UsageError


def load_trunk(model: Model, encoder: Encoder) -> list[str]:
    """Copy a model's trunk into an encoder, and its embedding layer where the size is the same.

    Dropout may differ, and so may ``batch`` and ``global`` norms: the tensors mean the same.

    Returns
    -------
    list of str
        Submodules of the encoder that keep their fresh weights: none, or ``embedding``.

    Raises
    ------
    UsageError
        The trunks are of another architecture; the message names the fields that differ.
    """
    theirs, ours = _comparable(model.encoder), _comparable(encoder)
    differing = [name for name in dict.fromkeys([*ours, *theirs]) if ours.get(name) != theirs.get(name)]
    if differing:
        named = ", ".join(f"{name} {ours.get(name)!r} (the model's is {theirs.get(name)!r})" for name in differing)
        raise UsageError(
            f"the encoder's trunk is not the model's: {named}; set these fields alike, or take another model"
        )
    with torch.no_grad():
        encoder.trunk.load_state_dict(model.encoder.trunk.state_dict())
        if encoder.embedding_dim != model.encoder.embedding_dim:
            return ["embedding"]
        encoder.embedding.load_state_dict(model.encoder.embedding.state_dict())
    return []


def _comparable(encoder: Encoder) -> dict[str, object]:
    fields = dict(encoder.architecture)
    if fields.get("norm") == "global":
        fields["norm"] = "batch"
    return fields
