"""The same tracing in several corpora, under any name: found by the sketches that each corpus keeps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from hemometric.corpus.duplicates import find_duplicates
from hemometric.corpus.reader import Corpus, open_parquet
from hemometric.corpus.schema import FEATURES, OUTLINE
from hemometric.corpus.sketch import NUM_FEATURES
from hemometric.ecg import Float32

Int64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


def duplicates_across(corpora: Sequence[Corpus]) -> Int64:
    """Find recordings of different corpora that are the same tracing.

    Returns
    -------
    int64 [pair, 2]
        Rows, counted through corpora and shards in order.

    Raises
    ------
    IntegrityError
        A shard is missing or damaged.
    """
    shards = [(corpus, shard) for corpus in corpora for shard in corpus.manifest.shards]
    features = [np.empty((0, NUM_FEATURES), np.float32)]
    features += [_matrix(corpus.shard_table(shard, [FEATURES])[FEATURES]) for corpus, shard in shards]
    starts = np.cumsum([0, *(shard.num_rows for _, shard in shards)])

    def outlines(positions: Int64) -> list[bytes]:
        """Read the outlines of sorted rows, a row group in memory at a time."""
        found: list[bytes] = []
        for (corpus, shard), start in zip(shards, starts, strict=False):
            inside = positions[(positions >= start) & (positions < start + shard.num_rows)] - start
            if not inside.size:
                continue
            with open_parquet(corpus.path, shard, corpus.schema) as file:
                first = 0
                for group in range(file.num_row_groups):
                    stop = first + file.metadata.row_group(group).num_rows
                    rows = inside[(inside >= first) & (inside < stop)] - first
                    if rows.size:
                        column = file.read_row_group(group, columns=[OUTLINE])[OUTLINE]
                        found += column.take(pa.array(rows)).to_pylist()
                    first = stop
        return found

    pairs = find_duplicates(np.concatenate(features), outlines)
    corpus_of = corpus_of_rows(corpora)
    across: Int64 = pairs[corpus_of[pairs[:, 0]] != corpus_of[pairs[:, 1]]]
    return across


def corpus_of_rows(corpora: Sequence[Corpus]) -> Int64:
    """Number each row's corpus; int64 [row]."""
    num_rows = [sum(shard.num_rows for shard in corpus.manifest.shards) for corpus in corpora]
    return np.repeat(np.arange(len(corpora)), num_rows)


def met_before(pairs: Int64, corpus_of: Int64, is_left_out: Bools) -> Bools:
    """Of rows that are the same, keep those of the first corpus that has one to keep; bool [row], true: not kept.

    What one corpus itself holds twice stays.

    Parameters
    ----------
    pairs : int64 [pair, 2]
        Rows that are the same.
    is_left_out : bool [row]
        Which rows are left out for another reason, and take nobody's place.
    """
    again = np.zeros(len(corpus_of), bool)
    if not len(pairs):
        return again
    involved, local = np.unique(pairs, return_inverse=True)
    ends = local.reshape(-1, 2)
    graph = coo_array((np.ones(len(ends), np.int8), (ends[:, 0], ends[:, 1])), shape=(len(involved), len(involved)))
    _, group = connected_components(graph, directed=False)
    order = np.lexsort((corpus_of[involved], is_left_out[involved]))
    _, first = np.unique(group[order], return_index=True)
    again[involved] = corpus_of[involved] != corpus_of[involved][order[first]][group]
    return again


def _matrix(column: pa.ChunkedArray) -> Float32:
    """Give features as float32 [recording, NUM_FEATURES]."""
    return np.frombuffer(b"".join(column.to_pylist()), "<f4").reshape(len(column), NUM_FEATURES)
