"""What a file holds: its bytes, and what is packed in them, recognised by its first bytes and not by its name.

Not opened, and so told: what is encrypted or damaged, what lies five packings deep, and formats whose packed parts no
reader here knows, such as PDF and HDF5. Their bytes are searched all the same.
"""

from __future__ import annotations

import io
import lzma
import sqlite3
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import pyarrow as pa

from hemometric.runs.privacy import tables
from hemometric.runs.privacy.packed_streams import STREAMS, open_unpacked
from hemometric.runs.privacy.png_texts import packed_texts
from hemometric.vendors.source import open_ordinary

CHUNK = 1 << 20
MAX_DEPTH = 4
MAX_HELD = 1 << 28
"""Bytes of a packed file that are unpacked into memory where a reader must jump about in them."""

_TAR_AT = 257
_HEAD = _TAR_AT + 5
_UNKNOWN_INSIDE = {
    b"%PDF": "PDF",
    b"\x89HDF\r\n\x1a\n": "HDF5",
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"Rar!": "RAR",
    b"ORC": "ORC",
    b"\xd0\xcf\x11\xe0": "OLE",
}
BAD_BYTES = (
    pa.ArrowException, zipfile.BadZipFile, tarfile.TarError, sqlite3.Error, zlib.error, lzma.LZMAError, struct.error,
    EOFError, ValueError, KeyError, NotImplementedError, RuntimeError, OverflowError, MemoryError,
)  # fmt: skip
"""What libraries raise for bytes that are not what they began as."""


class Look(Protocol):
    """Takes what is found in files."""

    def stream(self, place: str, chunks: Iterator[bytes], *, unpacked: bool) -> None:
        """Take bytes; those of a file itself, or `unpacked` ones."""

    def values(self, place: str, array: pa.Array, first_row: int) -> None:
        """Take values of a column."""

    def shown(self, text: str) -> str:
        """Give a name as it may be said."""

    def unopened(self, place: str, why: str) -> None:
        """Hear of what cannot be looked into."""


@dataclass(frozen=True)
class Content:
    """A file, or what is packed in one.

    Attributes
    ----------
    place : str
        As it may be said.
    open : callable
        Opens it at its first byte.
    path : Path or None
        Where it lies by itself.
    depth : int
        How often it is packed.
    """

    place: str
    open: Callable[[], IO[bytes]]
    path: Path | None = None
    depth: int = 0

    def seekable(self) -> IO[bytes]:
        """Open it so that one can jump about in it.

        Raises
        ------
        ValueError
            It is packed, and larger than `MAX_HELD`.
        """
        file = self.open()
        if self.path is not None:
            return file
        with closing(file):
            held = file.read(MAX_HELD + 1)
        if len(held) > MAX_HELD:
            raise ValueError("too large")
        return io.BytesIO(held)


def look_into(content: Content, look: Look) -> None:
    """Show all bytes, and all that is packed in them.

    Raises
    ------
    OSError
        The file cannot be read.
    """
    with closing(content.open()) as file:
        head = file.read(_HEAD)
    look.stream(content.place, _chunks(content), unpacked=content.depth > 0)
    opener = _opener(head)
    if opener is None:
        return
    if content.depth == MAX_DEPTH:
        look.unopened(content.place, "packed too deep")
        return
    try:
        opener(content, look)
    except OSError as error:
        if error.errno is not None and content.path is not None:
            raise
        look.unopened(content.place, "damaged")  # libraries' own errors of bad bytes
    except BAD_BYTES:
        look.unopened(content.place, "damaged, encrypted or too large")


def _chunks(content: Content) -> Iterator[bytes]:
    with closing(content.open()) as file:
        while chunk := file.read(CHUNK):
            yield chunk


def _opener(head: bytes) -> Callable[[Content, Look], None] | None:
    known: list[tuple[bytes, Callable[[Content, Look], None]]] = [
        (b"PAR1", _parquet),
        (b"PARE", _encrypted),
        (b"ARROW1", _arrow_file),
        (b"\xff\xff\xff\xff", _arrow_stream),
        (b"\x93NUMPY", _npy),
        (b"PK\x03\x04", _zip),
        (b"SQLite format 3\0", _sqlite),
        (b"\x89PNG\r\n\x1a\n", _png),
        *((magic, _stream) for magic in STREAMS),
        *((magic, _unknown_inside) for magic in _UNKNOWN_INSIDE),
    ]
    if head[_TAR_AT:].startswith(b"ustar"):
        return _tar
    return next((opener for magic, opener in known if head.startswith(magic)), None)


