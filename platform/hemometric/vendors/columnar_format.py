"""Parquet files and Arrow files (Feather) with one ECG a row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from hemometric.config import Config
from hemometric.ecg import LEADS, Recording, Rejected, Sex
from hemometric.vendors.array_layout import checked_leads
from hemometric.vendors.columnar_cells import lead_of, signal_of, wall_clock
from hemometric.vendors.columnar_file import (
    ARROW_MAGIC,
    MAX_BLOCK_BYTES,
    PARQUET_MAGIC,
    Blocks,
    block_of,
    opened,
)
from hemometric.vendors.samples import (
    UNITS_PER_MV,
    Known,
    Unit,
    age_of,
    named_items,
    recording_of,
    text_of,
)
from hemometric.vendors.source import ReadError, Vendor

_MAX_HELD_BYTES = 1 << 27
_SEXES: dict[str, Sex] = {"female": "female", "f": "female", "male": "male", "m": "male"}


class ColumnarConfig(Config):
    """What the columns of a table mean.

    Attributes
    ----------
    unit : "mV", "uV", "nV" or "V"
        Of the samples.
    counts_per_unit : float
        For native counts of an AD converter: how many of them are one `unit`.
    rate_hz : float or None
        Samples per second of all rows; None where the column `rate` tells it for each.
    leads : tuple of str
        Names of the leads, in the order in which they lie in `signal`.
    signal : str or None
        The column with all samples: a list, a list of lists, or bytes. None where each lead is a column of its own.
    lead_columns : tuple of str or None
        Without `signal`: the column of each of `leads`, a list of samples; None where they are called as the leads.
    axes : "lead", "sample" in their order
        Of `signal`.
    stored : "int16", "int32", "float32" or "float64"
        What the bytes of `signal` are, little-endian, where it holds bytes.
    id : str or None
        Column of numbers or texts that name the ECGs; without, they are named by their place, from 0.
    patient, age, sex, time : str or None
        Columns: patient id, age in years, sex, and the wall-clock time of the recording.
    sexes : dict
        What stands in the column `sex`, case ignored; other values become absent.
    """

    unit: Unit
    counts_per_unit: float = Field(1.0, ge=1e-3, le=1e6)
    rate_hz: float | None = Field(None, ge=1, le=1e6)
    rate: str | None = None
    leads: tuple[str, ...] = LEADS
    signal: str | None = None
    lead_columns: tuple[str, ...] | None = None
    axes: tuple[Literal["lead", "sample"], Literal["lead", "sample"]] = ("lead", "sample")
    stored: Literal["int16", "int32", "float32", "float64"] = "int16"
    id: str | None = None
    patient: str | None = None
    age: str | None = None
    sex: str | None = None
    sexes: dict[str, Sex] = Field(default_factory=lambda: dict(_SEXES))
    time: str | None = None

    @field_validator("leads")
    @classmethod
    def _has_standard_leads(cls, leads: tuple[str, ...]) -> tuple[str, ...]:
        return checked_leads(leads)

    @model_validator(mode="after")
    def _is_whole(self) -> ColumnarConfig:
        if (self.rate_hz is None) == (self.rate is None):
            raise ValueError("give either rate_hz, or rate: the column with the samples per second")
        if self.signal is not None and self.lead_columns is not None:
            raise ValueError("give either signal or lead_columns, not both")
        if self.lead_columns is not None and len(self.lead_columns) != len(self.leads):
            raise ValueError("lead_columns must name one column for each of leads")
        if self.axes[0] == self.axes[1]:
            raise ValueError('axes must hold "lead" and "sample", each once')
        return self

    def build(self) -> tuple[Vendor, Vendor]:
        """Give the readers of Parquet and of Arrow files."""
        return _vendor("parquet", (".parquet", ".pq"), self), _vendor("arrow", (".arrow", ".feather", ".ipc"), self)

    @property
    def signal_columns(self) -> tuple[str, ...]:
        """The columns of the samples."""
        return (self.signal,) if self.signal is not None else self.lead_columns or self.leads

    @property
    def columns(self) -> list[str]:
        """All columns that are read, the one that names the ECGs first."""
        named = (self.id, *self.signal_columns, self.rate, self.patient, self.age, self.sex, self.time)
        return list(dict.fromkeys(name for name in named if name is not None))


def _vendor(name: str, suffixes: tuple[str, ...], config: ColumnarConfig) -> Vendor:
    is_parquet = name == "parquet"
    magic = PARQUET_MAGIC if is_parquet else ARROW_MAGIC

    def items(path: Path) -> tuple[str, ...]:
        with opened(path, is_parquet, config.columns) as blocks:
            return _items(blocks, config.id)

    def read(path: Path, keys: Mapping[str, str]) -> Iterator[Recording | Rejected]:
        with opened(path, is_parquet, config.columns) as blocks:
            place = {item: row for row, item in enumerate(_items(blocks, config.id))}
            for group in _groups(blocks, [(place[item], key) for item, key in keys.items()]):
                found = _read_group(blocks, config, group, name)
                yield from (found[key] for _, key in group)

    return Vendor(name=name, suffixes=suffixes, sniff=lambda _, head: head.startswith(magic), read=read, items=items)


def _items(blocks: Blocks, column: str | None) -> tuple[str, ...]:
    if column is None:
        return tuple(str(row) for row in range(sum(blocks.rows)))
    ids: list[Any] = []
    for block in range(len(blocks.rows)):
        for piece in blocks.pieces(block, [column]):
            ids += piece.column(column).to_pylist()
    return named_items(ids)


def _groups(blocks: Blocks, wanted: Sequence[tuple[int, str]]) -> Iterator[list[tuple[int, str]]]:
    """Part rows, in their order, into groups for which few blocks are read and little is held."""
    row_bytes = max(1, sum(blocks.sizes) // max(1, sum(blocks.rows)))
    group: list[tuple[int, str]] = []
    touched: set[int] = set()
    for row, key in wanted:
        block, _ = block_of(blocks, row)
        num_bytes = sum(blocks.sizes[index] for index in touched | {block})
        if group and (num_bytes > MAX_BLOCK_BYTES or (len(group) + 1) * row_bytes > _MAX_HELD_BYTES):
            yield group
            group, touched = [], set()
        group.append((row, key))
        touched.add(block)
    if group:
        yield group


def _read_group(
    blocks: Blocks, config: ColumnarConfig, group: Sequence[tuple[int, str]], name: str
) -> dict[str, Recording | Rejected]:
    """Read some rows, each block once."""
    import pyarrow as pa

    waiting: dict[int, dict[int, str]] = {}
    for row, key in group:
        block, at = block_of(blocks, row)
        waiting.setdefault(block, {})[at] = key
    found: dict[str, Recording | Rejected] = {}
    for block, keys in sorted(waiting.items()):
        try:
            found |= _read_block(blocks, config, block, keys, name)
        except pa.ArrowMemoryError:
            raise
        except (pa.ArrowException, OSError):  # of this block: the others may be sound
            found |= {key: Rejected(key, "unreadable", "its part of the table is damaged") for key in keys.values()}
    return {key: found.get(key, Rejected(key, "truncated", "its row is announced and not there")) for _, key in group}


def _read_block(
    blocks: Blocks, config: ColumnarConfig, block: int, keys: Mapping[int, str], name: str
) -> dict[str, Recording | Rejected]:
    found: dict[str, Recording | Rejected] = {}
    start = 0
    for piece in blocks.pieces(block, config.columns):
        for at in range(start, start + piece.num_rows):
            if at in keys:
                found[keys[at]] = _read_row(piece, at - start, config, keys[at], name)
        start += piece.num_rows
        if start > max(keys):
            break
    return found


def _read_row(piece: Any, row: int, config: ColumnarConfig, key: str, name: str) -> Recording | Rejected:
    def cell(column: str | None) -> Any:
        return None if column is None else piece.column(column)[row].as_py()

    try:
        rate = config.rate_hz if config.rate is None else cell(config.rate)
        if config.signal is None:
            rows = [lead_of(piece.column(column)[row]) for column in config.signal_columns]
        else:
            rows = list(signal_of(piece.column(config.signal)[row], len(config.leads), config.axes[0], config.stored))
        sexes = {word.casefold(): sex for word, sex in config.sexes.items()}
        return recording_of(
            rows,
            config.leads,
            key=key,
            source_format=name,
            rate_hz=float(rate) if isinstance(rate, int | float) else None,
            units_per_mv=UNITS_PER_MV[config.unit] * config.counts_per_unit,
            known=Known(
                patient_id=text_of(cell(config.patient)),
                age_years=age_of(cell(config.age)),
                sex=sexes.get((text_of(cell(config.sex)) or "").casefold()),
                acquired=None if config.time is None else wall_clock(piece.column(config.time)[row]),
            ),
        )
    except ReadError as error:
        return Rejected(key, error.reason, error.detail)
