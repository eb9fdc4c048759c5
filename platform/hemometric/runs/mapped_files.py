"""Arrays in files that are mapped: made with their room, and a damaged one is named."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np

from hemometric.errors import IntegrityError


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Name a file of a folder of work that cannot be read.

    Raises
    ------
    IntegrityError
        It is missing or damaged.
    """
    try:
        yield
    except (OSError, EOFError, ValueError) as error:
        raise IntegrityError(
            f"{path} is missing or damaged ({error}); remove {path.parent} and run the same command again"
        ) from None


def loaded(path: Path, mode: Literal["r", "r+"] | None = None) -> Any:
    """Read or map an array; see `reading` for what is raised."""
    with reading(path):
        return np.load(path, mmap_mode=mode)


def make_mapped(path: Path, shape: tuple[int, ...], dtype: type) -> Any:
    """Map a new file of zeros that has its room: where a disk fills up under a mapped file, the process is killed."""
    array = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array
