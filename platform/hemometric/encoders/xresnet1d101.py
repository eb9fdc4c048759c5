"""The xResNet over time that leads the PTB-XL benchmark: deep, narrow, with mean and maximum over time."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from hemometric.config import Config
from hemometric.encoders.dropout import KeyedDropout
from hemometric.encoders.encoder import MAX_EMBEDDING_DIM, Encoder
from hemometric.encoders.norm import NormKind, build_norm
from hemometric.encoders.trunk import check_num_leads, check_signals, convolution, init_convolutions, receptive_field

BLOCKS = (3, 4, 23, 3)
KERNEL = 5
EXPANSION = 4
MAX_WIDTH = 2048


class XResNet1d101Config(Config):
    """The published trunk, which ends before the classifier's hidden layer: 1,871,360 parameters with 12 leads.

    Attributes
    ----------
    width : int
        Channels of the convolutions over time, the same in all stages; features are eight times as many.
    dropout : float
        Of the pooled features, before the embedding.
    norm : {"batch", "global", "group"}
        See `norm.NormKind`. ``global`` trains alike with any number of workers; the head follows it.
    embedding_dim : int
        Size of the embedding.
    normalised : bool
        Scale embeddings to length 1.

    References
    ----------
    Strodthoff et al., "Deep learning for ECG analysis: benchmarks and insights from PTB-XL", 2021.
    """

    kind: Literal["xresnet1d101"] = "xresnet1d101"
    width: int = Field(default=64, ge=2, le=MAX_WIDTH)
    dropout: float = Field(default=0.25, ge=0.0, le=0.95)
    norm: NormKind = "global"
    embedding_dim: int = Field(default=128, ge=1, le=MAX_EMBEDDING_DIM)
    normalised: bool = False

    def build(self, num_leads: int) -> Encoder:
        """Make an encoder for signals [b, num_leads, sample] of any length; weights come from torch's generator.

        Raises
        ------
        ValueError
            `num_leads` is below 1.
        """
        check_num_leads(num_leads)
        trunk = XResNet1d101Trunk(num_leads, width=self.width, dropout=self.dropout, norm=self.norm)
        return Encoder(
            trunk,
            2 * EXPANSION * self.width,
            self.embedding_dim,
            normalised=self.normalised,
            receptive_field=trunk.receptive_field,
            architecture={"num_leads": num_leads, **self.model_dump(include={"kind", "width", "norm"})},
        )


class XResNet1d101Trunk(nn.Module):
    """Signals [b, lead, sample] to features [b, 8 width]: the means over time, then the maxima, normalised.

    Three convolutions of 5, the first of stride 2, and a max-pool of 3 by 2; then 33 bottlenecks in four stages, each
    but the first halving the length, by an average on the shortcut. A block's last norm begins with weight 0, so that
    it begins as its shortcut.

    References
    ----------
    He et al., "Bag of tricks for image classification with convolutional neural networks", 2019 (stem and shortcut:
    ResNet-C and ResNet-D; the weights of 0). In one dimension, and of one width in all stages, as released by
    Strodthoff et al., 2021. Weights after He et al., "Delving deep into rectifiers", 2015, equation 10.
    """

    def __init__(self, num_leads: int, *, width: int, dropout: float, norm: NormKind) -> None:
        super().__init__()
        self.num_leads = num_leads
        self.stem = nn.Sequential(
            *_layer(num_leads, width // 2, KERNEL, norm, stride=2),
            *_layer(width // 2, width // 2, KERNEL, norm),
            *_layer(width // 2, width, KERNEL, norm),
            nn.MaxPool1d(3, stride=2, padding=1),
        )
        blocks: list[_Block] = []
        num_in = width
        for stage, num_blocks in enumerate(BLOCKS):
            for index in range(num_blocks):
                blocks.append(_Block(num_in, width, 2 if stage > 0 and index == 0 else 1, norm))
                num_in = EXPANSION * width
        self.blocks = nn.Sequential(*blocks)
        self.pooled = nn.Sequential(build_norm(norm, 2 * num_in), KeyedDropout(dropout, layer=1))  # 0 is the head's
        self.receptive_field = receptive_field(self.stem, *(block.residual for block in blocks))
        init_convolutions(self, "fan_in")

    def features(self, signals: Tensor) -> Tensor:
        """Turn signals [b, lead, sample] into features [b, channel, position].

        Raises
        ------
        ValueError
            The signals are not [b, lead, sample] with this trunk's number of leads.
        """
        check_signals(signals, self.num_leads)
        features: Tensor = self.blocks(self.stem(signals))
        return features

    def forward(self, signals: Tensor) -> Tensor:
        """Turn signals [b, lead, sample] into features [b, 2 channel]."""
        features = self.features(signals)
        pooled: Tensor = self.pooled(torch.cat([features.mean(dim=-1), features.amax(dim=-1)], dim=1))
        return pooled


class _Block(nn.Module):
    """A bottleneck added to a shortcut that averages where the length is halved."""

    def __init__(self, num_in: int, width: int, stride: int, norm: NormKind) -> None:
        super().__init__()
        num_out = EXPANSION * width
        last = build_norm(norm, num_out)
        nn.init.zeros_(last.weight)  # type: ignore[arg-type]  # every norm has one
        self.residual = nn.Sequential(
            *_layer(num_in, width, 1, norm),
            *_layer(width, width, KERNEL, norm, stride=stride),
            convolution(width, num_out, 1),
            last,
        )
        shortcut: list[nn.Module] = []
        if stride != 1:
            shortcut.append(nn.AvgPool1d(stride, ceil_mode=True))
        if num_in != num_out:
            shortcut += [convolution(num_in, num_out, 1), build_norm(norm, num_out)]
        self.shortcut = nn.Sequential(*shortcut)

    def forward(self, x: Tensor) -> Tensor:
        residual: Tensor = self.residual(x)
        added: Tensor = residual + self.shortcut(x)
        return added.relu_()


def _layer(num_in: int, num_out: int, kernel: int, norm: NormKind, *, stride: int = 1) -> list[nn.Module]:
    return [convolution(num_in, num_out, kernel, stride=stride), build_norm(norm, num_out), nn.ReLU(inplace=True)]
