"""Who withdraws is gone from every file of a corpus, and no later ingest brings anything back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from hemometric.corpus import ColumnsTable, FoldSplit, IngestConfig, Key, LabelSpec, Manifest, open_corpus, verify
from hemometric.corpus.identity import Identity, IdRules
from hemometric.corpus.removal import of_patients
from hemometric.corpus.settings import SETTINGS
from hemometric.errors import UsageError
from hemometric.runs.merge import MergeRun
from hemometric.runs.merge import run as merge
from hemometric.runs.privacy.corpus_check import check_corpora
from hemometric.runs.remove import remove_recordings
from hemometric.vendors.guarded import GuardConfig

Ingest = Callable[..., Manifest]
NUM = 18


@pytest.fixture
def archive(tmp_path: Path, write_record: Callable[..., Path]) -> Path:
    """Eighteen ECGs of nine patients, two each; r00 lies there a second time as r18, and one of these is refused."""
    lines = ["record,mrn,wedge,fold"]
    for number in range(NUM + 1):
        write_record(tmp_path / "archive", f"r{number:02d}", seed=number % NUM, num_samples=900)
        lines.append(f"r{number:02d},P{number % NUM % 9},{10 + number},{number % NUM % 9}")
    (tmp_path / "ecgs.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "same.csv").write_text("id,same_as\nP1,P2\n")
    return tmp_path / "archive"


def config_of(archive: Path, **changes: Any) -> IngestConfig:
    labels = {"wedge": LabelSpec(column="wedge", unit="mmHg")}
    path = archive.parent / "ecgs.csv"
    table = ColumnsTable(path=path, record="record", patient="mrn", fold="fold", labels=labels)
    identity = Identity(rules=IdRules(case="fold"), same=archive.parent / "same.csv")
    split = FoldSplit(train=(0, 1, 2, 3, 4), validation=(5, 6), test=(7, 8))
    plain: dict[str, Any] = {"unit_recordings": 4, "shard_bytes": 1 << 16, "guard": GuardConfig(enabled=False)}
    plain |= {"table": table, "identity": identity, "split": split, "max_rejected_fraction": 0.5}
    return IngestConfig(**plain | changes)


def removed(archive: Path, key: Key, *ids: str) -> list[str]:
    (archive.parent / "ids.txt").write_text("\n".join(["", *ids, ""]))
    out = archive.parent / "out"
    return remove_recordings(out, patients=archive.parent / "ids.txt", key_file=key.path)


def records_of(out: Path, key: Key) -> set[int]:
    there = set(open_corpus(out).table(columns=["recording_id"])["recording_id"].to_pylist())
    return {number for number in range(NUM + 1) if key.recording_id(f"archive/r{number:02d}") in there}


def test_staged_work_of_killed_runs_goes_too(archive: Path, ingest: Ingest, key: Key) -> None:
    """Of an ingest, and of a compaction, whose spread shards hold whole rows; what others put there stays."""
    out = archive.parent / "out"
    ingest(config_of(archive), [archive], out, key)
    names = (f"unit-{'0a' * 12}.arrow", f"unit-{'0a' * 12}.json", f"regrouped/from-{'0a' * 16}.arrow")
    for name in (*names, "unit-mine.txt"):
        (out / "staging" / name).parent.mkdir(parents=True, exist_ok=True)
        (out / "staging" / name).write_bytes(b"rows")
    removed(archive, key, "p0")
    assert [path.name for path in (out / "staging").rglob("*") if path.is_file()] == ["unit-mine.txt"]


@pytest.mark.parametrize("pseudonyms", ["keyed", "random"])
def test_a_patient_leaves_every_file_and_does_not_come_back(
    archive: Path, ingest: Ingest, key: Key, pseudonyms: str
) -> None:
    out, config = archive.parent / "out", config_of(archive, pseudonyms=pseudonyms)
    before = ingest(config, [archive], out, key)
    gone = of_patients(open_corpus(out), ["p0"], key).recordings
    assert len(gone) == 2
    lines = removed(archive, key, "p0", "P77")
    assert lines[0] == "2 recordings removed, 1 patient without any left"
    assert "careful: no recording here is of 1 patient of the file; see how ids are spelt" in lines
    manifest = verify(out, key)
    assert manifest.counts.accepted == before.counts.accepted - 2
    assert manifest.counts.labels == {"wedge": before.counts.labels["wedge"] - 2}
    assert manifest.counts.rejected == {"removed": 3}, "its second copy, refused as a duplicate, goes with it"
    assert not gone & set(open_corpus(out).table(columns=["recording_id"])["recording_id"].to_pylist())
    for path in out.rglob("*.parquet"):
        table = pq.read_table(path, partitioning=None)
        assert path.parent == out or not gone & set(table["recording_id"].to_pylist())
    told = [row for row in open_corpus(out).quarantine().to_pylist() if row["reason"] == "removed"]
    assert {(row["content"], row["facts"], row["same_as"]) for row in told} == {("f" * 32, "f" * 32, None)}
    check_corpora([out], print)

    assert ingest(config, [archive], out, key) == manifest, "nothing to do"
    assert ingest(config, [archive], out, key, retry_quarantine=True) == manifest
    table = archive.parent / "ecgs.csv"
    table.write_text(table.read_text().replace("r00,P0,10", "r00,P0,33").replace("r01,P1,11", "r01,P1,12"))
    again = ingest(config, [archive], out, key)
    assert again.num_ingests == manifest.num_ingests + 1, "what is said of another has changed"
    assert not gone & set(open_corpus(out).table(columns=["recording_id"])["recording_id"].to_pylist())
    assert again.counts.rejected == {"removed": 3}
    verify(out, key)


def test_those_who_are_linked_are_one_person(archive: Path, ingest: Ingest, key: Key) -> None:
    out = archive.parent / "out"
    ingest(config_of(archive), [archive], out, key)
    assert removed(archive, key, "P2")[0] == "4 recordings removed, 1 patient without any left"
    assert records_of(out, key) - {0, NUM} == set(range(1, NUM)) - {1, 10, 2, 11}
    assert removed(archive, key, "P2")[:2] == [
        "0 recordings removed, 0 patients without any left",
        "careful: no recording here is of 1 patient of the file; see how ids are spelt",
    ]


def test_single_recordings_go_by_key(archive: Path, ingest: Ingest, key: Key) -> None:
    out = archive.parent / "out"
    ingest(config_of(archive), [archive], out, key)
    (copy,) = open_corpus(out).quarantine()["recording_id"].to_pylist()
    lines = remove_recordings(out, [key.recording_id("archive/r04").upper(), copy])
    assert lines[0] == "1 recording removed, 0 patients without any left"
    assert records_of(out, key) - {0, NUM} == set(range(1, NUM)) - {4}
    assert verify(out, key).counts.rejected == {"removed": 2}


def test_a_split_may_be_left_without_shards(archive: Path, ingest: Ingest, key: Key) -> None:
    out = archive.parent / "out"
    ingest(config_of(archive), [archive], out, key)
    corpus = open_corpus(out)
    assert len(corpus.shards(["test"])) > 0
    remove_recordings(out, corpus.table(["test"], ["recording_id"])["recording_id"].to_pylist())
    after = verify(out, key)
    assert (after.counts.splits["test"].recordings, open_corpus(out).shards(["test"])) == (0, ())


def test_a_merge_brings_nobody_back(archive: Path, ingest: Ingest, key: Key) -> None:
    out, other, merged = (archive.parent / name for name in ("out", "other", "merged"))
    for folder in (out, other):
        ingest(config_of(archive), [archive], folder, key)
    removed(archive, key, "P3")
    both = MergeRun(corpora=(other, out), out=merged, key=key.path)
    with pytest.raises(UsageError, match="other holds 2 recordings that were removed from another of these corpora"):
        merge(both)
    assert not merged.exists()
    remove_recordings(other, patients=archive.parent / "ids.txt", key_file=key.path)
    merge(both)
    assert verify(merged, key).counts.rejected["removed"] == 2


def test_what_cannot_be_done_is_said_and_changes_nothing(archive: Path, ingest: Ingest, key: Key) -> None:
    out = archive.parent / "out"
    ingest(config_of(archive), [archive], out, key)
    before = open_corpus(out).hash
    everyone = open_corpus(out).table(columns=["recording_id"])["recording_id"].to_pylist()
    for keys, sentence in (
        ((), "give keys of recordings, or --patients"),
        (("3f2a",), "'3f2a' is no whole key"),
        (everyone, "these are all recordings"),
    ):
        with pytest.raises(UsageError, match=sentence):
            remove_recordings(out, keys)
    with pytest.raises(UsageError, match="lists nobody"):
        removed(archive, key)
    with pytest.raises(UsageError, match="was made with key"):
        of_patients(open_corpus(out), ["P1"], Key(b"k" * 32))
    (out / SETTINGS).unlink()
    with pytest.raises(UsageError, match="lost the rules of its ids"):
        removed(archive, key, "P1")
    assert open_corpus(out).hash == before
