"""What is known of a recording beside its signal: label columns with a kind, a unit and a plausible range."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

import pyarrow as pa
from pydantic import Field, field_validator, model_validator

from hemometric.config import Config
from hemometric.corpus.quantities import check_units

LABEL_PREFIX = "label."
LIKELIHOODS = "_likelihoods"
"""Ends the name of the label that holds the likelihoods of another label's codes, in their order."""

Kind = Literal["number", "codes", "numbers"]
_TYPES = {"number": pa.float64(), "codes": pa.list_(pa.string()), "numbers": pa.list_(pa.float64())}
_NAME = re.compile(r"[a-z][a-z0-9_]*")


class Label(Config):
    """One label of a corpus, as its manifest states it.

    Attributes
    ----------
    kind : "number", "codes" or "numbers"
        A float per recording; a set of codes (an empty set says "none of them", an absent one "not known"); or
        several floats, such as one for each code of another label.
    unit : str
        Such as ``mmHg``; empty for codes.
    low, high : float or None
        Values outside are not believed: they become absent, and are counted.
    """

    name: str
    kind: Kind = "number"
    unit: str = ""
    low: float | None = None
    high: float | None = None

    @property
    def column(self) -> str:
        """The column of the corpus that holds it."""
        return LABEL_PREFIX + self.name

    @property
    def arrow_type(self) -> pa.DataType:
        """The type of that column."""
        return _TYPES[self.kind]

    @field_validator("name")
    @classmethod
    def _plain(cls, name: str) -> str:
        return checked_name(name)

    @model_validator(mode="after")
    def _ordered(self) -> Label:
        check_range(self.kind, self.low, self.high)
        return self


class LabelSpec(Config):
    """Where a table holds a label.

    Attributes
    ----------
    column : str
        The table's column.
    columns : tuple of str
        For codes, instead of `column`: columns that say yes or no (1/0, true/false) of the code that they are named
        for. A recording's set is absent where one of them says neither.
    unit, source_unit : str
        Of the label, and of the column where it differs: values are converted (kPa to mmHg).
    low, high : float or None
        Plausible range in `unit`.
    separator : str
        Between the codes of one cell.
    likelihoods : bool
        A cell holds codes with likelihoods: ``AF:80;LBBB:100``, ``{'AF': 80.0}``, or a Parquet map. They become a
        second label, whose name ends in ``_likelihoods``: a number for each code, in the order of the codes.
    min_likelihood : float or None
        Leave out codes below, and those that state none.
    """

    column: str = ""
    columns: tuple[str, ...] = ()
    kind: Literal["number", "codes"] = "number"
    unit: str = ""
    source_unit: str = ""
    low: float | None = None
    high: float | None = None
    separator: str = Field(";", min_length=1)
    likelihoods: bool = False
    min_likelihood: float | None = None

    @model_validator(mode="after")
    def _sensible(self) -> LabelSpec:
        check_range(self.kind, self.low, self.high)
        check_units(self.unit, self.source_unit)
        if bool(self.column) == bool(self.columns):
            raise ValueError("a label needs a column, or for codes columns that say yes or no; one of the two")
        if self.kind == "number" and (self.columns or self.likelihoods):
            raise ValueError("columns and likelihoods are for kind: codes")
        if self.likelihoods and self.columns:
            raise ValueError("likelihoods stand in a cell's text; columns say yes or no")
        if self.min_likelihood is not None and not self.likelihoods:
            raise ValueError("min_likelihood needs likelihoods: true")
        return self

    def read_from(self) -> tuple[str, ...]:
        """Give the columns of the table that it needs."""
        return self.columns or (self.column,)

    def made(self, name: str) -> tuple[Label, ...]:
        """Give the label that it becomes; with likelihoods, the label of these too."""
        label = Label(name=name, kind=self.kind, unit=self.unit, low=self.low, high=self.high)
        return (label, likelihoods_of(label)) if self.likelihoods else (label,)


def made_labels(specs: Mapping[str, LabelSpec]) -> tuple[Label, ...]:
    """Give the labels that named columns become, in their order."""
    return tuple(label for name, spec in specs.items() for label in spec.made(name))


def likelihoods_of(codes: Label, unit: str = "") -> Label:
    """Give the label for the likelihoods of another label's codes."""
    return Label(name=codes.name + LIKELIHOODS, kind="numbers", unit=unit)


def checked_name(name: str) -> str:
    """Return a label's name if it can be a column everywhere; ValueError otherwise."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"label name {name!r} must be lower-case letters, digits and _, a letter first")
    return name


def check_range(kind: str, low: float | None, high: float | None) -> None:
    """Raise ValueError where a range makes no sense."""
    if kind == "codes" and (low is not None or high is not None):
        raise ValueError("a set of codes has no low and high")
    if low is not None and high is not None and low >= high:
        raise ValueError(f"low ({low:g}) must be below high ({high:g})")


def check_distinct(labels: tuple[Label, ...]) -> None:
    """Raise ValueError where two labels have one name."""
    names = [label.name for label in labels]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"two labels have the name {twice[0]!r}; rename one")
