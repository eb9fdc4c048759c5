"""A model over a whole corpus: each shard becomes one Parquet file, whole or not at all, and is never done twice.

Whatever else lies in the folder begins with ``_`` or ``.``, which readers of Parquet folders pass over.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hemometric.corpus import SPLITS, Corpus, ShardEntry, Split, open_corpus
from hemometric.corpus.files import remove_temporaries, replacing, sha256_of, usable, write_bytes
from hemometric.ecg import Float32, Rejected
from hemometric.encoders import Model, load
from hemometric.errors import DataRejectedError, IntegrityError, UsageError
from hemometric.runs.folder import claimed_folder
from hemometric.runs.pace import Pace
from hemometric.runs.shard_notes import Done, finished, note_of, output_path
from hemometric.runs.words import counted, finished_already
from hemometric.waveform import prepare

BATCH_SIZE = 256
"""Recordings in memory at a time."""
SUMMARY = "_summary.json"
_PART = re.compile(rf"(?:{'|'.join(SPLITS)})/part-[0-9]+\.parquet")

TableOf = Callable[[Model, list[str], Float32], pa.Table]
Map = Callable[["Shardwise", Sequence[str]], Iterator["Done"]]


@dataclass(frozen=True)
class Shardwise:
    """What to do with each shard; it travels to workers.

    Attributes
    ----------
    name : str
        The job.
    model, corpus, out : Path
        Folders.
    schema : pa.Schema
        Of the files to write; the first column is ``recording_id``.
    table_of : callable
        (model, recording ids, prepared signals) to rows.
    splits : tuple or None
        None takes all.
    about : mapping
        What the rows are, by name: in the summary, and as ``hemometric.<name>`` in each file's schema.
    """

    name: str
    model: Path
    corpus: Path
    out: Path
    schema: pa.Schema
    table_of: TableOf
    splits: tuple[Split, ...] | None = None
    about: Mapping[str, str] = field(default_factory=dict)

    @property
    def file_schema(self) -> pa.Schema:
        """The schema of each file, with `about` as its metadata."""
        return self.schema.with_metadata({f"hemometric.{name}": value for name, value in self.about.items()})

    def identity(self, corpus: Corpus, model: Model) -> str:
        """Say which model's output on which splits of which corpus this is."""
        chosen = " ".join(split for split in SPLITS if self.splits is None or split in self.splits)
        return hashlib.sha256(f"{self.name} {corpus.hash} {model.hash} {chosen}".encode()).hexdigest()[:16]


def run_shardwise(job: Shardwise, open_map: Callable[[], AbstractContextManager[Map | None]]) -> list[str]:
    """Do what is missing, check that every recording has its row or its reason, and write ``_SUCCESS`` last.

    Raises
    ------
    UsageError
        `out` holds the output of another model, corpus or choice of splits.
    PrecheckError
        Another command is writing there, or the disk is full.
    IntegrityError
        A row is missing or stands twice, or a file is not of this model.
    DataRejectedError
        The model's preparation refuses every recording.
    """
    corpus, model = open_corpus(job.corpus), load(job.model)
    identity = job.identity(corpus, model)
    shards = corpus.shards(job.splits)
    with claimed_folder(job.out, identity, "the output of another model, corpus or choice of splits"):
        with usable(job.out, "out"):
            remove_temporaries(*(job.out / split for split in SPLITS))
            missing = [shard.path for shard in shards if finished(job.out, shard.path, identity) is None]
            was_whole = not missing and (job.out / "_SUCCESS").is_file()
        with Pace(job.name, sum(shard.num_rows for shard in shards)) as pace:
            pace.add(sum(shard.num_rows for shard in shards if shard.path not in missing))
            if missing:
                with open_map() as mapped:
                    todo = mapped(job, missing) if mapped is not None else (do_shard(job, path) for path in missing)
                    for done in todo:
                        pace.add(done.num_recordings)
        with usable(job.out, "out"):
            lines = _conclude(job, corpus, model, shards, identity)
    return [finished_already(job.out), *lines] if was_whole else lines


def do_shard(job: Shardwise, shard_path: str) -> Done:
    """Read one shard, run the model, write one file beside its note; done already, it is left as it is."""
    model, corpus = _opened(str(job.model), str(job.corpus))
    identity = job.identity(corpus, model)
    known = finished(job.out, shard_path, identity)
    if known is not None:
        return known
    shard = next(shard for shard in corpus.manifest.shards if shard.path == shard_path)
    target = output_path(job.out, shard_path)
    rejected: Counter[str] = Counter()
    num_rows = 0
    with usable(job.out, "out"), replacing(target) as temporary:
        with pq.ParquetWriter(temporary, job.file_schema, compression="zstd", write_page_checksum=True) as writer:
            for recording_ids, signals in _prepared(corpus, shard, model, rejected):
                table = job.table_of(model, recording_ids, signals)
                writer.write_table(table)
                num_rows += table.num_rows
        digest = sha256_of(temporary)
    path = target.relative_to(job.out).as_posix()
    done = Done(
        path=path,
        num_rows=num_rows,
        sha256=digest,
        rejected=dict(sorted(rejected.items())),
        num_recordings=shard.num_rows,
        identity=identity,
    )
    write_bytes(note_of(target), json.dumps(done.model_dump(), sort_keys=True).encode() + b"\n")
    return done


