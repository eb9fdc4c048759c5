"""A folder for what cannot be read where it lies, unpacked once for an ingest and all its tries.

Compressed tar archives, which can be read from the front only; archives in a store; and files of several ECGs, which
every unit of work would else fetch again. What lies here is as identifying as its source: whoever makes a depot
removes it at the end.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from hemometric.errors import PrecheckError
from hemometric.vendors.archive_members import ArchivesConfig, Member, Raw, judged
from hemometric.vendors.packed_stream import PackedStream
from hemometric.vendors.places import Place, base_name
from hemometric.vendors.source import Piece, ReadError, Refusal, open_ordinary
from hemometric.vendors.tar_archive import padded, tar_stream

_CHUNK = 1 << 18
_SPARE_BYTES = 64 << 20
_PART = ".part"
_COPY = re.compile(rf"[0-9a-f]{{24}}(?:{re.escape(_PART)})?")


class Depot:
    """Copies by what they are copies of: another source, or the same one changed, is another copy.

    Parameters
    ----------
    folder : Path
        Made when the first copy is; one process at a time may use it.
    """

    def __init__(self, folder: Path, bounds: ArchivesConfig) -> None:
        self._folder = folder
        self._bounds = bounds
        self._used: set[str] = set()

    def keep(self, place: Place, piece: Piece) -> Path | Refusal:
        """Copy one file of a place; say where it lies, or what is wrong with it.

        Raises
        ------
        PrecheckError
            The disk is too small.
        OSError
            The place cannot be read.
        """
        name = self._name(place.address, *piece)
        path = self._folder / name / (base_name(piece.name) or "file")
        if not path.exists():
            if piece.num_bytes > self._bounds.max_member_bytes:
                return "too_large", "it is larger than archives.max_member_bytes"
            self._need_room(piece.num_bytes)
            part = self._begin(name)
            (refusal,) = place.fetch([(piece, part / path.name)], self._bounds.max_member_bytes)
            if refusal is not None:
                shutil.rmtree(part)
                return refusal
            _set_time(part / path.name, piece.version)
            self._finish(part, name)
        return path

    def unpack(self, archive: Path) -> tuple[Path, list[Member]]:
        """Unpack a compressed tar archive; give its folder, and the members that were refused.

        Raises
        ------
        ReadError
            It is damaged, or a bomb.
        PrecheckError
            The disk is too small.
        OSError
            The archive cannot be read.
        """
        status = archive.stat()
        name = self._name(str(archive), status.st_size, status.st_mtime_ns)
        note = self._folder / name / "refused.json"
        if not note.exists():
            part = self._begin(name)
            (part / "files").mkdir()
            try:
                with open_ordinary(archive) as file:
                    refused = self._unpack(file, part / "files", status.st_mtime_ns)
            except ReadError:
                shutil.rmtree(part)
                raise
            (part / note.name).write_text(json.dumps([[member.piece, member.refusal] for member in refused]))
            self._finish(part, name)
        members = json.loads(note.read_text())
        return note.parent / "files", [Member(Piece(*piece), tuple(refusal)) for piece, refusal in members]

    def clear(self) -> None:
        """Remove what was not asked for: copies of sources that are gone or changed, and halves."""
        for path in _copies(self._folder):
            if path.name not in self._used:
                _discard(path)

    def _unpack(self, file: BinaryIO, folder: Path, changed_ns: int) -> list[Member]:
        stream: Any = io.BufferedReader(PackedStream(file), _CHUNK)
        names: dict[str, bool] = {}
        refused: list[Member] = []
        total = 0
        for raw in tar_stream(stream):
            left = padded(raw.num_bytes)
            for member in judged([raw], self._bounds):
                name, refusal = member.piece.name, member.refusal
                total += raw.num_bytes
                if refusal is None and total > self._bounds.max_total_bytes:
                    refusal = ("too_large", "the archive unpacks to more than archives.max_total_bytes")
                if refusal is None and name in names:
                    # Of two with one name nobody can tell which is meant.
                    refusal = ("unsafe_name", "several files of the archive have its name")
                    (folder / name).unlink(missing_ok=True)
                    if names[name]:
                        continue
                    names[name] = True
                elif refusal is None:
                    names[name] = False
                    refusal = self._write(stream, raw, folder / name, changed_ns)
                    left -= raw.num_bytes if refusal is None else 0
                if refusal is not None:
                    refused.append(Member(member.piece._replace(version=changed_ns), refusal))
            _skip(stream, left)
        return refused

    def _write(self, stream: BinaryIO, raw: Raw, path: Path, changed_ns: int) -> Refusal | None:
        self._need_room(raw.num_bytes)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            out = path.open("xb")
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            return "unsafe_name", "a file and a folder of the archive have one name"
        with out:
            left = raw.num_bytes
            while left:
                chunk = stream.read(min(_CHUNK, left))
                if not chunk:
                    raise ReadError("truncated", "the archive ends within a file")
                out.write(chunk)
                left -= len(chunk)
        _set_time(path, changed_ns)
        return None

    def _name(self, *parts: object) -> str:
        name = hashlib.sha256(json.dumps([str(part) for part in parts]).encode()).hexdigest()[:24]
        self._used.add(name)
        return name

    def _begin(self, name: str) -> Path:
        part = self._folder / f"{name}{_PART}"
        if part.exists():  # a killed try's
            shutil.rmtree(part)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        part.mkdir(mode=0o700)
        return part

    def _finish(self, part: Path, name: str) -> None:
        os.sync()  # one for all files: after a power cut, a folder under its final name must be whole
        part.rename(self._folder / name)

    def _need_room(self, num_bytes: int) -> None:
        folder = self._folder
        while not folder.exists():
            folder = folder.parent
        if shutil.disk_usage(folder).free < num_bytes + _SPARE_BYTES:
            raise PrecheckError(
                f"unpacking an archive of the sources needs {num_bytes / 1e9:.2f} GB more than is free in {folder}; "
                "free some space, or unpack it elsewhere and give that folder"
            )


def remove_depot(folder: Path) -> None:
    """Remove a depot with all copies; a kill on the way leaves none that passes for a whole one."""
    for path in _copies(folder):
        _discard(path)
    with suppress(OSError):  # it is gone, or somebody has put something there
        folder.rmdir()


def _copies(folder: Path) -> list[Path]:
    """Find what depots made in a folder."""
    found = folder.iterdir() if folder.is_dir() else ()
    return [path for path in found if _COPY.fullmatch(path.name) and path.is_dir()]


def _discard(path: Path) -> None:
    if path.suffix != _PART:
        part = path.with_name(f"{path.name}{_PART}")
        if part.exists():
            shutil.rmtree(part)
        path = path.rename(part)
    shutil.rmtree(path)


def _set_time(path: Path, changed_ns: int) -> None:
    """Give a copy the time of its source, by which the next ingest knows it again."""
    changed_ns = changed_ns % (1 << 61)
    os.utime(path, ns=(changed_ns, changed_ns))


def _skip(stream: BinaryIO, num_bytes: int) -> None:
    while num_bytes:
        chunk = stream.read(min(_CHUNK, num_bytes))
        if not chunk:
            raise ReadError("truncated", "the archive ends within a file")
        num_bytes -= len(chunk)
