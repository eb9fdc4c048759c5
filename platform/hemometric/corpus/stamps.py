"""Whether sources are those that were read: by the times of their files or, where these differ, by their bytes.

Fixed-length ECGs keep their size when they change, so names and sizes prove nothing. Times are kept beside the
manifest, which must stay free of clocks; the hash of the bytes is in the corpus, keyed like all that follows from it.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import sys
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Lock
from typing import Any, NamedTuple

from hemometric.corpus.pseudonyms import Key
from hemometric.errors import UsageError
from hemometric.vendors import Source, Vendor, vendor_of
from hemometric.vendors.places import local
from hemometric.vendors.source import open_ordinary, stem_of

CONTENT_DIGITS = 32
_CHUNK = 1 << 20
_READERS = 4


CHANGED = "0" * CONTENT_DIGITS
"""Stands for the hash of a source that changed while it was read; no hash equals it, so the source is read again."""

_OTHER = "/"  # no name of a file begins with it
_File = tuple[str, int, int]
"""A suffix as in `Stamp.suffixes`, bytes, and the time of the last change, ns."""

_State = tuple[str | int, ...]
_NUM_HASHED = 256
_hashed: dict[_State, bytes] = {}
"""Of files of several ECGs, by their states: each of the units that such a file is cut into asks for the whole."""

_hashing = Lock()

_Folder = dict[str, dict[str, tuple[int, int]]]
"""From stem and suffix to bytes and time."""


class Stamp(NamedTuple):
    """The files of one source: the one that it names or, of a record of several, all of these.

    They are those of its folder with its stem; where no samples are among them, those that its header names too.

    Attributes
    ----------
    num_bytes : int
        Of all of them together.
    state : int
        Hash of the suffix, the size and the time of each; where they have no times, of what their place says of them
        instead. Any change of any file makes another one.
    suffixes : tuple of str
        What follows the name that the files share, sorted; of a file of another name, ``/`` and that name.
    """

    num_bytes: int = 0
    state: int = 0
    suffixes: tuple[str, ...] = ()


def stamp_all(sources: Sequence[Source], vendors: Sequence[Vendor]) -> list[Stamp]:
    """Look at the files of each source; a folder is listed once, a file of several ECGs is looked at once.

    Raises
    ------
    UsageError
        A folder of a source may not be listed.
    """
    folders: dict[Path, _Folder] = {}
    last: tuple[Path | None, Stamp] = (None, Stamp())
    stamps = []
    for source in sources:
        if source.place:
            stamps.append(_stamp_pieces(source, vendors))
            continue
        vendor = vendor_of(source.format, vendors)
        if not vendor.by_stem:
            if source.path != last[0]:
                last = (source.path, _look(source.path, [""]))
            stamps.append(last[1])
            continue
        folder = source.path.parent
        if folder not in folders:
            folders[folder] = _list_folder(folder)
        stamps.append(_stamp_record(source.path, vendor, folders[folder]))
    return stamps


def is_unchanged(source: Source, here: Source, stamp: Stamp) -> bool:
    """Whether the files of a source are still those that were stamped; looks at these only, and lists no folder.

    What lies in a place is copied before its bytes are hashed and read, and the copy does not change. Where copying
    failed, as in a place that is being written, nobody knows its bytes.

    Parameters
    ----------
    here : Source
        The same as `places.local` gave it.
    """
    if source.place:
        return here.refusal == source.refusal
    return _look(source.path, stamp.suffixes) == stamp


def _stamp_pieces(source: Source, vendors: Sequence[Vendor]) -> Stamp:
    """Look at what its place said of each file when it was listed; of one that is refused nothing is read."""
    num_bytes = sum(max(0, piece.num_bytes) for piece in source.files)
    # Also where each begins: one that was refused while its archive was written anew is then tried again.
    state = _hash_of(source.files)
    if source.refusal is not None:
        return Stamp(num_bytes, state)
    if not vendor_of(source.format, vendors).by_stem:
        return Stamp(num_bytes, state, ("",))
    stem = stem_of(source.path.name)
    names = [piece.name.rpartition("/")[2] for piece in source.files]
    return Stamp(num_bytes, state, tuple(sorted(_suffix(name, stem) for name in names)))


def _stamp_record(path: Path, vendor: Vendor, folder: _Folder) -> Stamp:
    """Look into the header only where no samples share its stem: in ordinary archives that costs nothing."""
    stem = stem_of(path.name)
    files = dict(folder.get(stem, {}))
    if vendor.companions is not None and not any(suffix.casefold().endswith(vendor.whole_with) for suffix in files):
        for name in (companion.name for companion in vendor.companions(path)):
            known = folder.get(stem_of(name), {}).get(name[len(stem_of(name)) :])
            if known is not None:
                files[_suffix(name, stem)] = known
    return _stamp_of((suffix, *known) for suffix, known in files.items())


def _stamp_of(files: Iterable[_File]) -> Stamp:
    files = sorted(files)
    if not files:
        return Stamp()
    return Stamp(sum(size for _, size, _ in files), _hash_of(files), tuple(suffix for suffix, *_ in files))


def _hash_of(versions: object) -> int:
    text = json.dumps(versions).encode("utf-8", "backslashreplace")
    return int.from_bytes(hashlib.sha256(text).digest()[:7], "big")


def _suffix(name: str, stem: str) -> str:
    return sys.intern(name[len(stem) :] if stem_of(name) == stem else f"{_OTHER}{name}")


def _path(path: Path, suffix: str, *, is_alone: bool) -> Path:
    """Find a file of a source by its suffix."""
    if suffix.startswith(_OTHER):
        return path.with_name(suffix.removeprefix(_OTHER))
    return path if is_alone else path.with_name(stem_of(path.name) + suffix)


def _paths(path: Path, suffixes: Sequence[str]) -> Iterator[tuple[str, Path]]:
    is_alone = tuple(suffixes) == ("",)
    return ((suffix, _path(path, suffix, is_alone=is_alone)) for suffix in suffixes)


def _look(path: Path, suffixes: Sequence[str]) -> Stamp:
    files = []
    for suffix, file in _paths(path, suffixes):
        try:
            status = file.stat()
        except FileNotFoundError:
            continue
        except OSError:  # see `_status_of`
            try:
                status = file.lstat()
            except OSError:
                continue
        files.append((suffix, status.st_size, status.st_mtime_ns))
    return _stamp_of(files)


def _list_folder(folder: Path) -> _Folder:
    stems: _Folder = {}
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                status = _status_of(entry)
                if status is not None:
                    stem = stem_of(entry.name)
                    stems.setdefault(stem, {})[_suffix(entry.name, stem)] = (status.st_size, status.st_mtime_ns)
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


def contents_of(sources: Sequence[Source], suffixes: Sequence[Sequence[str]], key: Key) -> Generator[str, None, None]:
    """Hash the bytes of each source's files, with the key; one that cannot be read counts as such.

    A file that several sources in a row lie in is hashed once. Whoever takes no more closes it, by which hashing ends.

    Parameters
    ----------
    suffixes : sequence of sequence of str
        Of each source; see `Stamp.suffixes`.

    Yields
    ------
    str
        `CONTENT_DIGITS` hex digits. ECGs of one file differ by their item.
    """
    jobs = list(zip(sources, suffixes, strict=True))
    places = [(source.place, source.path, mine) for source, mine in jobs]
    is_new = [place == 0 or places[place] != places[place - 1] for place in range(len(places))]
    # Ahead of who takes them: a disk or a network that is asked for several files at once answers sooner.
    is_over = Event()
    with ThreadPoolExecutor(_READERS) as readers:
        digests = readers.map(lambda job: _digest_of(job[0], job[1], is_over), itertools.compress(jobs, is_new))
        digest = b""
        try:
            for (source, _), another in zip(jobs, is_new, strict=True):
                digest = next(digests) if another else digest
                yield key.digest("content", digest + source.item.encode())[:CONTENT_DIGITS]
        finally:  # also of an interruption, which must not wait until a large file is hashed
            is_over.set()
            readers.shutdown(cancel_futures=True)


def _digest_of(source: Source, suffixes: Sequence[str], is_over: Event) -> bytes:
    with local([source]) as (here,):
        if not source.item or tuple(suffixes) != ("",):
            return _digest(here.path, suffixes, is_over)
        state = _state_of(here.path)
        digest = _hashed.get(state) or _digest(here.path, suffixes, is_over)
        if not is_over.is_set():
            _keep(state, digest)
        return digest


def _state_of(path: Path) -> _State:
    """Say what of a file tells any change of it, also one that puts its time back; nothing where it cannot be said."""
    try:
        status = path.stat()
    except OSError:
        return ()
    return (str(path), status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _keep(state: _State, digest: bytes) -> None:
    with _hashing:
        if state:
            _hashed[state] = digest
        if len(_hashed) > _NUM_HASHED:
            del _hashed[next(iter(_hashed))]


def facts_of(metadata: Mapping[str, Any], measurements: str, key: Key) -> str:
    """Hash what the tables say of one recording, with the key; `measurements` is the hash of theirs."""
    text = json.dumps([metadata, measurements], sort_keys=True, default=str)
    return key.digest("facts", text.encode())[:CONTENT_DIGITS]


def _digest(path: Path, suffixes: Sequence[str], is_over: Event) -> bytes:
    """Hash files one by one; when it `is_over`, what there is, for nobody."""
    digest = hashlib.sha256()
    for suffix, file_path in _paths(path, suffixes):
        content = hashlib.sha256()
        try:
            with open_ordinary(file_path) as file:
                while not is_over.is_set() and (chunk := file.read(_CHUNK)):
                    content.update(chunk)
        except OSError:
            content = hashlib.sha256(b"cannot be read")
        digest.update(suffix.encode("utf-8", "surrogateescape") + b"\0" + content.digest())
    return digest.digest()
