"""Folders for files of patients that are needed for a while only, and that no killed process leaves for long."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PREFIX, _LOCK = "hemometric-scratch-", "lock"
_OURS = re.compile(rf"{_PREFIX}[a-z0-9_]{{8}}")  # as `tempfile` names them
_BEGINNING_S = 60.0  # in which a folder may not have its lock yet


@contextmanager
def scratch() -> Iterator[Path]:
    """Have an empty folder among the temporary ones for as long as the block lasts; ``TMPDIR`` chooses where.

    Raises
    ------
    OSError
        The disk of temporary files is full, or may not be written.
    """
    remove_orphans()
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as folder, Path(folder, _LOCK).open("xb", buffering=0) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write(b"held")  # from now on, whoever can have the lock knows that its holder is gone
        inside = Path(folder, "files")
        inside.mkdir()
        yield inside


def remove_orphans() -> None:
    """Remove what this user's killed processes on this machine have left: it holds ECGs of patients.

    Who lives holds a lock, which tells more than a process id where containers share a folder.
    """
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            if _OURS.fullmatch(folder.name) and folder.lstat().st_uid == os.getuid():
                _remove_orphan(folder)


def _remove_orphan(folder: Path) -> None:
    is_old = time.time() - folder.lstat().st_mtime > _BEGINNING_S
    try:
        lock = (folder / _LOCK).open("rb")
    except FileNotFoundError:
        if is_old:
            shutil.rmtree(folder, ignore_errors=True)
        return
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if is_old or os.fstat(lock.fileno()).st_size:
            shutil.rmtree(folder, ignore_errors=True)
