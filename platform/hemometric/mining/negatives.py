"""How the negative of an anchor is chosen among those that may repel it."""

from __future__ import annotations

from typing import Annotated, Literal, Protocol

import numpy as np
from pydantic import Field

from hemometric.config import Config
from hemometric.ecg import Float32
from hemometric.mining import draws
from hemometric.mining.pairs import Int64


class Negatives(Protocol):
    """Chooses one of the candidates."""

    def pick(self, distances: Float32, candidates: Int64, seed: int, epoch: int, anchor: str) -> int:
        """Choose a position out of `candidates`.

        Parameters
        ----------
        distances : float32 [B]
            From the anchor to each position of the batch.
        candidates : int64 [candidate]
            At least one position, sorted by recording id.
        seed, epoch, anchor : int, int, str
            What the draw is keyed by; `anchor` is a recording id.
        """
        ...


class UniformPick:
    """Any candidate, with equal chances."""

    def pick(
        self,
        distances: Float32,  # noqa: ARG002 - part of the protocol
        candidates: Int64,
        seed: int,
        epoch: int,
        anchor: str,
    ) -> int:
        """Draw one; see `Negatives.pick`."""
        return int(candidates[draws.index(len(candidates), seed, epoch, "negative", anchor)])


class FarthestPick:
    """Any of the `num` farthest candidates, with equal chances."""

    def __init__(self, num: int) -> None:
        self.num = num

    def pick(self, distances: Float32, candidates: Int64, seed: int, epoch: int, anchor: str) -> int:
        """Draw one; see `Negatives.pick`. Of equally far candidates, the first by recording id is the farther."""
        farthest = candidates[np.argsort(-distances[candidates], kind="stable")[: self.num]]
        return int(farthest[draws.index(len(farthest), seed, epoch, "negative", anchor)])


class RandomNegatives(Config):
    """Negatives drawn uniformly from the rest of the batch."""

    kind: Literal["random"] = "random"

    def build(self) -> Negatives:
        """Give the chooser."""
        return UniformPick()


class FarthestNegatives(Config):
    """Negatives drawn from the k farthest, as published; a few outliers then supply most of them (see `HubCounter`)."""

    kind: Literal["farthest"] = "farthest"
    k: int = Field(default=2, ge=1)

    def build(self) -> Negatives:
        """Give the chooser."""
        return FarthestPick(self.k)


NegativesConfig = Annotated[RandomNegatives | FarthestNegatives, Field(discriminator="kind")]
