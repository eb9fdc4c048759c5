"""The sketches of all recordings of an ingest, those of the corpus and those that were staged, by their row."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hemometric.corpus.duplicates import find_duplicates
from hemometric.corpus.reader import Corpus, open_parquet
from hemometric.corpus.schema import FEATURES, OUTLINE
from hemometric.corpus.sketch import NUM_FEATURES
from hemometric.corpus.units import open_staged
from hemometric.ecg import Float32

Int64 = npt.NDArray[np.int64]


class Sketches:
    """Features in memory (128 bytes a recording), outlines read where they are asked for.

    Parameters
    ----------
    base : Corpus or None
    kept : bool [row of the corpus]
        Which of its rows count, in the order of its shards.
    staging : Path
    units : sequence of str
        Staged units, all of whose rows count; they come behind those of the corpus.
    """

    def __init__(self, base: Corpus | None, kept: npt.NDArray[np.bool_], staging: Path, units: Sequence[str]) -> None:
        self._base, self._staging, self._units = base, staging, units
        self._shards = () if base is None else base.manifest.shards
        columns = [] if base is None else [base.shard_table(shard, [FEATURES])[FEATURES] for shard in self._shards]
        staged = [open_staged(staging, name, [FEATURES])[FEATURES] for name in units]
        lengths = [len(column) for column in (*columns, *staged)]
        counts = np.concatenate([kept, np.ones(sum(map(len, staged)), bool)])
        source = np.repeat(np.arange(len(lengths)), lengths)
        row = np.concatenate([np.arange(length) for length in lengths]) if lengths else np.empty(0, np.int64)
        self._source, self._row = source[counts], row[counts]
        self.features: Float32 = np.concatenate(
            [np.empty((0, NUM_FEATURES), np.float32), *(_matrix(column) for column in (*columns, *staged))]
        )[counts]

    def duplicates(self) -> Int64:
        """Find the recordings that are the same tracing; int64 [pair, 2] of rows."""
        return find_duplicates(self.features, self.outlines)

    def outlines(self, positions: Int64) -> list[bytes]:
        """Read the outlines of sorted rows, a row group in memory at a time."""
        found: list[bytes] = []
        for source in np.unique(self._source[positions]):
            rows = self._row[positions[self._source[positions] == source]]
            if source >= len(self._shards):
                column = open_staged(self._staging, self._units[source - len(self._shards)], [OUTLINE])[OUTLINE]
                found += column.take(pa.array(rows)).to_pylist()
            else:
                found += self._from_shard(int(source), rows)
        return found

    def _from_shard(self, number: int, rows: Int64) -> list[bytes]:
        assert self._base is not None  # noqa: S101 - there are shards
        found: list[bytes] = []
        with open_parquet(self._base.path, self._shards[number], self._base.schema) as file:
            start = 0
            for group in range(file.num_row_groups):
                stop = start + file.metadata.row_group(group).num_rows
                inside = rows[(rows >= start) & (rows < stop)] - start
                if inside.size:
                    found += file.read_row_group(group, columns=[OUTLINE])[OUTLINE].take(pa.array(inside)).to_pylist()
                start = stop
        return found


def _matrix(column: pa.ChunkedArray) -> Float32:
    """Give features as float32 [recording, NUM_FEATURES]."""
    joined = b"".join(column.to_pylist())
    return np.frombuffer(joined, "<f4").reshape(len(column), NUM_FEATURES)