def read_output(out: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read all rows of a finished output.

    Raises
    ------
    UsageError
        The folder holds no finished output.
    IntegrityError
        Its summary or one of its files is missing, damaged, or not of an output.
    """
    if not (out / "_SUCCESS").is_file():
        raise UsageError(f"{out} holds no finished output; run hemometric embed or predict first")
    tables = []
    for path in _part_paths(out):
        try:
            tables.append(
                pq.read_table(out / path, columns=columns, partitioning=None, page_checksum_verification=True)
            )
        except (OSError, pa.ArrowException):
            raise IntegrityError(f"{out / path} is missing or damaged; run the same command again") from None
    return pa.concat_tables(tables)


def _part_paths(out: Path) -> list[str]:
    """Take the files that a summary lists; none of them may lie elsewhere."""
    summary = out / SUMMARY
    try:
        content = summary.read_bytes()
        marker = (out / "_SUCCESS").read_text(encoding="utf-8").strip()
        paths = [part["path"] for part in json.loads(content)["parts"]]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        raise IntegrityError(f"{summary} is missing or damaged; run the same command again") from None
    if hashlib.sha256(content).hexdigest() != marker:
        raise IntegrityError(f"{summary} is not the file that was written; run the same command again")
    if not paths or not all(isinstance(path, str) and _PART.fullmatch(path) for path in paths):
        raise IntegrityError(f"{summary} lists files that no output has; run the same command again")
    return paths


def _prepared(
    corpus: Corpus, shard: ShardEntry, model: Model, rejected: Counter[str]
) -> Iterator[tuple[list[str], Float32]]:
    """Prepare a shard's recordings in batches; what cannot be prepared is counted."""
    recording_ids: list[str] = []
    signals: list[Float32] = []
    for row, recording in corpus.recordings_of(shard):
        signal = prepare(recording, model.preparation)
        if isinstance(signal, Rejected):
            rejected[signal.reason] += 1
            continue
        recording_ids.append(row["recording_id"])
        signals.append(signal)
        if len(signals) == BATCH_SIZE:
            yield recording_ids, np.stack(signals)
            recording_ids, signals = [], []
    if signals:
        yield recording_ids, np.stack(signals)


@lru_cache(maxsize=1)
def _opened(model: str, corpus: str) -> tuple[Model, Corpus]:
    """Open model and corpus once in a worker's life."""
    return load(Path(model)), open_corpus(Path(corpus))


def _conclude(job: Shardwise, corpus: Corpus, model: Model, shards: Sequence[ShardEntry], identity: str) -> list[str]:
    parts = [finished(job.out, shard.path, identity) for shard in shards]
    done = [part for part in parts if part is not None]
    num_rows = sum(part.num_rows for part in done)
    rejected: Counter[str] = Counter()
    for part in done:
        rejected.update(part.rejected)
    expected = sum(shard.num_rows for shard in shards)
    if len(done) != len(shards) or num_rows + rejected.total() != expected:
        raise IntegrityError(
            f"{job.out}: {num_rows} rows and {rejected.total()} refused of {expected} recordings; run it again"
        )
    if expected and not num_rows:
        reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(rejected.items()))
        raise DataRejectedError(
            f"model {job.model} fits none of the {expected} recordings of {job.corpus} ({reasons}); "
            "take a corpus like the one that it was trained on"
        )
    summary: dict[str, Any] = {
        **job.about,
        "identity": identity,
        "model_hash": model.hash,
        "manifest_hash": corpus.hash,
        "num_rows": num_rows,
        "rejected": dict(sorted(rejected.items())),
        "parts": [part.model_dump() for part in done],
    }
    content = json.dumps(summary, indent=2, sort_keys=True).encode() + b"\n"
    write_bytes(job.out / SUMMARY, content)
    table = read_ids(job, done)
    if len(set(table)) != num_rows:
        raise IntegrityError(f"{job.out}: a recording stands twice; remove the folder and run it again")
    write_bytes(job.out / "_SUCCESS", hashlib.sha256(content).hexdigest().encode() + b"\n")
    lines = [f"{num_rows} of {counted(expected, 'recording')} in {counted(len(done), 'file')}"]
    if rejected:
        lines.append("refused: " + ", ".join(f"{reason} {count}" for reason, count in sorted(rejected.items())))
    return [*lines, f"{job.name}: {job.out}"]


def read_ids(job: Shardwise, done: Sequence[Done]) -> list[str]:
    """Read the recording ids of finished files.

    Raises
    ------
    IntegrityError
        A file says that it is of another model, or holds other columns.
    """
    ids: list[str] = []
    for part in done:
        with pq.ParquetFile(job.out / part.path) as file:
            found, wanted = file.schema_arrow, job.file_schema
            if (found.metadata, found.names) != (wanted.metadata, wanted.names):
                raise IntegrityError(f"{job.out / part.path} is not of this model; remove {job.out} and run it again")
            table = file.read(columns=["recording_id"])
        ids += table["recording_id"].to_pylist()
    return ids
