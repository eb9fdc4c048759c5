"""Which formats there are, which records lie in a folder, and the one door through which they are read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from hemometric.ecg import Recording, Rejected
from hemometric.errors import UsageError
from hemometric.vendors.source import Source, Vendor
from hemometric.vendors.wfdb_format import WfdbVendor

VENDORS: tuple[Vendor, ...] = (WfdbVendor(),)
"""All readers; the first that recognises a file reads it."""


def find(roots: Sequence[Path]) -> Iterator[Source]:
    """List the records of folders and single files, sorted by key.

    A record is named by its root folder's name and its path in it, so that moving the archive changes no key. Hidden
    files (macOS leaves ``._00001.hea``) and folders behind symbolic links are left out.

    Parameters
    ----------
    roots : sequence of Path
        Folders, searched to the bottom, or single record files, which are named by the folder that they lie in.

    Raises
    ------
    UsageError
        At the call, before the first record: a path does not exist or may not be listed, no path holds a record,
        one path lies in another, or two records would get the same key. Only given paths are named.
    """
    roots = [Path(os.path.abspath(root)) for root in roots]  # noqa: PTH100 - `resolve` would rename linked folders
    for root in roots:
        _reach(root)
    folders = {root for root in roots if root.is_dir()}
    found: dict[str, tuple[str, str]] = {}
    num_shared: dict[Path, int] = {}
    num_files = 0
    for root in dict.fromkeys(roots):
        if inside := next((folder for folder in root.parents if folder in folders), None):
            raise UsageError(f"source {root} lies in source {inside}; give only the outer one")
        base = root if root in folders else root.parent
        num_records = 0
        for path, vendor in _records(root):
            num_files += 1
            if vendor is None:
                continue
            num_records += 1
            key = _text("/".join([base.name, *path.relative_to(base).with_suffix("").parts]).lstrip("/"))
            if key in found:
                num_shared[root] = num_shared.get(root, 0) + 1
            found[key] = (str(path), vendor.name)
        if root not in folders and not num_records:
            raise UsageError(f"source {root} is no ECG file that can be read ({_formats()}; for wfdb, give the .hea)")
    for root, num in num_shared.items():
        raise UsageError(
            f"source {root}: {num} of its records share a name with another one; give source folders whose names "
            "differ, and rename files that differ in nothing but their ending"
        )
    if not found:
        where = ", ".join(str(root) for root in roots) or "no path"
        raise UsageError(f"no ECG in {where}: {num_files} files, none in a known format ({_formats()})")
    # Paths are made one by one: for a million records, a million objects less.
    return (Source(key, Path(found[key][0]), found[key][1]) for key in sorted(found))


def read(source: Source) -> Recording | Rejected:
    """Read one record.

    Returns
    -------
    Recording or Rejected
        Bad bytes give a `Rejected` with a reason code, never an exception.

    Raises
    ------
    UsageError
        The source names a format that no vendor reads.
    """
    vendor = next((vendor for vendor in VENDORS if vendor.name == source.format), None)
    if vendor is None:
        raise UsageError(f"format {source.format!r} is not known; known: {_formats()}")
    return vendor.read(source.path, source.key)


def _reach(root: Path) -> None:
    try:
        root.stat()
    except FileNotFoundError:
        raise UsageError(f"source {root} does not exist") from None
    except OSError as error:
        raise UsageError(f"source {root} cannot be reached: {error.strerror}") from None


def _records(root: Path) -> Iterator[tuple[Path, Vendor | None]]:
    """Yield each file below with the vendor that reads it, None if it is no record."""
    for folder, names in _folders(root):
        vendors = {path: _vendor(path) for path in (folder / name for name in names)}
        parts = _parts({path: vendor.parts(path) for path, vendor in vendors.items() if vendor})
        yield from ((path, None if path in parts else vendor) for path, vendor in vendors.items())


def _parts(named: Mapping[Path, Sequence[Path]]) -> set[Path]:
    """Choose the records that are counted with another one; each is below a record that no other refers to.

    Records that refer to themselves or to each other in a circle are below nothing: they stay, each to be counted.
    """
    below = {part for path, parts in named.items() for part in parts if part != path}
    waiting = [path for path in named if path not in below]
    found: set[Path] = set()
    while waiting:
        path = waiting.pop()
        new = [part for part in named.get(path, ()) if part != path and part not in found]
        found.update(new)
        waiting.extend(new)
    return found


def _folders(root: Path) -> Iterator[tuple[Path, list[str]]]:
    if not root.is_dir():
        yield root.parent, [root.name]
        return
    refused: list[OSError] = []
    for folder, subfolders, names in os.walk(root, onerror=refused.append):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        yield Path(folder), sorted(name for name in names if not name.startswith("."))
    if refused:
        # A folder inside may be named after a patient: only the given one is said.
        what = "cannot be listed"
        if refused[0].filename != str(root):
            what = f"holds folders that cannot be listed ({len(refused)})"
        raise UsageError(f"source folder {root} {what}: {refused[0].strerror}; allow reading, or give other sources")


def _vendor(path: Path) -> Vendor | None:
    return next((vendor for vendor in VENDORS if vendor.sniff(path)), None)


def _text(name: str) -> str:
    """Write the bytes of a file name that are not UTF-8 as escapes, so that every key is text."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _formats() -> str:
    return ", ".join(vendor.name for vendor in VENDORS)
