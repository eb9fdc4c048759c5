"""Files that are there whole or not at all: temporary name, fsync, rename; and what a full disk looks like."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hemometric.errors import PrecheckError, UsageError

TEMPORARY = ".tmp"
_CHUNK = 1 << 20
_HALF = re.compile(rf"\.(.+)\.(?:[0-9]+-)?[0-9a-f]{{8}}{re.escape(TEMPORARY)}")
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; what was written there takes the name of `path` when the block ends well.

    The file and its folder are flushed to the disk before and after the rename, so that a file under its final
    name is complete even after a power cut. When the block raises, nothing is left.

    Raises
    ------
    PrecheckError
        The disk, the quota or the file-size limit is full; the half file is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}{TEMPORARY}")
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        if error.errno in NO_ROOM:
            raise no_room(path.parent, error) from None
        raise
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def no_room(folder: Path, error: OSError) -> PrecheckError:
    """Say that a folder's disk is full."""
    return PrecheckError(
        f"no room left to write in {folder} ({error.strerror}); free some space and run the same command again"
    )


@contextmanager
def usable(path: Path, field: str, *, to: str = "written", remedy: str = "choose another") -> Iterator[None]:
    """Name a place that the user gave, where the system refuses it; an error of a file elsewhere passes as it is.

    Parameters
    ----------
    field : str
        The argument that holds `path`.
    to : str
        What was to be done: ``written``, ``read``.

    Raises
    ------
    UsageError
        The place may not be used so.
    PrecheckError
        Its disk is full.
    """
    try:
        yield
    except OSError as error:
        found = _refused(path, error)
        if found is None:
            raise
        reason = error.strerror or type(error).__name__
        if error.errno in NO_ROOM:
            raise PrecheckError(
                f"{field}: no room left to write in {path} ({reason}); free some space and run the same command again"
            ) from None
        raise UsageError(f"{field}: {found} cannot be {to}: {reason}; {remedy}") from None


def _refused(path: Path, error: OSError) -> Path | None:
    """Say which file or folder of a place an error is of; None where it names one elsewhere."""
    if error.errno is None:
        return None  # a library's own error, and no refusal of the system
    if not isinstance(error.filename, (str, os.PathLike)):
        return path  # a handle that was open already, as on a full disk
    found, place = Path(error.filename).absolute(), path.absolute()
    if found.is_relative_to(place):
        return path / found.relative_to(place)
    is_draft = found.parent == place.parent and found.name.startswith(f".{place.name}.")
    return path if is_draft or place.is_relative_to(found) else None


def write_bytes(path: Path, content: bytes) -> None:
    """Write a small file whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def sync_folder(folder: Path) -> None:
    """Flush a folder's list of names to the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sha256_of(path: Path) -> str:
    """Hash a file without holding it in memory."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def became(name: str) -> str:
    """Give the name that a temporary file was to take; any other name as it is."""
    half = _HALF.fullmatch(name)
    return half[1] if half else name


def remove_temporaries(*folders: Path) -> None:
    """Remove what writers that were killed have left behind; call it only under the lock of the folders.

    Hidden files of others stay, and folders within these are not looked into.
    """
    for folder in folders:
        for path in folder.iterdir() if folder.is_dir() else ():
            if _HALF.fullmatch(path.name) and path.is_file():
                path.unlink(missing_ok=True)


def need_room(folder: Path, num_bytes: int, purpose: str) -> None:
    """Refuse to begin what cannot end.

    Raises
    ------
    PrecheckError
        The disk that holds `folder` has less than `num_bytes` free.
    """
    free = shutil.disk_usage(folder).free
    if free < num_bytes:
        raise PrecheckError(
            f"{purpose} needs {num_bytes / 1e9:.2f} GB and {folder} has {free / 1e9:.2f} GB free; "
            "free some space or choose another folder"
        )


def make_folder(folder: Path) -> None:
    """Make a folder and its parents.

    Raises
    ------
    UsageError
        The name is taken by a file, or the place cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise UsageError(f"{folder} cannot be a folder: a file has that name; choose another place") from None
    except OSError as error:
        raise UsageError(f"folder {folder} cannot be made: {error.strerror}") from None
