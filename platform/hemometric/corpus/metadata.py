"""What a table says of recordings, joined by the record's name and never by its position."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hemometric.corpus.clocks import TIMESTAMP
from hemometric.corpus.labels import LABEL_PREFIX, Label
from hemometric.ecg import Sex
from hemometric.errors import UsageError
from hemometric.vendors import VENDORS

_SUFFIXES = {suffix for vendor in VENDORS for suffix in vendor.suffixes} | {".csv", ".npy", ".npz"}
_OF_RECORDS = (".hea", ".dat", ".mat")  # by which tables name WFDB records
_NUM_SHOWN = 3
NULLED = "nulled"
"""Column of a metadata table: the fields whose value was not believed, per row."""
UNREADABLE = " (unreadable)"
"""Ends the name of a field there whose value could not be read; others were out of range."""


@dataclass(frozen=True)
class Metadata:
    """What a table says of one recording; None where it says nothing."""

    patient_id: str | None = None
    age_years: float | None = None
    sex: Sex | None = None
    site: str | None = None
    fold: int | None = None
    acquired: datetime | None = None
    labels: dict[str, float | list[str] | list[float | None] | None] = field(default_factory=dict)


def metadata_schema(labels: Sequence[Label]) -> pa.Schema:
    """Give the columns of a `MetadataTable`."""
    return pa.schema(
        [
            ("patient_id", pa.string()),
            ("age_years", pa.float64()),
            ("sex", pa.string()),
            ("site", pa.string()),
            ("fold", pa.int32()),
            ("acquired", TIMESTAMP),
            *((label.column, label.arrow_type) for label in labels),
            (NULLED, pa.list_(pa.string())),
        ]
    )


class MetadataTable:
    """Rows of metadata, found by the name of a record.

    A record's name in the table and a source's key match when one is the end of the other, whole path parts only:
    ``records100/00000/00001_lr`` matches the key ``ptbxl/records100/00000/00001_lr``, and the key
    ``00000/00001_lr`` when the source was an inner folder. A key's suffix may be missing in the table: ``1234`` matches
    ``muse/1234.xml``.

    Parameters
    ----------
    rows : pyarrow.Table
        With the columns of `metadata_schema`.
    names : list of (str, int)
        Each record's name and its row; several names may share a row (PTB-XL's two rates do).
    files : tuple of str
        Names of the table's files, without folders.
    sha256 : str
        Hash of their bytes.
    num_repeated : int
        Rows of the file that say again what another row of the same record says, and were left out.

    Raises
    ------
    UsageError
        A record's name stands on two rows.
    """

    def __init__(
        self,
        rows: pa.Table,
        names: Iterable[tuple[str, int]],
        *,
        labels: Sequence[Label],
        kind: str,
        files: tuple[str, ...] = (),
        sha256: str = "",
        num_repeated: int = 0,
    ) -> None:
        self.rows = rows
        self.labels = tuple(labels)
        self.kind = kind
        self.files = files
        self.sha256 = sha256
        self.num_repeated = num_repeated
        self._row_of: dict[str, int] = {}
        self._row_of_end: dict[str, int] | None = None
        doubled = {row for name, row in names if self._row_of.setdefault(name, row) != row}
        if doubled:
            raise UsageError(
                f"table {', '.join(files)}: a record is named again, with other values, {at_rows(doubled)}; "
                "keep one row for each record"
            )

    @classmethod
    def empty(cls) -> MetadataTable:
        """Give the table that knows nothing."""
        return cls(metadata_schema(()).empty_table(), (), labels=(), kind="none")

    def lookup(self, source_key: str) -> Metadata | None:
        """Give what the table says of one source, None when it has no row for it."""
        row = self.positions([source_key])[0]
        return None if row < 0 else metadata_of(self.rows.slice(row, 1).to_pylist()[0])

    def positions(self, source_keys: Sequence[str]) -> npt.NDArray[np.int64]:
        """Find the row of each source, -1 where there is none.

        Raises
        ------
        UsageError
            One record name of the table is the end of more than one key, so that nobody can tell whose it is; or a row
            that is nobody else's names, by another spelling or a shorter path, a record that has a row.
        """
        found = [self._match_either(key) for key in source_keys]
        taken: dict[str, int] = {}
        for name, _ in found:
            if name is not None:
                taken[name] = taken.get(name, 0) + 1
        doubled = {self._row_of.get(name, row) for name, row in found if name is not None and taken[name] > 1}
        if doubled:
            raise UsageError(
                f"table {', '.join(self.files)}: a record's name fits more than one source, {at_rows(doubled)}; "
                "write more of the path in the table, or ingest the folders one by one"
            )
        used = {row for _, row in found}
        pairs = zip(source_keys, found, strict=True)
        contested = {row for key, (name, mine) in pairs if name is not None for row in self._rivals(key, mine)} - used
        if contested:
            raise UsageError(
                f"table {', '.join(self.files)}: a record that has a row is named again, by another spelling or a "
                f"shorter path, {at_rows(contested)}; keep one row for each record"
            )
        return np.array([row for _, row in found], dtype=np.int64)

    def _rivals(self, key: str, mine: int) -> Iterator[int]:
        """Give the other rows that could mean a source, by any end of its key, with or without a file's suffix."""
        path = PurePosixPath(key)
        bare = path.with_suffix("").as_posix() if path.suffix.casefold() in _SUFFIXES else key
        forms = {key, bare, *(f"{bare}{suffix}" for suffix in _OF_RECORDS)}
        for form in forms:
            end = form
            while end:
                row = self._row_of.get(end, mine)
                if row != mine:
                    yield row
                end = end.partition("/")[2]

    def take(self, positions: npt.NDArray[np.int64]) -> pa.Table:
        """Give rows in the order of `positions`, all null where it is -1."""
        return self.rows.take(pa.array(positions, mask=positions < 0))

    def _match_either(self, key: str) -> tuple[str | None, int]:
        """Match a key, or the key without the suffix of its file."""
        name, row = self._match(key)
        path = PurePosixPath(key)
        if row >= 0 or path.suffix.casefold() not in _SUFFIXES:
            return name, row
        return self._match(path.with_suffix("").as_posix())

    def _match(self, key: str) -> tuple[str | None, int]:
        end = key
        while True:  # the longest name that ends the key wins
            if end in self._row_of:
                return end, self._row_of[end]
            _, slash, end = end.partition("/")
            if not slash:
                break
        row = self._ends().get(key, -1) if "/" in key else -1
        return (key, row) if row >= 0 else (None, -1)

    def _ends(self) -> dict[str, int]:
        """Map each proper end of each name to its row, -1 where two rows share the end."""
        if self._row_of_end is None:
            ends: dict[str, int] = {}
            for name, row in self._row_of.items():
                end = name
                while "/" in (end := end.partition("/")[2]):
                    if ends.setdefault(end, row) != row:
                        ends[end] = -1
            self._row_of_end = ends
        return self._row_of_end


def at_rows(rows: Collection[int]) -> str:
    """Say where rows of the file stand, which names nobody; 1 is the first below the header."""
    if len(rows) == 1:
        return f"in row {next(iter(rows)) + 1} below the header"
    first = ", ".join(str(row + 1) for row in sorted(rows)[:_NUM_SHOWN])
    return f"in {len(rows)} rows ({first}{', …' if len(rows) > _NUM_SHOWN else ''}) below the header"


def metadata_of(row: dict[str, Any]) -> Metadata:
    """Turn one row of a `MetadataTable` into a value."""
    return Metadata(
        patient_id=row["patient_id"],
        age_years=row["age_years"],
        sex=row["sex"],
        site=row["site"],
        fold=row["fold"],
        acquired=row["acquired"],
        labels={name.removeprefix(LABEL_PREFIX): row[name] for name in row if name.startswith(LABEL_PREFIX)},
    )
