"""Stores that fsspec reads: listed, recognised and fetched by the unit, and what they refuse in one sentence."""

import functools
import http.server
import shutil
import threading
import zipfile
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import ClassVar

import fsspec
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from hemometric.ecg import Recording, Rejected
from hemometric.errors import PrecheckError, UsageError
from hemometric.vendors import Source, find, places, read_all, remote, stores
from hemometric.vendors.source import Piece

BUNDLED = Path(str(files("hemometric").joinpath("demo/data/ptbxl")))
HEADERS = sorted((BUNDLED / "records100").rglob("*.hea"))[:4]


@pytest.fixture
def bucket() -> Iterator[MemoryFileSystem]:
    """Four records in ``memory://bucket/ecg``, beside files that are none."""
    store = fsspec.filesystem("memory")
    for number, header in enumerate(HEADERS):
        for path in (header, header.with_suffix(".dat")):
            store.pipe(f"/bucket/ecg/{number % 2}/{path.name}", path.read_bytes())
    store.pipe("/bucket/ecg/table.csv", b"a,b\n")
    store.pipe("/bucket/ecg/.hidden/rec.hea", b"rec 1 500 1200\n")
    yield store
    store.rm("/bucket", recursive=True)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """A web server on this machine that lists its folders, with the same records."""
    for number, header in enumerate(HEADERS):
        target = tmp_path / "web" / "ecg" / str(number % 2) / header.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(header, target)
        shutil.copy(header.with_suffix(".dat"), target.with_suffix(".dat"))

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Keep the test's output clean."""

        def do_GET(self) -> None:
            if "denied" in self.path:
                self.send_error(403, "PATIENT-CANARY")
            else:
                super().do_GET()

    handler = functools.partial(Quiet, directory=str(tmp_path / "web"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def read_like_files(sources: list[Source]) -> None:
    plain = list(read_all(list(find(HEADERS))))
    here = {one.key.rpartition("/")[2]: one for one in read_all(sources)}
    assert len(here) == len(plain) == 4
    for one in plain:
        other = here[one.key.rpartition("/")[2]]
        assert isinstance(one, Recording)
        assert isinstance(other, Recording)
        assert np.array_equal(one.counts, other.counts)


def test_a_bucket_is_read_as_a_folder(bucket: MemoryFileSystem) -> None:
    sources = list(find(["memory://bucket/ecg"]))
    assert [source.key for source in sources] == sorted(
        f"ecg/{number % 2}/{header.stem}" for number, header in enumerate(HEADERS)
    )
    assert sources[0].where.startswith("memory://bucket/ecg/0/")
    read_like_files(sources)
    assert list(find(["memory://bucket/ecg/"])) != []


def test_listing_a_bucket_fetches_no_file_whose_suffix_tells(
    bucket: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.pipe("/bucket/ecg/x.xml", b"<?xml version='1.0'?><RestingECG></RestingECG>")
    bucket.pipe("/bucket/ecg/1.2.840.113", b"\0" * 128 + b"DICM")
    bucket.pipe("/bucket/ecg/long.hea", b"long/1 12 100 1000\nseg 1000\n")
    looked: list[str] = []
    plain = MemoryFileSystem.cat_file

    def cat_file(self: MemoryFileSystem, path: str, *args: object, **fields: object) -> bytes:
        looked.append(path.rpartition("/")[2])
        return plain(self, path, *args, **fields)

    monkeypatch.setattr(MemoryFileSystem, "cat_file", cat_file)
    formats = {source.key.rpartition("/")[2]: source.format for source in find(["memory://bucket/ecg"])}
    assert sorted(looked) == ["1.2.840.113", "long.hea", "x.xml"]
    assert formats["x.xml"] == "ge-muse"
    assert formats["1.2.840.113"] == "dicom"


def test_a_single_record_and_an_archive_in_a_bucket(bucket: MemoryFileSystem, tmp_path: Path) -> None:
    (one,) = find([f"memory://bucket/ecg/0/{HEADERS[0].name}"])
    assert one.key == f"0/{HEADERS[0].stem}"
    assert isinstance(next(read_all([one])), Recording)
    with zipfile.ZipFile(tmp_path / "part.zip", "w") as archive:
        for header in HEADERS:
            archive.write(header, header.name)
            archive.write(header.with_suffix(".dat"), header.with_suffix(".dat").name)
    bucket.pipe("/bucket/ecg/part.zip", (tmp_path / "part.zip").read_bytes())
    sources = list(find(["memory://bucket/ecg"], depot=tmp_path / "depot"))
    assert len(sources) == 8
    inner = list(find(["memory://bucket/ecg/part.zip"], depot=tmp_path / "depot"))
    assert {source.key for source in inner} == {f"part.zip/{header.stem}" for header in HEADERS}
    assert inner[0].where.startswith("memory://bucket/ecg/part.zip/")
    read_like_files(inner)


def test_what_vanishes_or_is_denied_is_refused_alone(bucket: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = list(find(["memory://bucket/ecg"]))
    bucket.rm(f"/bucket/ecg/0/{HEADERS[0].with_suffix('.dat').name}")
    plain = MemoryFileSystem.cat_file

    def cat_file(self: MemoryFileSystem, path: str, *args: object, **fields: object) -> bytes:
        if path.endswith(HEADERS[1].name):
            raise PermissionError("PATIENT-CANARY")
        return plain(self, path, *args, **fields)

    monkeypatch.setattr(MemoryFileSystem, "cat_file", cat_file)
    told = {one.key: one for one in read_all(sources)}
    assert len(told) == 4
    gone, denied = told[f"ecg/0/{HEADERS[0].stem}"], told[f"ecg/1/{HEADERS[1].stem}"]
    assert isinstance(gone, Rejected)
    assert isinstance(denied, Rejected)
    assert (gone.reason, denied.reason) == ("missing_file", "unreadable")
    assert "CANARY" not in denied.detail
    assert sum(isinstance(one, Recording) for one in told.values()) == 2


def test_what_fails_for_a_moment_is_tried_again(bucket: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = list(find(["memory://bucket/ecg"]))
    monkeypatch.setattr(remote, "_WAIT_S", 0.0)
    plain = MemoryFileSystem.cat_file
    tries = {"left": 2}

    def cat_file(self: MemoryFileSystem, path: str, *args: object, **fields: object) -> bytes:
        if path.endswith(".dat") and tries["left"]:
            tries["left"] -= 1
            raise TimeoutError("PATIENT-CANARY")
        return plain(self, path, *args, **fields)

    monkeypatch.setattr(MemoryFileSystem, "cat_file", cat_file)
    read_like_files(sources)
    tries["left"] = 10_000
    with pytest.raises(PrecheckError, match="cannot be reached") as caught:
        list(read_all(sources))
    assert "CANARY" not in str(caught.value)


def test_a_file_that_has_grown_is_not_read_beyond_what_was_listed(bucket: MemoryFileSystem) -> None:
    (one,) = find([f"memory://bucket/ecg/0/{HEADERS[0].name}"])
    bucket.pipe(f"/bucket/ecg/0/{HEADERS[0].with_suffix('.dat').name}", bytes(10 << 20))
    with places.local([one]) as (here,):
        assert here.path.with_suffix(".dat").stat().st_size == HEADERS[0].with_suffix(".dat").stat().st_size


def test_names_that_no_folder_can_hold(bucket: MemoryFileSystem) -> None:
    bucket.pipe(f"/bucket/ecg/{'n' * 300}.hea", b"rec 1 500 1200\n")
    bucket.pipe("/bucket/ecg/a/../b.hea", b"rec 1 500 1200\n")
    reasons = [one.reason for one in read_all(list(find(["memory://bucket/ecg"]))) if isinstance(one, Rejected)]
    assert reasons == ["unsafe_name"] * 2


def test_a_web_server_that_lists_its_folders(web: str) -> None:
    sources = list(find([f"{web}/ecg"]))
    assert {source.key for source in sources} == {
        f"ecg/{number % 2}/{header.stem}" for number, header in enumerate(HEADERS)
    }
    read_like_files(sources)
    (one,) = find([f"{web}/ecg/0/{HEADERS[0].name}"])
    assert one.key == f"0/{HEADERS[0].stem}"
    assert isinstance(next(read_all([one])), Recording)


def test_errors_say_what_to_do_in_one_sentence(web: str, bucket: MemoryFileSystem) -> None:
    told = {
        "memory://nowhere": (UsageError, "source memory://nowhere does not exist"),
        f"{web}/nothing": (UsageError, "does not exist"),
        f"{web}/denied": (UsageError, "may not be read; give credentials by the environment"),
        "http://127.0.0.1:9/ecg": (PrecheckError, "cannot be reached"),
        "nonsense://bucket": (UsageError, "knows no such kind of store"),
        "adl://bucket/x": (UsageError, "a library for adl:// is not installed"),
        "memory://bucket/ecg/0/": (None, ""),
    }
    for url, (error, sentence) in told.items():
        if error is None:
            assert len(list(find([url]))) == 2
            continue
        with pytest.raises(error, match=sentence) as caught:
            find([url])
        assert "CANARY" not in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["https://me:SECRET@host/ecg", "https://host/ecg?token=SECRET", "s3://SECRET@bucket/x", "https://h/x#SECRET"]
)
def test_addresses_with_secrets_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(UsageError, match="may hold no user") as caught:
        find([url])
    assert "SECRET" not in str(caught.value)
    assert "SECRET" not in stores.shown(url)


class NoCredentialsError(Exception):
    """As botocore's, by name: the store as a whole cannot be read, and no single file is at fault."""


class Clinic(MemoryFileSystem):
    """A store as s3fs is one, where credentials have run out."""

    protocol = "clinic"
    store: ClassVar[dict[str, object]] = {}

    def info(self, path: str, **_: object) -> dict[str, object]:
        raise NoCredentialsError("PATIENT-CANARY")

    def cat_file(self, path: str, *_: object, **__: object) -> bytes:
        raise NoCredentialsError("PATIENT-CANARY")


def test_missing_credentials_stop_the_ingest(monkeypatch: pytest.MonkeyPatch) -> None:
    fsspec.register_implementation("clinic", Clinic, clobber=True)
    monkeypatch.setattr(remote, "_WAIT_S", 0.0)
    with pytest.raises(UsageError, match="give credentials by the environment") as caught:
        find(["clinic://bucket/ecg"])
    assert "CANARY" not in str(caught.value)
    one = Source("ecg/x.xml", Path("x.xml"), "ge-muse", "", "clinic://bucket/ecg", (Piece("x.xml", 10, 1),))
    with pytest.raises(UsageError, match="give credentials by the environment"):
        list(read_all([one]))


def test_local_addresses_are_paths() -> None:
    assert list(find([f"file://{HEADERS[0]}"])) == list(find([HEADERS[0]]))


def test_without_a_time_or_a_checksum_every_look_is_another_version() -> None:
    assert remote._version({"size": 1}) != remote._version({"size": 1})
    assert remote._version({"ETag": "a", "size": 1}) == remote._version({"ETag": "a", "size": 1})
