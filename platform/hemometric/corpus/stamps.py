"""Whether sources are those that a corpus was made from: by the times of their files or, where these differ, by bytes.

Fixed-length ECGs keep their size when they change, so names and sizes prove nothing. What is kept lies beside the
manifest, which must stay free of clocks, and is keyed like everything that follows from a record's name or content.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from hemometric.config import Config
from hemometric.corpus.files import write_bytes
from hemometric.corpus.pseudonyms import Key
from hemometric.errors import UsageError
from hemometric.vendors import Source

STAMPS = ".stamps"
_CHUNK = 1 << 20


class Stamp(NamedTuple):
    """The files of one source: those of its folder that share its stem.

    Attributes
    ----------
    num_bytes, changed_ns : int
        Of all of them together, and of the latest change.
    suffixes : tuple of str
        What follows the stem in their names, sorted.
    """

    num_bytes: int = 0
    changed_ns: int = 0
    suffixes: tuple[str, ...] = ()


class Stamps(Config):
    """What is kept beside a corpus.

    Attributes
    ----------
    times : str
        Keyed hash of the sources' names, sizes and times of change.
    content : str
        Keyed hash of the sources' names and bytes, as they were when the corpus was made.
    """

    times: str
    content: str


def stamp_all(sources: Sequence[Source]) -> list[Stamp]:
    """Look at the files of each source; every folder is listed once.

    Raises
    ------
    UsageError
        A folder of a source may not be listed.
    """
    folders: dict[Path, dict[str, Stamp]] = {}
    stamps = []
    for source in sources:
        folder = source.path.parent
        if folder not in folders:
            folders[folder] = _stamp_folder(folder)
        stamps.append(folders[folder].get(_stem(source.path.name), Stamp()))
    return stamps


def _stamp_folder(folder: Path) -> dict[str, Stamp]:
    stems: dict[str, Stamp] = {}
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                status = _status_of(entry)
                if status is None:
                    continue
                stem = _stem(entry.name)
                known = stems.get(stem, Stamp())
                suffix = sys.intern(entry.name[len(stem) :])
                stems[stem] = Stamp(
                    known.num_bytes + status.st_size,
                    max(known.changed_ns, status.st_mtime_ns),
                    tuple(sorted((*known.suffixes, suffix))),
                )
    except OSError as error:
        # Its name is left out: a folder inside of a source may be named after a patient.
        raise UsageError(f"a folder of the sources cannot be listed: {error.strerror}; allow reading it") from None
    return stems


def _status_of(entry: os.DirEntry[str]) -> os.stat_result | None:
    """Look at a file; at the link itself where it leads nowhere that can be looked at, None for anything else."""
    try:
        return entry.stat() if entry.is_file() else None
    except OSError:
        pass
    # Such as a link to itself: reading it refuses this one record, and a link put right is a change.
    try:
        return entry.stat(follow_symlinks=False)
    except OSError:
        return None


def _stem(name: str) -> str:
    return name.partition(".")[0]


def times_of(sources: Sequence[Source], stamps: Sequence[Stamp], key: Key) -> str:
    """Hash names, sizes and times."""
    digest = hashlib.sha256()
    for source, stamp in zip(sources, stamps, strict=True):
        digest.update(json.dumps([source.key, source.format, *stamp]).encode())
    return key.digest("times", digest.digest())


def content_of(source: Source, suffixes: Sequence[str], key: Key) -> str:
    """Hash the bytes of one source's files; one that cannot be read counts as such."""
    digest = hashlib.sha256(source.key.encode())
    stem = _stem(source.path.name)
    for suffix in suffixes:
        content = hashlib.sha256()
        try:
            with source.path.with_name(stem + suffix).open("rb") as file:
                while chunk := file.read(_CHUNK):
                    content.update(chunk)
        except OSError:
            content = hashlib.sha256(b"cannot be read")
        digest.update(suffix.encode("utf-8", "surrogateescape") + b"\0" + content.digest())
    return key.digest("content", digest.digest())


def join_contents(contents: Iterable[str], key: Key) -> str:
    """Hash the hashes of all sources, in their order."""
    return key.digest("contents", "\n".join(contents).encode())


def is_unchanged(out: Path, sources: Sequence[Source], stamps: Sequence[Stamp], key: Key) -> bool:
    """Whether these sources hold the bytes that the corpus in `out` was made from.

    They are read only where a name, a size or a time differs; then the new times are kept, so that a moved or touched
    archive is read once. Without the file of stamps there is no proof: the answer is no.
    """
    try:
        known = Stamps.model_validate_json((out / STAMPS).read_bytes())
    except (OSError, ValidationError):
        return False
    times = times_of(sources, stamps, key)
    if times == known.times:
        return True
    pairs = zip(sources, stamps, strict=True)
    if join_contents((content_of(source, stamp.suffixes, key) for source, stamp in pairs), key) != known.content:
        return False
    write_stamps(out, known.model_copy(update={"times": times}))
    return True


def write_stamps(out: Path, stamps: Stamps) -> None:
    """Keep the stamps beside the corpus."""
    write_bytes(out / STAMPS, stamps.model_dump_json().encode() + b"\n")
