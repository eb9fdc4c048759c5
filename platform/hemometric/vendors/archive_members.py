"""What an archive may hold: safe names, plain files, sizes within bounds; all else is refused before it is opened.

Nothing of an archive ever names a place outside of the folder that it is read into: names are judged here, and a
file is written under its last part alone, or below a folder in which there are no links.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Annotated, NamedTuple

from pydantic import Field

from hemometric.config import PLACEMENT, Config
from hemometric.vendors.source import Piece, Refusal

MAX_RATIO = 200
"""A member that unpacks to more than so many times its size is a bomb; deflate reaches 1032, and no ECG does."""

_RATIO_FROM_BYTES = 1 << 18  # below, even a bomb is none
_MAX_NAME_BYTES = 255
_DRIVE = re.compile(r"[A-Za-z]:")

UNSAFE = "unsafe_name"
NESTED: Refusal = ("nested_archive", "an archive inside of an archive is not opened; unpack the outer one")
ENCRYPTED: Refusal = ("encrypted", "it is encrypted; unpack the archive")
SPECIAL: Refusal = ("unsafe", "it is a link or a device, which an archive of ECGs needs not")
BOMB: Refusal = ("too_large", f"it unpacks to more than {MAX_RATIO} times its size")

KINDS = {
    ".tar.gz": "packed",
    ".tgz": "packed",
    ".tar.bz2": "packed",
    ".tbz2": "packed",
    ".tar.xz": "packed",
    ".txz": "packed",
    ".zip": "zip",
    ".tar": "tar",
    ".gz": "gz",
}
"""Kinds of archives by the ends of their names."""


class ArchivesConfig(Config):
    """Archives among the sources; one that is given as a source is always opened.

    Attributes
    ----------
    found : bool
        Also open those that lie in source folders.
    max_member_bytes : int
        A file in an archive that unpacks to more is refused.
    max_total_bytes : int
        Of one archive no more than this is unpacked; what follows is refused.
    """

    found: Annotated[bool, PLACEMENT] = True
    max_member_bytes: Annotated[int, PLACEMENT] = Field(16 << 30, ge=1)
    max_total_bytes: Annotated[int, PLACEMENT] = Field(1 << 40, ge=1)


class Raw(NamedTuple):
    """A member as its archive describes it.

    Attributes
    ----------
    name : str
        Whatever stands there.
    packed_bytes : int
        What it takes in the archive.
    refusal : tuple or None
        What the format itself says against it.
    """

    name: str
    num_bytes: int
    packed_bytes: int
    version: int
    at: int
    refusal: Refusal | None = None


class Member(NamedTuple):
    """A file of a place, and what speaks against reading it."""

    piece: Piece
    refusal: Refusal | None = None


def kind_of(name: str) -> str:
    """Say what kind of archive a file is by the end of its name; "" if none."""
    folded = name.casefold()
    return next((kind for end, kind in KINDS.items() if folded.endswith(end) and len(folded) > len(end)), "")


def is_hidden(name: str) -> bool:
    """Whether a file is left out, as it would be in a folder: its name, or a folder's above it, begins with a dot."""
    return any(part.startswith(".") and part != ".." for part in name.split("/"))


def judged(members: Iterable[Raw], bounds: ArchivesConfig) -> Iterator[Member]:
    """Judge the members of one archive, in their order; hidden ones are left out.

    Of two with the same name nobody can tell which is meant: the name is refused, once.
    """
    found: dict[str, Member] = {}
    total = 0
    for raw in members:
        name = plain_name(raw.name)
        if name is not None and (is_hidden(name) or not name):
            continue
        refusal = _refusal(name, raw, bounds)
        if refusal is None:
            total += raw.num_bytes
            if total > bounds.max_total_bytes:
                refusal = ("too_large", "the archive unpacks to more than archives.max_total_bytes")
        if name is None:
            name = raw.name
        elif name in found:
            refusal = (UNSAFE, "several files of the archive have its name")
        found[name] = Member(Piece(name, raw.num_bytes, raw.version, raw.at), refusal)
    yield from found.values()


def plain_name(raw: str) -> str | None:
    """Write a member's name without ``.`` and doubled slashes; None where it might lead out of its folder."""
    parts = raw.split("/")
    if raw.startswith("/") or _DRIVE.match(raw) or "\0" in raw or ".." in parts:
        return None
    parts = [part for part in parts if part not in ("", ".")]
    if any(len(part.encode("utf-8", "surrogateescape")) > _MAX_NAME_BYTES for part in parts):
        return None
    return "/".join(parts)


def _refusal(name: str | None, raw: Raw, bounds: ArchivesConfig) -> Refusal | None:
    if name is None:
        return UNSAFE, "its name leads out of the archive, or is none that a folder can hold"
    if raw.refusal is not None:
        return raw.refusal
    if kind_of(name):
        return NESTED
    if raw.num_bytes < 0:
        return "unreadable", "the archive gives it a negative size"
    if raw.num_bytes > bounds.max_member_bytes:
        return "too_large", "it unpacks to more than archives.max_member_bytes"
    if raw.num_bytes > _RATIO_FROM_BYTES and raw.num_bytes > MAX_RATIO * raw.packed_bytes:
        return BOMB
    return None
