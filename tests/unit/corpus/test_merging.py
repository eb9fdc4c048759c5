"""Corpora of one key and config become one that `verify` believes, without moving or changing anyone."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hemometric.corpus import IngestConfig, Key, Manifest, open_corpus, units, verify
from hemometric.corpus.columns_table import ColumnsTable
from hemometric.corpus.labels import LabelSpec
from hemometric.corpus.merging import prepare_merge
from hemometric.corpus.regrouping import regroup
from hemometric.corpus.schema import LINKS_SCHEMA
from hemometric.corpus.split import SiteSplit
from hemometric.errors import IntegrityError, UsageError
from hemometric.runs.merge import MergeRun, run
from hemometric.vendors.guarded import GuardConfig

Ingest = Callable[..., Manifest]
WriteRecord = Callable[..., Path]
Make = Callable[..., Path]
SHARD_BYTES = 1 << 17


@pytest.fixture
def make(tmp_path: Path, ingest: Ingest, write_record: WriteRecord, key: Key) -> Make:
    """Make a corpus of records ``(record, patient, site)`` under ``<name>``; a site says the split."""

    def make(name: str, records: Iterable[tuple[str, str, str]], **fields: Any) -> Path:
        source = tmp_path / "sources" / name / "ecg"
        rows = ["record,patient_id,site,mpcwp_mmhg"]
        for number, (record, patient, site) in enumerate(sorted(records)):
            write_record(source, record, seed=int(record[1:]), num_samples=900)
            rows.append(f"{record},{patient},{site},{10 + int(record[1:]) if number % 2 else ''}")
        table = tmp_path / "sources" / f"{name}.csv"
        table.write_text("\n".join(rows) + "\n")
        labels = {"mpcwp_mmhg": LabelSpec(column="mpcwp_mmhg", unit="mmHg")}
        columns = ColumnsTable(path=table, record="record", patient="patient_id", site="site", labels=labels)
        split = SiteSplit(validation=("v",), test=("t",), not_yet=("v", "t"))
        plain: dict[str, Any] = {"unit_recordings": 3, "shard_bytes": SHARD_BYTES, "guard": GuardConfig(enabled=False)}
        config = IngestConfig(**({"table": columns, "split": split} | plain | fields))
        ingest(config, [source], tmp_path / name, key)
        return tmp_path / name

    return make


def merge(out: Path, *corpora: Path, key: Key, shard_bytes: int = SHARD_BYTES) -> list[str]:
    return run(MergeRun(corpora=corpora, out=out, key=key.path, shard_bytes=shard_bytes))


def rows(folder: Path) -> pa.Table:
    shards = open_corpus(folder).manifest.shards
    tables = [pq.read_table(folder / shard.path, partitioning=None) for shard in shards]
    return pa.concat_tables(tables).combine_chunks()


def by_id(table: pa.Table) -> pa.Table:
    return table.sort_by("recording_id").combine_chunks()


def records(numbers: Iterable[int], site: str, patients: int = 4) -> list[tuple[str, str, str]]:
    return [(f"r{number:03d}", f"p{site}{number % patients}", site) for number in numbers]


def test_two_become_one_with_the_rows_of_both(make: Make, tmp_path: Path, key: Key) -> None:
    one = make("one", records(range(8), "a") + records(range(20, 24), "t"))
    two = make("two", records(range(40, 49), "b") + records(range(60, 65), "v"))
    lines = merge(tmp_path / "out", one, two, key=key)
    manifest = verify(tmp_path / "out", key)
    before = [open_corpus(folder).manifest for folder in (one, two)]
    assert manifest.counts.accepted == 26
    assert manifest.counts.labels == {"mpcwp_mmhg": sum(each.counts.labels["mpcwp_mmhg"] for each in before)}
    assert {name: split.recordings for name, split in manifest.counts.splits.items()} == {
        "train": 17,
        "validation": 5,
        "test": 4,
    }
    assert (manifest.num_ingests, manifest.key_id, manifest.labels) == (2, key.key_id, before[0].labels)
    merged = rows(tmp_path / "out")
    assert by_id(merged).equals(by_id(pa.concat_tables([rows(one), rows(two)])), check_metadata=True)
    for shard in manifest.shards:
        table = pq.read_table(tmp_path / "out" / shard.path, partitioning=None).drop_columns(["signal"])
        order = [(name, "ascending") for name in ("partition", "patient", "recording_id")]
        assert table.equals(table.sort_by(order)), "sorted as an ingest does"
    assert lines[-1] == f"corpus: {tmp_path / 'out'}"
    assert not [line for line in lines if "left out" in line or "kept once" in line]


def test_a_recording_of_both_is_kept_once(make: Make, tmp_path: Path, key: Key) -> None:
    one = make("one", records(range(8), "a"))
    two = make("two", records(range(8), "a") + records(range(40, 43), "t"))
    lines = merge(tmp_path / "out", one, two, key=key)
    assert verify(tmp_path / "out", key).counts.accepted == 11
    assert "8 recordings met again in a later corpus, kept once" in lines
    assert by_id(rows(tmp_path / "out")).equals(by_id(rows(two)))


@pytest.mark.parametrize("change", ["content", "facts"])
def test_the_same_recording_with_other_content_is_refused(
    make: Make, tmp_path: Path, key: Key, write_record: WriteRecord, ingest: Ingest, change: str
) -> None:
    one = make("one", records(range(8), "a"))
    same = records(range(8), "a")
    if change == "facts":
        same[3] = (same[3][0], same[3][1], "b")
    two = make("two", same)
    if change == "content":
        shutil.rmtree(two)
        write_record(tmp_path / "sources" / "other" / "ecg", "r003", seed=77)
        for path in (tmp_path / "sources" / "two" / "ecg").glob("r003.*"):
            shutil.copy(tmp_path / "sources" / "other" / "ecg" / path.name, path)
        config = IngestConfig(
            table=ColumnsTable(
                path=tmp_path / "sources" / "two.csv",
                record="record",
                patient="patient_id",
                site="site",
                labels={"mpcwp_mmhg": LabelSpec(column="mpcwp_mmhg", unit="mmHg")},
            ),
            split=SiteSplit(validation=("v",), test=("t",), not_yet=("v", "t")),
        )
        ingest(config, [tmp_path / "sources" / "two" / "ecg"], two, key)
    with pytest.raises(
        IntegrityError, match=r"^1 recordings have other (content|facts in its table) in another corpus"
    ):
        merge(tmp_path / "out", one, two, key=key)
    assert not (tmp_path / "out" / "_SUCCESS").exists()


def test_content_that_nobody_knows_is_not_taken_for_the_same(
    make: Make, tmp_path: Path, key: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a source that changed while it was read, as both corpora say of one."""
    whose = {"one": records(range(8), "a"), "two": records(range(8), "a") + records(range(40, 43), "t")}
    with monkeypatch.context() as patch:
        patch.setattr(units, "is_unchanged", lambda source, *_: not source.key.endswith("r003"))
        one, two = (make(name, some) for name, some in whose.items())
    with pytest.raises(IntegrityError, match=r"^1 recordings of several corpora changed while they were read, so that"):
        merge(tmp_path / "out", one, two, key=key)
    assert not (tmp_path / "out" / "_SUCCESS").exists()
    for name, some in whose.items():
        make(name, some)
    merge(tmp_path / "out-2", one, two, key=key)
    assert verify(tmp_path / "out-2", key).counts.accepted == 11


