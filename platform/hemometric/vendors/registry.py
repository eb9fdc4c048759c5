"""Which formats there are, which records lie in a folder, and the one door through which they are read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path

from hemometric.ecg import Recording, Rejected
from hemometric.errors import UsageError
from hemometric.vendors.aecg_format import HL7_AECG
from hemometric.vendors.dicom_format import DICOM
from hemometric.vendors.edf_format import EDF
from hemometric.vendors.hdf5_format import HDF5
from hemometric.vendors.ishne_format import ISHNE
from hemometric.vendors.muse_format import GE_MUSE
from hemometric.vendors.philips_format import PHILIPS_SIERRA
from hemometric.vendors.schiller_format import SCHILLER
from hemometric.vendors.scp_format import SCP_ECG
from hemometric.vendors.source import HEAD_BYTES, Source, Vendor, read_bounded
from hemometric.vendors.wfdb_format import WFDB

VENDORS: tuple[Vendor, ...] = (WFDB, DICOM, EDF, GE_MUSE, HDF5, PHILIPS_SIERRA, SCHILLER, HL7_AECG, SCP_ECG, ISHNE)
"""All readers that need no config; the first that recognises a file reads it."""

FIELDS = {
    "formats.npy": (".npy", ".npz"),
    "formats.csv": (".csv",),
    "formats.columnar": (".parquet", ".pq", ".arrow", ".feather", ".ipc"),
}
"""Fields of an ingest's config that have further files read, and how these end."""


def find(roots: Sequence[Path], vendors: Sequence[Vendor] = VENDORS) -> Iterator[Source]:
    """List the records of folders and single files, sorted by key.

    A record is named by its root folder's name and its path in it, so that moving the archive changes no key. Hidden
    files (macOS leaves ``._00001.hea``) and folders behind symbolic links are left out. A file that no reader
    recognises but whose suffix is that of a format is listed too: reading it says what is wrong.

    Parameters
    ----------
    roots : sequence of Path
        Folders, searched to the bottom, or single record files, which are named by the folder that they lie in.
    vendors : sequence of Vendor
        The readers to ask, in this order.

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
    found: dict[str, tuple[str, str, str]] = {}
    num_shared: dict[Path, int] = {}
    num_files = 0
    unread: dict[str, Path] = {}
    for root in dict.fromkeys(roots):
        if inside := next((folder for folder in root.parents if folder in folders), None):
            raise UsageError(f"source {root} lies in source {inside}; give only the outer one")
        base = root if root in folders else root.parent
        num_records = 0
        for path, vendor in _records(root, vendors):
            num_files += 1
            if vendor is None:
                unread.setdefault(path.suffix, path)
                continue
            num_records += 1
            name = path.relative_to(base)
            name = name.with_suffix("") if vendor.by_stem else name
            key = _text("/".join([base.name, *name.parts]).lstrip("/"))
            for item in vendor.list_items(path):
                of_item = f"{key}/{item}" if item else key
                if of_item in found:
                    num_shared[root] = num_shared.get(root, 0) + 1
                found[of_item] = (str(path), vendor.name, item)
        if root not in folders and not num_records:
            raise UsageError(
                f"source {root} is no ECG file that can be read ({_formats(vendors)}; for wfdb, give the .hea)"
                f"{_hint([root])}"
            )
    for root, num in num_shared.items():
        raise UsageError(
            f"source {root}: {num} of its records share a name with another one; give source folders whose names "
            "differ, and rename files that differ in nothing but their ending"
        )
    if not found:
        where = ", ".join(str(root) for root in roots) or "no path"
        formats = f"{num_files} files, none in a known format ({_formats(vendors)})"
        raise UsageError(f"no ECG in {where}: {formats}{_hint(unread.values())}")
    # Paths are made one by one: for a million records, a million objects less.
    return (Source(key, Path(path), name, item) for key, (path, name, item) in sorted(found.items()))


def read(source: Source, vendors: Sequence[Vendor] = VENDORS) -> Recording | Rejected:
    """Read one record; see `read_all`."""
    return next(read_all([source], vendors))


def read_all(sources: Sequence[Source], vendors: Sequence[Vendor] = VENDORS) -> Iterator[Recording | Rejected]:
    """Read records, in their order; a file that holds several that stand side by side is opened once.

    Yields
    ------
    Recording or Rejected
        Bad bytes give a `Rejected` with a reason code, never an exception.

    Raises
    ------
    UsageError
        A source names a format that no vendor reads.
    """
    for (path, name), group in groupby(sources, key=lambda source: (source.path, source.format)):
        yield from vendor_of(name, vendors).read_all(path, {source.item: source.key for source in group})


def vendor_of(name: str, vendors: Sequence[Vendor] = VENDORS) -> Vendor:
    """Find the reader of a format.

    Raises
    ------
    UsageError
        There is none.
    """
    vendor = next((vendor for vendor in vendors if vendor.name == name), None)
    if vendor is None:
        raise UsageError(f"format {name!r} is not known; known: {_formats(vendors)}")
    return vendor


def _reach(root: Path) -> None:
    try:
        root.stat()
    except FileNotFoundError:
        raise UsageError(f"source {root} does not exist") from None
    except OSError as error:
        raise UsageError(f"source {root} cannot be reached: {error.strerror}") from None


def _records(root: Path, vendors: Sequence[Vendor]) -> Iterator[tuple[Path, Vendor | None]]:
    """Yield each file below with the vendor that reads it, None if it is no record."""
    for folder, names in _folders(root):
        found = {path: _vendor(path, vendors) for path in (folder / name for name in names)}
        parts = _parts({path: vendor.parts(path) for path, vendor in found.items() if vendor and vendor.parts})
        yield from ((path, None if path in parts else vendor) for path, vendor in found.items())


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


def _vendor(path: Path, vendors: Sequence[Vendor]) -> Vendor | None:
    try:
        head = read_bounded(path, HEAD_BYTES)
    except OSError:
        head = b""
    suffix = path.suffix.casefold()
    recognised = (vendor for vendor in vendors if vendor.sniff(path, head))
    named = (vendor for vendor in vendors if suffix in vendor.suffixes)
    return next(recognised, None) or next(named, None)


def _text(name: str) -> str:
    """Write the bytes of a file name that are not UTF-8 as escapes, so that every key is text."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _hint(paths: Iterable[Path]) -> str:
    """Say which fields of a config might have these files read, if any."""
    there = {path.suffix.casefold() for path in paths}
    fields = [field for field, suffixes in FIELDS.items() if there.intersection(suffixes)]
    return f"; arrays and tables are read where the config has {' or '.join(fields)}" if fields else ""


def _formats(vendors: Sequence[Vendor]) -> str:
    return ", ".join(vendor.name for vendor in vendors)
