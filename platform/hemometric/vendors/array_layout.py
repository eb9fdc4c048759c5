"""How ECGs lie in an array, and all that an array does not say itself."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, field_validator

from hemometric.config import Config
from hemometric.ecg import LEADS, Recording, canonical_lead
from hemometric.vendors.chosen import chosen_leads
from hemometric.vendors.samples import (
    UNITS_PER_MV,
    Known,
    Unit,
    check_num_items,
    check_size,
    recording_of,
)
from hemometric.vendors.source import ReadError

Axis = Literal["ecg", "lead", "sample"]


class ArrayLayout(Config):
    """What the numbers of an array mean.

    Attributes
    ----------
    rate_hz : float
        Samples per second.
    unit : "mV", "uV", "nV" or "V"
        Of the numbers.
    counts_per_unit : float
        For native counts of an AD converter: how many of them are one `unit`.
    leads : tuple of str
        Names along the axis of leads. Those of no standard lead are left out.
    axes : tuple of "ecg", "lead" and "sample"
        Order of the axes; without "ecg" the array is one ECG.
    zero_padded : bool
        Whether samples at both ends that are exactly 0 in all leads are filling, and left out.
    """

    rate_hz: float = Field(ge=1, le=1e6)
    unit: Unit
    counts_per_unit: float = Field(1.0, ge=1e-3, le=1e6)
    leads: tuple[str, ...] = LEADS
    axes: tuple[Axis, ...] = ("lead", "sample")
    zero_padded: bool = False

    @field_validator("leads")
    @classmethod
    def _has_standard_leads(cls, leads: tuple[str, ...]) -> tuple[str, ...]:
        return checked_leads(leads)

    @field_validator("axes")
    @classmethod
    def _each_once(cls, axes: tuple[Axis, ...]) -> tuple[Axis, ...]:
        if sorted(axes) not in (["ecg", "lead", "sample"], ["lead", "sample"]):
            raise ValueError('axes must hold "lead" and "sample", each once, and at most once "ecg"')
        return axes

    def num_ecgs(self, shape: tuple[int, ...]) -> int | None:
        """Count the ECGs of an array of this shape; None where it is one ECG.

        Raises
        ------
        ReadError
            ``unsupported`` where the shape is not that of the layout, ``truncated``, ``too_long``.
        """
        if len(shape) != len(self.axes):
            raise ReadError("unsupported", f"the array has {len(shape)} axes, and its layout names {len(self.axes)}")
        size = dict(zip(self.axes, shape, strict=True))
        if size["lead"] != len(self.leads):
            raise ReadError("unsupported", f"the array has {size['lead']} leads, and its layout {len(self.leads)}")
        check_size(size["lead"], size["sample"])
        if "ecg" not in size:
            return None
        check_num_items(size["ecg"])
        return size["ecg"]

    def index(self, ecg: int | None) -> tuple[int | slice, ...]:
        """Give the index of one ECG into the array."""
        return tuple(ecg if axis == "ecg" and ecg is not None else slice(None) for axis in self.axes)

    def recording(self, values: npt.NDArray[Any], *, key: str, source_format: str, known: Known) -> Recording:
        """Make a recording of one ECG, an array with the two axes of the layout that are not "ecg".

        Raises
        ------
        ReadError
            As for `recording_of`, and ``no_waveform`` where all is filling.
        """
        rows = values.T if self.axes.index("sample") < self.axes.index("lead") else values
        if self.zero_padded:
            there = np.flatnonzero((rows != 0).any(axis=0))
            if not there.size:
                raise ReadError("no_waveform", "every sample is 0")
            rows = rows[:, there[0] : there[-1] + 1]
        return recording_of(
            list(rows),
            self.leads,
            key=key,
            source_format=source_format,
            rate_hz=self.rate_hz,
            units_per_mv=UNITS_PER_MV[self.unit] * self.counts_per_unit,
            known=known,
        )


def checked_leads(leads: tuple[str, ...]) -> tuple[str, ...]:
    """Pass on names of which at least one is a standard lead, and none stands twice, for a config.

    Raises
    ------
    ValueError
        They are not such names.
    """
    try:
        chosen_leads([canonical_lead(lead) for lead in leads])
    except ReadError as error:
        raise ValueError(f"leads: {error.detail}") from None
    return leads
