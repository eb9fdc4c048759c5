"""What can be told of a corpus without knowing its patients: that it holds the columns of its kind, and nothing else.

Names of recordings and patients look like keyed hashes or random codes; codes are of the lists that this package
knows; ages are capped; no time is so late that it cannot have been shifted. What is free text by its nature is counted
and named, for a person to look at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hemometric.corpus import SPLITS, Corpus, open_corpus
from hemometric.corpus.ledger import STAMPS
from hemometric.corpus.manifest import MANIFEST, SUCCESS, FileEntry
from hemometric.corpus.own_files import LOCK, MARK
from hemometric.corpus.reader import open_parquet
from hemometric.corpus.schema import LINKS_SCHEMA, QUARANTINE_SCHEMA, SIGNAL
from hemometric.corpus.settings import SETTINGS
from hemometric.corpus.source_table import POINTER
from hemometric.ecg import LEADS
from hemometric.errors import IntegrityError, PrivacyError
from hemometric.runs.folder import IDENTITY
from hemometric.runs.privacy.scan import NUM_SHOWN
from hemometric.runs.words import counted
from hemometric.vendors import VENDORS

MAX_AGE_YEARS = 90.0
MIN_SHIFT = timedelta(days=365)
_METADATA = {b"hemometric.schema_version", b"ARROW:schema"}
_HASH = "^[0-9a-f]{32}([0-9a-f]{32})?$"
_CODE = "^[a-z][a-z0-9_]{0,47}$"
_FLAG = f"^[a-z][a-z0-9_]{{0,47}}(:({'|'.join(LEADS)}))?$"
_UNTOLD = (
    "whether signals or numbers hide an identity. Not told at all: whether times that lie long ago were shifted, and "
    "whether somebody is known by the ECG itself"
)
_OURS = {MANIFEST, SUCCESS, LOCK, MARK, IDENTITY, STAMPS, POINTER, SETTINGS}

Test = Callable[[pa.Array], Any]
"""``test(values)``: whether each value is as it must be."""


def _is_like(pattern: str) -> Test:
    return lambda values: pc.match_substring_regex(values, pattern)


def _is_one_of(allowed: tuple[str, ...]) -> Test:
    return lambda values: pc.is_in(values, pa.array(allowed))


_RULES: dict[str, tuple[str, Test]] = {
    **dict.fromkeys(("recording_id", "patient", "known_as"), ("is no pseudonym", _is_like("^[0-9a-f]{32}$"))),
    **dict.fromkeys(("content", "facts"), ("is no hash", _is_like(_HASH))),
    "flags": ("is no code", _is_like(_FLAG)),
    "reason": ("is no code", _is_like(_CODE)),
    "split": ("is no split", _is_one_of(SPLITS)),
    "leads": ("is no standard lead", _is_one_of(LEADS)),
    "source_format": ("is no format", _is_one_of(tuple(vendor.name for vendor in VENDORS))),
    "sex": ("is no sex", _is_one_of(("female", "male"))),
    "age_years": ("is above the cap of ages", lambda values: pc.less_equal(values, MAX_AGE_YEARS)),
}


def check_corpus(path: Path) -> tuple[list[str], list[str]]:
    """Look at a corpus.

    Returns
    -------
    said, problems : list of str
        What was seen, and what must not be.

    Raises
    ------
    UsageError
        There is no finished corpus.
    IntegrityError
        It is damaged.
    """
    corpus = open_corpus(path)
    problems, texts = _foreign(corpus), dict[str, set[str]]()
    entries: list[tuple[FileEntry, pa.Schema]] = [(shard, corpus.schema) for shard in corpus.manifest.shards]
    entries += [(corpus.manifest.quarantine, QUARANTINE_SCHEMA), (corpus.manifest.links, LINKS_SCHEMA)]
    for entry, schema in entries:
        found = _columns(corpus, entry, schema)
        problems += found
        if not found:
            problems += _values(corpus, entry, schema, texts)
    free = ", ".join(f"{name} ({len(values)} different)" for name, values in sorted(texts.items())) or "none"
    num_files = len(corpus.manifest.table.files)
    said = [
        f"{path}: {len(corpus.schema)} columns, {len(entries)} tables, {corpus.manifest.counts.found} recordings",
        f"free text, for a person to look at: {free}; and names of {counted(num_files, 'table file')} in the manifest",
    ]
    return said, problems


def check_corpora(paths: Sequence[Path], say: Callable[[str], None]) -> None:
    """Look at several, and say what was seen; see `check_corpus`.

    Raises
    ------
    PrivacyError
        Something is there that must not be.
    """
    problems: list[str] = []
    for path in paths:
        said, found = check_corpus(path)
        problems += found
        for line in (*said, *found[:NUM_SHOWN]):
            say(line)
    say(f"not told without --canaries: {_UNTOLD}")
    if problems:
        raise PrivacyError(f"{counted(len(problems), 'finding')} of what must not stand in a corpus; see the list")
    say("nothing stands there that must not")


def _foreign(corpus: Corpus) -> list[str]:
    """Count files that no ingest has written; their names are not said."""
    manifest = corpus.manifest
    listed = {entry.path for entry in (*manifest.shards, manifest.quarantine, manifest.links)} | _OURS
    files = [path for path in corpus.path.rglob("*") if not path.is_dir() or path.is_symlink()]
    num = sum(path.relative_to(corpus.path).as_posix() not in listed for path in files)
    return (
        [f"{corpus.path} holds {counted(num, 'file')} not named in its manifest; look, and remove what does not belong"]
        if num
        else []
    )


def _columns(corpus: Corpus, entry: FileEntry, schema: pa.Schema) -> list[str]:
    path = corpus.path / entry.path
    try:
        with pq.ParquetFile(path) as file:
            found, metadata = file.schema_arrow, file.metadata.metadata or {}
    except (OSError, pa.ArrowException, UnicodeDecodeError):
        raise IntegrityError(f"{path} is missing or damaged; restore it, or make the corpus again") from None
    problems = []
    extra = sorted(set(found.names) - set(schema.names))
    if extra:
        problems.append(f"{path} has {counted(len(extra), 'column')} that no corpus has; make the corpus again")
    for number, field in enumerate(found):
        if field.name in schema.names and field.type != schema.field(field.name).type:
            problems.append(f"{path}: column {number} has another type than a corpus has; make the corpus again")
        if field.metadata and set(field.metadata) - {b"PARQUET:field_id"}:
            problems.append(f"{path}: column {number} carries metadata, which no corpus does; make the corpus again")
    if set(metadata) - _METADATA:
        problems.append(f"{path} carries metadata that no corpus does; make the corpus again")
    return problems


def _values(corpus: Corpus, entry: FileEntry, schema: pa.Schema, texts: dict[str, set[str]]) -> Iterator[str]:
    """Say what of a file's values is not as it must be; texts without a rule are collected."""
    names = [name for name in schema.names if name != SIGNAL]
    wrong: dict[str, int] = {}
    # No shift is shorter than a year: what is later was not shifted, or comes from a clock that was wrong.
    latest = datetime.now(UTC).replace(tzinfo=None) - MIN_SHIFT
    with open_parquet(corpus.path, entry, schema) as file:
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=names)
            for name in names:
                values = table[name].combine_chunks()
                while values.type.num_fields == 1:
                    values = pc.list_flatten(values)
                if name in _RULES:
                    what, test = _RULES[name]
                    wrong[f"{name} {what}"] = wrong.get(f"{name} {what}", 0) + _num_false(test(values.drop_null()))
                elif pa.types.is_timestamp(values.type):
                    what = f"{name} is too late to have been shifted"
                    wrong[what] = wrong.get(what, 0) + _num_false(
                        pc.less_equal(values.drop_null(), pa.scalar(latest, values.type))
                    )
                elif pa.types.is_string(values.type):
                    texts.setdefault(name, set()).update(pc.unique(values.drop_null()).to_pylist())
    yield from (f"{corpus.path / entry.path}: {what} in {counted(num, 'value')}" for what, num in wrong.items() if num)


def _num_false(holds: Any) -> int:
    """Count what does not hold."""
    return int(pc.sum(pc.invert(holds)).as_py() or 0)
