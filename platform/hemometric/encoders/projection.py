"""What contrastive training puts behind the embedding, and leaves behind: it is never saved in a model folder."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from torch import nn

from hemometric.config import Config
from hemometric.encoders.encoder import MAX_EMBEDDING_DIM
from hemometric.encoders.norm import NormKind, build_norm

MAX_LAYERS = 8


class NoProjection(Config):
    """The loss sees the embedding itself."""

    kind: Literal["none"] = "none"

    def build(self, embedding_dim: int, norm: NormKind = "global") -> nn.Module:  # noqa: ARG002 - as the other
        """Give a module from [b, embedding_dim] to the same."""
        return nn.Identity()

    def width_of(self, embedding_dim: int) -> int:
        """Say what width the loss sees."""
        return embedding_dim


class MlpProjection(Config):
    """Linear layers with a ReLU between; two of 320 are PCLR's, behind 320 features: 205,440 parameters.

    Attributes
    ----------
    layers : int
        Linear layers; 1 is a linear map.
    width : int
        Of all of them.
    normalised : bool
        Normalise what the hidden layers give, as the encoder does, in training over the rows of all ranks.

    References
    ----------
    Chen et al., "A simple framework for contrastive learning of visual representations", 2020, section 4.2: what a
    loss drives out of the projection's output stays in the embedding before it.
    """

    kind: Literal["mlp"] = "mlp"
    layers: int = Field(default=2, ge=1, le=MAX_LAYERS)
    width: int = Field(default=128, ge=2, le=MAX_EMBEDDING_DIM)
    normalised: bool = False

    def build(self, embedding_dim: int, norm: NormKind = "global") -> nn.Module:
        """Make a module from [b, embedding_dim] to [b, width]; `norm` is the encoder's, so that both see one batch."""
        modules: list[nn.Module] = []
        for index in range(self.layers):
            is_last = index == self.layers - 1
            linear = nn.Linear(self.width if index else embedding_dim, self.width)
            nn.init.kaiming_normal_(linear.weight, nonlinearity="linear" if is_last else "relu")
            nn.init.zeros_(linear.bias)
            modules.append(linear)
            if not is_last:
                modules += [build_norm(norm, self.width)] if self.normalised else []
                modules.append(nn.ReLU(inplace=True))
        return nn.Sequential(*modules)

    def width_of(self, embedding_dim: int) -> int:  # noqa: ARG002 - as the other
        """Say what width the loss sees."""
        return self.width


ProjectionConfig = Annotated[NoProjection | MlpProjection, Field(discriminator="kind")]
