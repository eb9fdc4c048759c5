"""Residual blocks over time: two convolutions, or a bottleneck, beside a shortcut."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from hemometric.encoders.norm import NormKind, build_norm
from hemometric.encoders.trunk import convolution

BlockKind = Literal["basic", "bottleneck"]
EXPANSION: dict[BlockKind, int] = {"basic": 1, "bottleneck": 4}
"""Channels that leave a block, by those of its convolution over time."""


class ResidualBlock(nn.Module):
    """Convolutions added to a shortcut, which is a convolution of 1 where the shape changes.

    Parameters
    ----------
    residual : nn.Sequential
        `basic` or `bottleneck`, from [b, num_in, l] to [b, num_out, ceil(l / stride)].
    """

    def __init__(self, residual: nn.Sequential, num_in: int, num_out: int, stride: int, norm: NormKind) -> None:
        super().__init__()
        self.residual = residual
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or num_in != num_out:
            self.shortcut = nn.Sequential(convolution(num_in, num_out, 1, stride=stride), build_norm(norm, num_out))

    def forward(self, x: Tensor) -> Tensor:
        """Turn activations [b, num_in, l] into [b, num_out, ceil(l / stride)]."""
        residual: Tensor = self.residual(x)
        added: Tensor = residual + self.shortcut(x)
        return added.relu_()


def basic(num_in: int, width: int, kernel: int, stride: int, drop: nn.Module, norm: NormKind) -> nn.Sequential:
    """Make two convolutions over time, with `drop` between them."""
    return nn.Sequential(
        convolution(num_in, width, kernel, stride=stride),
        build_norm(norm, width),
        nn.ReLU(inplace=True),
        drop,
        convolution(width, width, kernel),
        build_norm(norm, width),
    )


def bottleneck(
    num_in: int, width: int, kernel: int, outer_kernel: int, stride: int, drop: nn.Module, norm: NormKind
) -> nn.Sequential:
    """Make a convolution over time between two that change the number of channels, with `drop` before the last."""
    num_out = width * EXPANSION["bottleneck"]
    return nn.Sequential(
        convolution(num_in, width, outer_kernel),
        build_norm(norm, width),
        nn.ReLU(inplace=True),
        convolution(width, width, kernel, stride=stride),
        build_norm(norm, width),
        nn.ReLU(inplace=True),
        drop,
        convolution(width, num_out, outer_kernel),
        build_norm(norm, num_out),
    )
