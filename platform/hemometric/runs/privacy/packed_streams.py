"""Files that are one packed stream: gzip, bzip2, xz, Zstandard, LZ4."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
from collections.abc import Callable
from contextlib import closing
from typing import IO, Any

import pyarrow as pa

STREAMS: dict[bytes, Callable[[IO[bytes]], Any]] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file, mode="rb"),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
    b"\x28\xb5\x2f\xfd": lambda file: pa.CompressedInputStream(pa.PythonFile(file), "zstd"),
    b"\x04\x22\x4d\x18": lambda file: pa.CompressedInputStream(pa.PythonFile(file), "lz4"),
}
"""From the first bytes to what unpacks."""

_HEAD = max(map(len, STREAMS))


def open_unpacked(open_packed: Callable[[], IO[bytes]]) -> Any:
    """Open what a packed file unpacks to."""
    with closing(open_packed()) as file:
        head = file.read(_HEAD)
    unpack = next(unpack for magic, unpack in STREAMS.items() if head.startswith(magic))
    return _Unpacked(unpack, open_packed())


class _Unpacked(io.RawIOBase):
    """Reads what a packed file unpacks to, and closes both."""

    def __init__(self, unpack: Callable[[IO[bytes]], Any], file: IO[bytes]) -> None:
        super().__init__()
        self._file = file
        try:
            self._unpacked = unpack(file)
        except BaseException:
            self.close()
            raise

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._unpacked.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()
