"""How many views of each recording an encoder sees in a step, and what each shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Literal, Protocol

import torch
from pydantic import Field
from torch import Tensor

from hemometric.config import Config
from hemometric.views.augmentations import Augment, Augmentation, LeadDropout, Noise, Scale, Wander
from hemometric.views.draws import Draws


class Views(Protocol):
    """Gives views of a batch; all of one shape."""

    @property
    def num(self) -> int:
        """How many views there are of each recording."""
        ...

    def __call__(self, signals: Tensor, keys: Tensor, seed: int, epoch: int) -> Tensor:
        """Show a batch.

        Parameters
        ----------
        signals : float [b, lead, sample] mV
        keys : int64 [b]
            What draws are keyed by; on the device of the signals.
        seed, epoch : int

        Returns
        -------
        float [view, b, lead, sample] mV
        """
        ...


class AugmentedViews:
    """Copies of a recording, each augmented by draws of its own; see `Augmented`."""

    def __init__(self, num: int, augmentations: Sequence[Augment]) -> None:
        self.num = num
        self._augmentations = tuple(augmentations)

    def __call__(self, signals: Tensor, keys: Tensor, seed: int, epoch: int) -> Tensor:
        """See `Views`."""
        views = (Draws(keys, seed, epoch, view) for view in range(self.num))
        return torch.stack([_augmented(signals, self._augmentations, draws) for draws in views])


class SegmentViews:
    """Parts of a recording, one after the other, then augmented; see `Segments`."""

    def __init__(self, num: int, augmentations: Sequence[Augment]) -> None:
        self.num = num
        self._augmentations = tuple(augmentations)

    def __call__(self, signals: Tensor, keys: Tensor, seed: int, epoch: int) -> Tensor:
        """See `Views`."""
        length = signals.shape[2] // self.num
        if not length:
            raise ValueError(f"{signals.shape[2]} samples cannot be cut into {self.num} segments")
        parts = [signals[:, :, view * length : (view + 1) * length] for view in range(self.num)]
        draws = (Draws(keys, seed, epoch, view) for view in range(self.num))
        return torch.stack(
            [_augmented(part, self._augmentations, each) for part, each in zip(parts, draws, strict=True)]
        )


class LeadViews:
    """The same recording as seen by one lead at a time, the others 0; see `Leads`."""

    def __init__(self, num: int, segments: SegmentViews) -> None:
        self.num = num * segments.num
        self._num_leads = num
        self._segments = segments

    def __call__(self, signals: Tensor, keys: Tensor, seed: int, epoch: int) -> Tensor:
        """See `Views`."""
        if signals.shape[1] < self._num_leads:
            raise ValueError(f"{self._num_leads} lead views want as many leads; there are {signals.shape[1]}")
        # A seeded order of the leads for each recording: its first ones are shown.
        order = Draws(keys, seed, epoch, view=0, place=-1).uniform(0, signals.shape[1]).argsort(dim=1)
        shown = []
        for part in self._segments(signals, keys, seed, epoch):
            for number in range(self._num_leads):
                only = torch.zeros_like(part)
                lead = order[:, number, None, None].expand(-1, 1, part.shape[2])
                shown.append(only.scatter_(1, lead, part.gather(1, lead)))
        return torch.stack(shown)


def _augmented(signals: Tensor, augmentations: Sequence[Augment], draws: Draws) -> Tensor:
    for place, augment in enumerate(augmentations):
        signals = augment(signals, replace(draws, place=place))
    return signals


class Single(Config):
    """One view: the recording itself, augmented if asked to be."""

    kind: Literal["single"] = "single"
    augmentations: tuple[Augmentation, ...] = ()

    @property
    def num_views(self) -> int:
        """How many views there are of each recording."""
        return 1

    def build(self, rate_hz: float) -> AugmentedViews:
        """Give the views of signals at a rate."""
        return AugmentedViews(1, [one.build(rate_hz) for one in self.augmentations])


class Augmented(Config):
    """Several copies of each recording, each augmented anew (SimCLR: Chen et al., ICML 2020).

    Attributes
    ----------
    augmentations : tuple
        In their order. Jeong et al. 2023 compare with two noisy copies: ``[{kind: noise}]``.
    """

    kind: Literal["augmented"] = "augmented"
    num: int = Field(default=2, ge=2)
    augmentations: tuple[Augmentation, ...] = Field(default=(Noise(), Wander(), Scale(), LeadDropout()), min_length=1)

    @property
    def num_views(self) -> int:
        """How many views there are of each recording."""
        return self.num

    def build(self, rate_hz: float) -> AugmentedViews:
        """Give the views of signals at a rate."""
        return AugmentedViews(self.num, [one.build(rate_hz) for one in self.augmentations])


class Segments(Config):
    """Parts of each recording, one after the other (CMSC of CLOCS: Kiyasseh, Zhu and Clifton, ICML 2021: two halves).

    Attributes
    ----------
    num : int
        Parts; samples that are left over at the end are not shown.
    """

    kind: Literal["segments"] = "segments"
    num: int = Field(default=2, ge=2)
    augmentations: tuple[Augmentation, ...] = ()

    @property
    def num_views(self) -> int:
        """How many views there are of each recording."""
        return self.num

    def build(self, rate_hz: float) -> SegmentViews:
        """Give the views of signals at a rate."""
        return SegmentViews(self.num, [one.build(rate_hz) for one in self.augmentations])


class Leads(Config):
    """One lead at a time, others 0 (CMLC of CLOCS); with ``num_segments: 2`` of each half (its CMSMLC).

    The published network sees one lead; ours has all of them as inputs, so that the model that results reads a whole
    ECG.

    Attributes
    ----------
    num : int
        Leads that are shown of each recording, drawn anew each epoch.
    num_segments : int
    """

    kind: Literal["leads"] = "leads"
    num: int = Field(default=2, ge=2, le=12)
    num_segments: int = Field(default=1, ge=1)
    augmentations: tuple[Augmentation, ...] = ()

    @property
    def num_views(self) -> int:
        """How many views there are of each recording."""
        return self.num * self.num_segments

    def build(self, rate_hz: float) -> LeadViews:
        """Give the views of signals at a rate."""
        return LeadViews(self.num, SegmentViews(self.num_segments, [one.build(rate_hz) for one in self.augmentations]))


ViewsConfig = Annotated[Single | Augmented | Segments | Leads, Field(discriminator="kind")]
