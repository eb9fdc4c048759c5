"""Which formats there are, which records lie in a folder, and the one door through which they are read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

from hemometric.ecg import Recording, Rejected
from hemometric.errors import UsageError
from hemometric.vendors.aecg_format import HL7_AECG
from hemometric.vendors.archive_members import ArchivesConfig, kind_of
from hemometric.vendors.depot import Depot
from hemometric.vendors.dicom_format import DICOM
from hemometric.vendors.edf_format import EDF
from hemometric.vendors.finding import Root, found_below
from hemometric.vendors.folders import Found
from hemometric.vendors.hdf5_format import HDF5
from hemometric.vendors.ishne_format import ISHNE
from hemometric.vendors.muse_format import GE_MUSE
from hemometric.vendors.philips_format import PHILIPS_SIERRA
from hemometric.vendors.places import local
from hemometric.vendors.schiller_format import SCHILLER
from hemometric.vendors.scp_format import SCP_ECG
from hemometric.vendors.source import Source, Vendor
from hemometric.vendors.stores import checked_url, is_url
from hemometric.vendors.wfdb_format import WFDB

VENDORS: tuple[Vendor, ...] = (WFDB, DICOM, EDF, GE_MUSE, HDF5, PHILIPS_SIERRA, SCHILLER, HL7_AECG, SCP_ECG, ISHNE)
"""All readers that need no config; the first that recognises a file reads it."""

FIELDS = {
    "formats.npy": (".npy", ".npz"),
    "formats.csv": (".csv",),
    "formats.columnar": (".parquet", ".pq", ".arrow", ".feather", ".ipc"),
}
"""Fields of an ingest's config that have further files read, and how these end."""


ARCHIVES = ArchivesConfig()
_LOCAL = "file://"


def find(
    roots: Sequence[Root],
    vendors: Sequence[Vendor] = VENDORS,
    *,
    archives: ArchivesConfig = ARCHIVES,
    depot: Path | None = None,
) -> Iterator[Source]:
    """List the records of folders, single files, archives and stores, sorted by key.

    A record is named by its root's name and its path in it, so that moving the archive changes no key; of a record
    in an archive that lies in a folder, the archive's name is a part of the path. Hidden files (macOS leaves
    ``._00001.hea``) and folders behind symbolic links (see `folders.num_linked_folders`) are left out. A file that no
    reader recognises but whose suffix is that of a format is listed too: reading it says what is wrong.

    Parameters
    ----------
    roots : sequence of Path or str
        Folders, searched to the bottom; single record files, which are named by the folder that they lie in; archives
        (``.zip``, ``.tar``, compressed tar, ``.gz`` of one file); or addresses that fsspec reads, such as
        ``s3://bucket/folder``.
    vendors : sequence of Vendor
        The readers to ask, in this order.
    archives : ArchivesConfig
        Whether archives in folders are opened, and how much one may unpack to.
    depot : Path or None
        Folder for copies of what cannot be read at random, for as long as the sources are read; see `depot`. Records
        that need one are refused without it.

    Raises
    ------
    UsageError
        At the call, before the first record: a path does not exist or may not be listed, no path holds a record,
        one path lies in another, or two records would get the same key. Only given paths are named.
    PrecheckError
        A store cannot be reached, or the disk is too small for what must be unpacked.
    """
    roots = [_whole(root) for root in roots]
    for root in roots:
        _reach(root)
    folders = {root for root in roots if isinstance(root, Path) and root.is_dir()}
    keep = None if depot is None else Depot(depot, archives)
    found: dict[str, Found] = {}
    num_shared: dict[Root, int] = {}
    num_files = 0
    unread: dict[str, Path] = {}
    for root in dict.fromkeys(roots):
        outer = root.parents if isinstance(root, Path) else ()
        if inside := next((folder for folder in outer if folder in folders), None):
            raise UsageError(f"source {root} lies in source {inside}; give only the outer one")
        num_records = 0
        base, below = found_below(root, vendors, archives, keep)
        for one in below:
            if not one.format:
                num_files += 1
                unread.setdefault(Path(one.path).suffix, Path(one.path))
                continue
            num_records += 1
            key = _text(f"{base}/{one.name}".lstrip("/"))
            key = f"{key}/{one.item}" if one.item else key
            if key in found and one.refusal is not None:
                key = f"{key}/{one.refusal[0]}"
            if key in found:
                num_shared[root] = num_shared.get(root, 0) + 1
            found[key] = one
        if root not in folders and not num_records:
            raise _nothing_in(root, vendors)
    if keep is not None:
        keep.clear()
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
    return (
        Source(key, Path(one.path), one.format, one.item, one.place, one.files, one.refusal, one.origin)
        for key, one in sorted(found.items())
    )


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
    with local(sources) as here:
        for (path, name, refusal), group in groupby(here, key=lambda one: (one.path, one.format, one.refusal)):
            if refusal is not None:
                yield from (Rejected(source.key, *refusal) for source in group)
            else:
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


def _whole(root: Root) -> Root:
    """Give a path from the top; `resolve` would rename linked folders."""
    if isinstance(root, str) and is_url(root):
        try:
            return Path(root.removeprefix(_LOCAL)) if root.startswith(_LOCAL) else checked_url(root)
        except ValueError as error:
            raise UsageError(f"source: {error}") from None
    return Path(os.path.abspath(root))  # noqa: PTH100


def _reach(root: Root) -> None:
    if isinstance(root, str):
        return  # listing it says more
    try:
        root.stat()
    except FileNotFoundError:
        raise UsageError(f"source {root} does not exist") from None
    except OSError as error:
        raise UsageError(f"source {root} cannot be reached: {error.strerror}") from None


def _nothing_in(root: Root, vendors: Sequence[Vendor]) -> UsageError:
    if isinstance(root, Path) and not kind_of(root.name):
        return UsageError(
            f"source {root} is no ECG file that can be read ({_formats(vendors)}; for wfdb, give the .hea)"
            f"{_hint([root])}"
        )
    return UsageError(f"no ECG in source {root}, in any known format ({_formats(vendors)})")


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
