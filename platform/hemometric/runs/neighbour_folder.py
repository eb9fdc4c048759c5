"""The folder that `hemometric neighbours` leaves, read again: what its distances are of, and who is near to whom."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from hemometric.corpus import Corpus
from hemometric.corpus.files import usable
from hemometric.errors import UsageError
from hemometric.runs.neighbours import TABLE, is_finished
from hemometric.runs.records import read_record
from hemometric.runs.shapes import GraphSummary


@dataclass(frozen=True)
class GraphFolder:
    """A finished graph.

    Attributes
    ----------
    path : Path
    summary : GraphSummary
        What its distances are of, and among whom.
    """

    path: Path
    summary: GraphSummary

    def nearest(self, recording_id: str) -> list[tuple[str, float]]:
        """Give the neighbours of a recording and their distances, nearest first; none where it is not in the graph."""
        columns = ["rank", "neighbour_id", "distance"]
        rows = pq.read_table(self.path / TABLE, columns=columns, filters=[("recording_id", "==", recording_id)])
        return [(row["neighbour_id"], row["distance"]) for row in rows.sort_by("rank").to_pylist()]

    def first(self) -> str:
        """Give the first recording id.

        Raises
        ------
        UsageError
            The graph has no neighbours, since it was made of one recording.
        """
        with pq.ParquetFile(self.path / TABLE) as file:
            for batch in file.iter_batches(batch_size=1, columns=["recording_id"]):
                return str(batch["recording_id"][0].as_py())
        raise UsageError(f"neighbours: {self.path} is the graph of one recording, which has no neighbours")


def open_graph(folder: Path, corpus: Corpus) -> GraphFolder:
    """Open a finished graph of a corpus.

    Parameters
    ----------
    folder : Path
        That holds it, or its table in there.

    Raises
    ------
    UsageError
        The folder holds no finished graph, or one of another corpus.
    IntegrityError
        Its table or its summary is damaged.
    """
    with usable(folder, "neighbours", to="read"):
        if folder.name == TABLE and not folder.is_dir():
            folder = folder.parent
        is_there = (folder / "_SUCCESS").is_file() and (folder / TABLE).is_file()
    if not is_there:
        raise UsageError(f"neighbours: {folder} is no finished output of `hemometric neighbours`")
    summary = read_record(folder / "_summary.json", GraphSummary, remove=folder)
    if not is_finished(folder, summary.identity):
        raise UsageError(f"neighbours: {folder} holds parts of two graphs; remove it and build the graph again")
    if summary.manifest_hash != corpus.hash:
        raise UsageError(
            f"neighbours: {folder} is the graph of corpus {summary.manifest_hash[:16]}, and {corpus.path} is "
            f"{corpus.hash[:16]}; give the corpus that it was built from, or build it again from this one"
        )
    return GraphFolder(folder, summary)
