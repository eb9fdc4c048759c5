"""A residual network for CPUs: one long stride first, so that channels are spent where there are few positions."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator
from torch import nn

from hemometric.config import Config
from hemometric.encoders.encoder import MAX_EMBEDDING_DIM, Encoder
from hemometric.encoders.norm import NormKind, build_norm
from hemometric.encoders.resnet1d import ResNet1dTrunk
from hemometric.encoders.trunk import check_num_leads, convolution

MAX_STAGES, MAX_BLOCKS, MAX_WIDTH = 8, 16, 1024
STEM_KERNEL, STEM_STRIDE, KERNEL = 15, 8, 5


class CompactConfig(Config):
    """A small ResNet whose first convolution has stride 8: 432,288 parameters with 12 leads and an embedding of 128.

    A training step of 64 ECGs of 12 x 1000 takes 69 ms on one core; with the narrow ResNet of the laptop configs, which
    has 0.6 of the parameters, it takes 97 (`tests/benchmarks/bench_encoders.py`). Depthwise convolutions took longer
    than either, and were left out.

    Made for rates near 100 Hz, where a step of its first stage is 80 ms.

    Attributes
    ----------
    blocks : tuple of int
        Residual blocks of each stage, at most 16 in each of at most 8.
    widths : tuple of int
        Channels of each stage, at most 1024; each stage but the first halves the length.
    dropout : float
        Between the two convolutions of each block.
    norm : {"batch", "global", "group"}
        See `norm.NormKind`. ``global`` trains alike with any number of workers; the head follows it.
    embedding_dim : int
        Size of the embedding.
    normalised : bool
        Scale embeddings to length 1.
    """

    kind: Literal["compact"] = "compact"
    blocks: tuple[int, ...] = Field(default=(1, 1, 1, 1), min_length=1, max_length=MAX_STAGES)
    widths: tuple[int, ...] = Field(default=(32, 48, 96, 192), min_length=1, max_length=MAX_STAGES)
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
        if not (1 <= min(self.blocks) <= max(self.blocks) <= MAX_BLOCKS):
            raise ValueError(f"blocks must be 1 to {MAX_BLOCKS} in each stage")
        if not (1 <= min(self.widths) <= max(self.widths) <= MAX_WIDTH):
            raise ValueError(f"widths must be 1 to {MAX_WIDTH} in each stage; for wider ones take kind resnet1d")
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
            convolution(num_leads, self.widths[0], STEM_KERNEL, stride=STEM_STRIDE),
            build_norm(self.norm, self.widths[0]),
            nn.ReLU(inplace=True),
        )
        trunk = ResNet1dTrunk(
            num_leads,
            stem,
            block="basic",
            blocks=self.blocks,
            widths=self.widths,
            kernel=KERNEL,
            outer_kernel=1,
            dropout=self.dropout,
            norm=self.norm,
        )
        return Encoder(
            trunk,
            self.widths[-1],
            self.embedding_dim,
            normalised=self.normalised,
            receptive_field=trunk.receptive_field,
            architecture={"num_leads": num_leads, **self.model_dump(include={"kind", "blocks", "widths", "norm"})},
        )
