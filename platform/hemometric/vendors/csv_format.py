"""CSV files of one ECG each: a line for each sample, a column for each lead."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, field_validator, model_validator

from hemometric.config import Config
from hemometric.ecg import Recording, canonical_lead
from hemometric.vendors.array_layout import checked_leads
from hemometric.vendors.chosen import chosen_leads
from hemometric.vendors.samples import UNITS_PER_MV, Known, Unit, recording_of
from hemometric.vendors.source import MAX_VALUES, ReadError, Vendor, one_ecg, read_whole

NAME = "csv"

_MAX_COLUMNS = 1024
_ABSENT = ["", "NaN", "nan", "NA", "null", "NULL"]
_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
_BOM = b"\xef\xbb\xbf"


class CsvConfig(Config):
    """What the columns of a CSV file mean.

    Attributes
    ----------
    unit : "mV", "uV", "nV" or "V"
        Of the samples.
    counts_per_unit : float
        For native counts of an AD converter: how many of them are one `unit`.
    rate_hz : float or None
        Samples per second; None where `time` tells it.
    time : str or None
        Column with the time of each sample, evenly spaced. Where `rate_hz` is given too, they must agree.
    time_unit : "s", "ms" or "us"
        Of that column.
    columns : tuple of str or None
        What each column is called, from left to right, for files without a line of names; None where the first line
        names them. Columns of no standard lead are left out.
    skip_lines : int
        Lines before the line of names, or before the samples where there is none.
    suffix : str
        Files of this ending are taken.
    """

    unit: Unit
    counts_per_unit: float = Field(1.0, ge=1e-3, le=1e6)
    rate_hz: float | None = Field(None, ge=1, le=1e6)
    time: str | None = None
    time_unit: Literal["s", "ms", "us"] = "s"
    columns: tuple[str, ...] | None = None
    skip_lines: int = Field(0, ge=0, le=1000)
    delimiter: str = ","
    decimal: Literal[".", ","] = "."
    suffix: str = ".csv"

    @field_validator("columns")
    @classmethod
    def _has_standard_leads(cls, columns: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return None if columns is None else checked_leads(columns)

    @field_validator("delimiter")
    @classmethod
    def _one_sign(cls, delimiter: str) -> str:
        if len(delimiter) != 1 or not delimiter.isascii() or delimiter in '"\r\n.':
            raise ValueError('delimiter must be one ASCII character, such as "," or ";" or a tab')
        return delimiter

    @field_validator("suffix")
    @classmethod
    def _is_suffix(cls, suffix: str) -> str:
        if not suffix.startswith(".") or suffix != suffix.casefold():
            raise ValueError('suffix must be in small letters with its dot, such as ".csv"')
        return suffix

    @model_validator(mode="after")
    def _tells_the_rate(self) -> CsvConfig:
        if self.rate_hz is None and self.time is None:
            raise ValueError("give rate_hz, or time: the column with the time of each sample")
        if self.decimal == self.delimiter:
            raise ValueError("delimiter and decimal are the same sign")
        return self

    def build(self) -> Vendor:
        """Give the reader."""
        return Vendor(name=NAME, suffixes=(self.suffix,), sniff=self._sniff, read=one_ecg(self._read))

    def _sniff(self, path: Path, head: bytes) -> bool:
        """Whether a file of that suffix names a standard lead in its line of names; text bears no other mark."""
        if path.suffix.casefold() != self.suffix or b"\0" in head:
            return False
        try:
            names, _ = self._names(head)
        except ReadError:
            return False
        return any(canonical_lead(name) for name in names)

    def _read(self, path: Path, key: str) -> Recording:
        content = read_whole(path)
        names, num_skipped = self._names(content)
        chosen = chosen_leads([canonical_lead(name) for name in names])
        if self.time is not None and names.count(self.time) != 1:
            raise ReadError("rate_missing", "there is no column of times of the name that the config gives, or two")
        if content.count(b"\n") * len(names) > 2 * MAX_VALUES:
            raise ReadError("too_long", f"more than {MAX_VALUES} samples")
        taken = [*chosen, *([] if self.time is None else [names.index(self.time)])]
        table = self._table(content, len(names), num_skipped, taken)
        rows = [_numbers(table.column(place)) for place in range(len(chosen))]
        return recording_of(
            rows,
            list(chosen.values()),
            key=key,
            source_format=NAME,
            rate_hz=self.rate_hz if self.time is None else self._rate_hz(_numbers(table.column(len(chosen)))),
            units_per_mv=UNITS_PER_MV[self.unit] * self.counts_per_unit,
            known=Known(),
        )

    def _names(self, content: bytes) -> tuple[list[str], int]:
        """Give the names of the columns, and how many lines stand before the first sample."""
        lines = content.removeprefix(_BOM).split(b"\n", self.skip_lines + 1)
        if len(lines) < self.skip_lines + 2 - (self.columns is not None):
            raise ReadError("truncated", "the file ends before its samples")
        if self.columns is not None:
            return list(self.columns), self.skip_lines
        try:
            line = lines[self.skip_lines].decode("utf-8", "replace").rstrip("\r")
            names = [name.strip() for name in next(csv.reader([line], delimiter=self.delimiter), [])]
        except csv.Error:
            raise ReadError("unreadable", "the line of names cannot be read") from None
        if len(names) > _MAX_COLUMNS:
            raise ReadError("unsupported", f"it has more than {_MAX_COLUMNS} columns")
        return names, self.skip_lines + 1

    def _table(self, content: bytes, num_columns: int, num_skipped: int, taken: list[int]) -> Any:
        import pyarrow as pa
        import pyarrow.csv as pacsv

        names = [str(index) for index in range(num_columns)]
        try:
            return pacsv.read_csv(
                io.BytesIO(content),
                read_options=pacsv.ReadOptions(column_names=names, skip_rows=num_skipped, use_threads=False),
                parse_options=pacsv.ParseOptions(delimiter=self.delimiter),
                convert_options=pacsv.ConvertOptions(
                    include_columns=[names[index] for index in taken],
                    null_values=_ABSENT,
                    decimal_point=self.decimal,
                ),
            )
        except (pa.ArrowException, ValueError):
            raise ReadError("unreadable", "its lines have different numbers of columns, or are no CSV") from None

    def _rate_hz(self, times: npt.NDArray[Any]) -> float:
        """Find the rate of evenly spaced samples.

        Times may be rounded, so that single steps say little: the whole span does.
        """
        seconds = times.astype(np.float64) * _SECONDS[self.time_unit]
        if seconds.size < 2 or not np.isfinite(seconds).all() or seconds[-1] <= seconds[0]:
            raise ReadError("rate_missing", "the column of times tells no rate")
        rate_hz = float(f"{(seconds.size - 1) / (seconds[-1] - seconds[0]):.9g}")
        even = seconds[0] + np.arange(seconds.size) / rate_hz
        if np.abs(seconds - even).max() > 1.0 / rate_hz:
            raise ReadError("rate_uneven", "the samples are not evenly spaced in time")
        if self.rate_hz is None:
            return rate_hz
        if abs(rate_hz / self.rate_hz - 1) > 0.01:
            raise ReadError("rate_contradiction", f"its times tell {rate_hz:g} Hz, the config {self.rate_hz:g} Hz")
        return self.rate_hz


def _numbers(column: Any) -> npt.NDArray[Any]:
    """Give a column as int64, or as float64 with NaN where a cell is empty."""
    import pyarrow as pa
    import pyarrow.types as types

    if types.is_null(column.type):
        return np.full(len(column), np.nan)
    if not (types.is_int64(column.type) or types.is_float64(column.type)):
        raise ReadError("unreadable", "the samples hold something that is not a number")
    if column.null_count:
        column = column.cast(pa.float64())
    values: npt.NDArray[Any] = column.to_numpy()
    return values
