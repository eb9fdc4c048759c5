"""Recordings of a file or a folder, for whoever works in Python; an archive is read by an ingest, shard by shard."""

from __future__ import annotations

import os
import re
import warnings
from collections import Counter
from pathlib import Path

from hemometric.config import checked_path
from hemometric.ecg import Recording, Rejected
from hemometric.errors import UsageError
from hemometric.vendors.registry import find, read_all
from hemometric.vendors.scratch import scratch

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


def read_recordings(path: str | os.PathLike[str]) -> list[Recording]:
    """Read one ECG file, or every ECG below a folder or in an archive, in any supported format.

    All of them are held in memory, about 0.1 MB for ten seconds of twelve leads at 500 Hz.

    Parameters
    ----------
    path : str or Path
        A record file (of WFDB the ``.hea``), an archive, or a folder, searched to the bottom.

    Returns
    -------
    list of Recording
        Sorted by key. What a folder holds and cannot be read is left out, and a warning counts it by reason.

    Raises
    ------
    UsageError
        The path does not exist, holds no ECG or is an address; the file is damaged, or every file of the folder is.
    TypeError
        It is no path.

    Examples
    --------
    >>> import hemometric
    >>> recordings = hemometric.read("archive/")  # doctest: +SKIP
    """
    path = _checked(path)
    with scratch() as depot:
        found = list(read_all(list(find([path], depot=depot))))
    recordings = [one for one in found if isinstance(one, Recording)]
    refused = [one for one in found if isinstance(one, Rejected)]
    if refused and not path.is_dir():
        raise UsageError(f"{path} cannot be read ({refused[0].reason}): {refused[0].detail}")
    counts = Counter(one.reason for one in refused)
    listed = ", ".join(f"{reason} {num}" for reason, num in sorted(counts.items()))
    if refused and not recordings:
        raise UsageError(f"none of the {len(found)} ECGs in {path} can be read: {listed}")
    if refused:
        warnings.warn(f"{len(refused)} of {len(found)} ECGs in {path} were left out: {listed}", stacklevel=2)
    return recordings


def _checked(path: str | os.PathLike[str]) -> Path:
    """Refuse an address, and do not repeat it: it may hold a password. A `Path` has one slash less than an address."""
    place = checked_path(path, "what hemometric.read reads")
    if _ADDRESS.match(os.fspath(path)) and not place.exists():
        raise UsageError("an address was given, and only files and folders are read here; `hemometric ingest` reads it")
    return place
