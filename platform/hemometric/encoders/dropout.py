"""Dropout whose mask is a pure function of what is dropped, not of a generator's history."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from hemometric.encoders.keyed import keyed_words, stream_of


@dataclass(frozen=True)
class _Draw:
    """Whose masks are drawn: the rows of the batch that is being forwarded."""

    keys: Tensor
    step: int
    seed: int
    view: int
    moved: dict[torch.device, Tensor] = field(default_factory=dict)

    def keys_on(self, device: torch.device) -> Tensor:
        if device not in self.moved:  # one copy for all layers
            self.moved[device] = self.keys.to(device, non_blocking=True)
        return self.moved[device]


_DRAW: ContextVar[_Draw | None] = ContextVar("hemometric_dropout_keys", default=None)


@contextmanager
def dropout_keys(keys: Tensor, step: int, seed: int, view: int = 0) -> Iterator[None]:
    """Name the rows of the batch, so that `KeyedDropout` layers forwarded inside know which mask each row gets.

    Parameters
    ----------
    keys : int64 [b]
        One key per row, a hash of its recording id; on any device.
    step : int
        The training step: each step draws other masks.
    seed : int
        The run's seed.
    view : int
        Which copy of the recording this is, where a batch is forwarded more than once in a step.

    Raises
    ------
    ValueError
        `keys` is not int64 [b].
    """
    if keys.dtype != torch.int64 or keys.dim() != 1:
        raise ValueError(f"dropout keys are {keys.dtype} {list(keys.shape)}; expected int64 [b]")
    token = _DRAW.set(_Draw(keys=keys, step=step, seed=seed, view=view))
    try:
        yield
    finally:
        _DRAW.reset(token)


class KeyedDropout(nn.Module):
    """Dropout with a mask that depends on (seed, step, recording key, view, layer, element) and on nothing else.

    A recording therefore loses the same activations on whichever rank it lies and whoever shares its batch, a resumed
    run repeats the masks of the one that was killed, and no generator needs a checkpoint. The mask is an integer
    hash of a counter, in torch operations on the device of the activations; two elements share a 32-bit word, 16
    bits each, so that the probability is rounded to 2^-16. What is kept is scaled by 1 / (1 - p).

    Parameters
    ----------
    p : float
        Probability that an element is set to zero, from 0 to below 1.
    layer : int
        Number of this layer in the model: each layer draws other masks. Heads are 0, encoders count from 1.

    Raises
    ------
    ValueError
        `p` is not in [0, 1).

    See Also
    --------
    keyed.keyed_words : the hash.
    """

    def __init__(self, p: float, layer: int) -> None:
        super().__init__()
        if not 0.0 <= p < 1.0:
            raise ValueError(f"dropout p={p} is not a probability below 1")
        self.p = p
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """Drop elements of activations [b, …] in training; the identity otherwise.

        Raises
        ------
        RuntimeError
            In training outside of `dropout_keys`.
        ValueError
            The keys are not as many as the rows.
        """
        if not self.training or self.p == 0.0:
            return x
        draw = _DRAW.get()
        if draw is None:
            raise RuntimeError(
                "KeyedDropout in training needs keys: forward inside `with dropout_keys(keys, step, seed):`"
            )
        if draw.keys.shape[0] != x.shape[0]:
            raise ValueError(f"{draw.keys.shape[0]} dropout keys for a batch of {x.shape[0]} rows")
        stream = stream_of(draw.seed, draw.step, draw.view, self.layer)
        kept = keep_mask(draw.keys_on(x.device), stream, x[0].numel(), self.p).view(x.shape)
        # A product, not a fill: an activation that is not finite stays visible to whoever watches for it.
        return (x * kept).mul_(1.0 / (1.0 - self.p))

    def extra_repr(self) -> str:
        """Show the probability and the layer's number."""
        return f"p={self.p}, layer={self.layer}"


def keep_mask(keys: Tensor, stream: int, num_elements: int, p: float) -> Tensor:
    """Draw the mask of a batch.

    Parameters
    ----------
    keys : int64 [b]
        Row keys.
    stream : int
        64 bits that stand for seed, step, view and layer.
    num_elements : int
        Elements of a row, numbered in memory order.
    p : float
        Probability of False.

    Returns
    -------
    bool [b, num_elements]
        True where the element is kept.
    """
    words = keyed_words(keys, stream, (num_elements + 1) // 2)
    # The two halves of a word, as signed integers; a little-endian host, as all that torch runs on.
    halves = words.view(torch.int16)[:, :num_elements]
    return halves < round((1.0 - p) * 65536) - 32768 if p > 2.0**-17 else torch.ones_like(halves, dtype=torch.bool)
