"""Texts that are packed in PNG files (PNG 1.2, section 4.2: zTXt, iTXt, iCCP); others stand there as they are."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import IO

_CHUNK = 1 << 20


def packed_texts(file: IO[bytes], max_bytes: int) -> Iterator[tuple[int, Iterator[bytes]]]:
    """Give the number of each chunk with a packed text, and the text in parts.

    Raises
    ------
    ValueError, EOFError, zlib.error
        The file is damaged, or a packed text is larger than `max_bytes`.
    """
    file.read(8)
    number = 0
    while len(header := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", header)
        number += 1
        if kind not in (b"zTXt", b"iTXt", b"iCCP"):
            _skip(file, length + 4)
            continue
        if length > max_bytes:
            raise ValueError("too large")
        data = file.read(length)
        _skip(file, 4)
        packed = _packed(kind, data)
        if packed is not None:
            yield number, _inflated(packed)


def _packed(kind: bytes, data: bytes) -> bytes | None:
    """Give what of a chunk is packed, behind keyword, method and languages; None where it is not."""
    after = data.index(b"\0") + 1
    if kind != b"iTXt":
        return data[after + 1 :]
    if data[after] == 0:
        return None
    language_end = data.index(b"\0", after + 2)
    return data[data.index(b"\0", language_end + 1) + 1 :]


def _inflated(packed: bytes) -> Iterator[bytes]:
    unpacker = zlib.decompressobj()
    while not unpacker.eof:
        chunk = unpacker.decompress(packed, _CHUNK)
        packed = unpacker.unconsumed_tail
        if chunk:
            yield chunk
        elif not packed and not unpacker.eof:
            raise EOFError


def _skip(file: IO[bytes], num_bytes: int) -> None:
    while num_bytes > 0:
        got = len(file.read(min(_CHUNK, num_bytes)))
        if not got:
            raise EOFError
        num_bytes -= got