def test_a_patient_of_two_splits_stays_in_the_stricter_one(make: Make, tmp_path: Path, key: Key) -> None:
    one = make("one", [("r001", "both", "a"), ("r002", "both", "a"), ("r003", "other", "a")])
    two = make("two", [("r011", "both", "t"), ("r012", "third", "v")])
    lines = merge(tmp_path / "out", one, two, key=key)
    manifest = verify(tmp_path / "out", key)
    assert manifest.counts.rejected == {"linked_across_splits": 2}
    assert (manifest.counts.found, manifest.counts.accepted) == (5, 3)
    assert "2 recordings left out: of patients who are in another split elsewhere" in lines
    left_out = {key.recording_id(f"ecg/{name}") for name in ("r001", "r002")}
    assert set(open_corpus(tmp_path / "out").quarantine()["recording_id"].to_pylist()) == left_out
    assert {name: split.patients for name, split in manifest.counts.splits.items()} == {
        "train": 1,
        "validation": 1,
        "test": 1,
    }


def test_what_one_leaves_out_for_its_split_another_does_not_let_in(make: Make, tmp_path: Path, key: Key) -> None:
    one = make("one", [("r001", "both", "a"), ("r002", "both", "a")])
    two = make("two", [("r002", "both", "a"), ("r003", "both", "t")])
    assert open_corpus(two).manifest.counts.rejected == {"linked_across_splits": 1}
    merge(tmp_path / "out", one, two, key=key)
    manifest = verify(tmp_path / "out", key)
    assert manifest.counts.rejected == {"linked_across_splits": 2}
    assert (manifest.counts.accepted, manifest.counts.found) == (1, 3)


