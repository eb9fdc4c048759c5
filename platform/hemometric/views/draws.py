"""What chance decides about a view: a pure function of (seed, epoch, recording, view), whatever the batch and rank."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from hemometric.encoders.keyed import keyed_words, stream_of


@dataclass(frozen=True, eq=False)
class Draws:
    """Random numbers for the rows of a batch; what each number is drawn for is named by a whole number.

    Attributes
    ----------
    keys : int64 [b]
        Of the recordings; see `learning.recording_key`. On the device of the signals.
    seed, epoch, view : int
    place : int
        Which augmentation of a list: two of one kind draw other numbers.
    """

    keys: Tensor
    seed: int
    epoch: int
    view: int
    place: int = 0

    def uniform(self, purpose: int, num: int) -> Tensor:
        """Draw from [0, 1): float32 [b, num]."""
        words = keyed_words(self.keys, stream_of(self.seed, self.epoch, self.view, self.place, purpose), num)
        # 24 of 32 bits: what a float32 below 1 holds; a shift of a signed word repeats the sign, hence the mask.
        return ((words >> 8) & 0xFFFFFF).float() * 2.0**-24

    def normal(self, purpose: int, num: int) -> Tensor:
        """Draw from the standard normal distribution (Box and Muller 1958): float32 [b, num]."""
        half = (num + 1) // 2
        pairs = self.uniform(purpose, 2 * half)
        radius = (-2.0 * (1.0 - pairs[:, :half]).log()).sqrt()
        angle = (2.0 * math.pi) * pairs[:, half:]
        radius, angle = radius.repeat(1, 2), angle.repeat(1, 2)
        angle[:, half:] -= math.pi / 2.0  # the cosine of it is the sine
        return (radius * angle.cos())[:, :num]
