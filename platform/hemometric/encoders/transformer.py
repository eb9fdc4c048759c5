"""A transformer over short pieces of time, each with all its leads."""

from __future__ import annotations

import math
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from hemometric.config import Config
from hemometric.encoders.dropout import KeyedDropout
from hemometric.encoders.encoder import MAX_EMBEDDING_DIM, Encoder
from hemometric.encoders.norm import NormKind
from hemometric.encoders.trunk import check_num_leads, check_num_weights, check_signals

MAX_WIDTH, MAX_DEPTH, MAX_PATCH, MAX_SAMPLES = 4096, 64, 10_000, 1_000_000
MLP_RATIO = 4


class TransformerConfig(Config):
    """A small vision transformer over time: 2,790,464 parameters with 12 leads and an embedding of 128.

    Attributes
    ----------
    patch : int
        Samples of a piece; 25 are 0.25 s at 100 Hz. The end of a signal is filled up with 0 mV.
    max_samples : int
        Longest signal; what is longer is refused.
    width : int
        Channels of a piece between the layers; even, and divided by `num_heads`.
    depth, num_heads : int
        Layers, and heads of each.
    positions : {"learned", "sinusoidal"}
        Whether the sines that tell where a piece lies are learned on.
    pool : {"mean", "token"}
        Whether the embedding is made of the mean of all pieces, or of a token of its own.
    dropout : float
        Of the pieces with their positions, and of what attention and the hidden layer add to them.
    norm : {"batch", "global", "group"}
        The head's; the transformer normalises each piece by itself, and so trains alike with any number of workers.
    embedding_dim : int
        Size of the embedding.
    normalised : bool
        Scale embeddings to length 1.
    """

    kind: Literal["transformer"] = "transformer"
    patch: int = Field(default=25, ge=1, le=MAX_PATCH)
    max_samples: int = Field(default=5000, ge=1, le=MAX_SAMPLES)
    width: int = Field(default=192, ge=2, le=MAX_WIDTH)
    depth: int = Field(default=6, ge=1, le=MAX_DEPTH)
    num_heads: int = Field(default=6, ge=1, le=MAX_WIDTH)
    positions: Literal["learned", "sinusoidal"] = "learned"
    pool: Literal["mean", "token"] = "mean"
    dropout: float = Field(default=0.1, ge=0.0, le=0.95)
    norm: NormKind = "global"
    embedding_dim: int = Field(default=128, ge=1, le=MAX_EMBEDDING_DIM)
    normalised: bool = False

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.width % 2 or self.width % self.num_heads:
            raise ValueError(
                f"width {self.width} must be even and divide by num_heads {self.num_heads}; take a multiple of both"
            )
        num_pieces = math.ceil(self.max_samples / self.patch)
        check_num_weights(
            self.width * ((4 + 2 * MLP_RATIO) * self.width * self.depth + num_pieces),
            "take a smaller width or depth, a longer patch or lower max_samples",
        )
        return self

    def build(self, num_leads: int) -> Encoder:
        """Make an encoder for signals [b, num_leads, sample]; weights come from torch's generator.

        Raises
        ------
        ValueError
            `num_leads` is below 1.
        """
        check_num_leads(num_leads)
        trunk = TransformerTrunk(
            num_leads,
            patch=self.patch,
            max_samples=self.max_samples,
            width=self.width,
            depth=self.depth,
            num_heads=self.num_heads,
            learned=self.positions == "learned",
            token=self.pool == "token",
            dropout=self.dropout,
        )
        shaping = {"kind", "patch", "max_samples", "width", "depth", "num_heads", "positions", "pool"}
        return Encoder(
            trunk,
            self.width,
            self.embedding_dim,
            normalised=self.normalised,
            receptive_field=trunk.receptive_field,
            architecture={"num_leads": num_leads, **self.model_dump(include=shaping)},
        )


