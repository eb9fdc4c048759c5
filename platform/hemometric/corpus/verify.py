"""Proof that a corpus is what its manifest says: bytes rehashed, counts recounted, no patient in two splits."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from hemometric.corpus.files import sha256_of
from hemometric.corpus.manifest import Manifest, unreadable
from hemometric.corpus.pseudonyms import Key
from hemometric.corpus.reader import Corpus, open_corpus
from hemometric.corpus.split import SPLITS, HashSplit, partition_of
from hemometric.errors import IntegrityError

_COLUMNS = ("recording_id", "patient", "split", "partition")


def verify(path: Path, key: Key | None = None) -> Manifest:
    """Check a whole corpus.

    Parameters
    ----------
    key : Key or None
        With the key that made it, each patient's partition and split by hash are derived again as well.

    Raises
    ------
    UsageError
        There is no corpus, it is not finished, it may not be read, or it has another schema version.
    IntegrityError
        Something is not as the manifest says; the message names the file and counts further findings.
    """
    corpus = open_corpus(path)
    problems = find_problems(corpus, key)
    if problems:
        more = f" (and {len(problems) - 1} more findings)" if len(problems) > 1 else ""
        raise IntegrityError(problems[0] + more)
    return corpus.manifest


def find_problems(corpus: Corpus, key: Key | None = None) -> list[str]:
    """List what is wrong with a corpus, in sentences; empty when all is well.

    Raises
    ------
    UsageError
        A file may not be read, so that nothing can be said of it.
    """
    manifest = corpus.manifest
    problems = _unlisted(corpus)
    tables = []
    for entry in (*manifest.shards, manifest.quarantine, manifest.links):
        path = corpus.path / entry.path
        try:
            if not path.is_file():
                problems.append(f"{path} is missing; restore it, or make the corpus again")
            elif sha256_of(path) != entry.sha256:
                problems.append(f"{path} is not the file that was written (its hash differs); restore it")
        except PermissionError as error:
            raise unreadable(path, error) from None
    if problems:
        return problems
    try:
        quarantine = corpus.quarantine()
        for shard in manifest.shards:
            table = _shard_rows(corpus, shard.path)
            if set(pc.unique(table["split"]).to_pylist()) != {shard.split}:
                problems.append(f"{corpus.path / shard.path} holds rows of another split than {shard.split}")
            if set(pc.unique(table["partition"]).to_pylist()) != set(shard.partitions):
                problems.append(f"{corpus.path / shard.path} holds rows of other partitions than its entry says")
            tables.append(table)
    except IntegrityError as error:
        return [str(error)]
    rows = pa.concat_tables(tables).combine_chunks()
    return problems + _counts(manifest, rows, quarantine) + _patients(manifest, rows, key)


def _shard_rows(corpus: Corpus, shard_path: str) -> pa.Table:
    shard = next(entry for entry in corpus.manifest.shards if entry.path == shard_path)
    return corpus.shard_table(shard, _COLUMNS)


def _unlisted(corpus: Corpus) -> list[str]:
    listed = {corpus.path / entry.path for entry in corpus.manifest.shards}
    found = (corpus.path / "shards").rglob("*.parquet")
    return [
        f"{path} is not in the manifest; run what was writing again, or remove it"
        for path in sorted(found)
        if path not in listed
    ]


def _counts(manifest: Manifest, rows: pa.Table, quarantine: pa.Table) -> list[str]:
    counts = manifest.counts
    reasons = dict(Counter(quarantine["reason"].to_pylist()))
    in_splits = {name: split.recordings for name, split in counts.splits.items()}
    found_splits = {name: pc.sum(pc.equal(rows["split"], name)).as_py() or 0 for name in SPLITS}
    in_partitions = Counter(rows["partition"].to_pylist())
    statements = [
        (counts.found == counts.accepted + sum(counts.rejected.values()), "found is not accepted plus rejected"),
        (counts.accepted == len(rows), f"accepted says {counts.accepted} and the shards hold {len(rows)} rows"),
        (reasons == counts.rejected, "the quarantine table does not hold the rejections that are counted"),
        (in_splits == found_splits, f"splits say {in_splits} and the shards hold {found_splits}"),
        (
            in_partitions == +Counter(dict(enumerate(manifest.partitions.rows))),
            "the rows per partition are not those of the shards",
        ),
        (pc.count_distinct(rows["recording_id"]).as_py() == len(rows), "a recording stands in it twice"),
        (
            not pc.any(pc.is_in(quarantine["recording_id"], rows["recording_id"])).as_py(),
            "a recording is both accepted and in quarantine",
        ),
    ]
    return [f"manifest of {manifest.key_id}: {sentence}" for holds, sentence in statements if not holds]


def _patients(manifest: Manifest, rows: pa.Table, key: Key | None) -> list[str]:
    problems = []
    of_patient = rows.group_by("patient").aggregate([("split", "count_distinct"), ("partition", "count_distinct")])
    for column, what in (("split", "more than one split"), ("partition", "more than one partition")):
        number = pc.sum(pc.greater(of_patient[f"{column}_count_distinct"], 1)).as_py() or 0
        if number:
            problems.append(f"{number} patients lie in {what}; make the corpus again")
    for name in SPLITS:
        inside = rows.filter(pc.equal(rows["split"], name))
        number, stated = pc.count_distinct(inside["patient"]).as_py(), manifest.counts.splits[name].patients
        if number != stated:
            problems.append(f"the {name} split holds {number} patients and the manifest says {stated}")
    if key is not None:
        problems += _against_key(manifest, rows, key)
    return problems


def _against_key(manifest: Manifest, rows: pa.Table, key: Key) -> list[str]:
    if key.key_id != manifest.key_id:
        return [f"the given key is {key.key_id} and the corpus was made with key {manifest.key_id}"]
    if manifest.crosswalk:
        return []  # random codes: nothing here follows from the key
    placed = rows.group_by(["patient", "partition", "split"]).aggregate([])
    wrong = 0
    for row in placed.to_pylist():
        wrong += row["partition"] != partition_of(key, row["patient"])
        if isinstance(manifest.split, HashSplit):
            wrong += row["split"] != manifest.split.of_patient(key, row["patient"])
    return [f"{wrong} patients lie in another partition or split than their key says"] if wrong else []
