"""A single file behind gzip: an archive of one member, named as the file is without its ``.gz``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from hemometric.vendors.archive_members import Raw
from hemometric.vendors.packed_stream import PackedStream
from hemometric.vendors.source import Piece

_CHUNK = 1 << 18
_SUFFIX = ".gz"


def gz_members(file: BinaryIO) -> Iterator[Raw]:
    """Give the one member; its size is known when it has been read, see `gz_chunks`.

    Raises
    ------
    ReadError
        It is no gzip file.
    """
    PackedStream(file)
    name = Path(os.fsdecode(file.name)).name
    yield Raw(name[: -len(_SUFFIX)], 0, os.fstat(file.fileno()).st_size, 0, 0)


def gz_chunks(file: BinaryIO, piece: Piece) -> Iterator[bytes]:  # noqa: ARG001 - one shape for all archives
    """Read it; whoever iterates bounds it.

    Raises
    ------
    ReadError
        It is damaged, cut, or a bomb.
    """
    file.seek(0)
    stream = PackedStream(file)
    while chunk := stream.read(_CHUNK):
        yield chunk