def _unknown_inside(content: Content, look: Look) -> None:
    with closing(content.open()) as file:
        head = file.read(_HEAD)
    name = next(name for magic, name in _UNKNOWN_INSIDE.items() if head.startswith(magic))
    look.unopened(content.place, f"packed parts of a {name} file")


def _encrypted(content: Content, look: Look) -> None:
    look.unopened(content.place, "encrypted")


def _parquet(content: Content, look: Look) -> None:
    with closing(content.seekable()) as file:
        _columns(content, look, tables.parquet_columns(file))


def _arrow_file(content: Content, look: Look) -> None:
    with closing(content.seekable()) as file, pa.ipc.open_file(file) as reader:
        batches = (reader.get_batch(number) for number in range(reader.num_record_batches))
        _columns(content, look, tables.batch_columns(batches))


def _arrow_stream(content: Content, look: Look) -> None:
    with closing(content.open()) as file:
        try:
            reader = pa.ipc.open_stream(file)
        except pa.ArrowException:
            return  # four such bytes begin much else, signals for instance: no packing that is known
        with reader:
            _columns(content, look, tables.batch_columns(reader))


def _columns(content: Content, look: Look, columns: Iterator[tables.Column]) -> None:
    for column in columns:
        name = f", column {look.shown(column.name)}{column.part}"
        look.values(content.place + name, column.values, column.first_row)


def _npy(content: Content, look: Look) -> None:
    """Compare numbers and times; texts, structures and pickles are found among the bytes."""
    with closing(content.open()) as file:
        for first, array in tables.npy_values(file):
            look.values(content.place, array, first)


def _zip(content: Content, look: Look) -> None:
    with closing(content.seekable()) as file, zipfile.ZipFile(file) as archive:
        for number, member in enumerate(archive.infolist(), 1):
            place = f"{content.place}, member {number} ({look.shown(member.filename)})"
            if member.flag_bits & 1:
                look.unopened(place, "encrypted")
                continue

            def open_member(member: zipfile.ZipInfo = member) -> IO[bytes]:
                return archive.open(member)

            try:
                look_into(Content(place, open_member, depth=content.depth + 1), look)
            except (*BAD_BYTES, OSError):
                look.unopened(place, "damaged")


def _tar(content: Content, look: Look) -> None:
    """Look into members: what they hold as they are was found among the bytes, what is packed in them was not."""
    with closing(content.seekable()) as file, tarfile.open(fileobj=file, mode="r:") as archive:
        for number, member in enumerate(archive, 1):
            archive.members = []  # type: ignore[attr-defined]  # else it keeps all that it has seen
            if not member.isreg():
                continue
            place = f"{content.place}, member {number} ({look.shown(member.name)})"

            def open_member(member: tarfile.TarInfo = member) -> Any:
                return archive.extractfile(member)

            look_into(Content(place, open_member, depth=content.depth + 1), look)


def _stream(content: Content, look: Look) -> None:
    unpacked = Content(f"{content.place}, unpacked", lambda: open_unpacked(content.open), depth=content.depth + 1)
    look_into(unpacked, look)


def _sqlite(content: Content, look: Look) -> None:
    with closing(
        sqlite3.connect(":memory:" if content.path is None else _immutable(content.path), uri=True)
    ) as database:
        if content.path is None:
            with closing(content.seekable()) as file:
                database.deserialize(file.read())
        for column in tables.sqlite_columns(database):
            table = look.shown(column.table)
            place = f"{content.place}, table {table}, column {look.shown(column.name)}"
            look.values(place, column.values, column.first_row)


def _immutable(path: Path) -> str:
    """Open without a lock or a journal: nothing is written beside it; a journal that is there is a file of its own."""
    return f"{path.absolute().as_uri()}?mode=ro&immutable=1"


def _png(content: Content, look: Look) -> None:
    with closing(content.open()) as file:
        for number, text in packed_texts(file, MAX_HELD):
            look.stream(f"{content.place}, text chunk {number}", text, unpacked=True)


def content_of(path: Path, place: str) -> Content:
    """Give the content of a file; a pipe or a device, which might never end, is refused by `OSError`."""
    return Content(place, lambda: open_ordinary(path), path)
