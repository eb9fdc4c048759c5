"""Whether sources are those that were read: by the times of their files or, where these differ, by their bytes.

Fixed-length ECGs keep their size when they change, so names and sizes prove nothing. Times are kept beside the
manifest, which must stay free of clocks; the hash of the bytes is in the corpus, keyed like all that follows from it.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hemometric.corpus.pseudonyms import Key
from hemometric.errors import UsageError
from hemometric.vendors import Source, Vendor, vendor_of
from hemometric.vendors.places import local
from hemometric.vendors.source import open_ordinary, stem_of

CONTENT_DIGITS = 32
_CHUNK = 1 << 20


class Stamp(NamedTuple):
    """The files of one source: the one that it names or, of a record of several, those of its folder with its stem.

    Attributes
    ----------
    num_bytes, changed_ns : int
        Of all of them together, and of the latest change; where they have no times, a number that follows from what
        their place says of them instead.
    suffixes : tuple of str
        What follows the name that the files share, sorted.
    """

    num_bytes: int = 0
    changed_ns: int = 0
    suffixes: tuple[str, ...] = ()


def stamp_all(sources: Sequence[Source], vendors: Sequence[Vendor]) -> list[Stamp]:
    """Look at the files of each source; a folder is listed once, a file of several ECGs is looked at once.

    Raises
    ------
    UsageError
        A folder of a source may not be listed.
    """
    folders: dict[Path, dict[str, Stamp]] = {}
    last: tuple[Path | None, Stamp] = (None, Stamp())
    stamps = []
    for source in sources:
        if source.place:
            stamps.append(_stamp_pieces(source, vendors))
            continue
        if not vendor_of(source.format, vendors).by_stem:
            if source.path != last[0]:
                last = (source.path, _stamp_file(source.path))
            stamps.append(last[1])
            continue
        folder = source.path.parent
        if folder not in folders:
            folders[folder] = _stamp_folder(folder)
        stamps.append(folders[folder].get(stem_of(source.path.name), Stamp()))
    return stamps


def _stamp_pieces(source: Source, vendors: Sequence[Vendor]) -> Stamp:
    """Look at what its place said of each file when it was listed; of one that is refused nothing is read."""
    num_bytes = sum(max(0, piece.num_bytes) for piece in source.files)
    versions = json.dumps([[piece.name, piece.num_bytes, piece.version] for piece in source.files])
    changed = int.from_bytes(hashlib.sha256(versions.encode("utf-8", "backslashreplace")).digest()[:7], "big")
    if source.refusal is not None:
        return Stamp(num_bytes, changed)
    if not vendor_of(source.format, vendors).by_stem:
        return Stamp(num_bytes, changed, ("",))
    names = [piece.name.rpartition("/")[2] for piece in source.files]
    stem = stem_of(source.path.name)
    return Stamp(num_bytes, changed, tuple(sorted(name[len(stem) :] for name in names if stem_of(name) == stem)))


def _stamp_file(path: Path) -> Stamp:
    try:
        status = path.stat()
    except OSError:
        return Stamp()
    return Stamp(status.st_size, status.st_mtime_ns, ("",))


def _stamp_folder(folder: Path) -> dict[str, Stamp]:
    stems: dict[str, Stamp] = {}
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                status = _status_of(entry)
                if status is None:
                    continue
                stem = stem_of(entry.name)
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


def contents_of(sources: Sequence[Source], suffixes: Sequence[Sequence[str]], key: Key) -> Iterator[str]:
    """Hash the bytes of each source's files, with the key; one that cannot be read counts as such.

    Parameters
    ----------
    suffixes : sequence of sequence of str
        Of each source; see `Stamp.suffixes`.

    Yields
    ------
    str
        `CONTENT_DIGITS` hex digits. ECGs of one file differ by their item.
    """
    last: tuple[object, bytes] = (None, b"")
    for source, mine in zip(sources, suffixes, strict=True):
        if (source.place, source.path, mine) != last[0]:
            with local([source]) as (here,):
                last = ((source.place, source.path, mine), _digest(here.path, mine))
        yield key.digest("content", last[1] + source.item.encode())[:CONTENT_DIGITS]


def facts_of(metadata: Mapping[str, Any], measurements: str, key: Key) -> str:
    """Hash what the tables say of one recording, with the key; `measurements` is the hash of theirs."""
    text = json.dumps([metadata, measurements], sort_keys=True, default=str)
    return key.digest("facts", text.encode())[:CONTENT_DIGITS]


def _digest(path: Path, suffixes: Sequence[str]) -> bytes:
    digest = hashlib.sha256()
    name = path.name if tuple(suffixes) == ("",) else stem_of(path.name)
    for suffix in suffixes:
        content = hashlib.sha256()
        try:
            with open_ordinary(path.with_name(name + suffix)) as file:
                while chunk := file.read(_CHUNK):
                    content.update(chunk)
        except OSError:
            content = hashlib.sha256(b"cannot be read")
        digest.update(suffix.encode("utf-8", "surrogateescape") + b"\0" + content.digest())
    return digest.digest()
