"""What all trunks share: the signals they take, convolutions that keep the length, and how far their features see."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

MAX_WEIGHTS = 2_000_000_000
"""Of a trunk: 8 GB in float32. What is larger is a slip of the pen, or meant to do harm."""


def check_num_weights(num_weights: int, remedy: str) -> None:
    """Refuse a trunk that no machine of today trains.

    Raises
    ------
    ValueError
        There are more than `MAX_WEIGHTS`; the message ends with `remedy`.
    """
    if num_weights > MAX_WEIGHTS:
        raise ValueError(f"an encoder of about {num_weights:.1e} weights is larger than {MAX_WEIGHTS:.0e}; {remedy}")


def check_num_leads(num_leads: int) -> None:
    """Refuse to build a trunk that reads nothing.

    Raises
    ------
    ValueError
        `num_leads` is below 1.
    """
    if num_leads < 1:
        raise ValueError(f"an encoder of {num_leads} leads cannot be built")


def check_signals(signals: Tensor, num_leads: int) -> None:
    """Refuse signals that are not [b, num_leads, sample] with one sample or more.

    Raises
    ------
    ValueError
        The message gives both shapes.
    """
    if signals.dim() != 3 or signals.shape[1] != num_leads or signals.shape[2] < 1:
        raise ValueError(f"signals have shape {list(signals.shape)}; expected [b, {num_leads}, sample]")


def convolution(num_in: int, num_out: int, kernel: int, *, stride: int = 1) -> nn.Conv1d:
    """Make a convolution of an odd kernel from [b, num_in, l] to [b, num_out, ceil(l / stride)].

    It has no bias: the normalisation that follows takes any constant away.
    """
    return nn.Conv1d(num_in, num_out, kernel, stride=stride, padding=kernel // 2, bias=False)


def init_convolutions(trunk: nn.Module, mode: Literal["fan_in", "fan_out"]) -> None:
    """Draw the weights of all convolutions of a trunk from torch's generator, for the ReLU behind them.

    References
    ----------
    He et al., "Delving deep into rectifiers", 2015: equation 10 by what comes in, equation 14 by what goes out.
    """
    for module in trunk.modules():
        if isinstance(module, nn.Conv1d):
            nn.init.kaiming_normal_(module.weight, mode=mode, nonlinearity="relu")


def receptive_field(*path: nn.Module) -> int:
    """Count the samples of the signal that one feature behind `path` sees.

    Statistics over time, such as those of ``group`` norms, hang on all samples and are not counted.

    Parameters
    ----------
    path : nn.Module
        From the signal to the features; of parallel branches, the one that sees most. Their convolutions and pools
        are applied in the order in which their modules hold them.

    References
    ----------
    Araujo, Norris and Sim, "Computing receptive fields of convolutional neural networks", Distill, 2019, equation 2.
    """
    samples, spacing = 1, 1
    for module in path:
        for layer in module.modules():
            if isinstance(layer, (nn.Conv1d, nn.MaxPool1d, nn.AvgPool1d)):
                samples += (_first(layer.kernel_size) - 1) * spacing
                spacing *= _first(layer.stride)
    return samples


def _first(size: int | tuple[int, ...] | None) -> int:
    assert size is not None  # noqa: S101 - a pool's stride is its kernel where none was given
    return size if isinstance(size, int) else size[0]
