"""What of a folder is a corpus's: marked before anything is written, and only exact names in exact folders are removed.

A folder that holds names of ours and no mark is somebody else's: neither read as work of ours, nor written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from hemometric.corpus.files import became, sync_folder
from hemometric.corpus.ledger import STAMPS
from hemometric.corpus.manifest import LINKS, MANIFEST, QUARANTINE, SUCCESS
from hemometric.corpus.regrouping import FOLDER, SCRATCH
from hemometric.corpus.settings import SETTINGS
from hemometric.corpus.shards import SHARDS
from hemometric.corpus.source_table import POINTER, table_name
from hemometric.corpus.split import SPLITS
from hemometric.corpus.units import STAGING
from hemometric.errors import UsageError
from hemometric.vendors.folders import CORPUS

LOCK = ".lock"
MARK = CORPUS
"""An empty file that an ingest makes before all else but its lock; corpora made before there was one have a seal."""

_TABLE = rf"(?:{QUARANTINE}|{LINKS})(?:-[0-9]{{5}})?\.parquet"
_VISIBLE = re.compile(rf"{MANIFEST}|{SUCCESS}|{_TABLE}|{SHARDS}|{STAGING}")
_HIDDEN = {STAMPS, POINTER, SETTINGS}
_FILES = {MANIFEST, SUCCESS, MARK, *_HIDDEN}
_SEAL = re.compile(r"[0-9a-f]{64}(?:\s[0-9a-f]{64})?\s*")
_NOTE = rf"(?:{'|'.join(SPLITS)})-part-[0-9]+\.json"
_STAGED = {
    STAGING: re.compile(rf"(?:unit|measurements)-[0-9a-f]{{24}}\.(?:arrow|json)|{_NOTE}"),
    f"{STAGING}/{FOLDER}": SCRATCH,
}
_KEPT = {
    "": re.compile(_TABLE),
    **{f"{SHARDS}/{split}": re.compile(r"part-[0-9]+\.parquet") for split in SPLITS},
}
_WRITTEN = {**_STAGED, **_KEPT, "": re.compile("|".join([_TABLE, *map(re.escape, sorted(_FILES))]))}


def is_ours(folder: Path) -> bool:
    """Whether an ingest has marked a folder, or one was finished or begun there before folders were marked."""
    try:
        if (folder / MARK).is_file() or table_name(folder) is not None:
            return True
        marker = folder / SUCCESS
        return (folder / MANIFEST).is_file() and _SEAL.fullmatch(marker.read_text(encoding="ascii")) is not None
    except (OSError, UnicodeDecodeError):
        return False


def corpus_around(folder: Path) -> Path | None:
    """Find the corpus that a folder lies in: the folder itself or one around it; None where there is none."""
    place = folder.resolve()
    return next((one for one in (place, *place.parents) if is_ours(one)), None)


def refuse_foreign(out: Path) -> None:
    """Refuse a folder that holds what no ingest has written, or lies in another corpus; changes nothing.

    Hidden files of others may lie there.

    Raises
    ------
    UsageError
        The folder is not one for a corpus, or cannot be listed.
    """
    try:
        names = sorted(path.name for path in out.iterdir()) if out.is_dir() else []
        is_lock_ours = LOCK in names and (out / LOCK).is_file() and not (out / LOCK).stat().st_size
    except OSError as error:
        raise UsageError(
            f"folder {out} cannot be listed: {error.strerror}; allow it, or choose another --out"
        ) from None
    folder = next((out / name for name in names if name in _FILES and (out / name).is_dir()), None)
    if folder is not None:
        raise UsageError(f"{folder} is a folder, and an ingest has a file of that name; move it away")
    others = [name for name in names if not name.startswith(".") and not _VISIBLE.fullmatch(name)]
    if others:
        raise UsageError(f"folder {out} holds other things ({others[0]}); choose another --out")
    if is_ours(out):
        return
    ours = _HIDDEN if is_lock_ours else {*_HIDDEN, LOCK}
    taken = [name for name in names if not name.startswith(".") or name in ours]
    if taken:
        raise UsageError(f"folder {out} holds {taken[0]}, and no mark that an ingest wrote it; choose another --out")
    around = corpus_around(out)
    if around is not None:
        raise UsageError(f"folder {out} lies within the corpus {around}; choose another --out")


def mark(out: Path) -> None:
    """Mark a folder as a corpus's; call it under its lock, before anything is written there.

    Raises
    ------
    UsageError
        See `refuse_foreign`.
    """
    if not (out / MARK).is_file():
        if not is_ours(out):
            refuse_foreign(out)
        (out / MARK).touch()
        sync_folder(out)


def staged_files(out: Path) -> list[Path]:
    """Find staged work of an ingest, and what a compaction or a merge has spread, halves too."""
    return list(_found(out, _STAGED))


def kept_files(out: Path) -> list[Path]:
    """Find shards and tables, whether or not a manifest names them, halves too."""
    return list(_found(out, _KEPT))


def remove_halves(out: Path) -> None:
    """Remove what killed writers have left half-written."""
    for path in list(_found(out, _WRITTEN)):
        if became(path.name) != path.name:
            path.unlink(missing_ok=True)


def _found(out: Path, names: dict[str, re.Pattern[str]]) -> Iterator[Path]:
    for place, pattern in names.items():
        folder = out / place
        for path in folder.iterdir() if folder.is_dir() else ():
            if pattern.fullmatch(became(path.name)) and path.is_file():
                yield path