def test_what_was_in_train_and_left_one_does_not_test_in_another(make: Make, tmp_path: Path, key: Key) -> None:
    """Whichever comes first."""
    one = make("one", [("r001", "x", "a"), ("r002", "y", "a")])
    make("one", [("r001", "x", "t"), ("r002", "y", "a")])
    assert open_corpus(one).manifest.counts.rejected == {"linked_across_splits": 1}
    two = make("two", [("r001", "x", "t"), ("r011", "z", "t")])
    for number, corpora in enumerate(((one, two), (two, one))):
        merge(tmp_path / f"out-{number}", *corpora, key=key)
        manifest = verify(tmp_path / f"out-{number}", key)
        assert (manifest.counts.accepted, manifest.counts.rejected) == (2, {"linked_across_splits": 1})
        (detail,) = open_corpus(tmp_path / f"out-{number}").quarantine()["detail"].to_pylist()
        assert detail.endswith("; it was in the corpus"), "in two splits: it may come back into none"


def test_links_of_both_hold_and_join(
    make: Make, tmp_path: Path, key: Key, rewrite_manifest: Callable[..., None]
) -> None:
    one = make("one", [("r001", "x", "a"), ("r002", "y", "a")])
    two = make("two", [("r011", "z", "t")])
    x, z = key.patient("x"), key.patient("z")
    path = two / open_corpus(two).manifest.links.path
    pq.write_table(pa.table({"patient": [x], "known_as": [z]}, schema=LINKS_SCHEMA), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    entry = {"path": path.name, "num_rows": 1, "num_bytes": path.stat().st_size, "sha256": digest}
    rewrite_manifest(two, lambda content: content.update(links=entry))
    merge(tmp_path / "out", one, two, key=key)
    manifest = verify(tmp_path / "out", key)
    assert open_corpus(tmp_path / "out").links().to_pylist() == [{"patient": x, "known_as": z}]
    assert manifest.counts.rejected == {"linked_across_splits": 1}, "x is z, and z is in the test split"


def test_one_ecg_under_two_names_is_kept_once_and_links_its_patients(
    make: Make, tmp_path: Path, key: Key, write_record: WriteRecord
) -> None:
    one = make("one", [("r001", "x", "a"), ("r002", "x", "a"), ("r003", "y", "a")])
    two = make("two", [("r011", "z", "t"), ("r012", "w", "a"), ("s001", "z", "t"), ("s003", "w", "a")])
    lines = merge(tmp_path / "out", one, two, key=key)
    manifest = verify(tmp_path / "out", key)
    assert manifest.counts.rejected == {"duplicate": 1, "linked_across_splits": 2}
    assert (manifest.counts.found, manifest.counts.accepted) == (7, 4)
    kept = {key.recording_id(f"ecg/{name}") for name in ("r003", "r011", "r012", "s001")}
    assert set(open_corpus(tmp_path / "out").table()["recording_id"].to_pylist()) == kept
    assert "1 recording left out: the same ECG is kept under another name" in lines
    links = open_corpus(tmp_path / "out").links().to_pylist()
    assert {"patient": key.patient("x"), "known_as": key.patient("z")} in links, "x is z, who is in the test split"
    run(MergeRun(corpora=(one, two), out=tmp_path / "all", key=key.path, find_duplicates=False))
    assert verify(tmp_path / "all", key).counts.accepted == 7


def test_what_one_refused_and_another_took_is_taken(make: Make, tmp_path: Path, key: Key) -> None:
    one = make("one", [*records(range(8), "a"), ("r900", "q", "a")])
    cut = tmp_path / "sources" / "two" / "ecg" / "r900.dat"
    two = make("two", records(range(40, 60), "b"))
    assert not cut.exists()
    cut.write_bytes(b"too short")
    shutil.copy(tmp_path / "sources" / "one" / "ecg" / "r900.hea", cut.with_suffix(".hea"))
    shutil.rmtree(two)
    two = make("two", records(range(40, 60), "b"))
    assert sum(open_corpus(two).manifest.counts.rejected.values()) == 1
    merge(tmp_path / "out", two, one, key=key)
    manifest = verify(tmp_path / "out", key)
    assert (manifest.counts.accepted, manifest.counts.rejected) == (29, {})


def test_other_keys_configs_and_labels_are_refused(
    make: Make, tmp_path: Path, key: Key, rewrite_manifest: Callable[..., None]
) -> None:
    one = make("one", records(range(4), "a"))
    two = make("two", records(range(40, 44), "a"), patients="recording_is_patient")
    fields = r"\(ingest.patients: given in the first, recording_is_patient in the second\)"
    with pytest.raises(UsageError, match=f"made with different configs {fields}; ingest the sources"):
        merge(tmp_path / "out", one, two, key=key)
    rewrite_manifest(two, lambda content: content.update(key_id="0" * 12))
    with pytest.raises(UsageError, match="made with different keys"):
        merge(tmp_path / "out", one, two, key=key)
    with pytest.raises(UsageError, match="was made with key 000000000000 and this one is"):
        merge(tmp_path / "out", two, one, key=key)
    assert not list((tmp_path / "out").glob("[!.]*"))


def test_again_it_is_done_and_another_folder_is_left_alone(make: Make, tmp_path: Path, key: Key) -> None:
    one, two = make("one", records(range(4), "a")), make("two", records(range(40, 44), "t"))
    out = tmp_path / "out"
    merge(out, one, two, key=key)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert merge(out, one, two, key=key)[0] == f"{out} is finished already; nothing to do"
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    with pytest.raises(UsageError, match="holds something other than these corpora"):
        merge(out, two, one, key=key)
    with pytest.raises(UsageError, match="is not empty"):
        merge(one, one, two, key=key)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="is not empty and holds no run"):
        merge(tmp_path / "mine", one, two, key=key)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_stopped_between_shards_it_ends_in_the_same_bytes(make: Make, tmp_path: Path, key: Key) -> None:
    one, two = make("one", records(range(12), "a")), make("two", records(range(40, 52), "t"))
    merge(tmp_path / "clean", one, two, key=key)
    plan = prepare_merge([one, two], tmp_path / "out", key, SHARD_BYTES)
    half = regroup(plan.work)
    next(half)
    half.close()
    shutil.copy(tmp_path / "clean" / ".identity", tmp_path / "out")
    merge(tmp_path / "out", one, two, key=key)

    def content(folder: Path) -> dict[str, bytes]:
        return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}

    assert content(tmp_path / "out") == content(tmp_path / "clean")


def test_a_merged_corpus_is_added_to(make: Make, tmp_path: Path, key: Key, ingest: Ingest) -> None:
    one, two = make("one", records(range(4), "a")), make("two", records(range(40, 44), "t"))
    merge(tmp_path / "out", one, two, key=key)
    shutil.copytree(tmp_path / "out", tmp_path / "three")
    make("three", [*records(range(4), "a"), ("r300", "new", "a")])
    manifest = verify(tmp_path / "three", key)
    assert (manifest.counts.accepted, manifest.num_ingests) == (9, 3)