class TransformerTrunk(nn.Module):
    """Signals [b, lead, sample] to features [b, width].

    Each piece of `patch` samples of all leads becomes one vector, to which its position is added; then layers of
    attention and a hidden layer, both behind a norm, then a norm, then the mean over time or the token. Pieces are not
    normalised before their positions are added, so that the voltage counts.

    References
    ----------
    Dosovitskiy et al., "An image is worth 16x16 words", 2021, over time; sines as in Vaswani et al., "Attention is all
    you need", 2017, section 3.5. Attention's own weights are never dropped.
    """

    def __init__(
        self,
        num_leads: int,
        *,
        patch: int,
        max_samples: int,
        width: int,
        depth: int,
        num_heads: int,
        learned: bool,
        token: bool,
        dropout: float,
    ) -> None:
        super().__init__()
        self.num_leads = num_leads
        self.patch = patch
        self.max_samples = max_samples
        self.receptive_field = max_samples  # every feature sees every sample
        self.embed = nn.Conv1d(num_leads, width, patch, stride=patch)
        sines = _sines(math.ceil(max_samples / patch), width)
        if learned:
            self.positions = nn.Parameter(sines)
        else:
            self.register_buffer("positions", sines)
        self.token = nn.Parameter(torch.zeros(width)) if token else None
        self.drop = KeyedDropout(dropout, layer=1)  # 0 is the head's; each layer has two
        self.layers = nn.Sequential(*(_Layer(width, num_heads, dropout, layer=2 * index + 2) for index in range(depth)))
        self.norm = nn.LayerNorm(width)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
        nn.init.kaiming_normal_(self.embed.weight, nonlinearity="linear")
        nn.init.zeros_(self.embed.bias)  # type: ignore[arg-type]  # it has one
        if self.token is not None:
            nn.init.trunc_normal_(self.token, std=0.02)

    def features(self, signals: Tensor) -> Tensor:
        """Turn signals [b, lead, sample] into features [b, channel, piece], after the token's, if there is one.

        Raises
        ------
        ValueError
            The signals are not [b, lead, sample] with this trunk's number of leads, or longer than `max_samples`.
        """
        check_signals(signals, self.num_leads)
        num_samples = signals.shape[-1]
        if num_samples > self.max_samples:
            raise ValueError(
                f"signals have {num_samples} samples, and this transformer takes {self.max_samples}; "
                "set encoder.max_samples higher, or preparation.duration_s or rate_hz lower"
            )
        pieces = self.embed(F.pad(signals, (0, -num_samples % self.patch))).transpose(1, 2)
        pieces = pieces + self.positions[: pieces.shape[1]]
        if self.token is not None:
            pieces = torch.cat([self.token.expand(len(pieces), 1, -1), pieces], dim=1)
        features: Tensor = self.norm(self.layers(self.drop(pieces)))
        return features.transpose(1, 2)

    def forward(self, signals: Tensor) -> Tensor:
        """Turn signals [b, lead, sample] into features [b, channel]."""
        features = self.features(signals)
        return features.mean(dim=-1) if self.token is None else features[..., 0]


class _Layer(nn.Module):
    """Attention and a hidden layer, each added to what came in."""

    def __init__(self, width: int, num_heads: int, dropout: float, layer: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.attention_norm = nn.LayerNorm(width)
        self.attention_in = nn.Linear(width, 3 * width)
        self.attention_out = nn.Sequential(nn.Linear(width, width), KeyedDropout(dropout, layer))
        self.hidden = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, MLP_RATIO * width),
            nn.GELU(),
            nn.Linear(MLP_RATIO * width, width),
            KeyedDropout(dropout, layer + 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        num_rows, num_pieces, width = x.shape
        joined = self.attention_in(self.attention_norm(x))
        # [b, piece, 3 width] to three of [b, head, piece, width / heads]
        q, k, v = joined.view(num_rows, num_pieces, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(num_rows, num_pieces, width)
        x = x + self.attention_out(attended)
        added: Tensor = x + self.hidden(x)
        return added


def _sines(num_positions: int, width: int) -> Tensor:
    """Give sines and cosines [num_positions, width], of wavelengths from 2 pi to 20,000 pi positions."""
    wavelengths = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))
    angles = torch.arange(num_positions)[:, None] * wavelengths
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)
