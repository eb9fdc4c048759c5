"""Archives that are read at random: zip, tar, and a single file behind gzip."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from hemometric.vendors.archive_members import ArchivesConfig, Member, Raw, judged
from hemometric.vendors.gz_archive import gz_chunks, gz_members
from hemometric.vendors.source import MAX_FILE_BYTES, Piece, ReadError, Refusal, open_ordinary
from hemometric.vendors.tar_archive import tar_chunks, tar_members
from hemometric.vendors.zip_archive import zip_chunks, zip_members

_FORMATS: dict[str, tuple[Callable[[BinaryIO], Iterator[Raw]], Callable[[BinaryIO, Piece], Iterator[bytes]]]] = {
    "zip": (zip_members, zip_chunks),
    "tar": (tar_members, tar_chunks),
    "gz": (gz_members, gz_chunks),
}


@dataclass(frozen=True)
class Archive:
    """An archive as a `places.Place`.

    Attributes
    ----------
    kind : str
        ``zip``, ``tar`` or ``gz``.
    """

    kind: str
    path: Path

    heads_are_cheap = True

    @property
    def address(self) -> str:
        """What `places.open_place` opens it by."""
        return f"{self.kind}:{self.path}"

    def members(self, bounds: ArchivesConfig) -> list[Member]:
        """List its files.

        Raises
        ------
        ReadError
            It is damaged.
        OSError
            It cannot be read.
        """
        members, _ = _FORMATS[self.kind]
        with open_ordinary(self.path) as file:
            found = list(judged(members(file), bounds))
        if self.kind == "zip":
            return found
        # These have no checksum of each file: all are other ones when the archive is.
        changed = self.path.stat().st_mtime_ns
        return [member._replace(piece=member.piece._replace(version=changed)) for member in found]

    def heads(self, pieces: Sequence[Piece], num_bytes: int) -> Iterator[bytes]:
        """Give the first bytes of each file, or as many as can be had."""
        with open_ordinary(self.path) as file:
            for piece in pieces:
                head = b""
                try:
                    for chunk in self._chunks(file, piece):
                        head += chunk
                        if len(head) >= num_bytes:
                            break
                except ReadError:
                    pass  # of a file that is cut or damaged there may be a beginning; reading it says the rest
                yield head[:num_bytes]

    def fetch(self, wanted: Sequence[tuple[Piece, Path]], max_bytes: int = MAX_FILE_BYTES) -> list[Refusal | None]:
        """Write files to where they are wanted, and say what was wrong with each.

        Raises
        ------
        OSError
            The archive cannot be read, or there is no room.
        """
        with open_ordinary(self.path) as file:
            return [self._fetch(file, piece, path, max_bytes) for piece, path in wanted]

    def _fetch(self, file: BinaryIO, piece: Piece, path: Path, max_bytes: int) -> Refusal | None:
        left = max_bytes
        too_long = ("too_long", f"the file is larger than {max_bytes >> 20} MB")
        if piece.num_bytes > max_bytes:
            return too_long
        try:
            with path.open("xb") as out:
                for chunk in self._chunks(file, piece):
                    left -= len(chunk)
                    if left < 0:
                        return too_long
                    out.write(chunk)
        except ReadError as error:
            return error.reason, error.detail
        return None

    def _chunks(self, file: BinaryIO, piece: Piece) -> Iterator[bytes]:
        return _FORMATS[self.kind][1](file, piece)
