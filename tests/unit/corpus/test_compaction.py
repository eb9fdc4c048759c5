"""A corpus that has grown by small ingests becomes, compacted, the shards of a single ingest, byte for byte."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hemometric.corpus import IngestConfig, Key, Manifest, ingest_lock, open_corpus, verify
from hemometric.corpus import files as files_module
from hemometric.corpus.compaction import finish_compaction, prepare_compaction
from hemometric.corpus.regrouping import regroup
from hemometric.corpus.tables import NoTable
from hemometric.errors import IntegrityError, PrecheckError, UsageError
from hemometric.runs.compact import CompactRun, run
from hemometric.vendors.guarded import GuardConfig

SHARD_BYTES = 1 << 17
CONFIG = IngestConfig(
    table=NoTable(),
    patients="recording_is_patient",
    unit_recordings=3,
    shard_bytes=SHARD_BYTES,
    guard=GuardConfig(enabled=False),
)
NUM = 24
Ingest = Callable[..., Manifest]
WriteRecord = Callable[..., Path]


def compact(folder: Path, shard_bytes: int = SHARD_BYTES) -> list[str]:
    return run(CompactRun(corpus=folder, shard_bytes=shard_bytes))


def digests(folder: Path) -> list[tuple[str, str]]:
    return [(shard.split, shard.sha256) for shard in open_corpus(folder).manifest.shards]


def listed(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def grown(
    tmp_path_factory: pytest.TempPathFactory,
    write_record: WriteRecord,
    ingest: Ingest,
    key: Key,
) -> Path:
    """A folder with ``grown`` (by four ingests), ``once`` (the same ECGs by one) and ``source``."""
    folder = tmp_path_factory.mktemp("grown")
    for number in range(NUM):
        write_record(folder / "source", f"r{number:02d}", seed=number, num_samples=900 + 10 * (number % 5))
        if number % 6 == 5:
            ingest(CONFIG, [folder / "source"], folder / "grown", key)
    ingest(CONFIG, [folder / "source"], folder / "once", key)
    return folder


@pytest.fixture
def corpus(grown: Path, tmp_path: Path) -> Path:
    shutil.copytree(grown / "grown", tmp_path / "corpus")
    return tmp_path / "corpus"


def test_it_ends_in_the_shards_of_a_single_ingest(grown: Path, corpus: Path, key: Key) -> None:
    before = open_corpus(corpus)
    assert before.manifest.num_ingests == 4
    assert len(before.manifest.shards) > len(open_corpus(grown / "once").manifest.shards)
    assert digests(corpus) != digests(grown / "once")
    lines = compact(corpus)
    assert digests(corpus) == digests(grown / "once")
    after = verify(corpus, key)
    assert after.model_copy(update={"shards": before.manifest.shards}) == before.manifest, "nothing but shards differs"
    assert (
        lines[0] == f"{NUM} recordings: {len(before.manifest.shards)} shards became {len(after.shards)}; no row changed"
    )
    first_new = {split: max(one.number for one in before.shards([split])) for split in {s.split for s in after.shards}}
    assert all(shard.number > first_new[shard.split] for shard in after.shards)


def test_every_row_is_the_same_bit_for_bit(grown: Path, corpus: Path) -> None:
    def rows(folder: Path) -> pa.Table:
        opened = open_corpus(folder)
        tables = [pq.read_table(folder / shard.path, partitioning=None) for shard in opened.manifest.shards]
        return pa.concat_tables(tables).sort_by("recording_id").combine_chunks()

    compact(corpus)
    assert rows(corpus).equals(rows(grown / "grown"), check_metadata=True)


def test_a_second_time_there_is_nothing_to_do(corpus: Path) -> None:
    compact(corpus)
    before = {name: (corpus / name).stat().st_mtime_ns for name in listed(corpus)}
    lines = compact(corpus)
    assert lines[0] == f"{corpus} is compact already; nothing to do"
    assert {name: (corpus / name).stat().st_mtime_ns for name in listed(corpus)} == before


def test_a_single_ingest_is_compact(grown: Path, tmp_path: Path) -> None:
    shutil.copytree(grown / "once", tmp_path / "once")
    assert "nothing to do" in compact(tmp_path / "once")[0]
    assert "became 3" in compact(tmp_path / "once", 1 << 30)[0]


def test_nothing_is_left_and_later_ingests_go_on(
    grown: Path,
    corpus: Path,
    ingest: Ingest,
    key: Key,
    write_record: WriteRecord,
    tmp_path: Path,
) -> None:
    compact(corpus)
    manifest = open_corpus(corpus).manifest
    tables = {manifest.quarantine.path, manifest.links.path}
    hidden = {name for name in listed(corpus) if name.startswith(".")}
    assert listed(corpus) - hidden == {"manifest.json", "_SUCCESS", *tables, *(shard.path for shard in manifest.shards)}
    shutil.copytree(grown / "source", tmp_path / "source")
    write_record(tmp_path / "source", "new", seed=99)
    grew: Manifest = ingest(CONFIG, [tmp_path / "source"], corpus, key)
    assert (grew.counts.accepted, grew.num_ingests) == (NUM + 1, 5)
    verify(corpus, key)


def test_only_splits_that_need_it_are_written(corpus: Path) -> None:
    compact(corpus)
    shards = open_corpus(corpus).manifest.shards
    alone = [one.path for one in shards if sum(one.split == other.split for other in shards) == 1]
    assert 0 < len(alone) < len(shards)
    plan = prepare_compaction(corpus, 1 << 30)
    assert plan is not None
    assert [shard.path for shard in plan.untouched] == alone
    compact(corpus, 1 << 30)
    assert len(open_corpus(corpus).manifest.shards) == 3
    assert set(alone) < {shard.path for shard in verify(corpus).shards}


@pytest.mark.parametrize("stop_after", [0, 1, 3])
def test_a_stop_between_shards_is_taken_up(grown: Path, corpus: Path, stop_after: int) -> None:
    before = open_corpus(corpus).hash
    plan = prepare_compaction(corpus, SHARD_BYTES)
    assert plan is not None
    half = regroup(plan.work)
    written = [next(half) for _ in range(stop_after)]
    half.close()
    assert open_corpus(corpus).hash == before, "readers see the old corpus meanwhile"
    stamps = {entry.path: (corpus / entry.path).stat().st_mtime_ns for entry in written}
    again = prepare_compaction(corpus, SHARD_BYTES)
    assert again is not None
    entries = list(regroup(again.work))
    assert {path: (corpus / path).stat().st_mtime_ns for path in stamps} == stamps, "finished shards are kept"
    finish_compaction(again, entries)
    assert digests(corpus) == digests(grown / "once")


def test_staged_units_of_a_killed_ingest_stay(corpus: Path) -> None:
    (corpus / "staging").mkdir()
    (corpus / "staging" / "unit-0.arrow").write_bytes(b"half an ingest")
    compact(corpus)
    assert {name for name in listed(corpus) if name.startswith("staging")} == {"staging/unit-0.arrow"}


def test_spread_shards_lie_only_as_long_as_they_are_needed(corpus: Path) -> None:
    plan = prepare_compaction(corpus, SHARD_BYTES)
    assert plan is not None
    most = 0
    for number, _ in enumerate(regroup(plan.work)):
        left = {unit for later in plan.work.plans[number:] for unit in later.units}
        lying = {path.stem for path in plan.work.folder.glob("*.arrow")}
        assert lying <= left
        most = max(most, len(lying))
    assert 0 < most < len(plan.work.origins)
    assert not list(plan.work.folder.glob("*.arrow"))


def test_a_damaged_shard_ends_it_with_the_corpus_as_it_was(corpus: Path) -> None:
    path = corpus / open_corpus(corpus).manifest.shards[0].path
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    before = open_corpus(corpus).hash
    with pytest.raises(IntegrityError, match="is damaged"):
        compact(corpus)
    assert open_corpus(corpus).hash == before


def test_a_full_disk_and_a_small_one_end_it(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        usage = shutil.disk_usage(corpus)._replace(free=1000)
        patched.setattr(files_module.shutil, "disk_usage", lambda _: usage)
        with pytest.raises(PrecheckError, match="writing these shards again needs"):
            compact(corpus)
    with monkeypatch.context() as patched:

        def full(_: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        patched.setattr(files_module.os, "fsync", full)
        with pytest.raises(PrecheckError, match="no room left"):
            compact(corpus)
    assert "became" in compact(corpus)[0]
    verify(corpus)


def test_one_at_a_time_and_only_a_corpus(corpus: Path, tmp_path: Path) -> None:
    with ingest_lock(corpus), pytest.raises(PrecheckError, match="is writing into"):
        compact(corpus)
    with pytest.raises(UsageError, match="does not exist"):
        compact(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()
    (tmp_path / "other").mkdir()
    with pytest.raises(UsageError, match="holds no corpus"):
        compact(tmp_path / "other")
    assert not list((tmp_path / "other").iterdir())
