"""What every reader of files shares: where a record lies, what a reader must give, and how bytes are read safely."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from hemometric.ecg import Recording, Rejected
from hemometric.errors import HemometricError

HEAD_BYTES = 4096
"""How much of a file readers see to recognise it."""

MAX_FILE_BYTES = 1 << 28
"""A file that holds one ECG and is larger than this is refused unread."""

MAX_VALUES = 1 << 24
"""Samples of all leads together that one ECG may hold: 46 minutes of 12 leads at 500 Hz."""


Refusal = tuple[str, str]
"""A reason code, and one sentence without any text of the file; see `ReadError`."""


class Piece(NamedTuple):
    """One file of a place that is no folder of this machine; see `vendors.places`.

    Attributes
    ----------
    name : str
        Within the place, its parts joined by ``/``.
    num_bytes : int
        As it will lie in a folder; -1 where the place does not say.
    version : int
        Another one when the file changes: a checksum, or a time.
    at : int
        Where it begins in an archive.
    """

    name: str
    num_bytes: int
    version: int
    at: int = 0


@dataclass(frozen=True, slots=True)
class Source:
    """One ECG that may be read.

    Attributes
    ----------
    key : str
        The name of the source folder and the record's path in it, such as ``ptbxl/records500/00000/00001_hr`` or
        ``muse/2021/ecg.xml``; ``/`` and the item follow where a file holds several ECGs. It may identify a patient:
        see `hemometric.ecg.Recording.key`.
    path : Path
        The file to read; for WFDB, the header. Within the place, if there is one.
    format : str
        Name of the vendor that recognised it.
    item : str
        Which ECG of the file; empty where a file holds one.
    place : str
        Address of the archive or the store that holds the file, see `vendors.places`; empty for a plain file.
    files : tuple of Piece
        All files of the record, where there is a place.
    refusal : tuple or None
        Why it is not read at all, such as a name that leads out of its archive.
    origin : str
        Where it came from, if `path` is a copy.
    """

    key: str
    path: Path
    format: str
    item: str = ""
    place: str = ""
    files: tuple[Piece, ...] = ()
    refusal: Refusal | None = None
    origin: str = ""

    @property
    def where(self) -> str:
        """Where it came from, for a person who looks for it: a path, also into an archive, or an address."""
        if self.origin or not self.place:
            return self.origin or str(self.path.absolute())
        return f"{location_of(self.place)}/{self.path}"


def location_of(place: str) -> str:
    """Give the path or the address of a place."""
    return place if "://" in place else place.partition(":")[2]


class ReadError(Exception):
    """An ECG that cannot be taken; becomes `hemometric.ecg.Rejected` at the door of this room.

    Parameters
    ----------
    reason : str
        The reason code: ``truncated``, ``unreadable``, ``unsupported``, ``no_waveform``, ``no_standard_lead``,
        ``duplicate_lead``, ``unknown_unit``, ``gain_zero``, ``rate_missing``, ``too_long``, ``unsafe`` and the like.
    detail : str
        One sentence without any text of the file, which may name a patient.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


ListItems = Callable[[Path], tuple[str, ...]]
"""``items(path)``: names of the ECGs that a file holds, "" for an only one; `ReadError` for bad bytes, as any other."""

Read = Callable[[Path, Mapping[str, str]], Iterator[Recording | Rejected]]
"""``read(path, keys)``: the ECGs of a file that `keys` names, from item to key, in that order; opens the file once.

Where a format holds one ECG a file, the item is "". `ReadError` for bad bytes, as any other exception, is raised or,
where the other ECGs of the file can still be read, returned as `Rejected`.
"""


