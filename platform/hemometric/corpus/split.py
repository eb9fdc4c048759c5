"""Which patient trains, which validates, which tests; and the keyed partitions that keep a patient together.

A split is asked for by the patient or by each recording. Where recordings of one patient ask for several, `placement`
decides: all of a patient lie in one.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import Field, model_validator

from hemometric.config import PLACEMENT, Config
from hemometric.corpus.pseudonyms import Key

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
"""From the least strict to the strictest: who belongs to a later one may not be learnt from in an earlier one."""

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

    def of_patient(self, key: Key, patient: str) -> Split:
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
        _each_once("fold", (*self.train, *self.validation, *self.test))
        return self

    def of_recording(self, fold: int | None, site: str | None, acquired: datetime | None) -> Split | None:  # noqa: ARG002
        """Give the split of a fold; None where there is no fold, or no split names it."""
        return next((split for split in SPLITS if fold in getattr(self, split)), None)

    def why_none(self, fold: int | None, site: str | None, acquired: datetime | None) -> str:  # noqa: ARG002
        """Say why there is no split."""
        return "has no fold" if fold is None else "has a fold that no split names"  # the number may be a patient's


class SiteSplit(Config):
    """Sites say it, as for validation at another hospital.

    Recordings of a patient whom several sites know are taken by the strictest split; the others are left out.

    Attributes
    ----------
    train : tuple of str or None
        None takes every site that the other two do not name.
    validation, test : tuple of str
        Without a site for validation nothing is there to stop a training early or to choose between models.
    not_yet : tuple of str
        Named sites whose recordings come later; any other one that no ECG has is taken for a typo (see `absent`), which
        would send a test hospital into training. It decides nothing else.
    apart : tuple of str
        Sites that no other list names and that are what they seem, although their names differ from a named one by
        capitals, signs or one letter only: any other such site is taken for a slip, and refused. It decides nothing
        else.
    """

    kind: Literal["sites"] = "sites"
    train: tuple[str, ...] | None = None
    validation: tuple[str, ...] = ()
    test: tuple[str, ...]
    not_yet: Annotated[tuple[str, ...], PLACEMENT] = ()
    apart: Annotated[tuple[str, ...], PLACEMENT] = ()

    @model_validator(mode="after")
    def _disjoint(self) -> SiteSplit:
        _each_once("site", self.named)
        unnamed = [site for site in self.not_yet if site not in self.named]
        if unnamed:
            raise ValueError(f"not_yet has site {unnamed[0]!r}, which no split names; write it as in its split")
        if both := [site for site in self.apart if site in self.named]:
            raise ValueError(f"apart has site {both[0]!r}, which a split names; leave it out there")
        return self

    @property
    def named(self) -> tuple[str, ...]:
        """All sites that a split names."""
        return (*(self.train or ()), *self.validation, *self.test)

    def absent(self, sites: Collection[str]) -> list[str]:
        """Give the named sites that are not among `sites` and need be."""
        return [site for site in self.named if site not in sites and site not in self.not_yet]

    def of_recording(self, fold: int | None, site: str | None, acquired: datetime | None) -> Split | None:  # noqa: ARG002
        """Give the split of a site; None where there is no site, or no split names it."""
        if site is None:
            return None
        named = next((split for split in SPLITS if site in (getattr(self, split) or ())), None)
        return "train" if named is None and self.train is None else named

    def why_none(self, fold: int | None, site: str | None, acquired: datetime | None) -> str:  # noqa: ARG002
        """Say why there is no split."""
        return "has no site" if site is None else "is from a site that no split names"


class DateSplit(Config):
    """Time says it: who came later tests what was learnt from those before.

    Recordings of a patient from before and after are taken by the strictest split; the others are left out.

    Attributes
    ----------
    validation_from, test_from : date
        Days from which on, as the device or the table wrote them, a recording belongs there.
    """

    kind: Literal["dates"] = "dates"
    validation_from: date
    test_from: date

    @model_validator(mode="after")
    def _ordered(self) -> DateSplit:
        if self.validation_from > self.test_from:
            raise ValueError("validation_from must not be after test_from")
        return self

    def of_recording(self, fold: int | None, site: str | None, acquired: datetime | None) -> Split | None:  # noqa: ARG002
        """Give the split of a time; None where it is not known."""
        if acquired is None:
            return None
        if acquired.date() >= self.test_from:
            return "test"
        return "validation" if acquired.date() >= self.validation_from else "train"

    def why_none(self, fold: int | None, site: str | None, acquired: datetime | None) -> str:  # noqa: ARG002
        """Say why there is no split."""
        return "has no time of acquisition"


SplitConfig = Annotated[HashSplit | FoldSplit | SiteSplit | DateSplit, Field(discriminator="kind")]


def _each_once(what: str, named: tuple[object, ...]) -> None:
    twice = [str(one) for one in dict.fromkeys(named) if named.count(one) > 1]
    if twice:
        raise ValueError(f"{what} {twice[0]} stands in two places; each {what} belongs to one split")


def partition_of(key: Key, patient: str) -> int:
    """Give the patient's partition, 0 to 63: rows of one patient always lie side by side."""
    return key.bucket(patient, NUM_PARTITIONS)
