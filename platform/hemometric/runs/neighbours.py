"""Neighbours: the nearest recordings of every recording of a corpus, by an exact distance, as one table.

A finished graph is what pretraining draws positives from, so that an ECG's positive is its nearest among all and not
among a batch. Work goes in two rounds, both dealt to workers and both safe to kill: shards are laid out as what is
compared, then blocks of queries are searched. The table depends on neither the number of workers nor the blocks.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated, Any, Literal

import pyarrow.parquet as pq
from pydantic import Field, model_validator

from hemometric.config import PLACEMENT, fingerprint
from hemometric.corpus import Corpus, Split, open_corpus
from hemometric.corpus.files import replacing, sha256_of, usable, write_bytes
from hemometric.distances import DistanceConfig, DtwDistance
from hemometric.errors import IntegrityError
from hemometric.mining import HUB_FRACTION, check_measure, measure_hash
from hemometric.mining.compared import ComparedConfig, WholeRecord
from hemometric.runs.base import Workers
from hemometric.runs.folder import claimed_folder
from hemometric.runs.ingest import Map
from hemometric.runs.mapped_files import reading
from hemometric.runs.neighbour_archive import Archive, Block, lay_archive, read_ids, stage_shard, stages_of
from hemometric.runs.neighbour_search import SCHEMA, CandidatesConfig, ExactCandidates, Search, block_path, search_block
from hemometric.runs.neighbour_uses import NeighbourUses
from hemometric.runs.pace import Pace
from hemometric.runs.records import read_record
from hemometric.runs.shapes import GraphCandidates, GraphSummary
from hemometric.runs.words import counted
from hemometric.waveform import Preparation

TABLE = "neighbours.parquet"
"""One row is one neighbour of one recording, sorted by recording id and rank."""


class NeighboursRun(Workers):
    """One neighbour graph.

    A recording's nearest may be another one of the same patient. That is right for positives and wrong for a study of
    nearest neighbours, in which a patient would tell of herself: `hemometric.distances.nearest(..., exclude=...)`
    leaves out pairs of one patient.

    Attributes
    ----------
    corpus, out : Path
        Folders; `out` must lie where every node sees it.
    splits : tuple
        Whose recordings are compared; what pretraining uses must not hold a test patient.
    preparation, compared, distance : config
        What of a recording is compared, and how, as for mining.
    candidates : config
        Among whom the nearest are sought: all (``exact``), or those that a cheaper look proposes. The distances in
        the table are exact in each case.
    k : int
        Neighbours of each recording; fewer where the archive holds fewer others.
    block_recordings : int
        Queries of one block, the unit of work that is done again after a kill.
    """

    job: Literal["neighbours"] = "neighbours"
    corpus: Annotated[Path, PLACEMENT]
    out: Annotated[Path, PLACEMENT]
    splits: tuple[Split, ...] = Field(default=("train",), min_length=1)
    preparation: Preparation = Preparation()
    compared: ComparedConfig = WholeRecord()
    distance: DistanceConfig = DtwDistance()
    candidates: CandidatesConfig = ExactCandidates()
    k: int = Field(default=10, ge=1)
    block_recordings: Annotated[int, PLACEMENT] = Field(default=512, ge=1)

    @model_validator(mode="after")
    def _parts_fit(self) -> NeighboursRun:
        check_measure(self.compared, self.distance)
        for compared in self.candidates.looks().values():
            check_measure(compared, self.distance, "candidates.compared")
        if not isinstance(self.candidates, ExactCandidates) and self.candidates.num < self.k:
            raise ValueError(f"candidates.num is {self.candidates.num}, fewer than the k = {self.k} that are kept")
        return self


OpenMap = Callable[[], AbstractContextManager[Map]]


def run(config: NeighboursRun) -> list[str]:
    """Build the graph in this process, without Ray; a finished one is a no-op."""

    def plain(function: Callable[[Any, Any], Any], context: Any, items: Sequence[Any]) -> Iterator[Any]:
        return (function(context, item) for item in items)

    return neighbours(config, lambda: nullcontext(plain))


def neighbours(config: NeighboursRun, open_map: OpenMap) -> list[str]:
    """Lay the archive, search it block by block, and write the table; `open_map` deals work to workers.

    Raises
    ------
    UsageError
        `out` holds something else, or the candidates do not fit the corpus.
    PrecheckError
        Another command is writing there, or the disk is full.
    IntegrityError
        A shard is damaged, or a block is missing.
    """
    corpus = open_corpus(config.corpus)
    identity = _identity(config, corpus)
    if is_finished(config.out, identity):
        shutil.rmtree(config.out / f".work-{identity}", ignore_errors=True)  # a kill may have come before its removal
        return finished_lines(config.out)
    with claimed_folder(config.out, identity, "the neighbours of another config or corpus"):
        with open_map() as mapped:
            archive = _laid(config, corpus, config.out / f".work-{identity}", mapped)
            search = Search(
                archive.folder,
                config.distance,
                config.candidates,
                config.k,
                _params_hash(config),
                max(1, int(config.cpus_per_worker)),
            )
            blocks = archive.blocks(config.block_recordings)
            with Pace("neighbours", archive.num_recordings) as pace:
                for done in mapped(search_block, search, blocks):
                    pace.add(done)
        _conclude(config, corpus, archive, blocks, identity)
    return finished_lines(config.out)


def finished_lines(out: Path) -> list[str]:
    """Say what a finished graph holds."""
    summary = read_record(out / "_summary.json", GraphSummary, remove=out)
    num = summary.num_candidates
    among = "exact" if num is None else f"nearest among {counted(num, 'candidate')} each"
    lines = [f"{summary.num_rows} neighbours of {summary.num_recordings} recordings, {among}"]
    if summary.k > summary.num_others:
        lines.append(f"k is {summary.k}, but there are only {counted(summary.num_others, 'other')}")
    if summary.left_out:
        reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(summary.left_out.items()))
        lines.append(f"left out: {reasons}")
    hubs = (
        f"hubs: the most used {100 * HUB_FRACTION:.0f} % of recordings are {100 * summary.hub_share:.0f} % of all "
        f"neighbours; nobody's neighbour: {counted(summary.num_unused, 'recording')}"
    )
    return [*lines, hubs, f"neighbours: {out / TABLE}"]


def _identity(config: NeighboursRun, corpus: Corpus) -> str:
    essence = f"{fingerprint(config)} {corpus.hash} {config.candidates.identity()}"
    return hashlib.sha256(essence.encode()).hexdigest()[:16]


def _params_hash(config: NeighboursRun) -> str:
    return measure_hash(config.preparation, config.compared, config.distance)


def is_finished(out: Path, identity: str) -> bool:
    """Whether a folder holds the whole table of this identity.

    Raises
    ------
    IntegrityError
        It does, and the table is damaged.
    """
    marker = out / "_SUCCESS"
    with usable(out, "out", to="read"):
        words = marker.read_text(encoding="utf-8", errors="replace").split() if marker.is_file() else []
        if words[:1] != [identity]:
            return False
        digest = sha256_of(out / TABLE) if (out / TABLE).is_file() else None
    if words[1:] != [digest]:
        raise IntegrityError(f"{out / TABLE} is missing or damaged; remove {out} and run the same command again")
    return True


def _laid(config: NeighboursRun, corpus: Corpus, folder: Path, mapped: Map) -> Archive:
    for other in config.out.glob(".work-*"):
        if other != folder:  # of a config that was changed before it was done
            shutil.rmtree(other)
    compared = {"main": config.compared} | config.candidates.looks()
    stages = stages_of(corpus, config.splits, folder, config.preparation, compared)
    with Pace("lay out", sum(stage.num_rows for stage in stages.shards)) as pace:
        for num in mapped(stage_shard, stages, stages.shards):
            pace.add(num)
    return lay_archive(stages)


def _conclude(config: NeighboursRun, corpus: Corpus, archive: Archive, blocks: Sequence[Block], identity: str) -> None:
    num_rows, uses = 0, NeighbourUses(read_ids(archive.folder))
    with replacing(config.out / TABLE) as temporary:
        schema = SCHEMA.with_metadata(
            {"hemometric.params_hash": _params_hash(config), "hemometric.manifest_hash": corpus.hash}
        )
        with pq.ParquetWriter(temporary, schema, compression="zstd", write_page_checksum=True) as writer:
            for block in blocks:
                path = block_path(archive.folder, block)
                with reading(path):
                    table = pq.read_table(path, page_checksum_verification=True)
                writer.write_table(table.replace_schema_metadata(schema.metadata))
                num_rows += table.num_rows
                uses.add(table["neighbour_id"])
        digest = sha256_of(temporary)
    candidates = config.candidates
    num_candidates = None if isinstance(candidates, ExactCandidates) else candidates.num
    summary = {
        "identity": identity,
        "params_hash": _params_hash(config),
        "manifest_hash": corpus.hash,
        "num_recordings": archive.num_recordings,
        "num_rows": num_rows,
        "left_out": dict(archive.left_out),
        "k": config.k,
        "candidates": GraphCandidates(kind=candidates.kind, num=num_candidates).model_dump(),
        "hub_share": uses.hub_share(),
        "num_unused": uses.num_unused(),
        "preparation": config.preparation.model_dump(mode="json"),
        "compared": config.compared.model_dump(mode="json"),
        "distance": config.distance.model_dump(mode="json"),
    }
    write_bytes(config.out / "_summary.json", json.dumps(summary, indent=2, sort_keys=True).encode() + b"\n")
    write_bytes(config.out / "_SUCCESS", f"{identity} {digest}\n".encode())
    shutil.rmtree(archive.folder, ignore_errors=True)
