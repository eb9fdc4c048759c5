"""Tar archives: headers of 512 bytes, each followed by its file; old, POSIX (pax) and GNU long names.

Read here and not by `tarfile`, which reads extended headers of any size at once, follows negative sizes for ever
(CVE-2025-8194), and reads on in silence behind damage. It is the oracle of this format's tests.

References
----------
IEEE Std 1003.1-2017, pax, "pax Interchange Format" and "ustar Interchange Format".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from hemometric.vendors.archive_members import SPECIAL, Raw
from hemometric.vendors.source import Piece, ReadError, Refusal

_BLOCK = 512
_CHUNK = 1 << 18
_MAX_EXTENDED_BYTES = 1 << 20
_FOLDER = b"5"
_PAX, _PAX_FOR_ALL, _GNU_NAME, _GNU_LINK = b"x", b"g", b"L", b"K"


def tar_members(file: BinaryIO) -> Iterator[Raw]:
    """List the members of an archive that can be sought in, folders left out; their bytes are skipped.

    Raises
    ------
    ReadError
        It is damaged or cut.
    """
    total = file.seek(0, 2)
    file.seek(0)
    for raw in tar_stream(file):
        end = raw.at + raw.num_bytes
        if end > total:
            raise ReadError("truncated", "the archive ends within a file")
        yield raw
        file.seek(raw.at + padded(raw.num_bytes))


def tar_stream(file: BinaryIO) -> Iterator[Raw]:
    """List the members of an archive that is read once; whoever iterates must move on to the end of each one's bytes.

    Yields
    ------
    Raw
        `at` is where the bytes begin, and where `file` stands; they take `padded` of their number.

    Raises
    ------
    ReadError
        As for `tar_members`.
    """
    at, is_first = 0, True
    extended: dict[str, bytes] = {}
    while True:
        header = file.read(_BLOCK)
        at += len(header)
        if len(header) == _BLOCK and not header.strip(b"\0"):
            return
        if len(header) < _BLOCK or not _is_sound(header):
            reason = "unreadable" if is_first or len(header) == _BLOCK else "truncated"
            raise ReadError(reason, "it is no tar archive" if is_first else "the archive is damaged or cut")
        is_first = False
        size, kind = _number(header[124:136]), header[156:157]
        if kind in (_PAX, _PAX_FOR_ALL, _GNU_NAME, _GNU_LINK):
            if size > _MAX_EXTENDED_BYTES:
                raise ReadError("too_large", "the archive has a name of more than a megabyte")
            content = file.read(padded(size))[:size]
            at += padded(size)
            if kind == _GNU_NAME:
                extended["path"] = content.rstrip(b"\0")
            elif kind == _PAX:
                extended |= _records(content)
            continue
        size = _decimal(extended["size"]) if "size" in extended else size
        name = extended.get("path") or _ustar_name(header)
        is_sparse = kind == b"S" or any(key.startswith("GNU.sparse") for key in extended)
        extended = {}
        text = name.decode("utf-8", "backslashreplace")
        is_plain = kind in (b"0", b"\0", b"7")
        held = size if is_plain or kind not in b"123456" else 0  # links, devices and folders have no bytes
        if kind != _FOLDER and not text.endswith("/"):
            yield Raw(text, held, held, 0, at, None if is_plain and not is_sparse else _refusal(is_sparse))
            at += padded(held)


def tar_chunks(file: BinaryIO, piece: Piece) -> Iterator[bytes]:
    """Read one member.

    Raises
    ------
    ReadError
        The archive has been cut since it was listed.
    """
    file.seek(piece.at)
    left = piece.num_bytes
    while left:
        chunk = file.read(min(_CHUNK, left))
        if not chunk:
            raise ReadError("truncated", "the archive ends within the file")
        left -= len(chunk)
        yield chunk


def _refusal(is_sparse: bool) -> Refusal:
    return ("unsupported", "it is stored with holes (sparse); pack it plainly") if is_sparse else SPECIAL


def _is_sound(header: bytes) -> bool:
    try:
        announced = _number(header[148:156])
    except ReadError:
        return False
    return announced == sum(header[:148]) + 8 * 32 + sum(header[156:])


def _number(field: bytes) -> int:
    """Read octal digits or, beyond 8 GB, a binary number."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    text = field.strip(b"\0 ")
    try:
        return int(text, 8) if text else 0
    except ValueError:
        raise ReadError("unreadable", "the archive is damaged: a size is no number") from None


def _decimal(text: bytes) -> int:
    if not text.isdigit() or len(text) > 19:
        raise ReadError("unreadable", "the archive is damaged: a size is no number")
    return int(text)


def _records(content: bytes) -> dict[str, bytes]:
    """Read the records ``<length> <key>=<value>`` of an extended header."""
    found: dict[str, bytes] = {}
    while content:
        digits, _, _ = content.partition(b" ")
        if not digits.isdigit() or len(digits) > 7 or not len(digits) + 3 <= int(digits) <= len(content):
            raise ReadError("unreadable", "the archive is damaged: a long name ends too early")
        record, content = content[len(digits) + 1 : int(digits) - 1], content[int(digits) :]
        key, _, value = record.partition(b"=")
        found[key.decode("utf-8", "replace")] = value
    return found


def _ustar_name(header: bytes) -> bytes:
    name = header[:100].partition(b"\0")[0]
    prefix = header[345:500].partition(b"\0")[0] if header[257:263] == b"ustar\0" else b""
    return prefix + b"/" + name if prefix else name


def padded(num_bytes: int) -> int:
    """Give what so many bytes take in an archive."""
    return -(-num_bytes // _BLOCK) * _BLOCK
