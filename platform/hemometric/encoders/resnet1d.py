"""ResNet over time with leads as channels, as in the published systems, in any depth and width."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from torch import Tensor, nn

from hemometric.config import Added, Config
from hemometric.encoders.dropout import KeyedDropout
from hemometric.encoders.encoder import MAX_EMBEDDING_DIM, Encoder
from hemometric.encoders.norm import NormKind, build_norm
from hemometric.encoders.residual import EXPANSION, BlockKind, ResidualBlock, basic, bottleneck
from hemometric.encoders.trunk import (
    check_num_leads,
    check_num_weights,
    check_signals,
    convolution,
    init_convolutions,
    receptive_field,
)

MAX_STAGES, MAX_BLOCKS, MAX_WIDTH, MAX_KERNEL = 8, 64, 8192, 1023


class ResNet1dConfig(Config):
    """A ResNet-18 in one dimension by default: 8,803,072 parameters with 12 leads and an embedding of 128.

    With blocks (3, 4, 6, 3) it is a ResNet-34 (16,666,624); of ``bottleneck`` blocks a ResNet-50 (21,257,472), with
    (3, 4, 23, 3) a ResNet-101 (38,021,376), with (3, 8, 36, 3) a ResNet-152 (51,830,016).

    Attributes
    ----------
    block : {"basic", "bottleneck"}
        Two convolutions over time, or one between two that change the number of channels, to four times the width.
    blocks : tuple of int
        Residual blocks of each stage, at most 64 in each of at most 8.
    widths : tuple of int
        Channels of each stage, at most 8192; (8, 16, 32, 64) suits a CPU (147,152 parameters with an embedding of 128).
    stem_kernel, kernel : int
        Samples under the first convolution and under those of the blocks; odd, at most 1023.
    outer_kernel : int
        Samples under a bottleneck's first and last convolution: 1 as by He et al. The released code of Jeong et al.
        has 7 there, and 11 as `kernel` (82,443,520 parameters as a ResNet-50).
    dropout : float
        Before the last convolution of each block.
    norm : {"batch", "global", "group"}
        See `norm.NormKind`. ``global`` trains alike with any number of workers; the head follows it.
    embedding_dim : int
        Size of the embedding.
    normalised : bool
        Scale embeddings to length 1.
    """

    kind: Literal["resnet1d"] = "resnet1d"
    block: Annotated[BlockKind, Added("basic")] = "basic"
    blocks: tuple[int, ...] = Field(default=(2, 2, 2, 2), min_length=1, max_length=MAX_STAGES)
    widths: tuple[int, ...] = Field(default=(64, 128, 256, 512), min_length=1, max_length=MAX_STAGES)
    stem_kernel: int = Field(default=15, ge=1, le=MAX_KERNEL)
    kernel: int = Field(default=7, ge=1, le=MAX_KERNEL)
    outer_kernel: Annotated[int, Field(ge=1, le=MAX_KERNEL), Added(1)] = 1
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
        if self.outer_kernel % 2 == 0:
            raise ValueError("outer_kernel must be odd, so that signals are padded alike on both sides")
        if self.block == "basic" and self.outer_kernel != 1:
            raise ValueError("outer_kernel is a bottleneck's; leave it out, or set block to bottleneck")
        taps = 2 * self.kernel if self.block == "basic" else self.kernel + 2 * EXPANSION[self.block] * self.outer_kernel
        num_weights = sum(taps * blocks * width**2 for blocks, width in zip(self.blocks, self.widths, strict=True))
        check_num_weights(num_weights, "take fewer blocks, narrower widths or a shorter kernel")
        return self

    def build(self, num_leads: int) -> Encoder:
        """Make an encoder for signals [b, num_leads, sample] of any length; weights come from torch's generator.

        Raises
        ------
        ValueError
            `num_leads` is below 1.
        """
        check_num_leads(num_leads)
        stem = nn.Sequential(
            convolution(num_leads, self.widths[0], self.stem_kernel, stride=2),
            build_norm(self.norm, self.widths[0]),
            nn.ReLU(inplace=True),
            nn.MaxPool1d(3, stride=2, padding=1),
        )
        trunk = ResNet1dTrunk(
            num_leads,
            stem,
            block=self.block,
            blocks=self.blocks,
            widths=self.widths,
            kernel=self.kernel,
            outer_kernel=self.outer_kernel,
            dropout=self.dropout,
            norm=self.norm,
        )
        shaping = {"kind", "block", "blocks", "widths", "stem_kernel", "kernel", "outer_kernel", "norm"}
        return Encoder(
            trunk,
            self.widths[-1] * EXPANSION[self.block],
            self.embedding_dim,
            normalised=self.normalised,
            receptive_field=trunk.receptive_field,
            architecture={"num_leads": num_leads, **self.model_dump(include=shaping)},
        )


class ResNet1dTrunk(nn.Module):
    """Signals [b, lead, sample] to features [b, widths[-1]], four times as many of bottlenecks.

    A stem; then the stages, each but the first halving the length; then the mean over time, so that any length fits.

    Parameters
    ----------
    stem : nn.Sequential
        From [b, num_leads, sample] to [b, widths[0], position]; as published, a convolution of stride 2, normalisation,
        ReLU and a max-pool of 3 by 2.

    References
    ----------
    He et al., "Deep residual learning for image recognition", 2016, in one dimension as by Jeong, Stultz and
    Ghassemi, "Deep metric learning for the hemodynamics inference with electrocardiogram signals", 2023. Weights
    after He et al., "Delving deep into rectifiers", 2015, equation 14.
    """

    def __init__(
        self,
        num_leads: int,
        stem: nn.Sequential,
        *,
        block: BlockKind,
        blocks: tuple[int, ...],
        widths: tuple[int, ...],
        kernel: int,
        outer_kernel: int,
        dropout: float,
        norm: NormKind,
    ) -> None:
        super().__init__()
        self.num_leads = num_leads
        self.stem = stem
        stages: list[nn.Module] = []
        residuals: list[nn.Module] = []
        num_in = widths[0]
        for stage, (num_blocks, width) in enumerate(zip(blocks, widths, strict=True)):
            num_out = width * EXPANSION[block]
            members: list[nn.Module] = []
            for index in range(num_blocks):
                stride = 2 if stage > 0 and index == 0 else 1
                drop = KeyedDropout(dropout, layer=len(residuals) + 1)  # 0 is the head's
                if block == "basic":
                    residual = basic(num_in, width, kernel, stride, drop, norm)
                else:
                    residual = bottleneck(num_in, width, kernel, outer_kernel, stride, drop, norm)
                residuals.append(residual)
                members.append(ResidualBlock(residual, num_in, num_out, stride, norm))
                num_in = num_out
            stages.append(nn.Sequential(*members))
        self.stages = nn.Sequential(*stages)
        self.receptive_field = receptive_field(self.stem, *residuals)
        init_convolutions(self, "fan_out")

    def features(self, signals: Tensor) -> Tensor:
        """Turn signals [b, lead, sample] into features [b, channel, position].

        Raises
        ------
        ValueError
            The signals are not [b, lead, sample] with this trunk's number of leads.
        """
        check_signals(signals, self.num_leads)
        features: Tensor = self.stages(self.stem(signals))
        return features

    def forward(self, signals: Tensor) -> Tensor:
        """Turn signals [b, lead, sample] into features [b, channel]: their mean over time."""
        return self.features(signals).mean(dim=-1)
