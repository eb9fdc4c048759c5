"""Sources that change, also while they are read: the next ingest has what one from scratch would have."""

import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from hemometric import vendors
from hemometric.corpus import IngestConfig, Key, open_corpus, stamps, units, verify
from hemometric.ecg import Rejected
from hemometric.vendors import places

CONFIG = IngestConfig(patients="recording_is_patient", max_rejected_fraction=1.0)


@pytest.fixture
def archive(tmp_path: Path, write_record) -> Path:
    for number in range(4):
        write_record(tmp_path / "archive", f"r{number}", seed=number)
    return tmp_path / "archive"


def renamed(header: Path, name: str) -> Path:
    """Give the samples of a record a name that is not its header's."""
    header.write_text(header.read_text().replace(f"{header.stem}.dat", name))
    return header.with_suffix(".dat").rename(header.with_name(name))


def segmented(archive: Path, name: str) -> Path:
    """Make two records the segments of one."""
    header = archive / f"{name}.hea"
    header.write_text(f"{name}/2 12 100 2000\nr0 1000\nr1 1000\n")
    return header


def tampered(path: Path, *, time_ns: int | None = None) -> None:
    """Change samples, not their number; the checksum of the header tells it."""
    content = bytearray(path.read_bytes())
    content[100] ^= 0x01
    path.write_bytes(content)
    if time_ns is not None:
        os.utime(path, ns=(time_ns, time_ns))


def rows_of(out: Path) -> list[tuple[str, object]]:
    corpus = open_corpus(out)
    rows = [(row["recording_id"], recording.counts.tobytes()) for row, recording in corpus.recordings()]
    return sorted(rows + [(row["recording_id"], row["reason"]) for row in corpus.quarantine().to_pylist()])


def assert_as_from_scratch(archive: Path, tmp_path: Path, ingest, key: Key) -> None:
    ingest(CONFIG, [archive], tmp_path / "out", key)
    before = (tmp_path / "out" / "manifest.json").read_bytes()
    ingest(CONFIG, [archive], tmp_path / "out", key)
    assert (tmp_path / "out" / "manifest.json").read_bytes() == before, "it is read once more"
    ingest(CONFIG, [archive], tmp_path / "scratch", key)
    assert rows_of(tmp_path / "out") == rows_of(tmp_path / "scratch")
    verify(tmp_path / "out", key)


@pytest.mark.parametrize("when", ["hashed", "read"])
@pytest.mark.parametrize("is_good", [True, False])
def test_a_source_that_changes_while_it_is_read_is_read_again(
    archive: Path, tmp_path: Path, write_record, ingest, key: Key, monkeypatch, when: str, is_good: bool
) -> None:
    read_guarded = units.read_guarded

    def change() -> None:
        write_record(archive, "r2", seed=99) if is_good else tampered(archive / "r2.dat")

    def changing(*arguments) -> Iterator[object]:
        if when == "hashed":
            change()
        found = list(read_guarded(*arguments))
        if when == "read":
            change()
        yield from found

    monkeypatch.setattr(units, "read_guarded", changing)
    ingest(CONFIG, [archive], tmp_path / "out", key)
    corpus = open_corpus(tmp_path / "out")
    contents = [*corpus.table(columns=["content"])["content"].to_pylist(), *corpus.quarantine()["content"].to_pylist()]
    assert contents.count(stamps.CHANGED) == 1
    monkeypatch.setattr(units, "read_guarded", read_guarded)
    assert_as_from_scratch(archive, tmp_path, ingest, key)


@pytest.mark.parametrize("reason", ["crashed", "timed_out"])
def test_what_the_machine_could_not_read_just_then_stays_and_is_read_again(
    archive: Path, tmp_path: Path, write_record, ingest, key: Key, monkeypatch, reason: str
) -> None:
    """As where memory runs out, and the system ends the process that reads."""
    read_guarded = units.read_guarded

    def dying(*arguments) -> Iterator[object]:
        for found in read_guarded(*arguments):
            yield Rejected(found.key, reason, "the machine's doing") if found.key.endswith("r2") else found

    first = ingest(CONFIG, [archive], tmp_path / "out", key)
    before = rows_of(tmp_path / "out")
    write_record(archive, "r2", seed=99)
    with monkeypatch.context() as patch:
        patch.setattr(units, "read_guarded", dying)
        assert ingest(CONFIG, [archive], tmp_path / "out", key).counts == first.counts
    assert rows_of(tmp_path / "out") == before
    ingest(CONFIG, [archive], tmp_path / "out", key)
    assert rows_of(tmp_path / "out") != before
    assert_as_from_scratch(archive, tmp_path, ingest, key)


