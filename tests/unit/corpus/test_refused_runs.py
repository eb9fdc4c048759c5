"""What a refused run leaves: staged work that the same command goes on with, and else nothing, not even a folder."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest

from hemometric.corpus import ColumnsTable, IngestConfig, Key, ingest_lock, open_corpus
from hemometric.corpus.measurements import ColumnLabel, Pair, WideTable
from hemometric.corpus.own_files import MARK
from hemometric.errors import DataRejectedError, PrivacyError, UsageError
from hemometric.runs.ingest import IngestRun, run


@pytest.fixture
def archive(tmp_path: Path, write_record: Any) -> Path:
    """Four records of two patients, one of them cut."""
    lines = ["record,mrn,at"]
    for number in range(4):
        write_record(tmp_path / "archive", f"r{number}", seed=number)
        lines.append(f"r{number},p{number // 2},2020-01-01 10:00")
    (tmp_path / "archive" / "r3.dat").write_bytes(b"cut")
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "archive"


@pytest.fixture
def config(archive: Path, tmp_path: Path, key: Key) -> IngestRun:
    assert key.path is not None
    shutil.copy(key.path, tmp_path / "key")
    table = ColumnsTable(path=tmp_path / "labels.csv", record="record", patient="mrn", acquired="at")
    settings = IngestConfig(table=table, unit_recordings=2, max_rejected_fraction=0.0)
    return IngestRun(
        sources=(archive,), out=tmp_path / "new" / "folder" / "out", key=tmp_path / "key", workers=0, ingest=settings
    )


def with_settings(config: IngestRun, **fields: Any) -> IngestRun:
    return config.model_copy(update={"ingest": config.ingest.model_copy(update=fields)})


def listed(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def staged(out: Path) -> set[str]:
    return {path.name for path in (out / "staging").glob("*")}


def missing_table(config: IngestRun) -> IngestRun:
    return with_settings(config, table=ColumnsTable(path=Path("nowhere.csv"), record="record"))


def no_sources(config: IngestRun) -> IngestRun:
    return config.model_copy(update={"sources": (config.sources[0].parent / "nowhere",)})  # type: ignore[union-attr]


def broken_measurements(config: IngestRun) -> IngestRun:
    table = WideTable(
        path=config.ingest.table.path,  # type: ignore[union-attr]
        patient="mrn",
        time="no such column",
        labels={"wedge": ColumnLabel(column="wedge", unit="mmHg")},
        pair=Pair(before_h=1, after_h=1),
    )
    return with_settings(config, measurements=(table,))


def unpacked(config: IngestRun) -> IngestRun:
    """A compressed archive, which is unpacked, and a table that does not fit it."""
    path = config.sources[0].parent / "archive.tar.gz"  # type: ignore[union-attr]
    with tarfile.open(path, "w:gz") as tar:
        tar.add(config.sources[0], "archive")
    text = config.ingest.table.path.read_text()  # type: ignore[union-attr]
    config.ingest.table.path.write_text(text + "r0,p9,2020-01-01 10:00\n")  # type: ignore[union-attr]
    return config.model_copy(update={"sources": (path,)})


@pytest.mark.parametrize("refused", [missing_table, no_sources, broken_measurements, unpacked])
@pytest.mark.parametrize("place", ["new", "empty", "foreign"])
def test_what_is_refused_before_anything_was_read_leaves_no_trace(config: IngestRun, refused: Any, place: str) -> None:
    config = refused(config)
    home = config.out.parents[2]
    if place != "new":
        config.out.mkdir(parents=True)
    if place == "foreign":
        (config.out / "thesis.txt").write_text("mine")
    before = listed(home) - {"key.sources"}
    with pytest.raises(UsageError):
        run(config)
    assert {name for name in listed(home) if not name.startswith("key.sources")} == before


def test_a_lock_of_others_stays(config: IngestRun) -> None:
    config.out.mkdir(parents=True)
    (config.out / ".lock").write_text("mine")
    (config.out / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="holds other things"):
        run(config)
    assert listed(config.out) == {".lock", "thesis.txt"}


def test_what_was_refused_beyond_the_threshold_stays_staged_and_goes_on(config: IngestRun) -> None:
    with pytest.raises(DataRejectedError):
        run(config)
    first = staged(config.out)
    assert len(first) == 4, "two units, a note each"
    assert {name.partition("/")[0] for name in listed(config.out)} == {"staging", ".lock", MARK, ".sources"}
    times = {name: (config.out / "staging" / name).stat().st_mtime_ns for name in first}
    with pytest.raises(DataRejectedError):
        run(with_settings(config, max_rejected_fraction=0.1))
    assert {name: (config.out / "staging" / name).stat().st_mtime_ns for name in staged(config.out)} == times
    run(with_settings(config, max_rejected_fraction=0.5))
    assert open_corpus(config.out).manifest.counts.accepted == 3
    assert staged(config.out) == set()


def test_staged_work_that_fits_no_longer_is_tidied_by_the_next_run(config: IngestRun) -> None:
    labels = {"wedge": ColumnLabel(column="wedge", unit="mmHg")}
    catheters = config.sources[0].parent / "wedge.csv"  # type: ignore[union-attr]
    catheters.write_text("who,at,wedge\np0,2020-01-01 10:00,12\n")
    pair = Pair(before_h=1, after_h=1)
    table = WideTable(path=catheters, patient="who", time="at", labels=labels, pair=pair)
    with pytest.raises(DataRejectedError):
        run(with_settings(config, measurements=(table,)))
    first = staged(config.out)
    assert len([name for name in first if name.startswith("measurements-")]) == 2
    catheters.write_text("who,at,wedge\np0,2020-01-01 10:00,13\n")
    with pytest.raises(DataRejectedError):
        run(with_settings(config, measurements=(table,)))
    second = staged(config.out)
    assert len(second) == len(first)
    assert not second & first
    with pytest.raises(DataRejectedError):
        run(config)
    assert len(staged(config.out)) == 4
    assert not staged(config.out) & (first | second)


def test_a_refused_addition_changes_nothing_of_the_corpus(config: IngestRun, write_record: Any) -> None:
    run(with_settings(config, max_rejected_fraction=0.5))
    before = {name: (config.out / name).read_bytes() for name in listed(config.out) if (config.out / name).is_file()}
    with pytest.raises(UsageError):
        run(no_sources(config))
    assert {name: (config.out / name).read_bytes() for name in listed(config.out) if (config.out / name).is_file()} == (
        before
    )


def test_a_key_within_the_corpus_is_refused_and_stays(config: IngestRun) -> None:
    config.out.mkdir(parents=True)
    shutil.move(str(config.key), config.out / ".key")
    with pytest.raises(PrivacyError, match="lies within the corpus"):
        run(config.model_copy(update={"key": config.out / ".key"}))
    assert listed(config.out) == {".key"}


def test_a_killed_run_keeps_what_it_has(config: IngestRun) -> None:
    with pytest.raises(KeyboardInterrupt), ingest_lock(config.out):
        (config.out / "staging").mkdir()
        raise KeyboardInterrupt
    assert (config.out / "staging").is_dir()


@pytest.mark.parametrize("name", [".stamps", ".sources", ".settings", "manifest.json", "_SUCCESS"])
def test_a_folder_where_a_file_must_lie_is_said_before_anything_is_read(config: IngestRun, name: str) -> None:
    (config.out / name).mkdir(parents=True)
    with pytest.raises(UsageError, match=rf"{name} is a folder, and an ingest has a file of that name; move it away$"):
        run(with_settings(config, max_rejected_fraction=0.5))
    assert listed(config.out) - {".lock"} == {name}


def test_a_file_or_folder_in_the_way_beside_the_key_stops_nothing(config: IngestRun) -> None:
    """Where recordings come from is then not kept, and that is said."""
    (config.out.parents[2] / "key.sources").write_text("")
    told = run(with_settings(config, max_rejected_fraction=0.5))
    assert [line for line in told if line.startswith("careful: `hemometric quarantine locate` will not know")]
