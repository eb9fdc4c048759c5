"""The supervised head: one hidden layer from an embedding to one number."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor, nn

from hemometric.config import Config
from hemometric.encoders.dropout import KeyedDropout
from hemometric.encoders.norm import NormKind, build_norm


class HeadConfig(Config):
    """The published head: 128 hidden units, dropout 0.3 before the output."""

    hidden: int = Field(default=128, ge=2, le=8192)
    dropout: float = Field(default=0.3, ge=0.0, le=0.95)

    def build(self, embedding_dim: int, norm: NormKind = "global") -> Head:
        """Make a head for embeddings [b, embedding_dim]; `norm` is the encoder's, so that both see one batch."""
        return Head(embedding_dim, hidden=self.hidden, dropout=self.dropout, norm=norm)


class Head(nn.Module):
    """Embeddings [b, dim] to outputs [b]: linear, normalisation, ReLU, dropout, linear.

    An output is a standardised label or a logit; `task.Task` turns it into a unit or a probability.

    References
    ----------
    Jeong, Stultz and Ghassemi, "Deep metric learning for the hemodynamics inference with electrocardiogram
    signals", 2023.
    """

    def __init__(self, embedding_dim: int, *, hidden: int, dropout: float, norm: NormKind) -> None:
        super().__init__()
        first, last = nn.Linear(embedding_dim, hidden), nn.Linear(hidden, 1)
        self.layers = nn.Sequential(
            first,
            build_norm(norm, hidden),
            nn.ReLU(inplace=True),
            KeyedDropout(dropout, layer=0),
            last,
        )
        nn.init.kaiming_normal_(first.weight, nonlinearity="relu")
        # Outputs begin near zero, which is the mean of a standardised label and a probability of one half.
        nn.init.normal_(last.weight, std=0.01)
        nn.init.zeros_(first.bias)
        nn.init.zeros_(last.bias)

    def forward(self, embeddings: Tensor) -> Tensor:
        """Turn embeddings [b, dim] into outputs [b]: never [b, 1], which against targets [b] broadcasts to [b, b]."""
        outputs: Tensor = self.layers(embeddings)
        return outputs.squeeze(-1)
