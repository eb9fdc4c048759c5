"""Where each recording came from, for whoever holds the key: a table beside the key file, never in the corpus.

Names of files may name patients, so that whatever is said of a recording says its key. The folder
``<key file>.sources`` (mode 0700) holds one Parquet file (0600) per corpus: rows sorted by key, so that a key is found
in 10^7 of them by reading one row group. An ingest writes it before it reads anything: keys of one that was killed can
be located as well.
"""

from __future__ import annotations

import os
import re
import sqlite3
import stat
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hemometric.corpus.crosswalk import crosswalk_of
from hemometric.corpus.files import replacing, usable, write_bytes
from hemometric.corpus.pseudonyms import Key
from hemometric.errors import IntegrityError, PrivacyError, UsageError
from hemometric.vendors import Root, Source

POINTER = ".sources"
"""In a corpus: the name of its table, which so outlives a move of the corpus; a keyed hash that says nothing else."""

_SCHEMA = pa.schema(
    [
        pa.field("recording_id", pa.string(), nullable=False),
        pa.field("path", pa.binary(), nullable=False),  # as the file system has it, which need not be UTF-8
        pa.field("item", pa.string(), nullable=False),
        pa.field("format", pa.string(), nullable=False),
    ]
)
_GROUP_ROWS = 1 << 16
_NAME = re.compile(r"[0-9a-f]{32}")
_REMEDY = "restore it, or name the key file that made the corpus"
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, order=True)
class Located:
    """Where a recording came from.

    Attributes
    ----------
    recording_id : str
        As the table has it: the keyed name.
    where : str
        A path, also into an archive, or an address; bytes that are not UTF-8 are surrogates, as in `os.fsdecode`.
    """

    recording_id: str
    where: str
    item: str
    format: str


def folder_of(key_file: Path) -> Path:
    """Give the folder of the tables of a key."""
    place = key_file.absolute()
    return place.with_name(f"{place.name}{POINTER}")


def keep_sources(key: Key, out: Path, roots: Sequence[Root], sources: Sequence[Source]) -> Path:
    """Add sources to the table of the corpus `out`, in place of what it says of the same keys.

    Call it under `ingest.ingest_lock`.

    Raises
    ------
    PrivacyError
        The key lies within the corpus or the sources, or others may read the table or its folder.
    UsageError
        The key lies in no file, or the folder cannot be made or written.
    IntegrityError
        The table that is there is damaged.
    PrecheckError
        The disk is full.
    """
    if key.path is None:
        raise UsageError("where recordings came from is kept beside the key file; give a key that lies in one")
    folder = folder_of(key.path)
    _refuse_within(key.path, out, roots)
    with usable(folder, "key", remedy="keep the key file in a folder of your own that can be written"):
        folder.mkdir(mode=0o700, exist_ok=True)
        _refuse_open(folder)
        name = table_name(out)
        if name is None:
            name = key.digest("sources of corpus", os.fsencode(out.resolve()))[:32]
            write_bytes(out / POINTER, f"{name}\n".encode())
        path = folder / f"{name}.parquet"
        _merge(path, pa.array([key.recording_id(source.key) for source in sources], pa.string()), sources)
    return path


def table_name(out: Path) -> str | None:
    """Read which table is a corpus's; None where none was kept."""
    try:
        name = (out / POINTER).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return name if _NAME.fullmatch(name) else None


def locate(key_file: Path, beginning: str, name: str | None = None) -> list[Located]:
    """Find all recordings whose key, or whose random code, begins so.

    Parameters
    ----------
    name : str or None
        Of one corpus's table; None searches those of all corpora of this key.

    Raises
    ------
    UsageError
        There is no table.
    PrivacyError
        Others may read a table or the folder.
    IntegrityError
        A table is damaged.
    """
    wanted = [(beginning, f"{beginning}g"), *((keyed, f"{keyed}g") for keyed in _keyed(key_file, beginning))]
    found: set[Located] = set()
    for path in _tables(key_file, name):
        with usable(path, "key", to="read", remedy=_REMEDY):
            _refuse_open(path)
            found.update(_located(row) for bounds in wanted for row in _open(path, *bounds).to_pylist())
    return sorted(found)


def locate_all(key_file: Path, ids: Sequence[str], name: str | None = None) -> dict[str, list[Located]]:
    """Find many recordings by their whole keys, or random codes; each table is read once.

    Parameters
    ----------
    name : str or None
        As for `locate`.

    Returns
    -------
    dict
        From each of `ids` to what was found.

    Raises
    ------
    UsageError, PrivacyError, IntegrityError
        As for `locate`.
    """
    meant = {one: {one, *_keyed(key_file, one)} for one in ids}
    wanted = pa.array(sorted(set().union(*meant.values())), pa.string())
    found: dict[str, set[Located]] = {}
    for path in _tables(key_file, name):
        with usable(path, "key", to="read", remedy=_REMEDY):
            _refuse_open(path)
            for group in _groups(path, lambda low, high: bool(_between(wanted, low, high))):
                for one in map(_located, group.filter(pc.is_in(group["recording_id"], wanted)).to_pylist()):
                    found.setdefault(one.recording_id, set()).add(one)
    return {one: sorted(set().union(*(found.get(keyed, set()) for keyed in names))) for one, names in meant.items()}


