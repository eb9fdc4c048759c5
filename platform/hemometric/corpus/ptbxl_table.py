"""PTB-XL's own tables as they are: ``ptbxl_database.csv`` with ``scp_statements.csv`` beside it.

Wagner et al., PTB-XL, a large publicly available electrocardiography dataset, Scientific Data 7:154 (2020).
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import pyarrow as pa
import pyarrow.compute as pc

from hemometric.config import PLACEMENT, Config
from hemometric.corpus.files import sha256_of
from hemometric.corpus.labels import Label
from hemometric.corpus.metadata import NULLED, MetadataTable, metadata_schema
from hemometric.corpus.table_files import read_columns
from hemometric.errors import UsageError

DATABASE = "ptbxl_database.csv"
STATEMENTS = "scp_statements.csv"
SUPERCLASSES = Label(name="superclasses", kind="codes")
_MAX_LITERAL = 10_000


class PtbxlTable(Config):
    """PTB-XL's table: patient, age (300 means over 89), sex, site, fold, and the diagnostic superclasses as codes.

    Attributes
    ----------
    path : Path or None
        The file ``ptbxl_database.csv``; None looks for it in the source folders and up to three folders above.
    """

    kind: Literal["ptbxl"] = "ptbxl"
    path: Annotated[Path | None, PLACEMENT] = None

    def build(self, roots: Sequence[Path]) -> MetadataTable:
        """Read the table; see `read_ptbxl`."""
        path = self.path or discover_table(roots)
        if path is None:
            raise UsageError(f"no {DATABASE} lies in the source folders or above them; give its path as table.path")
        return read_ptbxl(path)


def discover_table(roots: Sequence[Path]) -> Path | None:
    """Find PTB-XL's table in a source folder or up to three folders above it; None where there is none."""
    for root in roots:
        folder = root.resolve()
        for place in (folder, *folder.parents)[:4]:
            if (place / DATABASE).is_file():
                return place / DATABASE
    return None


def read_ptbxl(path: Path) -> MetadataTable:
    """Read PTB-XL's table and the statements beside it.

    Raises
    ------
    UsageError
        One of the two files is missing or damaged, or lacks a column.
    """
    names = ("patient_id", "age", "sex", "site", "strat_fold", "scp_codes", "filename_lr", "filename_hr")
    table = read_columns(path, names)
    class_of = _diagnostic_classes(path.with_name(STATEMENTS))
    age, refused_age = table.numbers("age", 0, 300)
    unlikely = pc.fill_null(pc.and_(pc.greater(age, 130.0), pc.less(age, 300.0)), False)
    age, refused_age = pc.if_else(unlikely, None, age), pc.or_(refused_age, unlikely)
    sex = table.text("sex")
    sex = pc.if_else(pc.equal(sex, "0"), "male", pc.if_else(pc.equal(sex, "1"), "female", None))
    fold, refused_fold = table.whole("strat_fold")
    codes = table.text("scp_codes")
    superclasses = [_superclasses(text, class_of) for text in codes.to_pylist()]
    stated = pc.is_valid(codes).to_pylist()
    nulled = [
        [
            name
            for name, is_refused in (("age_years", a), ("fold", f), (SUPERCLASSES.column, s and codes is None))
            if is_refused
        ]
        for a, f, s, codes in zip(refused_age.to_pylist(), refused_fold.to_pylist(), stated, superclasses, strict=True)
    ]
    rows = pa.table(
        {
            "patient_id": table.text("patient_id"),
            "age_years": pc.if_else(pc.greater(age, 89.0), 90.0, age),
            "sex": sex,
            "site": table.text("site"),
            "fold": fold,
            SUPERCLASSES.column: pa.array(superclasses, pa.list_(pa.string())),
            NULLED: pa.array(nulled, pa.list_(pa.string())),
        },
        schema=metadata_schema([SUPERCLASSES]),
    )
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
        labels=[SUPERCLASSES],
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


def _superclasses(text: str | None, class_of: dict[str, str]) -> list[str] | None:
    """Read ``{'NORM': 100.0, …}``, a Python literal, into the sorted superclasses of its statements.

    As in PTB-XL's own benchmark every named statement counts, whatever its likelihood; 0 means "not stated".
    """
    if text is None or len(text) > _MAX_LITERAL:
        return None
    try:
        codes = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
    if not isinstance(codes, dict):
        return None
    return sorted({class_of[code] for code in codes if isinstance(code, str) and code in class_of})
