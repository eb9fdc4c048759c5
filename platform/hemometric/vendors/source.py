"""What every reader of files shares: where a record lies, and what a reader must be able to do."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hemometric.ecg import Recording, Rejected


@dataclass(frozen=True, slots=True)
class Source:
    """One ECG that may be read.

    Attributes
    ----------
    key : str
        The name of the source folder and the record's path in it without suffix, such as
        ``ptbxl/records500/00000/00001_hr``. It may identify a patient: see `hemometric.ecg.Recording.key`.
    path : Path
        The file to read; for WFDB, the header.
    format : str
        Name of the vendor that recognised it.
    """

    key: str
    path: Path
    format: str


class Vendor(Protocol):
    """A reader of one format: stateless, so that one instance serves all threads and processes."""

    @property
    def name(self) -> str:
        """The format's name, as in `Source.format` and `Recording.source_format`."""
        ...

    def sniff(self, path: Path) -> bool:
        """Whether the file is one record of this format, damaged or not. Reads little of it; never raises."""
        ...

    def parts(self, path: Path) -> tuple[Path, ...]:
        """The files that this record refers to as parts of itself and that are no records of their own."""
        ...

    def read(self, path: Path, key: str) -> Recording | Rejected:
        """Read one record. Bad bytes of any kind give `Rejected`, never an exception; nothing is ever fetched."""
        ...


def read_bounded(path: Path, max_bytes: int, offset: int = 0) -> bytes:
    """Read at most so many bytes of an ordinary file; a pipe or a device, which might never end, is not opened.

    Raises
    ------
    OSError
        It is missing, is no ordinary file, or may not be read.
    """
    with open(path, "rb", opener=_open_ordinary) as file:
        file.seek(offset)
        return file.read(max_bytes)


def _open_ordinary(path: str, flags: int) -> int:
    # Without O_NONBLOCK, opening a named pipe would wait for its writer for ever.
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError("not an ordinary file")
    return descriptor
