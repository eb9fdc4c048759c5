"""What is known of a recording beside its signal: label columns with a kind, a unit and a plausible range."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from hemometric.config import Config

LABEL_PREFIX = "label."
_NAME = re.compile(r"[a-z][a-z0-9_]*")


class Label(Config):
    """One label of a corpus, as its manifest states it.

    Attributes
    ----------
    kind : "number" or "codes"
        A float per recording, or a set of codes (an empty set says "none of them", an absent one "not known").
    unit : str
        Such as ``mmHg``; empty for codes.
    low, high : float or None
        Values outside are not believed: they become absent, and are counted.
    """

    name: str
    kind: Literal["number", "codes"] = "number"
    unit: str = ""
    low: float | None = None
    high: float | None = None

    @property
    def column(self) -> str:
        """The column of the corpus that holds it."""
        return LABEL_PREFIX + self.name

    @field_validator("name")
    @classmethod
    def _plain(cls, name: str) -> str:
        return checked_name(name)

    @model_validator(mode="after")
    def _ordered(self) -> Label:
        check_range(self.kind, self.low, self.high)
        return self


class LabelSpec(Config):
    """Where a table holds a label: the fields of `Label`, the table's column, and what stands between codes."""

    column: str
    kind: Literal["number", "codes"] = "number"
    unit: str = ""
    low: float | None = None
    high: float | None = None
    separator: str = Field(";", min_length=1)  # between the codes of one cell

    @model_validator(mode="after")
    def _ordered(self) -> LabelSpec:
        check_range(self.kind, self.low, self.high)
        return self

    def named(self, name: str) -> Label:
        """Give the label that this column becomes."""
        return Label(name=name, kind=self.kind, unit=self.unit, low=self.low, high=self.high)


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