def _tables(key_file: Path, name: str | None) -> list[Path]:
    folder = folder_of(key_file)
    if not folder.is_dir():
        raise UsageError(f"beside key file {key_file} lies no table of sources; `hemometric ingest` writes one")
    _refuse_open(folder)
    return sorted(folder.glob("*.parquet")) if name is None else [folder / f"{name}.parquet"]


def _located(row: dict[str, Any]) -> Located:
    return Located(row["recording_id"], os.fsdecode(row["path"]), row["item"], row["format"])


def _between(ids: pa.Array, low: str, high: str) -> int:
    """Count those of some sorted ids that lie from `low` to `high`."""
    keys = range(len(ids))
    return bisect_right(keys, high, key=lambda row: ids[row].as_py()) - bisect_left(
        keys, low, key=lambda row: ids[row].as_py()
    )


def _keyed(key_file: Path, beginning: str) -> list[str]:
    """Give the keyed names behind random codes that begin so."""
    path = crosswalk_of(Key(b"", key_file)).path
    if not path.exists():
        return []
    _refuse_open(path)
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            rows = database.execute(
                "SELECT keyed FROM codes WHERE code >= ? AND code < ?", (beginning, f"{beginning}g")
            )
            return [keyed for (keyed,) in rows]
    except sqlite3.Error:
        raise IntegrityError(f"crosswalk {path} is damaged or in use; restore it or run again") from None


def _refuse_within(key_file: Path, out: Path, roots: Sequence[Root]) -> None:
    place = key_file.resolve()
    for what, folder in (("corpus", out), *(("sources", root) for root in roots if isinstance(root, Path))):
        if place.is_relative_to(folder.resolve()):
            raise PrivacyError(f"key file {key_file} lies within the {what}; keep it apart from both, as a secret is")


def _refuse_open(path: Path) -> None:
    if path.stat().st_mode & _OTHERS:
        mode = "700" if path.is_dir() else "600"
        raise PrivacyError(
            f"{path} says where patients' files lie and others may use it; run `chmod {mode} {path}` first"
        )


def _merge(path: Path, ids: pa.Array, sources: Sequence[Source]) -> None:
    """Write old and new rows, those of a few leading hex digits at a time."""
    order = pc.sort_indices(ids)
    ids = ids.take(order)
    is_there = path.exists()
    if is_there:
        _refuse_open(path)
    num_rows = len(ids) + (_num_rows(path) if is_there else 0)
    num_digits = next(digits for digits in range(32) if num_rows <= _GROUP_ROWS * 16**digits)
    with replacing(path) as temporary:
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        with pq.ParquetWriter(temporary, _SCHEMA, compression="zstd", write_page_checksum=True) as writer:
            start = 0
            for digits in product("0123456789abcdef", repeat=num_digits):
                low, high = "".join(digits), "".join(digits) + "g"
                stop = bisect_left(range(len(ids)), high, lo=start, key=lambda row: ids[row].as_py())
                rows = _rows(ids[start:stop], (sources[row] for row in order[start:stop].to_pylist()))
                if is_there:
                    before = _open(path, low, high)
                    rows = pa.concat_tables(
                        [rows, before.filter(pc.invert(pc.is_in(before["recording_id"], rows["recording_id"])))]
                    )
                if len(rows):
                    writer.write_table(rows.sort_by("recording_id"), row_group_size=len(rows))
                start = stop


def _rows(ids: pa.Array, sources: Iterator[Source]) -> pa.Table:
    chosen = list(sources)
    return pa.table(
        [
            ids,
            pa.array([os.fsencode(source.where) for source in chosen], pa.binary()),
            pa.array([source.item.encode("utf-8", "backslashreplace").decode() for source in chosen], pa.string()),
            pa.array([source.format for source in chosen], pa.string()),
        ],
        schema=_SCHEMA,
    )


def _num_rows(path: Path) -> int:
    try:
        return int(pq.read_metadata(path).num_rows)
    except pa.ArrowException:
        raise _damaged(path) from None


def _open(path: Path, low: str, high: str) -> pa.Table:
    """Read the rows from `low` up to but without `high`, from the row groups that may hold any."""
    groups = _groups(path, lambda first, last: first < high and last >= low)
    table = pa.concat_tables([_SCHEMA.empty_table(), *groups])
    ids = table["recording_id"]
    return table.filter(pc.and_(pc.greater_equal(ids, low), pc.less(ids, high)))


def _groups(path: Path, may_hold: Callable[[str, str], bool]) -> Iterator[pa.Table]:
    """Read row groups one by one, those whose first and last key `may_hold` a row that is wanted."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            if not file.schema_arrow.equals(_SCHEMA):
                raise _damaged(path)
            for index in range(file.num_row_groups):
                statistics = file.metadata.row_group(index).column(0).statistics
                if statistics is None or may_hold(statistics.min, statistics.max):
                    yield file.read_row_group(index)
    except pa.ArrowException:
        raise _damaged(path) from None
    except OSError as error:
        if error.errno is not None:
            raise
        raise _damaged(path) from None


def _damaged(path: Path) -> IntegrityError:
    return IntegrityError(f"table of sources {path} is damaged; restore it, or remove it: ingests fill it again")
