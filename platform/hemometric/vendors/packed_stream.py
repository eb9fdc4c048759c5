"""Compressed streams, read once from the front: gzip, bzip2 and xz, within bounds on memory and on their growth."""

from __future__ import annotations

import bz2
import io
import lzma
import zlib
from typing import Any, BinaryIO

from hemometric.vendors.archive_members import MAX_RATIO
from hemometric.vendors.source import ReadError

_CHUNK = 1 << 18
_XZ_MEMORY_BYTES = 256 << 20
_RATIO_FROM_BYTES = 16 << 20
_MAGIC = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz"}


class PackedStream(io.RawIOBase):
    """What a compressed file unpacks to; several streams one after the other count as one.

    Parameters
    ----------
    file : binary file
        At its beginning; it stays open.

    Raises
    ------
    ReadError
        From the constructor and from reading: it is damaged, cut, or a bomb.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._packed = file.read(_CHUNK)
        self._num_read, self._num_given = len(self._packed), 0
        found = next((name for magic, name in _MAGIC.items() if self._packed.startswith(magic)), None)
        if found is None:
            raise ReadError("unreadable", "it is no compressed file of a known kind")
        self._name = found
        self._unpacker: Any = self._new()

    def readable(self) -> bool:
        """Whether it can be read; it can."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Unpack into a buffer; 0 at the end."""
        view = memoryview(buffer).cast("B")
        while view:
            if self._unpacker.eof:
                self._packed = self._unpacker.unused_data or self._more()
                # Zeros may fill up a file behind its last stream.
                if not self._packed.strip(b"\0"):
                    return 0
                self._unpacker = self._new()
            self._packed = self._packed or self._more()
            is_at_end = not self._packed and self._needs_input()
            content = self._unpack(len(view))
            if content:
                view[: len(content)] = content
                self._num_given += len(content)
                if self._num_given > max(_RATIO_FROM_BYTES, MAX_RATIO * self._num_read):
                    raise ReadError("too_large", f"it unpacks to more than {MAX_RATIO} times its size")
                return len(content)
            if is_at_end and not self._unpacker.eof:
                raise ReadError("truncated", "the compressed file ends too early")
        return 0

    def _unpack(self, max_bytes: int) -> bytes:
        try:
            content: bytes = self._unpacker.decompress(self._packed, max_bytes)
        except (zlib.error, OSError, lzma.LZMAError, EOFError, ValueError):
            raise ReadError("unreadable", "the compressed file is damaged") from None
        except MemoryError:
            raise ReadError("too_large", "unpacking it needs too much memory") from None
        # Only zlib hands back what it has not taken yet; the others keep it.
        self._packed = self._unpacker.unconsumed_tail if self._name == "gzip" else b""
        return content

    def _needs_input(self) -> bool:
        return True if self._name == "gzip" else bool(self._unpacker.needs_input)

    def _more(self) -> bytes:
        if self._name != "gzip" and not self._unpacker.eof and not self._unpacker.needs_input:
            return b""
        content = self._file.read(_CHUNK)
        self._num_read += len(content)
        return content

    def _new(self) -> Any:
        if self._name == "gzip":
            return zlib.decompressobj(zlib.MAX_WBITS | 16)
        if self._name == "bzip2":
            return bz2.BZ2Decompressor()
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY_BYTES)