@dataclass(frozen=True)
class Vendor:
    """A reader of one format: functions without a state, so that one value serves all threads and processes.

    Attributes
    ----------
    name : str
        The format's name, as in `Source.format` and `Recording.source_format`.
    suffixes : tuple of str
        Lower-case suffixes that files of the format have. One that is damaged beyond recognition is still met, and
        counted, by its suffix.
    sniff : callable
        ``sniff(path, head)``: whether the file is of this format, by its first `HEAD_BYTES` bytes. Never raises.
    read : Read
    items : ListItems or None
        Where a file may hold several ECGs.
    parts : callable or None
        ``parts(path)``: files that this record refers to as parts of itself and that are no records of their own. None
        where it cannot be read as one: a bad record must not hide good ones.
    companions : callable or None
        ``companions(path)``: all further files of its folder that it refers to, whether there or not.
    by_stem : bool
        Whether a record is several files of one stem, which is then its name; else a file is named with its suffix.
    whole_with : tuple of str
        Suffixes of files of its stem beside which a record is taken to have no parts and no other companions, where
        looking would cost a request each.
    """

    name: str
    suffixes: tuple[str, ...]
    sniff: Callable[[Path, bytes], bool]
    read: Read
    items: ListItems | None = None
    parts: Callable[[Path], tuple[Path, ...]] | None = None
    companions: Callable[[Path], tuple[Path, ...]] | None = None
    by_stem: bool = False
    whole_with: tuple[str, ...] = ()

    def list_items(self, path: Path) -> tuple[str, ...]:
        """Name the ECGs of a file; "" where it holds one by its format, or none that can be listed.

        Raises
        ------
        PrecheckError
            The machine lacks what listing needs, whatever the file.
        """
        if self.items is None:
            return ("",)
        try:
            return self.items(path) or ("",)
        except HemometricError:  # of the machine, not of the file
            raise
        except Exception:  # noqa: BLE001 - `read_all` says what is wrong with it
            return ("",)

    def read_all(self, path: Path, keys: Mapping[str, str]) -> Iterator[Recording | Rejected]:
        """Read ECGs of one file, from item to key; bad bytes of any kind give `Rejected`, never an exception."""
        num_read = 0
        try:
            for found in self._read_or_say_why_not(path, keys):
                num_read += 1
                yield found
        except Exception as error:  # noqa: BLE001 - libraries raise anything when bytes are bad
            reason, detail = self._refusal(error)
            yield from (Rejected(key, reason, detail) for key in list(keys.values())[num_read:])

    def _read_or_say_why_not(self, path: Path, keys: Mapping[str, str]) -> Iterator[Recording | Rejected]:
        # `items` raises what kept `list_items` from naming them.
        if self.items is not None and "" in keys and "" not in self.items(path):
            raise ReadError("no_waveform", "the file holds no ECG")
        yield from self.read(path, keys)

    def _refusal(self, error: Exception) -> tuple[str, str]:
        match error:
            case ReadError():
                return error.reason, error.detail
            case OSError() if error.strerror:  # its own text holds the path, which may name a patient
                return "unreadable", f"a file cannot be read: {error.strerror}"
            case MemoryError():
                return "too_large", "reading it needs more memory than it may take"
        return "unreadable", f"it cannot be read as {self.name} ({type(error).__name__})"


def stem_of(name: str) -> str:
    """Give what the files of a record of several share: all before the first dot."""
    return name.partition(".")[0]


def one_ecg(read: Callable[[Path, str], Recording]) -> Read:
    """Make the `Read` of a format with one ECG a file out of ``read(path, key)``."""

    def read_keys(path: Path, keys: Mapping[str, str]) -> Iterator[Recording | Rejected]:
        return (read(path, key) for key in keys.values())

    return read_keys


def read_bounded(path: Path, max_bytes: int, offset: int = 0) -> bytes:
    """Read at most so many bytes of an ordinary file; a pipe or a device, which might never end, is not opened.

    Raises
    ------
    OSError
        It is missing, is no ordinary file, or may not be read.
    """
    with open_ordinary(path) as file:
        file.seek(offset)
        return file.read(max_bytes)


def open_ordinary(path: Path) -> BinaryIO:
    """Open a file that is an ordinary one; `OSError` otherwise."""
    return open(path, "rb", opener=_open_ordinary)  # `Path.open` takes no opener


def read_whole(path: Path) -> bytes:
    """Read a file of one ECG.

    Raises
    ------
    ReadError
        It is empty (``truncated``) or larger than `MAX_FILE_BYTES` (``too_long``).
    OSError
        As for `read_bounded`.
    """
    content = read_bounded(path, MAX_FILE_BYTES + 1)
    if not content:
        raise ReadError("truncated", "the file is empty")
    if len(content) > MAX_FILE_BYTES:
        raise ReadError("too_long", f"the file is larger than {MAX_FILE_BYTES >> 20} MB")
    return content


def _open_ordinary(path: str, flags: int) -> int:
    # Without O_NONBLOCK, opening a named pipe would wait for its writer for ever.
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(0, "not an ordinary file")
    return descriptor
