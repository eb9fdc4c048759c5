"""One block of a neighbour search: candidates from a cheap look or from everyone, then the exact nearest among them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from hemometric.config import PLACEMENT, Config
from hemometric.corpus.files import replacing
from hemometric.distances import Distance, DistanceConfig, Dtw
from hemometric.ecg import Float32
from hemometric.errors import UsageError
from hemometric.mining.compared import ComparedConfig, WholeRecord
from hemometric.runs.neighbour_archive import Block, read_ids, read_look
from hemometric.runs.shardwise import read_output

SCHEMA = pa.schema(
    [
        pa.field("recording_id", pa.string(), nullable=False),
        pa.field("rank", pa.int32(), nullable=False),
        pa.field("neighbour_id", pa.string(), nullable=False),
        pa.field("distance", pa.float32(), nullable=False),
        pa.field("params_hash", pa.string(), nullable=False),
    ]
)
"""``rank`` counts from 1; ``distance`` is squared, in the unit of the distance."""

COARSE = "coarse"
_ARCHIVE_ROWS = 65_536
_COMPARED_ROWS = 4096
_REFINED_QUERIES = 64

Int64 = npt.NDArray[np.int64]


class ExactCandidates(Config):
    """Everyone: a lower bound spares most of the work, and the result is exact. For up to some 10^5 recordings."""

    kind: Literal["exact"] = "exact"

    def looks(self) -> dict[str, ComparedConfig]:
        """Nothing else is laid out."""
        return {}

    def identity(self) -> str:
        """Nothing beyond the config."""
        return ""


class CoarseCandidates(Config):
    """The nearest by the same distance on a coarser look; only the order among these is exact.

    Attributes
    ----------
    compared : config
        The coarse look, such as the whole record at 50 Hz.
    num : int
        Candidates of each recording. How many hold the true nearest hangs on the archive: of 20,000 generated ECGs 200
        at 50 Hz hold 99 %, at 25 Hz 82 %.
    """

    kind: Literal["coarse"] = "coarse"
    compared: ComparedConfig = WholeRecord(rate_hz=50.0)
    num: int = Field(default=200, ge=1)

    def looks(self) -> dict[str, ComparedConfig]:
        """The coarse look is laid out too."""
        return {COARSE: self.compared}

    def identity(self) -> str:
        """Nothing beyond the config."""
        return ""


class EmbeddingCandidates(Config):
    """The nearest by an earlier model's embeddings; only the order among these is exact.

    Attributes
    ----------
    embeddings : Path
        Output of `hemometric embed` on the same corpus.
    normalised : bool
        By the angle between embeddings, which is what an objective learns that normalises them, rather than by their
        distance.
    num : int
        Candidates of each recording. A model knows the nearest only roughly: of 20,000 generated ECGs, 200 of a narrow
        one hold the true nearest for 74 %, 1,000 for 94 %; not normalised, 45 % and 68 %.
    """

    kind: Literal["embeddings"] = "embeddings"
    embeddings: Annotated[Path, PLACEMENT]
    normalised: bool = True
    num: int = Field(default=1000, ge=1)

    def looks(self) -> dict[str, ComparedConfig]:
        """Nothing else is laid out."""
        return {}

    def identity(self) -> str:
        """Say which embeddings these are: their summary names model, corpus and files by hash."""
        summary = self.embeddings / "_summary.json"
        if not summary.is_file():
            raise UsageError(f"candidates.embeddings: {self.embeddings} holds no finished output of hemometric embed")
        return hashlib.sha256(summary.read_bytes()).hexdigest()


CandidatesConfig = Annotated[ExactCandidates | CoarseCandidates | EmbeddingCandidates, Field(discriminator="kind")]


@dataclass(frozen=True)
class Search:
    """What every worker needs to search blocks.

    Attributes
    ----------
    folder : Path
        Of the laid archive.
    distance, candidates : config
    k : int
    params_hash : str
    threads : int
    """

    folder: Path
    distance: DistanceConfig
    candidates: CandidatesConfig
    k: int
    params_hash: str
    threads: int


def block_path(folder: Path, block: Block) -> Path:
    """Say where a finished block lies; its name holds its rows, so that another size of blocks is no confusion."""
    return folder / f"block-{block.first}-{block.stop}.parquet"


def search_block(search: Search, block: Block) -> int:
    """Find the neighbours of some recordings and write them; done already, the block is left as it is.

    Returns
    -------
    int
        The block's recordings.
    """
    path = block_path(search.folder, block)
    if path.is_file():
        return block.stop - block.first
    ids, archive = _opened(str(search.folder))
    queries = np.arange(block.first, block.stop)
    distance = search.distance.build()
    k = min(search.k, len(ids) - 1)
    if isinstance(search.candidates, ExactCandidates):
        found, distances = nearest(distance, archive, queries, k, search.threads)
    else:
        candidates = _candidates(search, queries)
        exact = refined(distance, archive, queries, candidates, search.threads)
        found, distances = best_of(candidates, exact, k)
    table = pa.table(
        [
            pa.array(np.repeat(ids[queries], k).tolist(), pa.string()),
            pa.array(np.tile(np.arange(1, k + 1, dtype=np.int32), len(queries))),
            pa.array(ids[found.reshape(-1)].tolist(), pa.string()),
            pa.array(distances.reshape(-1)),
            pa.array([search.params_hash] * found.size, pa.string()),
        ],
        schema=SCHEMA,
    )
    with replacing(path) as temporary:
        pq.write_table(table, temporary, compression="zstd", write_page_checksum=True)
    return block.stop - block.first


def best_of(candidates: Int64, distances: Float32, k: int) -> tuple[Int64, Float32]:
    """Keep the k nearest of each row's candidates; equally near ones in the order of their positions.

    Parameters
    ----------
    candidates : int64 [query, candidate]
    distances : float32 [query, candidate]
    """
    by_position = np.argsort(candidates, axis=1, kind="stable")
    candidates = np.take_along_axis(candidates, by_position, axis=1)
    distances = np.take_along_axis(distances, by_position, axis=1)
    order = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(candidates, order, axis=1), np.take_along_axis(distances, order, axis=1)


def refined(distance: Distance, archive: Float32, queries: Int64, candidates: Int64, threads: int) -> Float32:
    """Compute the exact distances of recordings of an archive to their candidates, float32 [query, candidate]."""
    found = np.empty(candidates.shape, np.float32)
    for start in range(0, len(queries), _REFINED_QUERIES):
        own, wanted = queries[start : start + _REFINED_QUERIES], candidates[start : start + _REFINED_QUERIES]
        others, place = np.unique(wanted, return_inverse=True)
        here = np.concatenate([archive[own], archive[others]])
        asked = np.full((len(here), wanted.shape[1]), -1, np.int64)
        asked[: len(own)] = len(own) + place.reshape(wanted.shape)
        found[start : start + len(own)] = distance.refine(here, asked, threads)[: len(own)]
    return found


def nearest(distance: Distance, archive: Float32, queries: Int64, k: int, threads: int) -> tuple[Int64, Float32]:
    """Find the k nearest recordings of some recordings of an archive, none being its own; ties by position."""
    if isinstance(distance, Dtw):
        return distance.nearest(archive[queries], archive, k, (queries, np.arange(len(archive))), threads)
    kept = np.empty((len(queries), 0), np.int64)
    distances = np.empty((len(queries), 0), np.float32)
    for start in range(0, len(archive), _COMPARED_ROWS):
        part = archive[start : start + _COMPARED_ROWS]
        found = distance.cross(archive[queries], part, threads=threads)
        own = (queries >= start) & (queries < start + len(part))
        found[np.flatnonzero(own), queries[own] - start] = np.inf
        positions = np.broadcast_to(np.arange(start, start + len(part)), found.shape)
        kept, distances = best_of(
            np.concatenate([kept, positions], axis=1), np.concatenate([distances, found], axis=1), k
        )
    return kept, distances


def _candidates(search: Search, queries: Int64) -> Int64:
    """Propose candidates for each query, int64 [query, num]; a recording is never its own."""
    config = search.candidates
    if isinstance(config, CoarseCandidates):
        coarse = read_look(search.folder, COARSE)
        num = min(config.num, len(coarse) - 1)
        return nearest(search.distance.build(), coarse, queries, num, search.threads)[0]
    assert isinstance(config, EmbeddingCandidates)  # noqa: S101 - exact search has no candidates
    embeddings = _embeddings(str(config.embeddings), str(search.folder), config.normalised)
    return nearest_embeddings(embeddings, queries, min(config.num, len(embeddings) - 1))


def nearest_embeddings(embeddings: Float32, queries: Int64, num: int) -> Int64:
    """Find the `num` nearest rows of float32 [recording, dim] by Euclidean distance, without the query itself."""
    squares = np.einsum("nd,nd->n", embeddings, embeddings)
    own = embeddings[queries]
    rows, kept, gaps = np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32)
    worst = np.full(len(queries), np.inf, np.float32)
    for start in range(0, len(embeddings), _ARCHIVE_ROWS):
        part = embeddings[start : start + _ARCHIVE_ROWS]
        # The query's own square is the same for all and left out.
        gap = squares[start : start + len(part)][None, :] - 2.0 * (own @ part.T)
        mine = np.flatnonzero((queries >= start) & (queries < start + len(part)))
        gap[mine, queries[mine] - start] = np.inf
        if start == 0 and len(part) > num:  # sorting all of them would take far longer than computing them
            worst = np.partition(gap, num - 1, axis=1)[:, num - 1]
        row, column = np.nonzero(gap <= worst[:, None])
        rows, kept = np.concatenate([rows, row]), np.concatenate([kept, column + start])
        gaps = np.concatenate([gaps, gap[row, column]])
        order = np.lexsort((kept, gaps, rows))
        rows, kept, gaps = rows[order], kept[order], gaps[order]
        rank = np.arange(len(rows)) - np.searchsorted(rows, rows)
        best = rank < num
        rows, kept, gaps = rows[best], kept[best], gaps[best]
        last = np.flatnonzero(rank[best] == num - 1)
        worst[rows[last]] = gaps[last]
    return kept.reshape(len(queries), num)


@lru_cache(maxsize=1)
def _opened(folder: str) -> tuple[npt.NDArray[np.str_], Float32]:
    return read_ids(Path(folder)), read_look(Path(folder))


@lru_cache(maxsize=1)
def _embeddings(output: str, folder: str, normalised: bool) -> Float32:
    """Read embeddings in the order of the archive.

    Raises
    ------
    UsageError
        They are none, or some recording has none, or one that is not finite.
    """
    table = read_output(Path(output))
    if "embedding" not in table.column_names:
        raise UsageError(f"candidates.embeddings: {output} is no output of hemometric embed; choose one")
    ids = np.asarray(table["recording_id"].to_pylist())
    flat = table["embedding"].combine_chunks().flatten().to_numpy()
    embeddings = flat.reshape(len(ids), -1)
    order = np.argsort(ids)
    wanted = read_ids(Path(folder))
    place = np.minimum(np.searchsorted(ids, wanted, sorter=order), len(ids) - 1)
    rows = order[place]
    if not np.array_equal(ids[rows], wanted):
        raise UsageError(f"candidates.embeddings: {output} lacks recordings of this corpus; embed it whole first")
    found: Float32 = np.ascontiguousarray(embeddings[rows], dtype=np.float32)
    if not np.isfinite(found).all():
        raise UsageError(f"candidates.embeddings: {output} holds NaN or infinity; embed with another model")
    if normalised:
        found /= np.maximum(np.linalg.norm(found, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    return found
