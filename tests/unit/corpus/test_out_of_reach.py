"""What was out of reach for a moment is read when it is back, though its files have the times that were kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hemometric.corpus import IngestConfig, Key, Manifest, open_corpus, units, verify
from hemometric.corpus.stamps import CHANGED
from hemometric.ecg import Rejected

Ingest = Callable[..., Manifest]
WriteRecord = Callable[..., Path]
CONFIG = IngestConfig(patients="recording_is_patient", max_rejected_fraction=1.0)


@pytest.fixture
def archive(tmp_path: Path, write_record: WriteRecord) -> Path:
    for number in range(4):
        write_record(tmp_path / "archive", f"r{number}", seed=number)
    return tmp_path / "archive"


def contents(out: Path) -> list[str]:
    return open_corpus(out).table(columns=["content"])["content"].to_pylist()


def test_a_drive_that_was_away_while_it_was_read_is_read_again(
    archive: Path, tmp_path: Path, ingest: Ingest, key: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes back unchanged: only what the corpus holds says that its bytes were never hashed."""
    read_guarded = units.read_guarded

    def while_away(*arguments: Any) -> Iterator[object]:
        archive.rename(tmp_path / "away")
        found = list(read_guarded(*arguments))
        yield from found
        (tmp_path / "away").rename(archive)

    (tmp_path / "more").mkdir()
    for path in archive.glob("r0.*"):
        (tmp_path / "more" / path.name).write_bytes(path.read_bytes())
    assert ingest(CONFIG, [tmp_path / "more"], tmp_path / "out", key).counts.accepted == 1
    monkeypatch.setattr(units, "read_guarded", while_away)
    first = ingest(CONFIG, [tmp_path / "more", archive], tmp_path / "out", key)
    monkeypatch.undo()
    assert first.counts.accepted == 1
    assert set(open_corpus(tmp_path / "out").quarantine()["content"].to_pylist()) == {CHANGED}
    second = ingest(CONFIG, [tmp_path / "more", archive], tmp_path / "out", key)
    assert (second.counts.accepted, second.counts.rejected) == (4, {"duplicate": 1})
    assert CHANGED not in contents(tmp_path / "out")
    assert ingest(CONFIG, [tmp_path / "more", archive], tmp_path / "out", key) == verify(tmp_path / "out") == second


def test_a_change_that_could_not_be_read_is_read_when_it_can_be(
    archive: Path, tmp_path: Path, write_record: WriteRecord, ingest: Ingest, key: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recording stays as it was meanwhile."""
    out = tmp_path / "out"
    ingest(CONFIG, [archive], out, key)
    before = contents(out)
    write_record(archive, "r2", seed=99)

    def out_of_reach(sources: Any, *_: Any) -> Iterator[Rejected]:
        return (Rejected(source.key, "unreadable", "it cannot be read") for source in sources)

    with monkeypatch.context() as patch:
        patch.setattr(units, "read_guarded", out_of_reach)
        ingest(CONFIG, [archive], out, key)
    assert contents(out) == before
    again = ingest(CONFIG, [archive], out, key)
    assert len(set(before) - set(contents(out))) == 1
    assert ingest(CONFIG, [archive], out, key) == verify(out) == again
