"""The recordings of a study: corpus, embeddings and estimates joined by recording id."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hemometric.corpus import Corpus
from hemometric.ecg import Float64
from hemometric.runs.training import METADATA_UNITS


@dataclass(frozen=True, eq=False)
class Rows:
    """The recordings of a study, in one order for everything.

    Attributes
    ----------
    table : pa.Table
        Columns of the corpus.
    embeddings : dict
        From a system to float32 [n, dim].
    estimates : float64 [n] or None
        Of the predictor.
    num_refused : int
        Recordings of the corpus that are left out, because some model's preparation refused them.
    """

    table: pa.Table
    embeddings: dict[str, npt.NDArray[np.float32]]
    estimates: Float64 | None = None
    num_refused: int = 0

    def column(self, name: str) -> npt.NDArray[Any]:
        """Give a column as an array."""
        return np.asarray(self.table[name].to_pylist(), dtype=object)

    def labels(self, name: str) -> list[Any]:
        """Give a label, or a column of the corpus that may be estimated like one; None where a recording has none."""
        found: list[Any] = self.table[name if name in METADATA_UNITS else f"label.{name}"].to_pylist()
        return found

    def mask(self, split: str) -> npt.NDArray[np.bool_]:
        """Say which rows lie in a split."""
        found: npt.NDArray[np.bool_] = self.column("split") == split
        return found


def joined(
    corpus: Corpus,
    embeddings: dict[str, tuple[npt.NDArray[Any], npt.NDArray[np.float32]]],
    estimates: tuple[npt.NDArray[Any], npt.NDArray[np.float32]] | None,
) -> Rows:
    """Join everything by recording id; a recording that some system refused is left out for all."""
    table = corpus.table()
    ids = table["recording_id"].to_pylist()
    held = [set(found.tolist()) for found, _ in embeddings.values()]
    held += [set(estimates[0].tolist())] if estimates is not None else []
    keep = [position for position, name in enumerate(ids) if all(name in known for known in held)]
    table = table.take(keep)
    order = table["recording_id"].to_pylist()

    def aligned(found: npt.NDArray[Any], values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        place = {name: position for position, name in enumerate(found.tolist())}
        return values[[place[name] for name in order]]

    return Rows(
        table,
        {system: aligned(*pair) for system, pair in embeddings.items()},
        None if estimates is None else aligned(*estimates).astype(np.float64),
        num_refused=len(ids) - len(keep),
    )
