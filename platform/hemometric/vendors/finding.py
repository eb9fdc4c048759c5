"""The files below one source: a folder, an archive, a store, and archives that lie in a folder or a store."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from hemometric.vendors.archive import Archive
from hemometric.vendors.archive_members import ArchivesConfig, Member, kind_of
from hemometric.vendors.depot import Depot
from hemometric.vendors.folders import Found, files_of, header_vendor, record_name, records_of_file
from hemometric.vendors.listing import REFUSED, records_of
from hemometric.vendors.places import Place
from hemometric.vendors.remote import ITSELF, Remote
from hemometric.vendors.source import Piece, ReadError, Refusal, Vendor, stem_of

Root = Path | str
"""A folder or a file; or, as text, the address of a store."""

_NO_DEPOT: Refusal = ("unsupported", "a compressed archive is unpacked by an ingest only; unpack it")


def found_below(
    root: Root, vendors: Sequence[Vendor], bounds: ArchivesConfig, depot: Depot | None
) -> tuple[str, Iterator[Found]]:
    """Give the name of a source, with which all keys of its records begin, and its records and all other files.

    Raises
    ------
    UsageError
        A folder may not be listed, a store not be read.
    PrecheckError
        A store cannot be reached, or the disk is too small for what must be unpacked.
    """
    if isinstance(root, str):
        return _in_store(root, vendors, bounds, depot)
    if not root.is_dir() and kind_of(root.name):
        return root.name, _in_archive(root, "", vendors, bounds, depot)
    base = root if root.is_dir() else root.parent
    return base.name, _in_folder(root, base, vendors, bounds, depot)


def _in_folder(
    root: Path, base: Path, vendors: Sequence[Vendor], bounds: ArchivesConfig, depot: Depot | None
) -> Iterator[Found]:
    for path, vendor in files_of(root, vendors):
        name = "/".join(path.relative_to(base).parts)
        if vendor is None and bounds.found and kind_of(path.name):
            yield from _in_archive(path, f"{name}/", vendors, bounds, depot)
        else:
            yield from records_of_file(path, name, vendor)


def _in_store(
    url: str, vendors: Sequence[Vendor], bounds: ArchivesConfig, depot: Depot | None
) -> tuple[str, Iterator[Found]]:
    place = Remote(url)
    members = place.members(bounds)
    if len(members) != 1 or members[0].piece.at != ITSELF:
        return _last(url), _in_listed(place, members, vendors, bounds, depot)
    (member,) = members
    if kind_of(member.piece.name):
        found = _in_stored_archive(place, member.piece, vendors, bounds, depot)
        return "", found
    # The other files of its record are found beside it.
    folder = url.rstrip("/").rpartition("/")[0]
    near = Remote(folder)
    found = records_of(near, near.beside(member.piece.name, bounds), vendors, depot)
    return _last(folder), (one for one in found if member.piece.name in (one.path, _last(one.origin)))


def _last(url: str) -> str:
    return url.rstrip("/").rpartition("/")[2]


def _in_listed(
    place: Place, members: Sequence[Member], vendors: Sequence[Vendor], bounds: ArchivesConfig, depot: Depot | None
) -> Iterator[Found]:
    plain = []
    for member in members:
        if bounds.found and member.refusal is None and kind_of(member.piece.name):
            yield from _in_stored_archive(place, member.piece, vendors, bounds, depot)
        else:
            plain.append(member)
    yield from records_of(place, plain, vendors, depot)


def _in_stored_archive(
    place: Place, piece: Piece, vendors: Sequence[Vendor], bounds: ArchivesConfig, depot: Depot | None
) -> Iterator[Found]:
    """An archive in a store is copied once, since reading at random would be a request for each member."""
    kept = _NO_DEPOT if depot is None else depot.keep(place, piece)
    if isinstance(kept, Path):
        for found in _in_archive(kept, f"{piece.name}/", vendors, bounds, depot):
            yield found._replace(origin=f"{place.address}/{found.name}")
    else:
        yield Found(piece.name, REFUSED, piece.name, "", place.address, (piece,), kept)


def _in_archive(
    path: Path, prefix: str, vendors: Sequence[Vendor], bounds: ArchivesConfig, depot: Depot | None
) -> Iterator[Found]:
    """Yield what an archive holds; one that is damaged is one refused record."""
    kind = kind_of(path.name)
    try:
        if kind == "packed":
            yield from _unpacked(path, prefix, vendors, depot)
            return
        place = Archive(kind, path)
        members = place.members(bounds)
        found = list(records_of(place, members, vendors, depot))
    except ReadError as error:
        yield _refused(path, prefix, (error.reason, error.detail))
    except OSError as error:
        yield _refused(path, prefix, ("unreadable", f"a file cannot be read: {error.strerror}"))
    else:
        yield from (one._replace(name=f"{prefix}{one.name}") for one in found)


def _unpacked(path: Path, prefix: str, vendors: Sequence[Vendor], depot: Depot | None) -> Iterator[Found]:
    if depot is None:
        yield _refused(path, prefix, _NO_DEPOT)
        return
    folder, refused = depot.unpack(path)
    why: dict[tuple[str, str], list[Member]] = defaultdict(list)
    for member in refused:
        why[_stem_in_folder(member.piece.name)].append(member)
    for one, vendor in files_of(folder, vendors):
        name = os.path.relpath(one, folder)
        # A record is refused for any of its files.
        mine = why.pop(_stem_in_folder(name), []) if vendor and vendor.by_stem else []
        refusal = mine[0].refusal if mine else None
        for found in records_of_file(one, f"{prefix}{name}", vendor):
            yield found._replace(origin=f"{path}/{name}", refusal=refusal)
    for members in why.values():
        headers = [member for member in members if header_vendor(member.piece.name, vendors)]
        for piece, refusal in headers[:1] or members:
            header = header_vendor(piece.name, vendors)
            name = record_name(piece.name, header) if header else piece.name
            yield Found(f"{prefix}{name}", REFUSED, piece.name, "", f"tar:{path}", (piece,), refusal)


def _stem_in_folder(name: str) -> tuple[str, str]:
    folder, _, file = name.rpartition("/")
    return folder, stem_of(file)


def _refused(path: Path, prefix: str, refusal: Refusal) -> Found:
    changed = 0
    num_bytes = 0
    try:
        status = path.stat()
        changed, num_bytes = status.st_mtime_ns, status.st_size
    except OSError:
        pass
    piece = Piece(path.name, num_bytes, changed)
    return Found(prefix.rstrip("/") or path.name, REFUSED, path.name, "", f"file:{path}", (piece,), refusal)
