"""The folder that a job writes: one command's at a time, and marked with whose output it is."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from hemometric.corpus.files import remove_temporaries, usable, write_bytes
from hemometric.corpus.own_files import corpus_around
from hemometric.corpus.settings import SETTINGS
from hemometric.errors import PrecheckError, UsageError

IDENTITY, LOCK = ".identity", ".lock"
DRAFTS, NOTES = ".drafts", ".notes"
_HIDDEN_WORK = (DRAFTS, NOTES, SETTINGS)
"""Others' hidden files may lie in a folder that a job begins in; these it would take for its own."""


@contextlib.contextmanager
def held_folder(folder: Path) -> Iterator[None]:
    """Make or reopen a folder of output, keep other commands out of it, and clear what a killed one left half-written.

    A killed process lets go of it by itself.

    Raises
    ------
    UsageError
        It cannot be written.
    PrecheckError
        Another command is writing there, or the disk is full.
    """
    lock = FileLock(folder / LOCK)
    with usable(folder, "out"):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise PrecheckError(
                f"out: another command is writing into {folder}; wait for it, or choose another"
            ) from None
    try:
        with usable(folder, "out"):
            remove_temporaries(folder)
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def claimed_folder(folder: Path, identity: str, other: str) -> Iterator[None]:
    """Hold a folder and mark whose output it is; see `held_folder` and `claim_folder`.

    Who comes second is refused before anything in the folder is changed; so is a folder within a corpus, which would
    then take no additions any more.
    """
    with usable(folder, "out"):
        if read_identity(folder) is None:
            around = corpus_around(folder.resolve().parent)
            if around is not None:
                raise UsageError(f"out: {folder} lies within the corpus {around}; choose a folder outside of it")
            if folder.is_dir():
                _refuse_foreign(folder)  # somebody's own folder does not even get a lock
    with held_folder(folder):
        claim_folder(folder, identity, other)
        yield


def read_identity(folder: Path) -> str | None:
    """Read whose output a folder holds; None where it is not marked.

    Raises
    ------
    UsageError
        The marker cannot be read.
    """
    marker = folder / IDENTITY
    with usable(folder, "out", to="read"):
        return marker.read_text(encoding="utf-8", errors="replace").strip() if marker.is_file() else None


def claim_folder(folder: Path, identity: str, other: str) -> None:
    """Mark whose output a folder is; call it only under the folder's lock.

    Parameters
    ----------
    identity : str
        What must be in the marker of a folder that is there already.
    other : str
        What the folder holds where the marker has something else in it.

    Raises
    ------
    UsageError
        The folder cannot be written, holds something else, or holds the output of another identity.
    PrecheckError
        The disk is full.
    """
    with usable(folder, "out"):
        folder.mkdir(parents=True, exist_ok=True)
        found = read_identity(folder)
        if found == identity:
            return
        if found is not None and not all(_is_beginning(path) for path in folder.iterdir()):
            raise UsageError(f"out: {folder} holds {other}; choose another out, or remove the folder")
        _refuse_foreign(folder)
        write_text(folder / IDENTITY, identity + "\n")


def _refuse_foreign(folder: Path) -> None:
    foreign = sorted(path.name for path in folder.iterdir() if not _is_beginning(path))
    if foreign:
        raise UsageError(f"out: {folder} is not empty and holds no run ({foreign[0]} is there); choose another out")


# Checkpoints are not among them, and Ray's own folder holds nothing that a run would miss.
_LEFT_AT_THE_START = ("config.yaml", "mlartifacts", "ray", "progress.json", "failed.json", "stop")


def _is_beginning(path: Path) -> bool:
    """Whether this is what a run leaves that ended before it computed anything: its folder may become another's."""
    if path.name in _HIDDEN_WORK:
        return False
    return path.name in _LEFT_AT_THE_START or path.name.startswith((".", "mlflow.db"))


def write_text(path: Path, text: str) -> None:
    """Write a file so that it is either whole or not there.

    Raises
    ------
    PrecheckError
        The disk is full.
    """
    write_bytes(path, text.encode())
