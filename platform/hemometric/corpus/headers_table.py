"""Labels that stand in the files' own headers, as the ``# Dx: …`` of the PhysioNet challenges."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pyarrow as pa
from pydantic import Field, model_validator

from hemometric.config import Config
from hemometric.corpus.labels import LabelSpec, check_distinct, made_labels
from hemometric.corpus.metadata import NULLED, MetadataTable, metadata_schema
from hemometric.corpus.metadata_columns import MetadataColumns
from hemometric.corpus.typed_columns import TypedColumns
from hemometric.errors import UsageError
from hemometric.vendors import ReadError, Root, Source, find
from hemometric.vendors.places import local
from hemometric.vendors.source import Piece, read_bounded
from hemometric.vendors.wfdb_header import MAX_HEADER_BYTES, parse_header

_UNKNOWN = "unknown"
_BATCH = 256


class HeadersTable(Config):
    """No table: labels come from the comments of WFDB headers, patient, age and sex from the files as ever.

    Each header is read once more, before the signals are: half a minute for a hundred thousand.

    Attributes
    ----------
    labels : dict
        As in `ColumnsTable`, where a column is what stands before the colon: ``Dx``, ``Chagas label``. Only letters
        count, case is ignored, and ``Unknown`` is absent.
    """

    kind: Literal["headers"] = "headers"
    labels: dict[str, LabelSpec] = Field(min_length=1)

    @model_validator(mode="after")
    def _sensible(self) -> HeadersTable:
        check_distinct(made_labels(self.labels))
        return self

    def build(self, roots: Sequence[Root], sources: Sequence[Source] = ()) -> MetadataTable:
        """Read the headers of `sources` or, without any, of those found below `roots`; see `read_headers`."""
        return read_headers(sources or list(find(roots)), self.labels)


def read_headers(sources: Sequence[Source], labels: Mapping[str, LabelSpec]) -> MetadataTable:
    """Read labels from the headers of all WFDB records.

    Raises
    ------
    UsageError
        No header has any of the fields.
    """
    wanted = list(dict.fromkeys(column for spec in labels.values() for column in spec.read_from()))
    keys: list[str] = []
    found: dict[str, list[str | None]] = {column: [] for column in wanted}
    digest = hashlib.sha256()
    for source, comments in _all_comments([source for source in sources if source.format == "wfdb"]):
        row = [comments.get(_letters(column)) for column in wanted]
        digest.update(json.dumps([source.key, row]).encode())
        keys.append(source.key)
        for column, text in zip(wanted, row, strict=True):
            found[column].append(text)
    for column, texts in found.items():
        if not any(texts):
            raise UsageError(f"table: none of {len(keys)} WFDB headers has a comment '# {column}: …'; see its labels")
    table = TypedColumns(
        pa.table({name: pa.array(texts, pa.string()) for name, texts in found.items()}), Path("headers")
    )
    reading = MetadataColumns(table)
    columns: dict[str, pa.Array] = {}
    for name, spec in labels.items():
        columns |= reading.label(name, spec)
    columns[NULLED] = reading.nulled()
    made = made_labels(labels)
    schema = metadata_schema(made)
    return MetadataTable(
        pa.table(
            {field.name: columns.get(field.name, pa.nulls(len(keys), field.type)) for field in schema}, schema=schema
        ),
        [(key, row) for row, key in enumerate(keys)],
        labels=made,
        kind="headers",
        sha256=digest.hexdigest(),
    )


def _all_comments(sources: Sequence[Source]) -> Iterator[tuple[Source, dict[str, str]]]:
    for start in range(0, len(sources), _BATCH):
        batch = sources[start : start + _BATCH]
        # Of a record in an archive or a store, the header alone is fetched.
        headers = [replace(source, files=source.files and (_header_of(source),)) for source in batch]
        with local(headers) as here:
            yield from ((source, _comments(one)) for source, one in zip(batch, here, strict=True))


def _header_of(source: Source) -> Piece:
    return next(piece for piece in source.files if piece.name == str(source.path))


def _comments(source: Source) -> dict[str, str]:
    """Give a header's comments, the first of a kind; none where it cannot be read, which the ingest will count."""
    try:
        header = parse_header(read_bounded(source.path, MAX_HEADER_BYTES + 1))
    except (OSError, ReadError):
        return {}
    return {name: text for name, text in reversed(header.comments) if text.casefold() != _UNKNOWN}


def _letters(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalpha())
