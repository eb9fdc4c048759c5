"""An ingest from archives and stores: the recordings of the folder, read once, and nothing of it left behind."""

import os
import pickle
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pyarrow.compute as pc
import pytest

from hemometric.corpus import IngestConfig, Key, LabelSpec, open_corpus, prepare_ingest, verify
from hemometric.corpus import ingest as ingest_module
from hemometric.corpus.headers_table import HeadersTable
from hemometric.corpus.survey import depot_of
from hemometric.errors import DataRejectedError
from hemometric.runs.ingest import IngestRun
from hemometric.runs.ingest import run as run_ingest
from hemometric.vendors import places

CONFIG = IngestConfig(unit_recordings=4, patients="recording_is_patient")


@pytest.fixture
def records(tmp_path: Path, write_record) -> Path:
    for number in range(10):
        header = write_record(tmp_path / "records" / str(number % 2), f"NAME-CANARY-{number}", seed=number)
        header.write_text(f"{header.read_text()}# Dx: {number}\n")
    return tmp_path / "records"


@pytest.fixture(params=[".zip", ".tar", ".tar.xz", "bucket"])
def away(request: pytest.FixtureRequest, records: Path, tmp_path: Path) -> Iterator[Path | str]:
    """The same records elsewhere."""
    if request.param == "bucket":
        store = fsspec.filesystem("memory")
        for path in records.rglob("*"):
            if path.is_file():
                store.pipe(f"/clinic/records/{path.relative_to(records)}", path.read_bytes())
        yield "memory://clinic/records"
        store.rm("/clinic", recursive=True)
        return
    yield packed(records, tmp_path / f"records{request.param}")


def packed(folder: Path, path: Path) -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for one in sorted(folder.rglob("*.*")):
                archive.write(one, one.relative_to(folder))
        return path
    with tarfile.open(path, "w:xz" if path.suffix == ".xz" else "w") as tar:
        tar.add(folder, ".")
    return path


def signals(out: Path) -> set[bytes]:
    return {recording.counts.tobytes() for _, recording in open_corpus(out).recordings()}


def test_the_same_recordings_as_from_the_folder(records: Path, away: Path | str, tmp_path: Path, ingest, key) -> None:
    plain = ingest(CONFIG, [records], tmp_path / "plain", key)
    manifest = ingest(CONFIG, [away], tmp_path / "out", key)
    assert manifest.counts.found == plain.counts.found == 10
    assert manifest.counts.accepted + sum(manifest.counts.rejected.values()) == 10
    assert manifest.counts.accepted == plain.counts.accepted > 5
    assert signals(tmp_path / "out") == signals(tmp_path / "plain")
    verify(tmp_path / "out")
    assert not depot_of(tmp_path / "out").exists()
    everything = b"".join(path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert b"CANARY" not in everything


def test_again_nothing_is_read_and_what_changed_alone_is(
    records: Path, away: Path | str, tmp_path: Path, ingest, key: Key, monkeypatch: pytest.MonkeyPatch, write_record
) -> None:
    first = ingest(CONFIG, [away], tmp_path / "out", key)
    with monkeypatch.context() as patch:
        patch.setattr(places, "open_place", None)
        patch.setattr(ingest_module, "units_of", None)
        assert ingest(CONFIG, [away], tmp_path / "out", key) == first
    before = signals(tmp_path / "out")
    header = write_record(records / "1", "NAME-CANARY-1", seed=77)
    if isinstance(away, str):
        store = fsspec.filesystem("memory")
        for path in (header, header.with_suffix(".dat")):
            store.pipe(f"/clinic/records/1/{path.name}", path.read_bytes())
    else:
        status = away.stat()
        packed(records, away)
        os.utime(away, ns=(status.st_atime_ns, status.st_mtime_ns + 10**9))
    plan = prepare_ingest(CONFIG, [away], tmp_path / "out", key)
    assert plan.num_fresh == 1
    assert pickle.loads(pickle.dumps(plan.units[0].sources)) == plan.units[0].sources
    second = ingest(CONFIG, [away], tmp_path / "out", key)
    assert second.counts.found == 10
    assert len(before - signals(tmp_path / "out")) == len(signals(tmp_path / "out") - before) == 1


def test_labels_from_the_headers_of_an_archive(away: Path | str, tmp_path: Path, ingest, key: Key) -> None:
    table = HeadersTable(labels={"dx": LabelSpec(column="Dx", unit="1", low=0, high=100)})
    ingest(CONFIG.model_copy(update={"table": table}), [away], tmp_path / "out", key)
    values = open_corpus(tmp_path / "out").table(columns=["label.dx"])["label.dx"]
    assert set(values.to_pylist()) <= set(map(float, range(10)))
    assert pc.count_distinct(values).as_py() > 5


def test_refused_members_are_in_the_quarantine(records: Path, tmp_path: Path, ingest, key: Key) -> None:
    archive = packed(records, tmp_path / "records.zip")
    with zipfile.ZipFile(archive, "a") as zipped:
        zipped.writestr("../../NAME-CANARY.hea", "x")
        zipped.writestr("inner.zip", "x")
    config = CONFIG.model_copy(update={"max_rejected_fraction": 0.5})
    manifest = ingest(config, [archive], tmp_path / "out", key)
    assert manifest.counts.found == 12
    assert manifest.counts.rejected["unsafe_name"] == manifest.counts.rejected["nested_archive"] == 1
    assert ingest(config, [archive], tmp_path / "out", key) == manifest, "and known again"


def test_too_much_refused_leaves_nothing_unpacked(records: Path, tmp_path: Path, key: Key) -> None:
    for path in list(records.rglob("*.dat"))[:5]:
        path.write_bytes(b"cut")
    archive = packed(records, tmp_path / "records.tar.xz")
    config = IngestRun(sources=(archive,), out=tmp_path / "out", key=key.path, workers=0, ingest=CONFIG)
    with pytest.raises(DataRejectedError):
        run_ingest(config)
    assert not depot_of(tmp_path / "out").exists()
    assert not [path for path in (tmp_path / "out").rglob("*") if "CANARY" in path.name]


def test_no_copy_outlives_its_unit(away: Path | str, tmp_path: Path, ingest, key: Key, monkeypatch) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    ingest(CONFIG, [away], tmp_path / "out", key)
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_folder_is_never_copied(records: Path, tmp_path: Path, ingest, key: Key, monkeypatch) -> None:
    monkeypatch.setattr(places.tempfile, "TemporaryDirectory", None)
    monkeypatch.setattr(shutil, "copyfileobj", None)
    assert ingest(CONFIG, [records], tmp_path / "out", key).counts.found == 10
