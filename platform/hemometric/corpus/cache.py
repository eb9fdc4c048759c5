"""Prepared signals on the node's own disk: float32, uncompressed, memory-mapped, laid once for all local ranks.

A cache is named by (corpus, preparation, splits). It may be deleted at any time; it lays itself again. Splits that
were not asked for are never opened.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from filelock import FileLock

from hemometric import __version__
from hemometric.config import fingerprint
from hemometric.corpus.cache_writer import CRC, NOTE, ROWS, SIGNALS, write_cache
from hemometric.corpus.files import TEMPORARY, make_folder, sha256_of
from hemometric.corpus.labels import LABEL_PREFIX
from hemometric.corpus.reader import Corpus, checked_splits
from hemometric.errors import IntegrityError, UsageError
from hemometric.waveform import Preparation

_WHOLE_CHECK_BYTES = 256 << 20
_NUM_CHECKED = 256


def lay_cache(
    corpus: Corpus, preparation: Preparation, splits: Sequence[str], folder: Path, *, threads: int = 1
) -> Cache:
    """Give the cache of some splits, after laying it where it is missing, half or damaged.

    All local ranks may call it at once: the first lays, the others wait and open. Recordings that the preparation
    rejects are left out and counted.

    Parameters
    ----------
    folder : Path
        A folder on the node's own disk; the cache gets a folder of its own in it.
    threads : int
        How many recordings are prepared at once.

    Raises
    ------
    PrecheckError
        The disk is too small.
    UsageError
        A split has an unknown name, or the folder cannot be made or not be written.
    IntegrityError
        A shard of these splits is missing or damaged.
    """
    wanted = checked_splits(splits)
    essence = json.dumps([__version__, corpus.hash, fingerprint(preparation), wanted])
    name = f"cache-{hashlib.sha256(essence.encode()).hexdigest()[:24]}"
    make_folder(folder)
    lock = FileLock(folder / f".{name}.lock")
    try:
        lock.acquire()
    except OSError as error:
        raise UsageError(
            f"cache folder {folder} cannot be written: {error.strerror}; allow it, or choose another cache"
        ) from None
    try:
        try:
            return open_cache(folder / name)
        except (IntegrityError, UsageError):
            _remove(folder, name)
        write_cache(corpus, preparation, wanted, folder / name, threads=threads)
        return open_cache(folder / name)
    finally:
        lock.release()


def open_cache(folder: Path) -> Cache:
    """Open a cache after checking it: sizes, the hash of its rows, and checksums of signals.

    All signals are checked up to 256 MB, beyond that 256 of them at even distances.

    Raises
    ------
    UsageError
        There is no cache.
    IntegrityError
        It is half or damaged.
    """
    if not (folder / NOTE).is_file():
        raise UsageError(f"no cache lies at {folder}")
    try:
        cache = Cache(folder)
        whole = cache.is_intact()
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException):
        whole = False
    if not whole:
        raise IntegrityError(f"cache {folder} is damaged; delete it, and it is laid again")
    return cache


class Cache:
    """Prepared signals and what is known of each, rows sorted by recording id.

    Attributes
    ----------
    folder : Path
        Where it lies.
    rejected : dict
        From a reason code to the number of recordings that the preparation refused.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._note: dict[str, Any] = json.loads((folder / NOTE).read_bytes())
        self.rejected: dict[str, int] = self._note["rejected"]
        with pa.memory_map(str(folder / ROWS)) as file:
            self._rows: pa.Table = pa.ipc.open_file(file).read_all()

    def __len__(self) -> int:
        return len(self._rows)

    def __reduce__(self) -> tuple[type[Cache], tuple[Path]]:
        return Cache, (self.folder,)  # a mapping cannot travel; its place can

    @cached_property
    def signals(self) -> npt.NDArray[np.float32]:
        """Prepared signals, float32 [recording, lead, sample] mV, mapped and read-only."""
        signals: npt.NDArray[np.float32] = np.load(self.folder / SIGNALS, mmap_mode="r", allow_pickle=False)
        return signals

    @cached_property
    def recording_ids(self) -> npt.NDArray[np.str_]:
        """Recording ids, ascending."""
        return self._text("recording_id")

    @cached_property
    def patients(self) -> npt.NDArray[np.str_]:
        """The patient's pseudonym of each row."""
        return self._text("patient")

    @cached_property
    def splits(self) -> npt.NDArray[np.str_]:
        """The split of each row."""
        return self._text("split")

    @cached_property
    def acquired(self) -> npt.NDArray[np.datetime64]:
        """When each recording was acquired, datetime64[s]; NaT where nobody knows.

        Shifted by a secret of each patient: only intervals within one patient hold.
        """
        return np.asarray(self._rows["acquired"].to_numpy(), dtype="datetime64[s]")

    @property
    def num_rejected(self) -> int:
        """How many recordings the preparation refused."""
        return sum(self.rejected.values())

    def rows(self, split: str) -> npt.NDArray[np.int64]:
        """Give the rows of one split, ascending.

        Raises
        ------
        UsageError
            There is no such split.
        """
        checked_splits([split])
        return np.flatnonzero(self.splits == split)

    def column(self, name: str) -> npt.NDArray[Any]:
        """Give a column of the corpus, or a label by its bare name, for each row.

        Returns
        -------
        array [recording]
            float64 with NaN where absent; text with "" where absent; for codes and flags an object array of tuples,
            None where absent.

        Raises
        ------
        UsageError
            There is no such column.
        """
        full = name if name in self._rows.column_names else LABEL_PREFIX + name
        if full not in self._rows.column_names or full == CRC:
            known = ", ".join(column for column in self._rows.column_names if column != CRC)
            raise UsageError(f"the corpus has no column or label {name!r}; it has {known}")
        kind = self._rows.schema.field(full).type
        if pa.types.is_string(kind):
            return self._text(full)
        if pa.types.is_list(kind):
            values = np.empty(len(self), dtype=object)
            values[:] = [None if value is None else tuple(value) for value in self._rows[full].to_pylist()]
            return values
        return np.array(pc.cast(self._rows[full], pa.float64()).to_numpy(), dtype=np.float64)

    def codes(self, name: str) -> npt.NDArray[np.int64]:
        """Number the different values of a column of text, in the order in which they come.

        Returns
        -------
        int64 [recording]
            Equal where the values are; -1 where absent.
        """
        codes = self._rows[name].combine_chunks().dictionary_encode().indices
        return np.asarray(pc.fill_null(codes, -1).to_numpy(), dtype=np.int64)

    def is_intact(self) -> bool:
        """Compare sizes, hash and checksums with those that were noted when the cache was laid."""
        if sha256_of(self.folder / ROWS) != self._note["rows_sha256"]:
            return False
        if (self.folder / SIGNALS).stat().st_size != self._note["signals_bytes"] or len(self) != len(self.signals):
            return False
        some = self._note["signals_bytes"] > _WHOLE_CHECK_BYTES
        chosen = np.unique(np.linspace(0, len(self) - 1, _NUM_CHECKED).astype(int)) if some else np.arange(len(self))
        sums = self._rows[CRC].to_numpy()
        row_bytes = self.signals[0].nbytes if len(self) else 0
        head = self._note["signals_bytes"] - len(self) * row_bytes
        # Read, not mapped: pages of a mapping that were touched would count as this process's memory.
        with (self.folder / SIGNALS).open("rb") as file:
            return all(
                zlib.crc32(os.pread(file.fileno(), row_bytes, head + row * row_bytes)) == sums[row] for row in chosen
            )

    def _text(self, name: str) -> npt.NDArray[np.str_]:
        return np.asarray(pc.fill_null(self._rows[name], "").to_pylist(), dtype=np.str_)


def _remove(folder: Path, name: str) -> None:
    """Remove a damaged cache and what killed writers left of it; called under its lock."""
    shutil.rmtree(folder / name, ignore_errors=True)
    for orphan in folder.glob(f".{name}.*{TEMPORARY}"):
        shutil.rmtree(orphan, ignore_errors=True)
