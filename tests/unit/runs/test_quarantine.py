"""What was refused is listed by key, and a key leads whoever holds the key file to the file."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from hemometric.cli import app, guarded
from hemometric.corpus import load_or_create_key, open_corpus
from hemometric.corpus.source_table import folder_of, keep_sources
from hemometric.corpus.units import stage_unit
from hemometric.errors import DataRejectedError, PrivacyError, UsageError
from hemometric.runs import ingest
from hemometric.runs.quarantine import list_quarantine, locate_sources
from hemometric.vendors import Source, find


@pytest.fixture
def run(line: Any, tmp_path: Path) -> Any:
    """An ingest of a copy of part of the cohort, two records of it cut short, with a key of its own."""
    headers = sorted(line.cohort.rglob("*.hea"))[:20]
    for header in headers:
        target = tmp_path / "archive" / header.relative_to(line.cohort)
        target.parent.mkdir(parents=True, exist_ok=True)
        for suffix in (".hea", ".dat"):
            shutil.copy(header.with_suffix(suffix), target.with_suffix(suffix))
    shutil.copy(line.cohort / "labels.csv", tmp_path / "archive")
    broken = sorted((tmp_path / "archive").rglob("*.dat"))[:2]
    for path in broken:
        path.rename(path.with_suffix(".whole"))
        path.write_bytes(path.with_suffix(".whole").read_bytes()[:99])
    shutil.copy(line.key, tmp_path / "key")
    config = line.ingest(tmp_path / "out", key=tmp_path / "key", sources=[str(tmp_path / "archive")])
    table = config.ingest.table.model_copy(update={"path": tmp_path / "archive" / "labels.csv"})
    settings = config.ingest.model_copy(update={"table": table, "max_rejected_fraction": 0.5})
    return config.model_copy(update={"ingest": settings})


def broken_files(run: Any) -> set[Path]:
    return {path.with_suffix(".hea") for path in run.sources[0].rglob("*.whole")}


def strict(run: Any) -> Any:
    """The same ingest, which refuses what it would else take."""
    return run.model_copy(update={"ingest": run.ingest.model_copy(update={"max_rejected_fraction": 0.0})})


def keys_of(lines: list[str]) -> list[str]:
    return [line.split()[0] for line in lines if line.partition("  ")[2]]


def test_the_summary_points_to_the_list_and_the_list_to_the_files(run: Any) -> None:
    said = ingest.run(run)
    assert any("hemometric quarantine list" in line for line in said)
    counted = list_quarantine(run.out)
    assert "2 recordings refused" in counted
    assert "truncated 2" in counted
    assert "hemometric quarantine locate" in counted[-1]
    listed = list_quarantine(run.out, reason="truncated", keys=True)
    keys = keys_of(listed)
    assert len(keys) == 2
    for corpus in (None, run.out):
        located = [line.split("\t") for line in locate_sources(keys, corpus=corpus, key_file=run.key)]
        assert [given for given, *_ in located] == keys
        assert {Path(path) for _, path, *_ in located} == broken_files(run)
        assert {tuple(rest) for _, _, *rest in located} == {("-", "wfdb")}
    accepted = open_corpus(run.out).table(columns=["recording_id"])["recording_id"].to_pylist()
    (found,) = locate_sources([accepted[0][:16].upper()], key_file=run.key)
    assert Path(found.split("\t")[1]).is_file()
    inside = b"".join(path.read_bytes() for path in run.out.rglob("*") if path.is_file())
    assert str(run.sources[0]).encode() not in inside


def test_what_was_refused_is_read_again_on_request(run: Any) -> None:
    ingest.run(run)
    key = keys_of(list_quarantine(run.out, keys=True))[0]
    plain = ingest.run(run)
    assert any("nothing to do" in line for line in plain)
    settings = run.ingest.model_copy(update={"max_rejected_fraction": 1.0})  # of the two that are read again
    again = ingest.run(run.model_copy(update={"retry_quarantine": True, "ingest": settings}))
    assert not any("nothing to do" in line for line in again)
    assert open_corpus(run.out).manifest.num_ingests == 2
    assert key in keys_of(list_quarantine(run.out, keys=True)), "it is as short as before"


def test_a_refused_addition_is_looked_into_as_a_first_ingest_is(run: Any) -> None:
    ingest.run(run)
    path = next(path for path in sorted(run.sources[0].rglob("*.dat")) if not path.with_suffix(".whole").exists())
    whole = path.read_bytes()
    path.with_suffix(".whole").write_bytes(whole)
    path.write_bytes(whole[:99])
    with pytest.raises(DataRejectedError, match=r"1 of 1 .*; `hemometric quarantine list .*out --keys` says which"):
        ingest.run(strict(run))
    listed = list_quarantine(run.out, reason="truncated", keys=True)
    assert listed[:2] == [
        f"an addition to {run.out} is not finished; 1 of these it has refused so far",
        "3 recordings refused",
    ]
    located = locate_sources([], reason="truncated", corpus=run.out, key_file=run.key)
    assert {Path(text.split("\t")[1]) for text in located} == broken_files(run)
    path.write_bytes(whole)
    ingest.run(run)
    assert list_quarantine(run.out)[0] == "2 recordings refused"


def test_an_addition_of_which_much_was_refused_says_so(run: Any) -> None:
    ingest.run(run)
    path = next(path for path in sorted(run.sources[0].rglob("*.dat")) if not path.with_suffix(".whole").exists())
    path.write_bytes(path.read_bytes()[:99])
    told = ingest.run(run)
    assert "careful: 1 of 1 recording read now were refused: truncated 1" in told


def test_a_duplicate_names_the_recording_that_is_kept(run: Any) -> None:
    whole = next(path for path in sorted(run.sources[0].rglob("*.hea")) if not path.with_suffix(".whole").exists())
    copied = whole.with_name("again.hea")
    copied.write_text(whole.read_text().replace(whole.stem, copied.stem))
    shutil.copy(whole.with_suffix(".dat"), copied.with_suffix(".dat"))
    labels = run.sources[0] / "labels.csv"
    header, *rows = labels.read_text().splitlines()
    (row,) = [row for row in rows if whole.stem in row]
    labels.write_text("\n".join([header, *rows, row.replace(whole.stem, copied.stem)]) + "\n")
    ingest.run(run)
    (line,) = [line for line in list_quarantine(run.out, keys=True) if "  duplicate: " in line]
    kept = line.rpartition("which is kept: ")[2]
    names = load_or_create_key(run.key)
    pair = {
        names.recording_id(f"archive/{path.relative_to(run.sources[0]).with_suffix('')}") for path in (whole, copied)
    }
    assert {line.split()[0], kept} == pair
    assert kept in open_corpus(run.out).table(columns=["recording_id"])["recording_id"].to_pylist()


def test_keys_of_an_ingest_that_was_killed_or_refused_resolve(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ingest, "stage_unit", killed)
    with pytest.raises(KeyboardInterrupt):
        ingest.run(run)
    assert len(list(folder_of(run.key).glob("*.parquet"))) == 1
    monkeypatch.setattr(ingest, "stage_unit", stage_unit)
    with pytest.raises(DataRejectedError):
        ingest.run(strict(run))
    listed = list_quarantine(run.out, keys=True)
    assert "not finished" in listed[0]
    located = locate_sources(keys_of(listed), corpus=run.out, key_file=run.key)
    assert {Path(text.split("\t")[1]) for text in located} == broken_files(run)


def test_what_the_table_of_a_corpus_lacks_is_searched_in_the_others(run: Any, tmp_path: Path) -> None:
    """A merged corpus that is added to gets its own table, and the recordings it was merged of stay in theirs."""
    ingest.run(run)
    keys = keys_of(list_quarantine(run.out, keys=True))
    shutil.copytree(run.out, tmp_path / "merged", ignore=shutil.ignore_patterns(".sources"))
    added = [Source(path=tmp_path / "later.hea", item="", format="wfdb", key="later")]
    key = load_or_create_key(run.key)
    keep_sources(key, tmp_path / "merged", run.sources, added)
    located = locate_sources(keys, corpus=tmp_path / "merged", key_file=run.key)
    assert {Path(text.split("\t")[1]) for text in located} == broken_files(run)
    (found,) = locate_sources([key.recording_id("later")], corpus=tmp_path / "merged", key_file=run.key)
    assert Path(found.split("\t")[1]) == tmp_path / "later.hea"
    with pytest.raises(UsageError, match="no source"):
        locate_sources(["0" * 32], corpus=tmp_path / "merged", key_file=run.key)


def test_all_of_one_reason_are_located_at_once(run: Any, capfd: pytest.CaptureFixture[str]) -> None:
    """As `quarantine list` groups them, from a finished corpus and from one whose ingest was refused."""
    for config in (strict(run), run):
        try:
            ingest.run(config)
        except DataRejectedError:
            assert config is not run
        told = locate_sources((), reason="truncated", corpus=run.out, key_file=run.key)
        located = [line.split("\t") for line in told]
        assert {Path(path) for _, path, *_ in located} == broken_files(run)
        assert [key for key, *_ in located] == keys_of(list_quarantine(run.out, reason="truncated", keys=True))
    words = ["quarantine", "locate", "--reason", "truncated", "--corpus", str(run.out), "--key", str(run.key)]
    assert guarded(lambda: app(args=words, standalone_mode=False)) == 0
    assert {Path(line.split("\t")[1]) for line in capfd.readouterr().out.splitlines()} == broken_files(run)


def test_those_whose_source_nobody_knows_are_counted(run: Any) -> None:
    ingest.run(run)
    (table,) = folder_of(run.key).glob("*.parquet")
    rows = pq.read_table(table)
    keys = keys_of(list_quarantine(run.out, keys=True))
    pq.write_table(rows.filter(pc.not_equal(rows["recording_id"], keys[0])), table)
    first, last = locate_sources((), reason="truncated", corpus=run.out, key_file=run.key)
    assert first.startswith(keys[1])
    assert last == "careful: of 1 more no source is known"
    pq.write_table(rows.slice(0, 0), table)
    with pytest.raises(UsageError, match="no source of these 2 is known"):
        locate_sources((), reason="truncated", corpus=run.out, key_file=run.key)


def test_a_moved_archive_is_followed(run: Any, tmp_path: Path) -> None:
    ingest.run(run)
    (tmp_path / "elsewhere").mkdir()
    moved = run.sources[0].rename(tmp_path / "elsewhere" / "archive")
    table = run.ingest.table.model_copy(update={"path": moved / "labels.csv"})
    settings = run.ingest.model_copy(update={"table": table})
    ingest.run(run.model_copy(update={"sources": (moved,), "ingest": settings}))
    keys = keys_of(list_quarantine(run.out, keys=True))
    assert all(Path(text.split("\t")[1]).is_relative_to(moved) for text in locate_sources(keys, key_file=run.key))


def test_random_codes_lead_to_the_files_too(run: Any) -> None:
    run = run.model_copy(update={"ingest": run.ingest.model_copy(update={"pseudonyms": "random"})})
    ingest.run(run)
    keys = keys_of(list_quarantine(run.out, keys=True))
    keyed = load_or_create_key(run.key)
    assert not {keyed.recording_id(source.key) for source in find(run.sources)} & set(keys)
    located = locate_sources(keys, corpus=run.out, key_file=run.key)
    assert {Path(text.split("\t")[1]) for text in located} == broken_files(run)
    assert locate_sources((), reason="truncated", corpus=run.out, key_file=run.key) == located


def test_a_key_on_a_volume_that_cannot_be_written_is_said_and_stops_nothing(run: Any) -> None:
    folder_of(run.key).touch()
    said = ingest.run(run)
    assert [line for line in said if line.startswith("careful: `hemometric quarantine locate` will not know")]
    assert open_corpus(run.out).manifest.counts.accepted


def test_what_cannot_be_answered_says_why(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ingest.run(run)
    for words, told in (
        (["zz"], "no key"),
        ([""], "no key"),
        (["0" * 33], "no key"),
        (["0" * 32], "no source"),
        (list("0123456789abcdef"), "give more"),
    ):
        with pytest.raises(UsageError, match=told):
            locate_sources(words, key_file=run.key)
    with pytest.raises(UsageError, match="say which one with --corpus"):
        locate_sources((), reason="truncated", key_file=run.key)
    with pytest.raises(UsageError, match="give keys of recordings, or --reason"):
        locate_sources((), corpus=run.out, key_file=run.key)
    with pytest.raises(UsageError, match="nothing was refused for 'flat'; reasons here: truncated"):
        locate_sources((), reason="flat", corpus=run.out, key_file=run.key)
    with pytest.raises(UsageError, match="key file"):
        locate_sources(["00"], key_file=tmp_path / "none")
    with pytest.raises(UsageError, match="leave --corpus out"):
        locate_sources(["00"], corpus=tmp_path, key_file=run.key)
    with pytest.raises(UsageError, match="did you mean 'truncated'"):
        list_quarantine(run.out, reason="trunkated")
    with pytest.raises(UsageError, match="does not exist"):
        list_quarantine(tmp_path / "none")
    folder_of(run.key).chmod(0o755)
    with pytest.raises(PrivacyError, match="chmod 700"):
        locate_sources(["00"], key_file=run.key)
    with pytest.raises(PrivacyError, match="chmod 700"):
        ingest.run(run)


def test_a_name_cannot_write_on_the_terminal(tmp_path: Path) -> None:
    from hemometric.corpus.source_table import Located
    from hemometric.runs.quarantine import _lines

    (shown,) = _lines("ab", [Located("ab", "x\x1b[2J\n\udcffé", "", "wfdb")])
    assert shown == "ab\tx\\x1b[2J\\n\\xffé\t-\twfdb"


def test_retrying_changes_no_fingerprint(run: Any) -> None:
    from hemometric.config import fingerprint

    assert fingerprint(run) == fingerprint(run.model_copy(update={"retry_quarantine": True}))
