"""What may be done to an ECG without making it another patient's: on the device, for a whole batch, by keyed draws."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from hemometric.config import Config
from hemometric.views.draws import Draws

Augment = Callable[[Tensor, Draws], Tensor]
"""From signals [b, lead, sample] mV, which stay as they are, and draws to the augmented ones."""

_FASTEST_WANDER_HZ = 0.5


class Noise(Config):
    """White noise, as of muscles and amplifiers.

    Attributes
    ----------
    max_mv : float
        Its standard deviation is drawn from 0 to this for each recording.
    """

    kind: Literal["noise"] = "noise"
    max_mv: float = Field(default=0.05, gt=0)

    def build(self, rate_hz: float) -> Augment:  # noqa: ARG002 - as the others
        """Give the function."""

        def augment(signals: Tensor, draws: Draws) -> Tensor:
            size = self.max_mv * draws.uniform(0, 1)[:, :, None]
            white = draws.normal(1, signals[0].numel()).view(signals.shape)
            return torch.addcmul(signals, size.to(signals.dtype), white.to(signals.dtype))

        return augment


class Wander(Config):
    """A slow sine in each lead, as of breathing: below half a hertz.

    Attributes
    ----------
    max_mv : float
        Its amplitude is drawn from 0 to this for each lead.
    """

    kind: Literal["wander"] = "wander"
    max_mv: float = Field(default=0.2, gt=0)

    def build(self, rate_hz: float) -> Augment:
        """Give the function."""

        def augment(signals: Tensor, draws: Draws) -> Tensor:
            num_leads, num_samples = signals.shape[1:]
            size, phase = draws.uniform(0, 2 * num_leads).view(-1, 2, num_leads, 1).unbind(1)
            hz = _FASTEST_WANDER_HZ * draws.uniform(1, 1)[:, :, None]  # one breath moves all leads
            time_s = torch.arange(num_samples, device=signals.device) / rate_hz
            wave = (2.0 * math.pi * (hz * time_s + phase)).sin()
            return signals + (self.max_mv * size * wave).to(signals.dtype)

        return augment


class Scale(Config):
    """One gain for all leads of a recording.

    Attributes
    ----------
    most : float
        The gain is drawn from ``1 - most`` to ``1 + most``.
    """

    kind: Literal["scale"] = "scale"
    most: float = Field(default=0.1, gt=0, lt=1)

    def build(self, rate_hz: float) -> Augment:  # noqa: ARG002 - as the others
        """Give the function."""

        def augment(signals: Tensor, draws: Draws) -> Tensor:
            gain = 1.0 + self.most * (2.0 * draws.uniform(0, 1)[:, :, None] - 1.0)
            return signals * gain.to(signals.dtype)

        return augment


class LeadDropout(Config):
    """Leads that fell off: each is set to 0 by chance, but never all of a recording's.

    Attributes
    ----------
    probability : float
        Of each lead.
    """

    kind: Literal["lead_dropout"] = "lead_dropout"
    probability: float = Field(default=0.2, gt=0, lt=1)

    def build(self, rate_hz: float) -> Augment:  # noqa: ARG002 - as the others
        """Give the function."""

        def augment(signals: Tensor, draws: Draws) -> Tensor:
            drawn = draws.uniform(0, signals.shape[1])
            # The lead with the largest draw stays, whatever the probability.
            kept = (drawn >= self.probability) | (drawn == drawn.amax(dim=1, keepdim=True))
            return torch.where(kept[:, :, None], signals, torch.zeros((), dtype=signals.dtype, device=signals.device))

        return augment


class Crop(Config):
    """A part of the recording, from a place drawn for each: the result is shorter, and as long for all.

    Attributes
    ----------
    share : float
        Of the samples that are kept.
    """

    kind: Literal["crop"] = "crop"
    share: float = Field(default=0.8, gt=0, lt=1)

    def build(self, rate_hz: float) -> Augment:  # noqa: ARG002 - as the others
        """Give the function."""

        def augment(signals: Tensor, draws: Draws) -> Tensor:
            num_samples = signals.shape[2]
            num_kept = max(1, round(self.share * num_samples))
            first = (draws.uniform(0, 1) * (num_samples - num_kept + 1)).long()
            place = first + torch.arange(num_kept, device=signals.device)
            return signals.gather(2, place[:, None, :].expand(-1, signals.shape[1], -1))

        return augment


class TimeWarp(Config):
    """Time that runs faster here and slower there, and ends where it ended: a heart rate that varies.

    Attributes
    ----------
    most : float
        How much faster or slower than 1 it may run; drawn at each knot, straight between them.
    num_knots : int
        Over the length of the recording.
    """

    kind: Literal["time_warp"] = "time_warp"
    most: float = Field(default=0.1, gt=0, le=0.5)
    num_knots: int = Field(default=5, ge=2)

    def build(self, rate_hz: float) -> Augment:  # noqa: ARG002 - as the others
        """Give the function."""

        def augment(signals: Tensor, draws: Draws) -> Tensor:
            num_samples = signals.shape[2]
            if num_samples < 2:
                return signals
            speed = 1.0 + self.most * (2.0 * draws.uniform(0, self.num_knots) - 1.0)
            spread = functional.interpolate(speed[:, None], size=num_samples - 1, mode="linear", align_corners=True)
            passed = functional.pad(spread[:, 0].double().cumsum(1), (1, 0))
            place = passed * ((num_samples - 1) / passed[:, -1:])  # both ends stay
            before = place.floor().clamp(max=num_samples - 2).long()
            after = (place - before).to(signals.dtype)[:, None, :]
            before = before[:, None, :].expand(-1, signals.shape[1], -1)
            return torch.lerp(signals.gather(2, before), signals.gather(2, before + 1), after)

        return augment


Augmentation = Annotated[
    Noise | Wander | Scale | LeadDropout | Crop | TimeWarp,
    Field(discriminator="kind"),
]
