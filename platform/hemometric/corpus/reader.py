"""Reading a corpus: its table without signals, or its recordings one by one, a row group in memory at a time."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hemometric.config import checked_path
from hemometric.corpus.manifest import FileEntry, Manifest, ShardEntry, read_manifest, unreadable
from hemometric.corpus.schema import (
    HEAVY,
    LINKS_SCHEMA,
    QUARANTINE_SCHEMA,
    SIGNAL,
    check_schema,
    corpus_schema,
    recording_of,
    rows_of,
)
from hemometric.corpus.split import SPLITS
from hemometric.ecg import Recording
from hemometric.errors import IntegrityError, UsageError


def open_corpus(path: Path | str) -> Corpus:
    """Open a finished corpus; only its manifest is read.

    Raises
    ------
    UsageError
        There is no corpus, it is not finished, or it has another schema version.
    IntegrityError
        The manifest is not the one that was written.
    TypeError
        It is no path.
    """
    folder = checked_path(path, "a corpus")
    manifest, digest = read_manifest(folder)
    return Corpus(folder, manifest, digest)


class Corpus:
    """A finished corpus.

    Attributes
    ----------
    path : Path
        Its folder.
    manifest : Manifest
        What it holds.
    hash : str
        SHA-256 of the manifest's bytes: names the corpus, signals and all.
    """

    def __init__(self, path: Path, manifest: Manifest, digest: str) -> None:
        self.path = path
        self.manifest = manifest
        self.hash = digest
        self.schema: pa.Schema = corpus_schema(manifest.labels)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of all columns but the signal and its sketch."""
        return tuple(name for name in self.schema.names if name not in HEAVY)

    def shards(self, splits: Sequence[str] | None = None) -> tuple[ShardEntry, ...]:
        """Give the shards of some splits, or of all.

        Raises
        ------
        UsageError
            A split has an unknown name.
        """
        wanted = checked_splits(splits)
        return tuple(shard for shard in self.manifest.shards if shard.split in wanted)

    def table(self, splits: Sequence[str] | None = None, columns: Sequence[str] | None = None) -> pa.Table:
        """Read columns without signals, rows in the order of the shards.

        Raises
        ------
        UsageError
            A split or column has an unknown name.
        IntegrityError
            A shard of these splits is missing or damaged.
        """
        names = self.columns if columns is None else tuple(columns)
        for name in names:
            if name not in self.columns:
                close = difflib.get_close_matches(name, self.columns, n=1)
                hint = f"did you mean {close[0]!r}?" if close else f"it has {', '.join(self.columns)}"
                raise UsageError(f"corpus {self.path} has no column {name!r}; {hint}")
        tables = [self.shard_table(shard, names) for shard in self.shards(splits)]
        empty = pa.schema([self.schema.field(name) for name in names]).empty_table()
        return pa.concat_tables(
            [empty.replace_schema_metadata(), *(table.replace_schema_metadata() for table in tables)]
        )

    def shard_table(self, shard: ShardEntry, columns: Sequence[str]) -> pa.Table:
        """Read columns of one shard; see `table`."""
        with self._open(shard) as file:
            return _valid(file.read(columns=list(columns)))

    def recordings(self, splits: Sequence[str] | None = None) -> Iterator[tuple[dict[str, Any], Recording]]:
        """Read rows (without signal) and recordings, two row groups in memory at a time: one is read ahead.

        A recording's counts are a view of its row group: copy what you keep.

        Raises
        ------
        UsageError
            A split has an unknown name.
        IntegrityError
            A shard of these splits is missing or damaged.
        """
        for shard in self.shards(splits):
            yield from self.recordings_of(shard)

    def recordings_of(self, shard: ShardEntry) -> Iterator[tuple[dict[str, Any], Recording]]:
        """Read one shard as `recordings` does."""
        with self._open(shard) as file, ThreadPoolExecutor(1) as ahead:
            waiting = [ahead.submit(file.read_row_group, group) for group in range(min(1, file.num_row_groups))]
            for group in range(file.num_row_groups):
                table = waiting.pop().result()
                if group + 1 < file.num_row_groups:
                    waiting.append(ahead.submit(file.read_row_group, group + 1))
                yield from self._group(table, shard)

    def recording(self, recording_id: str) -> Recording:
        """Read one recording.

        Raises
        ------
        UsageError
            The corpus does not hold it.
        IntegrityError
            A shard on the way is missing or damaged.
        """
        for shard in self.manifest.shards:
            with self._open(shard) as file:
                for group in range(file.num_row_groups):
                    ids = file.read_row_group(group, columns=["recording_id"])["recording_id"]
                    position = ids.index(recording_id).as_py()
                    if position >= 0:
                        one = file.read_row_group(group).slice(position, 1)
                        return next(self._group(one, shard))[1]
        raise UsageError(f"corpus {self.path} has no recording {recording_id!r}; `hemometric inspect` lists some")

    def quarantine(self) -> pa.Table:
        """Read what was refused: recording_id, reason, detail, content.

        Raises
        ------
        IntegrityError
            The file is missing or damaged.
        """
        with self._open(self.manifest.quarantine, QUARANTINE_SCHEMA) as file:
            return _valid(file.read())

    def links(self) -> pa.Table:
        """Read which patients go under another's name: patient, known_as.

        Raises
        ------
        IntegrityError
            The file is missing or damaged.
        """
        with self._open(self.manifest.links, LINKS_SCHEMA) as file:
            return _valid(file.read())

    def _group(self, table: pa.Table, shard: ShardEntry) -> Iterator[tuple[dict[str, Any], Recording]]:
        source = str(self.path / shard.path)
        rows = rows_of(table.drop_columns(list(HEAVY)), source)
        for row, signal in zip(rows, table[SIGNAL], strict=True):  # combined chunks would be a copy
            yield row, recording_of(row, signal.as_buffer(), source)

    @contextmanager
    def _open(self, entry: FileEntry, schema: pa.Schema | None = None) -> Iterator[pq.ParquetFile]:
        with open_parquet(self.path, entry, self.schema if schema is None else schema) as file:
            yield file


