"""The kinds of table that an ingest can join."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from hemometric.config import Config
from hemometric.corpus.columns_table import ColumnsTable
from hemometric.corpus.headers_table import HeadersTable
from hemometric.corpus.metadata import MetadataTable
from hemometric.corpus.ptbxl_table import PtbxlTable, discover_table, read_ptbxl
from hemometric.vendors import Root, Source


class NoTable(Config):
    """No table: patient, age and sex come from the files themselves, or are absent."""

    kind: Literal["none"] = "none"

    def build(
        self,
        roots: Sequence[Root],  # noqa: ARG002 - one shape for all kinds
        sources: Sequence[Source] = (),  # noqa: ARG002
    ) -> MetadataTable:
        """Give the empty table."""
        return MetadataTable.empty()


class AutoTable(Config):
    """PTB-XL's table where one lies with the sources; otherwise none."""

    kind: Literal["auto"] = "auto"

    def build(
        self,
        roots: Sequence[Root],
        sources: Sequence[Source] = (),  # noqa: ARG002 - one shape for all kinds
    ) -> MetadataTable:
        """Read the table that is there."""
        path = discover_table(roots)
        return MetadataTable.empty() if path is None else read_ptbxl(path)


TableConfig = Annotated[AutoTable | PtbxlTable | ColumnsTable | HeadersTable | NoTable, Field(discriminator="kind")]
