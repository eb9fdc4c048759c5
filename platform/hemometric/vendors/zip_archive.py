"""Zip archives: members listed by the directory at the end, and read at random, each within what it declares.

The directory is read as a stream: an archive of PhysioNet has 1.6 million members, for which `zipfile` takes 2 GB.

References
----------
PKWARE, APPNOTE.TXT 6.3.10, sections 4.3 to 4.5.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from hemometric.vendors.archive_members import ENCRYPTED, SPECIAL, Raw
from hemometric.vendors.source import Piece, ReadError, Refusal

_CHUNK = 1 << 18
_END = struct.Struct("<4s4H2IH")
_END_64 = struct.Struct("<4sQ2H2I4Q")
_LOCATOR_64 = struct.Struct("<4sIQI")
_ENTRY = struct.Struct("<4s6H3I5H2I")
_LOCAL = struct.Struct("<4s5H3I2H")
_MAX_COMMENT_BYTES = 65535
_STORED, _DEFLATED = 0, 8
_IS_ENCRYPTED, _IS_UTF8 = 1, 0x800
_FILE_TYPE, _ORDINARY, _FOLDER = 0xF000, 0x8000, 0x4000
_UNIX = (3, 19)


def zip_members(file: BinaryIO) -> Iterator[Raw]:
    """List the members, folders left out.

    Raises
    ------
    ReadError
        It is damaged, cut, or one of several volumes.
    """
    start, num_bytes, num_members, shift = _directory(file)
    file.seek(start)
    for _ in range(num_members):
        fields = _ENTRY.unpack(_exactly(file, _ENTRY.size))
        signature, made_by, _, flags, method, _, _, checksum, packed, size, len_name, len_extra, len_comment = fields[
            :13
        ]
        if signature != b"PK\x01\x02":
            raise ReadError("unreadable", "the directory of the archive is damaged")
        raw_name, extra = _exactly(file, len_name), _exactly(file, len_extra)
        _exactly(file, len_comment)
        *_, attributes, at = fields
        size, packed, at = _long(extra, size, packed, at)
        if at + shift >= start:
            raise ReadError("unreadable", "the directory of the archive names a place outside of it")
        name = raw_name.decode("utf-8" if flags & _IS_UTF8 else "cp437", "backslashreplace").replace("\\", "/")
        if not name.endswith("/"):
            mode = attributes >> 16 if made_by >> 8 in _UNIX else 0
            yield Raw(name, size, packed, checksum, at + shift, _refusal(flags, method, mode))
        if (num_bytes := num_bytes - _ENTRY.size - len_name - len_extra - len_comment) < 0:
            raise ReadError("unreadable", "the directory of the archive is damaged")


def zip_chunks(file: BinaryIO, piece: Piece) -> Iterator[bytes]:
    """Read one member: never more than it declares, and its checksum must be right at the end.

    Raises
    ------
    ReadError
        It is damaged.
    """
    file.seek(piece.at)
    signature, _, _, method, *_, len_name, len_extra = _LOCAL.unpack(_exactly(file, _LOCAL.size))
    if signature != b"PK\x03\x04":
        raise ReadError("unreadable", "the archive is damaged: no file begins where its directory says")
    file.seek(len_name + len_extra, 1)
    if method not in (_STORED, _DEFLATED):
        raise ReadError("unreadable", "the archive is damaged: a file is stored otherwise than its directory says")
    checksum, left = 0, piece.num_bytes
    for chunk in _stored(file, left) if method == _STORED else _inflated(file):
        left -= len(chunk)
        if left < 0:
            raise ReadError("too_large", "it unpacks to more than the archive declares")
        checksum = zlib.crc32(chunk, checksum)
        yield chunk
    if left or checksum != piece.version:
        raise ReadError("checksum", "its bytes do not match the size and checksum of the archive")


def _refusal(flags: int, method: int, mode: int) -> Refusal | None:
    if flags & _IS_ENCRYPTED:
        return ENCRYPTED
    if mode & _FILE_TYPE not in (0, _ORDINARY, _FOLDER):
        return SPECIAL
    if method not in (_STORED, _DEFLATED):
        return "unsupported", f"it is packed by method {method}; read are stored and deflated members"
    return None


def _directory(file: BinaryIO) -> tuple[int, int, int, int]:
    """Give where the directory begins, its bytes, its entries, and by how much all places are shifted."""
    total = file.seek(0, 2)
    tail_at = max(0, total - _END.size - _MAX_COMMENT_BYTES)
    file.seek(tail_at)
    tail = file.read(_END.size + _MAX_COMMENT_BYTES)
    found = tail.rfind(b"PK\x05\x06")
    if found < 0 or len(tail) - found < _END.size:
        raise ReadError("truncated", "it is no zip archive, or its end is missing")
    _, disk, first_disk, _, num, num_bytes, start, _ = _END.unpack_from(tail, found)
    end = tail_at + found
    if 0xFFFF in (num, disk, first_disk) or 0xFFFFFFFF in (num_bytes, start):
        file.seek(max(0, end - _LOCATOR_64.size))
        signature, _, at, _ = _LOCATOR_64.unpack(_exactly(file, _LOCATOR_64.size))
        if signature == b"PK\x06\x07":
            end -= _LOCATOR_64.size + _END_64.size  # read by its size from behind: a shifted archive has it elsewhere
            file.seek(max(0, end))
            signature, _, _, _, disk, first_disk, _, num, num_bytes, start = _END_64.unpack(
                _exactly(file, _END_64.size)
            )
            if signature != b"PK\x06\x06" or at > end:
                raise ReadError("unreadable", "the directory of the archive is damaged")
    if disk or first_disk:
        raise ReadError("unsupported", "the archive is one of several volumes; join them")
    shift = end - num_bytes - start  # something may stand before an archive, such as a program that unpacks it
    if shift < 0:
        raise ReadError("unreadable", "the directory of the archive is damaged")
    return start + shift, num_bytes, num, shift


def _long(extra: bytes, size: int, packed: int, at: int) -> tuple[int, int, int]:
    """Put in the 64-bit values of those that do not fit into 32 bits."""
    place = 0
    while place + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, place)
        if kind == 1:
            wide = extra[place + 4 : place + 4 + length]
            values = []
            for value in (size, packed, at):
                if value == 0xFFFFFFFF and len(wide) >= 8:
                    value, wide = struct.unpack_from("<Q", wide)[0], wide[8:]
                values.append(value)
            return values[0], values[1], values[2]
        place += 4 + length
    return size, packed, at


def _stored(file: BinaryIO, num_bytes: int) -> Iterator[bytes]:
    while num_bytes > 0:
        chunk = file.read(min(_CHUNK, num_bytes))
        if not chunk:
            return
        num_bytes -= len(chunk)
        yield chunk


def _inflated(file: BinaryIO) -> Iterator[bytes]:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    packed = b""
    while not inflater.eof:
        packed = inflater.unconsumed_tail or file.read(_CHUNK)
        if not packed:
            return
        try:
            yield inflater.decompress(packed, _CHUNK)
        except zlib.error:
            raise ReadError("unreadable", "it cannot be unpacked: its bytes are damaged") from None


def _exactly(file: BinaryIO, num_bytes: int) -> bytes:
    content = file.read(num_bytes)
    if len(content) < num_bytes:
        raise ReadError("truncated", "the archive ends too early")
    return content