@contextmanager
def open_parquet(folder: Path, entry: FileEntry, schema: pa.Schema) -> Iterator[pq.ParquetFile]:
    """Open a file of a corpus after its size, schema and rows were compared with the manifest.

    Page checksums are verified as pages are read: a flipped byte ends in an error, never in another signal.

    Raises
    ------
    UsageError
        The file may not be read.
    IntegrityError
        The file is missing, cut short or damaged, or has other columns; also from within the block.
    """
    path = folder / entry.path
    try:
        if not path.is_file():
            raise IntegrityError(f"{path} is missing; restore it, or make the corpus again")
        num_bytes = path.stat().st_size
        if num_bytes != entry.num_bytes:
            raise IntegrityError(f"{path} has {num_bytes} bytes and the manifest says {entry.num_bytes}; restore it")
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            check_schema(file.schema_arrow, schema, str(path))
            if file.metadata.num_rows != entry.num_rows:
                raise IntegrityError(f"{path} has {file.metadata.num_rows} rows, not {entry.num_rows}; restore it")
            yield file
    except PermissionError as error:
        raise unreadable(path, error) from None
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        # Parquet promises UTF-8, and nobody has looked before a text becomes Python's.
        why = "text is not UTF-8" if isinstance(error, UnicodeDecodeError) else _first_line(error)
        raise IntegrityError(f"{path} is damaged ({why}); restore it, or make the corpus again") from None


def _valid(table: pa.Table) -> pa.Table:
    """Look at what Parquet only promises, such as UTF-8, before it leaves the file's block; ArrowInvalid otherwise."""
    table.validate(full=True)
    return table


def checked_splits(splits: Sequence[str] | None) -> tuple[str, ...]:
    """Give the wanted splits in their usual order, all of them for None.

    Raises
    ------
    UsageError
        A split has an unknown name.
    """
    for split in splits or ():
        if split not in SPLITS:
            close = difflib.get_close_matches(split, SPLITS, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(SPLITS)}"
            raise UsageError(f"there is no split {split!r}; {hint}")
    return tuple(split for split in SPLITS if splits is None or split in splits)


def _first_line(error: BaseException) -> str:
    lines = str(error).splitlines()
    return lines[0][:160] if lines else type(error).__name__
