"""Which patient trains, which validates, which tests; and the keyed partitions that keep a patient together."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from hemometric.config import Config
from hemometric.corpus.pseudonyms import Key

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
NUM_BINS = 100
NUM_PARTITIONS = 64


class HashSplit(Config):
    """Each patient falls into one of 100 fixed bins by a keyed hash: growing the archive never moves a patient."""

    kind: Literal["hash"] = "hash"
    train: float = Field(0.6, ge=0, le=1)
    validation: float = Field(0.2, ge=0, le=1)
    test: float = Field(0.2, ge=0, le=1)

    @model_validator(mode="after")
    def _whole_bins(self) -> HashSplit:
        shares = (self.train, self.validation, self.test)
        if any(abs(share * NUM_BINS - round(share * NUM_BINS)) > 1e-6 for share in shares):
            raise ValueError("split fractions are whole hundredths, such as 0.6")
        if round(sum(shares) * NUM_BINS) != NUM_BINS:
            raise ValueError(f"split fractions add up to {sum(shares):g}; they must add up to 1")
        return self

    def assign(self, key: Key, patient: str, fold: int | None) -> Split | None:  # noqa: ARG002 - one shape for all kinds
        """Give the split of a patient's pseudonym."""
        position = key.bucket(patient, NUM_BINS)
        if position < round(self.train * NUM_BINS):
            return "train"
        return "validation" if position < round((self.train + self.validation) * NUM_BINS) else "test"


class FoldSplit(Config):
    """The table's own folds say it; a patient that they put into two splits is refused.

    The default is PTB-XL's: fold 9 to validate, fold 10 to test.
    """

    kind: Literal["folds"] = "folds"
    train: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7, 8)
    validation: tuple[int, ...] = (9,)
    test: tuple[int, ...] = (10,)

    @model_validator(mode="after")
    def _disjoint(self) -> FoldSplit:
        named = (*self.train, *self.validation, *self.test)
        twice = sorted({fold for fold in named if named.count(fold) > 1})
        if twice:
            raise ValueError(f"fold {twice[0]} stands in two places; each fold belongs to one split")
        return self

    def assign(self, key: Key, patient: str, fold: int | None) -> Split | None:  # noqa: ARG002
        """Give the split of a fold; None where there is no fold, or no split names it."""
        for split, folds in (("train", self.train), ("validation", self.validation), ("test", self.test)):
            if fold in folds:
                return split  # type: ignore[return-value]  # the literals above are Splits
        return None


SplitConfig = Annotated[HashSplit | FoldSplit, Field(discriminator="kind")]


def partition_of(key: Key, patient: str) -> int:
    """Give the patient's partition, 0 to 63: rows of one patient always lie side by side."""
    return key.bucket(patient, NUM_PARTITIONS)
