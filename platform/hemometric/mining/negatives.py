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

    def pick(self, distances: Float32, candidates: Int64, positive: int, seed: int, epoch: int, anchor: str) -> int:
        """Choose a position out of `candidates`.

        Parameters
        ----------
        distances : float32 [B]
            From the anchor to each position of the batch.
        candidates : int64 [candidate]
            At least one position, sorted by recording id; the positive is not among them.
        positive : int
            The anchor's positive.
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
        positive: int,  # noqa: ARG002
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

    def pick(
        self,
        distances: Float32,
        candidates: Int64,
        positive: int,  # noqa: ARG002 - part of the protocol
        seed: int,
        epoch: int,
        anchor: str,
    ) -> int:
        """Draw one; see `Negatives.pick`. Of equally far candidates, the first by recording id is the farther."""
        farthest = candidates[np.argsort(-distances[candidates], kind="stable")[: self.num]]
        return int(farthest[draws.index(len(farthest), seed, epoch, "negative", anchor)])


class SemihardRankPick:
    """Any of `num` candidates ranked behind the positive, but for the first `skip`; see `SemihardRankNegatives`."""

    def __init__(self, skip: int, num: int) -> None:
        self.skip = skip
        self.num = num

    def pick(self, distances: Float32, candidates: Int64, positive: int, seed: int, epoch: int, anchor: str) -> int:
        """Draw one; see `Negatives.pick`. Of equally far candidates, the first by recording id is the nearer."""
        ordered = candidates[np.argsort(distances[candidates], kind="stable")]
        behind = ordered[distances[ordered] > distances[positive]]
        if len(behind):
            start = min(self.skip, max(0, len(behind) - self.num))
            pool = behind[start : start + self.num]
        else:
            pool = ordered[-self.num :]
        return int(pool[draws.index(len(pool), seed, epoch, "negative", anchor)])


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


class SemihardRankNegatives(Config):
    """Negatives drawn from those ranked closely behind the positive: farther than it, but not far.

    The candidates that are farther from the anchor than its positive are ranked by distance; the first `skip` are
    left out, and one of the next `k` is drawn. Where too few follow, fewer are left out, so that k remain if there
    are k; where none is farther than the positive, one of the k farthest is drawn.

    Attributes
    ----------
    skip : int
        Those right behind a nearest positive are about as alike as it is: what they show may well be the same.
    k : int
    """

    kind: Literal["semihard_rank"] = "semihard_rank"
    skip: int = Field(default=4, ge=0)
    k: int = Field(default=8, ge=1)

    def build(self) -> Negatives:
        """Give the chooser."""
        return SemihardRankPick(self.skip, self.k)


NegativesConfig = Annotated[RandomNegatives | FarthestNegatives | SemihardRankNegatives, Field(discriminator="kind")]
