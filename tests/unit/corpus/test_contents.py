"""Hashing the bytes of sources: nobody waits for what nobody wants any more."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hemometric.corpus import IngestConfig, Key, stamps, units
from hemometric.vendors import Source, find

CONFIG = IngestConfig(patients="recording_is_patient", max_rejected_fraction=1.0)
HUGE = 1 << 40  # of which nothing is on the disk; hashing it would take an hour


@pytest.fixture
def archive(tmp_path: Path, write_record) -> Path:
    for number in range(3):
        write_record(tmp_path / "archive", f"r{number}", seed=number)
    with (tmp_path / "archive" / "r1.dat").open("r+b") as file:
        try:
            file.truncate(HUGE)
        except OSError:
            pytest.skip("the disk has no files with holes")
    return tmp_path / "archive"


def hashing() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("ThreadPool")]


def test_hashing_ends_when_nobody_takes_more(archive: Path, key: Key) -> None:
    sources: list[Source] = list(find([archive]))
    contents = stamps.contents_of(sources, [(".dat", ".hea")] * 3, key)
    assert len(next(contents)) == stamps.CONTENT_DIGITS
    assert hashing()
    start = time.monotonic()
    contents.close()
    assert time.monotonic() - start < 30
    assert not hashing()


def test_an_interruption_does_not_wait_for_hashing(
    archive: Path, tmp_path: Path, ingest, key: Key, monkeypatch
) -> None:
    def interrupted(sources: list[Source], *_) -> Iterator[object]:
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(units, "read_guarded", interrupted)
    monkeypatch.setattr("hemometric.corpus.ingest.need_room", lambda *_: None)
    with pytest.raises(KeyboardInterrupt):  # which is kept, and with it all that was going on
        ingest(CONFIG, [archive], tmp_path / "out", key)
    assert not hashing()
