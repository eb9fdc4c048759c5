"""Where the files of records lie, if not in a folder of this machine, and how they get into one.

Readers know paths only. What lies elsewhere is listed without being copied (`Place.members`, `Place.heads`), and the
files of the records that are read next are copied into a folder (`local`) that is removed afterwards.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Protocol

from hemometric.errors import PrecheckError
from hemometric.vendors.archive import Archive
from hemometric.vendors.archive_members import ArchivesConfig, Member
from hemometric.vendors.scratch import scratch
from hemometric.vendors.source import Piece, Refusal, Source

_MAX_NAME_BYTES = 255


class Place(Protocol):
    """An archive or a store of files, such as a bucket."""

    @property
    def address(self) -> str:
        """What `open_place` opens it by; without any secret."""
        ...

    @property
    def heads_are_cheap(self) -> bool:
        """Whether looking into a file costs no request."""
        ...

    def members(self, bounds: ArchivesConfig) -> list[Member]:
        """List its files; `ReadError` where it is damaged."""
        ...

    def heads(self, pieces: Sequence[Piece], num_bytes: int) -> Iterator[bytes]:
        """Give the first bytes of each file; none where they cannot be had."""
        ...

    def fetch(self, wanted: Sequence[tuple[Piece, Path]], max_bytes: int = ...) -> list[Refusal | None]:
        """Write files to where they are wanted, and say what was wrong with each; none may be larger than that."""
        ...


def open_place(address: str) -> Place:
    """Open a place by its address: ``zip:/archive/2021.zip``, ``s3://bucket/ecg``."""
    if "://" in address:
        from hemometric.vendors.remote import Remote

        return Remote(address)
    kind, _, path = address.partition(":")
    return Archive(kind, Path(path))


@contextmanager
def local(sources: Sequence[Source]) -> Iterator[tuple[Source, ...]]:
    """Have all files of some sources in folders of this machine, for as long as the block lasts.

    Yields
    ------
    tuple of Source
        The same, in their order, without a place. One whose files cannot be had says so in its `refusal`; one that is
        a plain file is passed on as it is.

    Raises
    ------
    PrecheckError
        A store cannot be reached, or the disk of temporary files is full. ``TMPDIR`` chooses another one.
    """
    if not any(source.place for source in sources):
        yield tuple(sources)
        return
    with scratch() as folder:
        try:
            found = [
                one
                for number, (address, group) in enumerate(groupby(sources, key=lambda source: source.place))
                for one in _fetched(address, list(group), folder / str(number))
            ]
        except OSError as error:
            raise PrecheckError(
                f"files of an archive cannot be copied to {tempfile.gettempdir()} ({error.strerror}); "
                "free some space there, or set TMPDIR to another folder"
            ) from None
        yield tuple(found)


def _fetched(address: str, sources: Sequence[Source], folder: Path) -> list[Source]:
    if not address:
        return list(sources)
    wanted: list[tuple[Piece, Path]] = []
    owners: list[int] = []
    refusals = [source.refusal for source in sources]
    for number, source in enumerate(sources):
        if source.refusal is not None:
            continue
        here = folder / str(number)
        here.mkdir(parents=True)
        for piece in source.files:
            name = base_name(piece.name)
            if name is None:
                refusals[number] = ("unsafe_name", "its name is none that a folder can hold")
            else:
                owners.append(number)
                wanted.append((piece, here / name))
    for number, refusal in zip(owners, open_place(address).fetch(wanted) if wanted else (), strict=True):
        refusals[number] = refusals[number] or refusal
    return [
        replace(source, place="", files=(), path=folder / str(number) / source.path.name, refusal=refusals[number])
        for number, source in enumerate(sources)
    ]


def base_name(name: str) -> str | None:
    """Give the last part of a name, under which a file may be written; None where there is no such name."""
    last = name.rpartition("/")[2]
    length = len(last.encode("utf-8", "surrogateescape"))
    return None if last in ("", ".", "..") or "\0" in last or length > _MAX_NAME_BYTES else last
