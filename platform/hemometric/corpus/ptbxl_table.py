"""PTB-XL's own tables as they are: ``ptbxl_database.csv`` with ``scp_statements.csv`` beside it.

Wagner et al., PTB-XL, a large publicly available electrocardiography dataset, Scientific Data 7:154 (2020).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from hemometric.config import PLACEMENT, Config
from hemometric.corpus.clocks import ISO
from hemometric.corpus.coded_cells import Likelihoods, read_literal
from hemometric.corpus.files import sha256_of
from hemometric.corpus.labels import Label, likelihoods_of
from hemometric.corpus.metadata import NULLED, MetadataTable, metadata_schema
from hemometric.corpus.metadata_columns import MetadataColumns, as_columns, kept_within
from hemometric.corpus.table_files import read_columns
from hemometric.errors import UsageError
from hemometric.vendors import Root, Source

DATABASE = "ptbxl_database.csv"
STATEMENTS = "scp_statements.csv"
SUPERCLASSES = Label(name="superclasses", kind="codes")
STATED = Label(name="scp_codes", kind="codes")
STATED_LIKELIHOODS = likelihoods_of(STATED, unit="%")


class PtbxlTable(Config):
    """PTB-XL's table: patient, age (300 means over 89), sex, site, fold, and the diagnostic superclasses as codes.

    Attributes
    ----------
    path : Path or None
        The file ``ptbxl_database.csv``; None looks for it in the source folders and up to three folders above.
    min_likelihood : float
        In percent. 0, as in PTB-XL's own benchmark, counts every statement; from above 0 on, those below it and those
        of unknown likelihood (0) make no superclass.
    statements : bool
        Also keep all SCP statements as codes (``scp_codes``) with their likelihoods in percent
        (``scp_codes_likelihoods``), where 0 means that it is not known.
    """

    kind: Literal["ptbxl"] = "ptbxl"
    path: Annotated[Path | None, PLACEMENT] = None
    min_likelihood: float = Field(0.0, ge=0, le=100)
    statements: bool = False

    def build(
        self,
        roots: Sequence[Root],
        sources: Sequence[Source] = (),  # noqa: ARG002 - one shape for all kinds
    ) -> MetadataTable:
        """Read the table; see `read_ptbxl`."""
        path = self.path or discover_table(roots)
        if path is None:
            raise UsageError(f"no {DATABASE} lies in the source folders or above them; give its path as table.path")
        return read_ptbxl(path, min_likelihood=self.min_likelihood, statements=self.statements)


def discover_table(roots: Sequence[Root]) -> Path | None:
    """Find PTB-XL's table in a source folder or up to three folders above it; None where there is none."""
    for root in (root for root in roots if isinstance(root, Path)):
        folder = root.resolve()
        for place in (folder, *folder.parents)[:4]:
            if (place / DATABASE).is_file():
                return place / DATABASE
    return None


def read_ptbxl(path: Path, *, min_likelihood: float = 0, statements: bool = False) -> MetadataTable:
    """Read PTB-XL's table and the statements beside it; the arguments are those of `PtbxlTable`.

    Raises
    ------
    UsageError
        One of the two files is missing or damaged, or lacks a column.
    """
    names = ("patient_id", "age", "sex", "site", "strat_fold", "scp_codes", "filename_lr", "filename_hr")
    table = read_columns(path, [*names, "recording_date"])
    class_of = _diagnostic_classes(path.with_name(STATEMENTS))
    age, unread = table.numbers("age")
    age, beyond = kept_within(age, 0, 300)
    unlikely = pc.fill_null(pc.and_(pc.greater(age, 130.0), pc.less(age, 300.0)), False)
    sex = table.text("sex")
    text = table.text("scp_codes")
    codes = [None if cell is None else read_literal(cell) for cell in text.to_pylist()]
    reading = MetadataColumns(table)
    reading.refuse("age_years", pc.or_(beyond, unlikely), unread)
    columns = {
        "patient_id": table.text("patient_id"),
        "age_years": pc.if_else(unlikely, None, pc.if_else(pc.greater(age, 89.0), 90.0, age)),
        "sex": pc.if_else(pc.equal(sex, "0"), "male", pc.if_else(pc.equal(sex, "1"), "female", None)),
        "site": table.text("site"),
        "fold": reading.fold("strat_fold"),
        "acquired": reading.acquired("recording_date", ISO, None),
        SUPERCLASSES.column: pa.array(
            [_superclasses(c, class_of, min_likelihood) for c in codes], pa.list_(pa.string())
        ),
    }
    labels = [SUPERCLASSES]
    if statements:
        labels += [STATED, STATED_LIKELIHOODS]
        columns |= dict(zip((STATED.column, STATED_LIKELIHOODS.column), as_columns(codes), strict=True))
    unread = pc.and_(pc.is_valid(text), pa.array([c is None for c in codes], pa.bool_()))
    reading.refuse(SUPERCLASSES.column, pa.array([False] * len(text)), unread)
    columns[NULLED] = reading.nulled()
    rows = pa.table(columns, schema=metadata_schema(labels))
    records = [
        (name, row)
        for column in ("filename_lr", "filename_hr")
        for row, name in enumerate(table.text(column).to_pylist())
        if name is not None
    ]
    hashes = sha256_of(path) + sha256_of(path.with_name(STATEMENTS))
    return MetadataTable(
        rows,
        records,
        labels=labels,
        kind="ptbxl",
        files=(DATABASE, STATEMENTS),
        sha256=hashlib.sha256(hashes.encode()).hexdigest(),
    )


def _diagnostic_classes(path: Path) -> dict[str, str]:
    """Map a statement to its superclass, for the statements that are diagnostic."""
    if not path.is_file():
        raise UsageError(f"{STATEMENTS} must lie beside {DATABASE}; {path} does not exist")
    statements = read_columns(path, ["", "diagnostic", "diagnostic_class"])
    rows = zip(
        statements.text("").to_pylist(),
        statements.numbers("diagnostic")[0].to_pylist(),
        statements.text("diagnostic_class").to_pylist(),
        strict=True,
    )
    return {name: found for name, diagnostic, found in rows if diagnostic == 1 and found is not None}


def _superclasses(codes: Likelihoods | None, class_of: dict[str, str], min_likelihood: float) -> list[str] | None:
    """Give the sorted superclasses of a recording's statements.

    As in PTB-XL's own benchmark every named statement counts, whatever its likelihood; 0 means "not stated".
    """
    if codes is None:
        return None
    stated = (code for code, likelihood in codes.items() if (likelihood or 0) >= min_likelihood)
    return sorted({class_of[code] for code in stated if code in class_of})
