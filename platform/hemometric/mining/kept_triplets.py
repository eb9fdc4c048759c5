"""Mined triplets by recording id, to look at and to use again wherever the recordings lie."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from hemometric.corpus.schema import refuse_extensions
from hemometric.errors import IntegrityError
from hemometric.mining.label_selection import Triplets
from hemometric.mining.mined import Mined

_SCHEMA = pa.schema(
    [pa.field(name, pa.string(), nullable=False) for name in ("anchor_id", "positive_id", "negative_id")]
    + [pa.field(name, pa.float32(), nullable=False) for name in ("positive_distance", "negative_distance")]
    + [pa.field("params_hash", pa.string(), nullable=False)]
)


@dataclass(frozen=True)
class KeptTriplets:
    """Triplets that do not depend on the batch, the world or the order they were mined in.

    Attributes
    ----------
    anchors, positives, negatives : tuple of str
        Recording ids.
    positive_distances, negative_distances : tuple of float
        From the anchor, as in `Mined.distances`.
    params_hash : str
        What they were chosen by; see `BatchMiner.params_hash`.
    """

    anchors: tuple[str, ...]
    positives: tuple[str, ...]
    negatives: tuple[str, ...]
    positive_distances: tuple[float, ...]
    negative_distances: tuple[float, ...]
    params_hash: str

    def positions(self, recording_ids: Sequence[str], params_hash: str) -> Triplets:
        """Find them in a batch, whatever its order.

        Returns
        -------
        anchors, positives, negatives : int64 [triplet]

        Raises
        ------
        IntegrityError
            They were chosen by other parameters, or a recording is not in the batch.
        """
        if params_hash != self.params_hash:
            raise IntegrityError(
                f"triplets mined by {self.params_hash} cannot serve a run of {params_hash}; mine again"
            )
        place = {name: position for position, name in reversed(list(enumerate(recording_ids)))}
        absent = {name for part in (self.anchors, self.positives, self.negatives) for name in part} - set(place)
        if absent:
            raise IntegrityError(
                f"the triplets name {len(absent)} recordings that are not in the batch (such as {min(absent)}); "
                "they are of others"
            )
        found = (
            torch.tensor([place[name] for name in part], dtype=torch.int64)
            for part in (self.anchors, self.positives, self.negatives)
        )
        anchors, positives, negatives = found
        return anchors, positives, negatives


def keep(mined: Iterable[Mined]) -> KeptTriplets:
    """Name the triplets of batches by their recordings.

    Raises
    ------
    ValueError
        The batches were mined by different parameters.
    """
    batches = list(mined)
    hashes = {batch.params_hash for batch in batches}
    if len(hashes) > 1:
        raise ValueError(f"batches mined by {', '.join(sorted(hashes))} cannot be kept as one")
    rows: list[tuple[str, str, str, float, float]] = []
    for batch in batches:
        names, distances = batch.recording_ids, batch.distances.tolist()
        for a, p, n in zip(*(part.tolist() for part in batch.as_tuple()), strict=True):
            rows.append((names[a], names[p], names[n], distances[a][p], distances[a][n]))
    anchors, positives, negatives, near, far = zip(*rows, strict=True) if rows else ((), (), (), (), ())
    return KeptTriplets(anchors, positives, negatives, near, far, "".join(hashes))


def write_triplets(kept: KeptTriplets, path: Path) -> None:
    """Write a Parquet file with a row for each triplet; whole or not at all."""
    hashes = [kept.params_hash] * len(kept.anchors)
    columns = (kept.anchors, kept.positives, kept.negatives, kept.positive_distances, kept.negative_distances, hashes)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, _SCHEMA, strict=True)]
    schema = _SCHEMA.with_metadata({"params_hash": kept.params_hash})  # for a table without rows
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    pq.write_table(pa.Table.from_arrays(arrays, schema=schema), temporary)
    temporary.replace(path)


def read_triplets(path: Path) -> KeptTriplets:
    """Read what `write_triplets` wrote.

    Raises
    ------
    IntegrityError
        It is no such file, or damaged.
    """
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise IntegrityError(f"{path} cannot be read as a table of triplets ({error})") from None
    refuse_extensions(table.schema, str(path))
    params_hash = (table.schema.metadata or {}).get(b"params_hash", b"").decode()
    if not table.schema.equals(_SCHEMA) or {params_hash, *table["params_hash"].to_pylist()} != {params_hash}:
        raise IntegrityError(f"{path} is no table of triplets, or holds those of several parameters")
    anchors, positives, negatives, near, far = (tuple(table[name].to_pylist()) for name in _SCHEMA.names[:-1])
    return KeptTriplets(anchors, positives, negatives, near, far, params_hash)
