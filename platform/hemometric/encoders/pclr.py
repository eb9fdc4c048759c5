"""The encoder of PCLR: few, wide residual units, and features that are the embedding."""

from __future__ import annotations

import itertools
from typing import Literal

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from hemometric.config import Config
from hemometric.encoders.dropout import KeyedDropout
from hemometric.encoders.encoder import MAX_EMBEDDING_DIM, Encoder
from hemometric.encoders.norm import NormKind, build_norm
from hemometric.encoders.trunk import check_num_leads, check_signals, init_convolutions, receptive_field

WIDTHS = (64, 128, 196, 256, 320)
KERNEL = 16
STRIDE = 4


class PclrConfig(Config):
    """The published encoder: 6,391,184 parameters with 12 leads.

    With the two layers of 320 that the paper trains behind it (`MlpProjection`, 205,440) they are 6,596,624: the
    paper's 6.39 million are the encoder's alone.

    It was published for 10 s at 409.6 Hz (4,096 samples) in millivolts, and for 2,500 samples. Any length is taken;
    where it does not divide by four in each unit, the ends are padded as Keras's ``same`` does.

    Attributes
    ----------
    dropout : float
        Behind each ReLU of the units; none as published.
    norm : {"batch", "global", "group"}
        See `norm.NormKind`. ``global`` trains alike with any number of workers; the head follows it.
    embedding_dim : int
        Size of the embedding; 320 takes the pooled features as they are, any other puts a linear layer behind them.
    normalised : bool
        Scale embeddings to length 1.

    References
    ----------
    Diamant et al., "Patient contrastive learning: a performant, expressive, and practical approach to
    electrocardiogram modeling", 2022.
    """

    kind: Literal["pclr"] = "pclr"
    dropout: float = Field(default=0.0, ge=0.0, le=0.95)
    norm: NormKind = "global"
    embedding_dim: int = Field(default=WIDTHS[-1], ge=1, le=MAX_EMBEDDING_DIM)
    normalised: bool = False

    def build(self, num_leads: int) -> Encoder:
        """Make an encoder for signals [b, num_leads, sample] of any length; weights come from torch's generator.

        Raises
        ------
        ValueError
            `num_leads` is below 1.
        """
        check_num_leads(num_leads)
        trunk = PclrTrunk(num_leads, dropout=self.dropout, norm=self.norm)
        return Encoder(
            trunk,
            WIDTHS[-1],
            self.embedding_dim,
            normalised=self.normalised,
            receptive_field=trunk.receptive_field,
            architecture={"num_leads": num_leads, "kind": self.kind, "norm": self.norm},
            pooled=True,
        )


class PclrTrunk(nn.Module):
    """Signals [b, lead, sample] to features [b, 320].

    A convolution of 16, normalisation, ReLU; then four units, each making the length a quarter; then the mean over
    time.

    References
    ----------
    Ribeiro et al., "Automatic diagnosis of the 12-lead ECG using a deep neural network", 2020, with a mean over time
    in place of a flattening, as by Diamant et al., 2022. The units follow He et al., "Identity mappings in deep
    residual networks", 2016. Weights after He et al., "Delving deep into rectifiers", 2015, equation 10.
    """

    def __init__(self, num_leads: int, *, dropout: float, norm: NormKind) -> None:
        super().__init__()
        self.num_leads = num_leads
        self.stem = nn.Sequential(
            _SameConvolution(num_leads, WIDTHS[0], KERNEL), build_norm(norm, WIDTHS[0]), nn.ReLU(inplace=True)
        )
        pairs = itertools.pairwise(WIDTHS)
        # 0 is the head's; each unit has two.
        units = [_Unit(*pair, dropout, norm, layer=2 * unit + 1) for unit, pair in enumerate(pairs)]
        self.units = nn.ModuleList(units)
        self.receptive_field = receptive_field(self.stem, *(unit.residual for unit in units))
        init_convolutions(self, "fan_in")

    def features(self, signals: Tensor) -> Tensor:
        """Turn signals [b, lead, sample] into features [b, channel, position].

        Raises
        ------
        ValueError
            The signals are not [b, lead, sample] with this trunk's number of leads.
        """
        check_signals(signals, self.num_leads)
        active: Tensor = self.stem(signals)
        carried = active
        for unit in self.units:
            active, carried = unit(active, carried)
        return active

    def forward(self, signals: Tensor) -> Tensor:
        """Turn signals [b, lead, sample] into features [b, channel]: their mean over time."""
        return self.features(signals).mean(dim=-1)


class _Unit(nn.Module):
    """Two convolutions added to what is carried from unit to unit; what leaves is normalised, the carried is not."""

    def __init__(self, num_in: int, num_out: int, dropout: float, norm: NormKind, layer: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            _SameConvolution(num_in, num_out, KERNEL),
            build_norm(norm, num_out),
            nn.ReLU(inplace=True),
            KeyedDropout(dropout, layer),
            _SameConvolution(num_out, num_out, KERNEL, STRIDE),
        )
        self.shortcut = nn.Conv1d(num_in, num_out, 1, bias=False)
        self.activation = nn.Sequential(
            build_norm(norm, num_out), nn.ReLU(inplace=True), KeyedDropout(dropout, layer + 1)
        )

    def forward(self, active: Tensor, carried: Tensor) -> tuple[Tensor, Tensor]:
        pooled = F.max_pool1d(_padded(carried, STRIDE, STRIDE, float("-inf")), STRIDE)
        added: Tensor = self.residual(active) + self.shortcut(pooled)
        return self.activation(added), added


class _SameConvolution(nn.Conv1d):
    """A convolution without bias from length l to ceil(l / stride)."""

    def __init__(self, num_in: int, num_out: int, kernel: int, stride: int = 1) -> None:
        super().__init__(num_in, num_out, kernel, stride=stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(_padded(x, self.kernel_size[0], self.stride[0]))


def _padded(x: Tensor, kernel: int, stride: int, value: float = 0.0) -> Tensor:
    """Pad time so that windows give ceil(l / stride) positions; of an odd number, the end gets one more."""
    length = x.shape[-1]
    num_padded = max((-(-length // stride) - 1) * stride + kernel - length, 0)
    if num_padded == 0:
        return x
    return F.pad(x, (num_padded // 2, num_padded - num_padded // 2), value=value)
