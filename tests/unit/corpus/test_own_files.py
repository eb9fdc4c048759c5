"""Nothing of others is written, removed or taken for ours: neither in their folders, nor beside a corpus."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from hemometric.corpus import IngestConfig, Key, Manifest, ingest_lock, open_corpus, verify
from hemometric.corpus.compaction import finish_compaction, prepare_compaction
from hemometric.corpus.files import became
from hemometric.corpus.own_files import MARK, corpus_around, is_ours
from hemometric.corpus.regrouping import regroup
from hemometric.errors import DataRejectedError, UsageError
from hemometric.runs.merge import MergeRun, run
from hemometric.vendors.guarded import GuardConfig

Ingest = Callable[..., Manifest]
CONFIG = IngestConfig(
    patients="recording_is_patient", unit_recordings=2, shard_bytes=1 << 17, guard=GuardConfig(enabled=False)
)
HIDDEN = (".draft.tmp", ".mine.parquet", ".git/.deep.tmp", ".manifest.json.1.tmp")
BESIDE = (
    "staging/thesis.txt",
    "staging/unit-mine.json",
    "staging/.unpacked/keep.txt",
    "staging/regrouped/mine.arrow",
    "shards/mine.parquet",
    "shards/train/extra.parquet",
    "shards/train/.z.tmp",
    "shards/train/sub/part-00000.parquet",
)
ROOT = ("results.parquet", "links-mine.parquet")
ORPHANS = (
    "links-00007.parquet",
    ".manifest.json.77-0123abcd.tmp",
    "shards/test/part-00099.parquet",
    "shards/train/.part-00001.parquet.77-0123abcd.tmp",
)
STAGED = (
    f"staging/unit-{'0a' * 12}.arrow",
    f"staging/.unit-{'0a' * 12}.arrow.77-0123abcd.tmp",
    f"staging/measurements-{'0a' * 12}.json",
    "staging/train-part-00000.json",
    f"staging/regrouped/from-{'0a' * 16}.arrow",
    f"staging/.unpacked/{'0a' * 12}.part/r0.dat",
)


@pytest.fixture
def archive(tmp_path: Path, write_record: Callable[..., Path]) -> Path:
    for number in range(6):
        write_record(tmp_path / "archive", f"r{number}", seed=number)
    return tmp_path / "archive"


def put(folder: Path, names: Iterable[str]) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def lost(folder: Path, names: Iterable[str]) -> list[str]:
    there = contents(folder)
    return [name for name in names if there.get(name) != b"mine"]


@pytest.mark.parametrize(
    "name",
    [
        "manifest.json",
        "_SUCCESS",
        "links.parquet",
        "quarantine-00007.parquet",
        "shards/sub/table.parquet",
        "staging/sub/thesis.txt",
        "staging/.unpacked/keep.txt",
        ".settings",
        ".sources",
        ".stamps",
        ".lock",
    ],
)
def test_a_folder_of_others_that_holds_a_name_of_ours_is_refused(
    archive: Path, tmp_path: Path, ingest: Ingest, key: Key, name: str
) -> None:
    put(tmp_path / "out", [name, ".draft.tmp"])
    before = contents(tmp_path / "out")
    first = name.partition("/")[0]
    with pytest.raises(UsageError, match=f"out holds {re.escape(first)}, and no mark .*; choose another --out$"):
        ingest(CONFIG, [archive], tmp_path / "out", key)
    assert contents(tmp_path / "out") == before


def test_a_marker_and_a_manifest_that_no_ingest_wrote_are_refused(
    archive: Path, tmp_path: Path, ingest: Ingest, key: Key
) -> None:
    put(tmp_path / "out", ["manifest.json", "_SUCCESS"])
    with pytest.raises(UsageError, match="out holds _SUCCESS, and no mark"):
        ingest(CONFIG, [archive], tmp_path / "out", key)
    assert not lost(tmp_path / "out", ["manifest.json", "_SUCCESS"])


def test_hidden_files_of_others_stay(archive: Path, tmp_path: Path, ingest: Ingest, key: Key) -> None:
    put(tmp_path / "out", HIDDEN)
    ingest(CONFIG, [archive], tmp_path / "out", key)
    assert verify(tmp_path / "out").counts.accepted == 6
    assert not lost(tmp_path / "out", HIDDEN)


def test_what_others_put_beside_a_corpus_stays(
    archive: Path, tmp_path: Path, ingest: Ingest, key: Key, write_record: Callable[..., Path]
) -> None:
    """Through an addition, one that is refused, the same again and a compaction; orphans of ours go."""
    out = tmp_path / "out"
    ingest(CONFIG, [archive], out, key)
    put(out, (*HIDDEN, *BESIDE, *ORPHANS, *STAGED))
    with pytest.raises(UsageError):
        ingest(CONFIG, [tmp_path / "nowhere"], out, key)
    assert not lost(out, (*HIDDEN, *BESIDE, *ORPHANS, *STAGED[:-1])), "nothing unpacked outlives a refusal"
    ingest(CONFIG, [archive], out, key)
    assert not lost(out, (*HIDDEN, *BESIDE))
    assert not {*ORPHANS, *STAGED} & contents(out).keys()
    write_record(archive, "new", seed=99)
    ingest(CONFIG, [archive], out, key)
    put(out, (*ROOT, *ORPHANS))
    with ingest_lock(out):
        plan = prepare_compaction(out, 1 << 30)
        assert plan is not None
        finish_compaction(plan, list(regroup(plan.work)))
    assert open_corpus(out).manifest.counts.accepted == 7
    assert not lost(out, (*HIDDEN, *BESIDE, *ROOT))
    assert not {*ORPHANS, *STAGED} & contents(out).keys()


def test_a_merge_leaves_hidden_files_and_takes_no_folder_of_others(
    archive: Path, tmp_path: Path, ingest: Ingest, key: Key, write_record: Callable[..., Path]
) -> None:
    write_record(tmp_path / "other", "q0", seed=77)
    ingest(CONFIG, [archive], tmp_path / "one", key)
    ingest(CONFIG, [tmp_path / "other"], tmp_path / "two", key)

    def merge(out: Path) -> None:
        run(MergeRun(corpora=(tmp_path / "one", tmp_path / "two"), out=out, key=key.path))

    put(tmp_path / "out", HIDDEN)
    merge(tmp_path / "out")
    assert verify(tmp_path / "out", key).counts.accepted == 7
    assert not lost(tmp_path / "out", HIDDEN)
    for name in (".settings", "staging/thesis.txt"):
        put(tmp_path / name, [name])
        with pytest.raises(UsageError, match="is not empty and holds no run"):
            merge(tmp_path / name)
        assert contents(tmp_path / name) == {name: b"mine"}


def test_a_folder_is_marked_before_anything_else(archive: Path, tmp_path: Path, ingest: Ingest, key: Key) -> None:
    with pytest.raises(KeyboardInterrupt), ingest_lock(tmp_path / "out"):
        assert set(contents(tmp_path / "out")) == {".lock", MARK}
        raise KeyboardInterrupt
    put(tmp_path / "out", [f"staging/unit-{'0a' * 12}.arrow", "shards/train/part-00000.parquet"])
    ingest(CONFIG, [archive], tmp_path / "out", key)
    assert verify(tmp_path / "out").counts.accepted == 6


def test_corpora_that_were_made_before_there_was_a_mark_go_on(
    archive: Path, tmp_path: Path, ingest: Ingest, key: Key, write_record: Callable[..., Path]
) -> None:
    out = tmp_path / "out"
    first = ingest(CONFIG, [archive], out, key)
    (out / MARK).unlink()
    assert is_ours(out)
    assert ingest(CONFIG, [archive], out, key) == first
    (out / MARK).unlink()
    write_record(archive, "new", seed=99)
    assert ingest(CONFIG, [archive], out, key).counts.accepted == 7
    assert (out / MARK).is_file()


def test_an_ingest_that_was_killed_before_there_was_a_mark_goes_on(
    archive: Path, tmp_path: Path, ingest: Ingest, key: Key
) -> None:
    """Known by the name of its table of sources."""
    out = tmp_path / "out"
    (archive / "r0.dat").write_bytes(b"cut")
    with pytest.raises(DataRejectedError):
        ingest(CONFIG.model_copy(update={"max_rejected_fraction": 0.0}), [archive], out, key)
    (out / MARK).unlink()
    (out / ".sources").write_text("0123456789abcdef" * 2 + "\n")
    assert ingest(CONFIG.model_copy(update={"max_rejected_fraction": 0.5}), [archive], out, key).counts.accepted == 5


def test_no_corpus_lies_in_another(archive: Path, tmp_path: Path, ingest: Ingest, key: Key) -> None:
    for name in ("one", "two"):
        shutil.copytree(archive, tmp_path / "sources" / name)
        ingest(CONFIG, [tmp_path / "sources" / name], tmp_path / name, key)
    before = contents(tmp_path / "one")
    within = rf"lies within the corpus {tmp_path / 'one'}; choose "
    for place in ("sub", "shards/m", "staging/m", "new/sub"):
        with pytest.raises(UsageError, match=f"folder .* {within}another --out"):
            ingest(CONFIG, [archive], tmp_path / "one" / place, key)
        with pytest.raises(UsageError, match=f"out: .* {within}a folder outside of it"):
            run(MergeRun(corpora=(tmp_path / "one", tmp_path / "two"), out=tmp_path / "one" / place, key=key.path))
    assert contents(tmp_path / "one") == before
    assert corpus_around(tmp_path / "one" / "shards" / "train") == tmp_path / "one"
    assert corpus_around(tmp_path) is None


def test_a_temporary_file_is_known_by_its_whole_name() -> None:
    assert became(".part-00000.parquet.77-0123abcd.tmp") == "part-00000.parquet"
    assert became("..stamps.77-0123abcd.tmp") == ".stamps"
    assert became(".page.html.0123abcd.tmp") == "page.html"
    for name in (".draft.tmp", ".draft.1.tmp", "draft.77-0123abcd.tmp", ".draft.77-0123abcd.tmp.bak"):
        assert became(name) == name
