"""The neighbour graph of an archive, as its Parquet table holds it: who is nearest to whom among all recordings.

A table is one Parquet file, or a folder of them, with a row for each recording and neighbour: ``recording_id`` and
``neighbour_id`` (string), ``rank`` (integer, ascending with the distance), ``distance`` (floating, squared) and
``params_hash`` (string, the same in every row: what the distances were computed by, see `measure_hash`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.dataset as ds

from hemometric.config import PLACEMENT, Config
from hemometric.corpus.schema import refuse_extensions
from hemometric.ecg import Float32, Float64
from hemometric.errors import IntegrityError, UsageError
from hemometric.mining.pairs import Int64

Names = npt.NDArray[np.bytes_]


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


COLUMNS = {
    "recording_id": _is_text,
    "neighbour_id": _is_text,
    "rank": pa.types.is_integer,
    "distance": pa.types.is_floating,
    "params_hash": _is_text,
}


class NeighbourGraph:
    """Neighbours of each recording, nearest first, in flat arrays: 12 bytes an edge.

    Parameters
    ----------
    names : bytes [node]
        Recording ids, ascending.
    starts : int64 [node + 1]
        Edges ``starts[i]`` to ``starts[i + 1]`` are those of node i.
    ends : int64 [edge]
        Neighbours, as nodes.
    distances : float32 [edge]
        Squared.
    params_hash : str
        What the distances were computed by.
    """

    def __init__(self, names: Names, starts: Int64, ends: Int64, distances: Float32, params_hash: str) -> None:
        self.names = names
        self.starts = starts
        self.ends = ends
        self.distances = distances
        self.params_hash = params_hash

    def nodes(self, recording_ids: Sequence[str]) -> Int64:
        """Find recordings: int64 [B], -1 for those that the graph does not know."""
        return _places(self.names, _encoded(recording_ids))

    def neighbours(self, node: int, num: int) -> list[int]:
        """Give the nodes of the `num` nearest neighbours, nearest first; none for node -1."""
        if node < 0:
            return []
        found: list[int] = self.ends[self.starts[node] : min(self.starts[node] + num, self.starts[node + 1])].tolist()
        return found

    def positions(self, recording_ids: Sequence[str], num: int) -> Int64:
        """Give the `num` nearest of each recording among `recording_ids`, which name each once.

        Returns
        -------
        int64 [recording, num]
            Positions in `recording_ids`, nearest first; -1 where there are fewer.
        """
        nodes = self.nodes(recording_ids)
        known = np.flatnonzero(nodes >= 0)
        place = np.full(len(self.names) + 1, -1, dtype=np.int64)
        place[nodes[known]] = known
        found = np.full((len(nodes), num), -1, dtype=np.int64)
        filled = np.zeros(len(nodes), dtype=np.int64)
        degrees = np.diff(self.starts)[nodes[known]]
        for rank in range(int(degrees.max(initial=0))):  # by rank, so that memory does not grow with the degree
            rows = known[degrees > rank]
            ends = place[self.ends[self.starts[nodes[rows]] + rank]]
            here = (ends >= 0) & (filled[rows] < num)
            found[rows[here], filled[rows[here]]] = ends[here]
            filled[rows[here]] += 1
        return found

    def distances_to(self, recording_ids: Sequence[str], neighbour: int) -> Float64:
        """Give the squared distance of each recording to its `neighbour`-th neighbour, from 1: float64 [B].

        NaN for a recording that the graph does not know, or knows fewer neighbours of.
        """
        nodes = self.nodes(recording_ids)
        edges = self.starts[nodes] + neighbour - 1
        is_there = (nodes >= 0) & (edges < self.starts[nodes + 1])
        found = np.full(len(nodes), np.nan)
        found[is_there] = self.distances[edges[is_there]]
        return found


class GraphConfig(Config):
    """The neighbour graph of an archive that miners may use.

    Attributes
    ----------
    path : Path
        The table: a Parquet file, or a folder of them.
    params_hash : str or None
        What the table must have been computed by. None takes any for positives, and for scales only one of the
        distance that the run itself mines by.
    """

    path: Annotated[Path, PLACEMENT]
    params_hash: str | None = None

    def read(self, recording_ids: Sequence[str] | None = None) -> NeighbourGraph:
        """Read the table; see `read_graph`.

        Raises
        ------
        UsageError
            As `read_graph`, or the table has another hash than the config asks for, or none of its neighbours is
            left among `recording_ids`.
        """
        graph = read_graph(self.path, recording_ids)
        if recording_ids and not len(graph.ends):
            raise UsageError(
                f"mining.graph.path: {self.path} holds no two neighbours among the recordings of this run; take the "
                "table of its corpus and of its splits"
            )
        if self.params_hash is not None and graph.params_hash != self.params_hash:
            raise UsageError(
                f"mining.graph.params_hash is {self.params_hash}, but {self.path} was computed by "
                f"{graph.params_hash}; take that table's hash, or the table of this one"
            )
        return graph

    def read_hash(self) -> str:
        """Read what the table was computed by, and nothing else; it says which graph a run uses, wherever it lies.

        Raises
        ------
        UsageError, IntegrityError
            As `read_graph`.
        """
        try:
            first = _opened(self.path).head(1, columns=["params_hash"])
        except (pa.ArrowException, OSError) as error:
            raise IntegrityError(f"{self.path} cannot be read as a table of neighbours ({error})") from None
        return str(first["params_hash"][0].as_py()) if len(first) else ""


def read_graph(path: Path, recording_ids: Sequence[str] | None = None) -> NeighbourGraph:
    """Read a table of neighbours.

    Parameters
    ----------
    path : Path
        A Parquet file, or a folder of them.
    recording_ids : sequence of str, optional
        Leave out every edge with an end outside of these: a training run must not know how far a test recording is.

    Raises
    ------
    UsageError
        There is no such table, or it lacks a column.
    IntegrityError
        It is damaged: not Parquet, no single hash, distances that are no finite numbers above or equal to zero, a
        recording that is its own neighbour or has one twice, or ranks that do not follow the distances.
    """
    try:
        table = _opened(path)
        if recording_ids is None:
            parts = [np.unique(part) for batch in _batches(table, "recording_id", "neighbour_id") for part in batch]
            names = np.unique(np.concatenate([np.empty(0, "S1"), *parts]))
        else:
            names = np.unique(_encoded(recording_ids))
        return _graph(names, _batches(table, *COLUMNS), path)
    except (pa.ArrowException, OSError) as error:
        raise IntegrityError(f"{path} cannot be read as a table of neighbours ({error}); compute it again") from None


def _graph(names: Names, batches: Iterator[tuple[npt.NDArray[Any], ...]], path: Path) -> NeighbourGraph:
    """Sort the edges between `names`."""
    hashes: set[bytes] = set()
    kept: list[tuple[Int64, Int64, Int64, Float32]] = []
    for recording, neighbour, rank, distance, params in batches:
        hashes.update(np.unique(params).tolist())
        with np.errstate(over="ignore"):  # a float64 too large becomes infinite
            distance = distance.astype(np.float32)
        if not np.isfinite(distance).all() or (distance < 0).any():
            raise IntegrityError(f"{path} holds a distance that is negative or not finite; compute it again")
        start, end = _places(names, recording), _places(names, neighbour)
        inside = (start >= 0) & (end >= 0)
        kept.append((start[inside], end[inside], rank[inside].astype(np.int64), distance[inside]))
    if len(hashes) != 1:
        raise IntegrityError(f"{path} has {len(hashes)} different values of params_hash; compute it again as one table")
    start, end, rank, distance = (np.concatenate(part) for part in zip(*kept, strict=True))
    order = np.lexsort((rank, start))
    start, end, distance = start[order], end[order], distance[order]
    same = start[1:] == start[:-1]
    twice = len(np.unique(start * len(names) + end)) < len(start)
    if twice or (start == end).any() or (same & (distance[1:] < distance[:-1])).any():
        raise IntegrityError(
            f"{path} names a recording as its own neighbour or one neighbour twice, or its ranks do not follow its "
            "distances; compute it again"
        )
    starts = np.searchsorted(start, np.arange(len(names) + 1)).astype(np.int64)
    return NeighbourGraph(names, starts, end.astype(np.int64), distance, hashes.pop().decode())


def _opened(path: Path) -> ds.Dataset:
    if not path.exists():
        raise UsageError(f"mining.graph.path: there is no table of neighbours at {path}")
    table = ds.dataset(path, format="parquet")
    schema = table.schema
    refuse_extensions(schema, str(path))
    wrong = [name for name, fits in COLUMNS.items() if name not in schema.names or not fits(schema.field(name).type)]
    if wrong:
        found = ", ".join(wrong)
        raise UsageError(
            f"mining.graph.path: {path} is no table of neighbours: it lacks {found}, or has another type there"
        )
    return table


def _batches(table: ds.Dataset, *columns: str) -> Iterator[tuple[npt.NDArray[Any], ...]]:
    """Read columns in parts, so that an archive's strings are never in memory at once."""
    for batch in table.to_batches(columns=list(columns)):
        yield tuple(
            _encoded(_filled(batch[name]).to_pylist()) if _is_text(batch[name].type) else batch[name].to_numpy()
            for name in columns
        )


def _filled(texts: pa.Array) -> pa.Array:
    if texts.null_count:
        raise pa.ArrowInvalid("a text is missing in one of its rows")
    return texts


def _encoded(names: Sequence[str]) -> Names:
    return np.array([name.encode() for name in names], dtype=np.bytes_)


def _places(names: Names, wanted: Names) -> Int64:
    """Find `wanted` in the ascending `names`; -1 where they are not."""
    if not len(names):
        return np.full(len(wanted), -1, dtype=np.int64)
    found = np.minimum(np.searchsorted(names, wanted), len(names) - 1)
    places: Int64 = np.where(names[found] == wanted, found, -1).astype(np.int64)
    return places
