"""ResNet over time with leads as channels, as in the published systems, in any depth and width."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator
from torch import Tensor, nn

from hemometric.config import Config
from hemometric.encoders.dropout import KeyedDropout
from hemometric.encoders.encoder import Encoder
from hemometric.encoders.norm import NormKind, build_norm

MAX_STAGES, MAX_BLOCKS, MAX_WIDTH, MAX_KERNEL, MAX_EMBEDDING_DIM = 8, 64, 8192, 1023, 65_536
MAX_WEIGHTS = 2_000_000_000
"""Of all convolutions between stages: 8 GB in float32. What is larger is a slip of the pen, or meant to do harm."""


class ResNet1dConfig(Config):
    """A ResNet-18 in one dimension by default: 8,803,072 parameters with 12 leads and an embedding of 128.

    Attributes
    ----------
    blocks : tuple of int
        Residual blocks of each stage, at most 64 in each of at most 8; (3, 4, 6, 3) is a ResNet-34.
    widths : tuple of int
        Channels of each stage, at most 8192; (8, 16, 32, 64) suits a CPU (147,152 parameters with an embedding of 128).
    stem_kernel, kernel : int
        Samples under the first convolution and under those of the blocks; odd, at most 1023.
    dropout : float
        Between the two convolutions of each block.
    norm : {"batch", "global", "group"}
        See `norm.NormKind`. ``global`` trains alike with any number of workers; the head follows it.
    embedding_dim : int
        Size of the embedding.
    normalised : bool
        Scale embeddings to length 1.
    """

    kind: Literal["resnet1d"] = "resnet1d"
    blocks: tuple[int, ...] = Field(default=(2, 2, 2, 2), min_length=1, max_length=MAX_STAGES)
    widths: tuple[int, ...] = Field(default=(64, 128, 256, 512), min_length=1, max_length=MAX_STAGES)
    stem_kernel: int = Field(default=15, ge=1, le=MAX_KERNEL)
    kernel: int = Field(default=7, ge=1, le=MAX_KERNEL)
    dropout: float = Field(default=0.2, ge=0.0, le=0.95)
    norm: NormKind = "global"
    embedding_dim: int = Field(default=128, ge=1, le=MAX_EMBEDDING_DIM)
    normalised: bool = False

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if len(self.blocks) != len(self.widths):
            raise ValueError(
                f"blocks names {len(self.blocks)} stages, widths {len(self.widths)}; give one of each a stage"
            )
        if min(*self.blocks, *self.widths) < 1:
            raise ValueError("blocks and widths must be 1 or more")
        if max(self.blocks) > MAX_BLOCKS or max(self.widths) > MAX_WIDTH:
            raise ValueError(f"blocks must be {MAX_BLOCKS} or less in each stage, and widths {MAX_WIDTH} or less")
        if self.kernel % 2 == 0 or self.stem_kernel % 2 == 0:
            raise ValueError("kernel and stem_kernel must be odd, so that signals are padded alike on both sides")
        num_weights = sum(
            2 * blocks * width**2 * self.kernel for blocks, width in zip(self.blocks, self.widths, strict=True)
        )
        if num_weights > MAX_WEIGHTS:
            raise ValueError(
                f"an encoder of about {num_weights:.1e} weights is larger than {MAX_WEIGHTS:.0e}; "
                "take fewer blocks, narrower widths or a shorter kernel"
            )
        return self

    def build(self, num_leads: int) -> Encoder:
        """Make an encoder for signals [b, num_leads, sample] of any length; weights come from torch's generator.

        Raises
        ------
        ValueError
            `num_leads` is below 1.
        """
        if num_leads < 1:
            raise ValueError(f"an encoder of {num_leads} leads cannot be built")
        trunk = ResNet1dTrunk(
            num_leads,
            blocks=self.blocks,
            widths=self.widths,
            stem_kernel=self.stem_kernel,
            kernel=self.kernel,
            dropout=self.dropout,
            norm=self.norm,
        )
        shaping = self.model_dump(include={"kind", "blocks", "widths", "stem_kernel", "kernel", "norm"})
        return Encoder(
            trunk,
            self.widths[-1],
            self.embedding_dim,
            normalised=self.normalised,
            architecture={"num_leads": num_leads, **shaping},
        )


EncoderConfig = ResNet1dConfig
"""The encoders that a config may name by `kind`; one so far."""


class ResNet1dTrunk(nn.Module):
    """Signals [b, lead, sample] to features [b, widths[-1]].

    A convolution of stride 2, normalisation, ReLU and a max-pool of 3 by 2; then the stages, each but the first
    halving the length; then the mean over time, so that any length fits.

    References
    ----------
    He et al., "Deep residual learning for image recognition", 2016, in one dimension as by Jeong, Stultz and
    Ghassemi, "Deep metric learning for the hemodynamics inference with electrocardiogram signals", 2023. Weights
    after He et al., "Delving deep into rectifiers", 2015, equation 14.
    """

    def __init__(
        self,
        num_leads: int,
        *,
        blocks: tuple[int, ...],
        widths: tuple[int, ...],
        stem_kernel: int,
        kernel: int,
        dropout: float,
        norm: NormKind,
    ) -> None:
        super().__init__()
        self.num_leads = num_leads
        self.stem = nn.Sequential(
            _convolution(num_leads, widths[0], stem_kernel, stride=2),
            build_norm(norm, widths[0]),
            nn.ReLU(inplace=True),
            nn.MaxPool1d(3, stride=2, padding=1),
        )
        stages: list[nn.Module] = []
        num_channels = widths[0]
        layer = 1  # 0 is the head's
        for stage, (num_blocks, width) in enumerate(zip(blocks, widths, strict=True)):
            members: list[nn.Module] = []
            for index in range(num_blocks):
                stride = 2 if stage > 0 and index == 0 else 1
                members.append(_Block(num_channels, width, kernel, stride, dropout, norm, layer))
                num_channels = width
                layer += 1
            stages.append(nn.Sequential(*members))
        self.stages = nn.Sequential(*stages)
        for module in self.modules():
            if isinstance(module, nn.Conv1d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, signals: Tensor) -> Tensor:
        """Turn signals [b, lead, sample] into features [b, channel].

        Raises
        ------
        ValueError
            The signals are not [b, lead, sample] with this trunk's number of leads.
        """
        if signals.dim() != 3 or signals.shape[1] != self.num_leads or signals.shape[2] < 1:
            raise ValueError(f"signals have shape {list(signals.shape)}; expected [b, {self.num_leads}, sample]")
        features: Tensor = self.stages(self.stem(signals))
        return features.mean(dim=-1)


class _Block(nn.Module):
    """Two convolutions with dropout between them, added to a shortcut."""

    def __init__(
        self, num_in: int, num_out: int, kernel: int, stride: int, dropout: float, norm: NormKind, layer: int
    ) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            _convolution(num_in, num_out, kernel, stride=stride),
            build_norm(norm, num_out),
            nn.ReLU(inplace=True),
            KeyedDropout(dropout, layer),
            _convolution(num_out, num_out, kernel, stride=1),
            build_norm(norm, num_out),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or num_in != num_out:
            self.shortcut = nn.Sequential(_convolution(num_in, num_out, 1, stride=stride), build_norm(norm, num_out))

    def forward(self, x: Tensor) -> Tensor:
        residual: Tensor = self.residual(x)
        added: Tensor = residual + self.shortcut(x)
        return added.relu_()


def _convolution(num_in: int, num_out: int, kernel: int, *, stride: int) -> nn.Conv1d:
    # No bias: the normalisation that follows takes any constant away.
    return nn.Conv1d(num_in, num_out, kernel, stride=stride, padding=kernel // 2, bias=False)
