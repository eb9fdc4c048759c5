"""Which records lie in a folder of this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from hemometric.errors import UsageError
from hemometric.vendors.source import HEAD_BYTES, Piece, Refusal, Vendor, read_bounded

CORPUS = ".hemometric-corpus"
"""A file that marks a folder as a corpus: what lies there comes from sources, and is none."""

_READERS = 8


class Found(NamedTuple):
    """A file that was looked at, or one ECG of it.

    Attributes
    ----------
    name : str
        Of the record, without the name of its root; the file's own where it is none.
    format : str
        Name of the vendor; empty where it is no record.
    path, item, place, files, refusal, origin
        As in `Source`.
    """

    name: str
    format: str
    path: str
    item: str = ""
    place: str = ""
    files: tuple[Piece, ...] = ()
    refusal: Refusal | None = None
    origin: str = ""


def files_of(root: Path, vendors: Sequence[Vendor]) -> Iterator[tuple[Path, Vendor | None]]:
    """Yield each file below with the vendor that reads it, None if it is no record.

    Raises
    ------
    UsageError
        A folder may not be listed; only the root is named.
    """
    # Several files at once: a disk or a network that must look for each would else be waited for.
    with ThreadPoolExecutor(_READERS) as readers:
        for folder, names in _folders(root):
            paths = [folder / name for name in names]
            heads = readers.map(_head, paths)
            found = {path: choose(path, head, vendors) for path, head in zip(paths, heads, strict=True)}
            parts = {part for path, vendor in found.items() if vendor and vendor.parts for part in vendor.parts(path)}
            yield from ((path, None if path in parts else vendor) for path, vendor in found.items())


def records_of_file(path: Path, name: str, vendor: Vendor | None) -> Iterator[Found]:
    """Yield the ECGs of one file, whose name in its root is `name`; the file itself where it is no record."""
    if vendor is None:
        yield Found(name, "", str(path))
        return
    record = record_name(name, vendor)
    yield from (Found(record, vendor.name, str(path), item) for item in vendor.list_items(path))


def num_linked_folders(roots: Sequence[Path]) -> int:
    """Count the links to folders that `files_of` does not follow, and that lead out of what it searches."""
    searched = [root.resolve() for root in roots]
    linked = 0
    for root in roots:
        for folder, subfolders, _ in os.walk(root):
            subfolders[:] = _shown(subfolders)
            links = (path.resolve() for path in (Path(folder, name) for name in subfolders) if path.is_symlink())
            linked += sum(not any(map(path.is_relative_to, searched)) for path in links)
    return linked


def record_name(name: str, vendor: Vendor) -> str:
    """Name a record after its file."""
    if not vendor.by_stem:
        return name
    folder, slash, file = name.rpartition("/")
    return f"{folder}{slash}{Path(file).stem}"


def choose(path: Path, head: bytes, vendors: Sequence[Vendor]) -> Vendor | None:
    """Choose the vendor that recognises a file, else the one whose suffix it has."""
    recognised = next((vendor for vendor in vendors if vendor.sniff(path, head)), None)
    return recognised or next(iter(by_suffix(path.name, vendors)), None)


def by_suffix(name: str, vendors: Sequence[Vendor]) -> list[Vendor]:
    """Find the vendors whose files end like this one."""
    suffix = Path(name).suffix.casefold()
    return [vendor for vendor in vendors if suffix in vendor.suffixes]


def header_vendor(name: str, vendors: Sequence[Vendor]) -> Vendor | None:
    """Find the vendor of records of several files of which this one, by its suffix, would be the first to read."""
    return next((vendor for vendor in by_suffix(name, vendors) if vendor.by_stem), None)


def _folders(root: Path) -> Iterator[tuple[Path, list[str]]]:
    if not root.is_dir():
        yield root.parent, [root.name]
        return
    refused: list[OSError] = []
    for folder, subfolders, names in os.walk(root, onerror=refused.append):
        if CORPUS in names:
            subfolders.clear()
            continue
        subfolders[:] = _shown(subfolders)
        yield Path(folder), _shown(names)
    if refused:
        # A folder inside may be named after a patient: only the given one is said.
        what = "cannot be listed"
        if refused[0].filename != str(root):
            what = f"holds folders that cannot be listed ({len(refused)})"
        raise UsageError(f"source folder {root} {what}: {refused[0].strerror}; allow reading, or give other sources")


def _shown(names: Sequence[str]) -> list[str]:
    """Leave out hidden ones; sorted."""
    return sorted(name for name in names if not name.startswith("."))


def _head(path: Path) -> bytes:
    try:
        return read_bounded(path, HEAD_BYTES)
    except OSError:
        return b""
