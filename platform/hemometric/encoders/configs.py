"""The encoders that a config may name by `kind`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Discriminator, Tag

from hemometric.encoders.compact import CompactConfig
from hemometric.encoders.pclr import PclrConfig
from hemometric.encoders.resnet1d import ResNet1dConfig
from hemometric.encoders.transformer import TransformerConfig
from hemometric.encoders.xresnet1d101 import XResNet1d101Config

_FIRST = "resnet1d"


def _kind(value: object) -> str:
    """Give the kind that a config names; without one it is the encoder that was there before the others."""
    kind = value.get("kind", _FIRST) if isinstance(value, Mapping) else getattr(value, "kind", _FIRST)
    return kind if isinstance(kind, str) else _FIRST


EncoderConfig = Annotated[
    Annotated[ResNet1dConfig, Tag("resnet1d")]
    | Annotated[PclrConfig, Tag("pclr")]
    | Annotated[XResNet1d101Config, Tag("xresnet1d101")]
    | Annotated[CompactConfig, Tag("compact")]
    | Annotated[TransformerConfig, Tag("transformer")],
    Discriminator(_kind),
]