def test_the_bytes_of_an_archive_are_hashed_as_they_were_copied(
    archive: Path, tmp_path: Path, write_record, ingest, key: Key, monkeypatch
) -> None:
    packed = tmp_path / "packed.zip"
    fetched = places._fetched

    def pack() -> None:
        with zipfile.ZipFile(packed, "w") as file:
            for path in sorted(archive.iterdir()):
                file.write(path, path.name)

    def changing(*arguments) -> list[vendors.Source]:
        write_record(archive, "r2", seed=99)
        pack()
        return fetched(*arguments)

    pack()
    monkeypatch.setattr(places, "_fetched", changing)
    ingest(CONFIG, [packed], tmp_path / "out", key)
    monkeypatch.setattr(places, "_fetched", fetched)
    assert_as_from_scratch(packed, tmp_path, ingest, key)


@pytest.mark.parametrize("time_ns", [1, 10**18 + 1])
def test_a_change_of_the_older_of_two_files_is_seen(
    archive: Path, tmp_path: Path, ingest, key: Key, time_ns: int
) -> None:
    os.utime(archive / "r0.dat", ns=(10**18, 10**18))
    ingest(CONFIG, [archive], tmp_path / "out", key)
    tampered(archive / "r0.dat", time_ns=time_ns)
    assert_as_from_scratch(archive, tmp_path, ingest, key)
    assert [reason for _, reason in rows_of(tmp_path / "out") if isinstance(reason, str)] == ["checksum"]


@pytest.mark.parametrize("kind", ["folder", "zip"])
@pytest.mark.parametrize("is_segmented", [False, True])
def test_a_change_of_samples_under_another_name_is_seen(
    archive: Path, tmp_path: Path, ingest, key: Key, kind: str, is_segmented: bool
) -> None:
    samples = renamed(archive / "r0.hea", "sig0.bin")
    if is_segmented:
        segmented(archive, "long")

    def source() -> Path:
        if kind == "folder":
            return archive
        with zipfile.ZipFile(tmp_path / "packed.zip", "w") as file:
            for path in sorted(archive.iterdir()):
                file.write(path, path.name)
        return tmp_path / "packed.zip"

    counts = ingest(CONFIG, [source()], tmp_path / "out", key).counts
    assert (counts.found, counts.accepted) == ((3, 3) if is_segmented else (4, 4))
    tampered(samples)
    assert_as_from_scratch(source(), tmp_path, ingest, key)
    assert [reason for _, reason in rows_of(tmp_path / "out") if isinstance(reason, str)] == ["checksum"]


def test_headers_of_ordinary_records_are_not_read_for_their_stamps(archive: Path, monkeypatch) -> None:
    sources = list(vendors.find([archive]))

    def unread(*_: object) -> None:
        raise AssertionError("a header is read")

    monkeypatch.setattr("hemometric.vendors.wfdb_format.read_bounded", unread)
    assert [stamp.suffixes for stamp in stamps.stamp_all(sources, vendors.VENDORS)] == [(".dat", ".hea")] * 4


def test_a_bad_record_of_segments_is_refused_by_itself(archive: Path, tmp_path: Path, ingest, key: Key) -> None:
    header = segmented(archive, "bad")
    header.write_text(header.read_text().replace("r1 1000", "gone 1000"))
    counts = ingest(CONFIG, [archive], tmp_path / "out", key).counts
    assert (counts.found, counts.accepted, counts.rejected) == (5, 4, {"missing_file": 1})


def test_a_touched_file_of_many_ecgs_is_hashed_once(
    tmp_path: Path, write_record, ingest, key: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = [
        vendors.read(source).signal
        for number in range(6)
        for source in vendors.find([write_record(tmp_path / "wfdb", f"r{number}", seed=number)])
    ]
    (tmp_path / "arrays").mkdir()
    path = tmp_path / "arrays" / "many.npy"
    np.save(path, np.stack(values))
    wanted = {"npy": {"rate_hz": 100, "unit": "mV", "axes": ("ecg", "lead", "sample")}}
    config = IngestConfig(patients="recording_is_patient", formats=wanted)
    first = ingest(config, [path.parent], tmp_path / "out", key)
    assert first.counts.accepted == 6
    os.utime(path, ns=(1, 10**18))
    hashed: list[Path] = []
    plain = stamps._digest

    def counted(path: Path, *arguments: object) -> bytes:
        hashed.append(path)
        return plain(path, *arguments)

    monkeypatch.setattr(stamps, "_digest", counted)
    assert ingest(config, [path.parent], tmp_path / "out", key) == first
    assert hashed == [path]
