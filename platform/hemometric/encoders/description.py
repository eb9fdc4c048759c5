"""What `model.json` holds: everything about a model that is not a weight."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import JsonValue
from torch import Tensor, nn

from hemometric.config import Config
from hemometric.encoders.configs import EncoderConfig
from hemometric.encoders.encoder import Encoder
from hemometric.encoders.head import Head, HeadConfig
from hemometric.encoders.task import Task
from hemometric.waveform import Preparation

FORMAT_VERSION = 1


class Description(Config):
    """The content of `model.json`.

    Attributes
    ----------
    format_version : int
        Of the folder's layout.
    written_by : str
        Name and version of the program.
    encoder, head, task : config
        The architecture, and what the head estimates; no head, no task.
    preparation : Preparation
        What recordings went through in training, and go through again.
    provenance : dict
        Where the weights come from: ``config_hash``, ``manifest_hash``, ``commit``, ``seed`` and what else the run
        knows. Never a path, a patient or a clock.
    metrics : dict
        Scores by name; None where one is not defined.
    files : dict
        SHA-256 of each other file of the folder, by name.
    """

    format_version: int = FORMAT_VERSION
    written_by: str
    encoder: EncoderConfig
    head: HeadConfig | None = None
    task: Task | None = None
    preparation: Preparation
    provenance: dict[str, JsonValue]
    metrics: dict[str, float | None]
    files: dict[str, str]

    def skeleton(self) -> tuple[Encoder, Head | None]:
        """Make the modules without weights, on torch's meta device: no memory, no random numbers used up."""
        with torch.device("meta"):
            encoder = self.encoder.build(len(self.preparation.leads))
            head = self.head.build(self.encoder.embedding_dim, self.encoder.norm) if self.head else None
        return encoder, head


def misfit(module: nn.Module, tensors: Mapping[str, Tensor]) -> str | None:
    """Name the first tensor whose name, shape or type is not the module's own; None if all fit."""
    expected = module.state_dict()
    for name in sorted(expected.keys() | tensors.keys()):
        if name not in tensors:
            return f"tensor {name} is missing"
        if name not in expected:
            return f"tensor {name} is not part of this architecture"
        want, found = expected[name], tensors[name]
        if want.shape != found.shape:
            return f"tensor {name} has shape {list(found.shape)}, the architecture asks for {list(want.shape)}"
        if want.dtype != found.dtype:
            return f"tensor {name} is {found.dtype}, the architecture asks for {want.dtype}"
    return None
