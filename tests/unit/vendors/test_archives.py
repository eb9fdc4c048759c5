"""Records in archives: the same as in a folder, named by archive and path, and nothing else let in or out."""

import bz2
import gzip
import io
import lzma
import os
import runpy
import shutil
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from datetime import date, datetime
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from hemometric import read as read_recordings
from hemometric.ecg import LEADS, Recording, Rejected
from hemometric.errors import PrecheckError, UsageError
from hemometric.vendors import Source, depot, find, places, read_all
from hemometric.vendors.archive_members import MAX_RATIO, ArchivesConfig
from hemometric.vendors.packed_stream import PackedStream
from hemometric.vendors.source import ReadError

BUNDLED = Path(str(files("hemometric").joinpath("demo/data/ptbxl")))
KINDS = {".zip": "", ".tar": "", ".tar.gz": "gz", ".tgz": "gz", ".tar.bz2": "bz2", ".tar.xz": "xz"}
VENDOR_FILES = Path(__file__).parents[2] / "vendor_files"
PERSON = {
    "patient_id": "0815", "name": "Doe^Jo", "birth_date": date(1951, 3, 29), "age_years": 68, "sex": "female",
    "acquired": datetime(2019, 11, 5, 13, 37, 59), "serial": "7", "note": "none",
}  # fmt: skip
Pack = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five records in two folders, a table, a hidden file, and a record of two segments."""
    folder = tmp_path / "in" / "archive"
    for number, header in enumerate(sorted((BUNDLED / "records100").rglob("*.hea"))[:5]):
        target = folder / str(number % 2) / header.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(header, target)
        shutil.copy(header.with_suffix(".dat"), target.with_suffix(".dat"))
    (folder / "table.csv").write_text("a,b\n")
    (folder / "._0.hea").write_bytes(b"Mac OS X")
    names = sorted(path.stem for path in (folder / "0").glob("*.hea"))[:2]
    leads, rate, frames = (folder / "0" / f"{names[0]}.hea").read_text().split()[1:4]
    lines = [f"{name} {frames}" for name in names]
    (folder / "0" / "long.hea").write_text(f"long/2 {leads} {rate} {2 * int(frames)}\n" + "\n".join(lines) + "\n")
    return folder


@pytest.fixture
def pack(tmp_path: Path) -> Pack:
    """Put a folder, or contents by name, into an archive whose name says its kind."""

    def write(content: Path | dict[str, bytes], name: str = "a.zip") -> Path:
        path = tmp_path / "packed" / name
        path.parent.mkdir(exist_ok=True)
        if isinstance(content, Path):
            content = {str(p.relative_to(content)): p.read_bytes() for p in content.rglob("*") if p.is_file()}
        if name.endswith(".zip"):
            with warnings.catch_warnings(), zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
                warnings.simplefilter("ignore")
                for member, held in content.items():
                    archive.writestr(member, held)
            return path
        kind = next(kind for end, kind in KINDS.items() if name.endswith(end))
        with tarfile.open(path, f"w:{kind}") as tar:
            for member, held in content.items():
                info = tarfile.TarInfo(member)
                info.size = len(held)
                tar.addfile(info, io.BytesIO(held))
        return path

    return write


def found(root: Path, tmp_path: Path, **options: object) -> list[Source]:
    return list(find([root], depot=tmp_path / "depot", **options))  # type: ignore[arg-type]


def reasons(sources: list[Source]) -> dict[str, str]:
    read = list(read_all(sources))
    assert [one.key for one in read] == [source.key for source in sources]
    return {one.key: one.reason if isinstance(one, Rejected) else "read" for one in read}


def same(mine: Recording | Rejected, other: Recording | Rejected) -> bool:
    assert isinstance(mine, Recording)
    assert isinstance(other, Recording)
    return mine.leads == other.leads and np.array_equal(mine.counts, other.counts)


@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_holds_what_its_folder_holds(folder: Path, tmp_path: Path, pack: Pack, kind: str) -> None:
    plain = list(find([folder]))
    sources = found(pack(folder, f"archive{kind}"), tmp_path)
    assert [source.key for source in sources] == [
        source.key.replace("archive/", f"archive{kind}/", 1) for source in plain
    ]
    assert [source.key for source in plain if "long" in source.key] == ["archive/0/long"]
    assert len(plain) == 4, "the segments are no records of their own"
    for mine, other in zip(read_all(sources), read_all(plain), strict=True):
        assert same(mine, other)
    assert all(f"archive{kind}/" in source.where for source in sources)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", ["header", "gone"])
def test_a_bad_record_of_segments_hides_none_of_them(
    folder: Path, tmp_path: Path, pack: Pack, kind: str, damage: str
) -> None:
    long = folder / "0" / "long.hea"
    text = long.read_text()
    long.write_text(text.replace("long/2", "long/3") if damage == "header" else text.replace("_lr", "_gone", 1))
    plain = reasons(list(find([folder])))
    assert sorted(plain.values()) == sorted(["missing_file" if damage == "gone" else "truncated", *(["read"] * 5)])
    sources = found(pack(folder, f"archive{kind}"), tmp_path)
    assert sorted(reasons(sources).values()) == sorted(plain.values())


@pytest.mark.parametrize("kind", [".zip", ".tar.gz"])
def test_archives_in_a_folder_are_opened_unless_a_config_says_no(
    folder: Path, tmp_path: Path, pack: Pack, kind: str
) -> None:
    outer = tmp_path / "outer"
    (outer / "2021").mkdir(parents=True)
    shutil.copy(pack(folder, f"january{kind}"), outer / "2021")
    shutil.copytree(folder / "1", outer / "plain")
    keys = [source.key for source in found(outer, tmp_path)]
    assert len(keys) == 4 + 2
    assert f"outer/2021/january{kind}/0/long" in keys
    assert len(found(outer, tmp_path, archives=ArchivesConfig(found=False))) == 2
    assert len(found(outer / "2021" / f"january{kind}", tmp_path, archives=ArchivesConfig(found=False))) == 4


def test_a_single_file_behind_gzip(tmp_path: Path) -> None:
    write = runpy.run_path(str(VENDOR_FILES / "ge_muse.py"))["write"]
    path = write(tmp_path, np.zeros((12, 2000)), LEADS, 500.0, PERSON)
    inner = tmp_path / "inner"
    inner.mkdir()
    packed = inner / f"{path.name}.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    (inner / "patients.csv.gz").write_bytes(gzip.compress(b"a,b\n"))
    (one,) = found(inner, tmp_path)
    assert one.key == f"inner/{path.name}.gz/{path.name}"
    (mine,), (other,) = list(read_all([one])), list(read_all(list(find([path]))))
    assert same(mine, other)
    packed.write_bytes(packed.read_bytes()[:-500])
    assert set(reasons(found(inner, tmp_path)).values()) == {"truncated"}


def test_a_file_of_several_ecgs_is_unpacked_once_and_known_again(
    tmp_path: Path, pack: Pack, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = runpy.run_path(str(VENDOR_FILES / "hdf5.py"))["write"]
    path = write(tmp_path, np.zeros((12, 2000)), LEADS, 500.0, PERSON)
    sources = found(pack({f"deep/er/{path.name}": path.read_bytes()}), tmp_path)
    (plain,) = find([path])
    assert [(source.place, source.item) for source in sources] == [("", plain.item)]
    assert sources[0].key == f"a.zip/deep/er/{path.name}/{plain.item}"
    assert sources[0].where.endswith(f"a.zip/deep/er/{path.name}")
    assert same(*read_all([*sources, plain]))
    before = sources[0].path.stat()
    with monkeypatch.context() as patch:
        patch.setattr(depot, "_set_time", None)  # nothing is copied again
        assert found(tmp_path / "packed" / "a.zip", tmp_path) == sources
    assert sources[0].path.stat() == before


HOSTILE = {
    "../outside.hea": "unsafe_name",
    "/absolute.hea": "unsafe_name",
    "a/../../b.hea": "unsafe_name",
    "C:/windows.hea": "unsafe_name",
    "inner.zip": "nested_archive",
    "inner.csv.gz": "nested_archive",
    f"{'n' * 300}.hea": "unsafe_name",
}


@pytest.mark.parametrize("kind", [".zip", ".tar", ".tar.gz"])
def test_hostile_members_are_counted_and_their_neighbours_read(
    folder: Path, tmp_path: Path, pack: Pack, kind: str
) -> None:
    content = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    before = sorted(tmp_path.rglob("*"))
    archive = pack({**dict.fromkeys(HOSTILE, b"rec 1 500 1200\n"), **content}, f"a{kind}")
    sources = found(archive, tmp_path)
    told = reasons(sources)
    assert {key.removeprefix(f"a{kind}/"): reason for key, reason in told.items() if reason != "read"} == {
        name.removesuffix(".hea"): reason for name, reason in HOSTILE.items()
    }
    assert list(told.values()).count("read") == 4
    new = [path for path in sorted(tmp_path.rglob("*")) if path not in before]
    assert all(path.is_relative_to(tmp_path / "depot") or path.is_relative_to(tmp_path / "packed") for path in new)
    assert not any(path.is_symlink() for path in new)


@pytest.mark.parametrize("kind", [".zip", ".tar", ".tar.gz"])
def test_of_two_files_with_one_name_neither_is_read(folder: Path, tmp_path: Path, pack: Pack, kind: str) -> None:
    (header,) = sorted((folder / "1").glob("*.hea"))[:1]
    content = {header.name: header.read_bytes(), header.with_suffix(".dat").name: b"other", "x/y.txt": b""}
    archive = pack(content, f"a{kind}")
    twice = {f"./{header.with_suffix('.dat').name}": header.with_suffix(".dat").read_bytes()}
    if kind == ".zip":
        with zipfile.ZipFile(archive, "a") as zipped:
            for name, held in twice.items():
                zipped.writestr(name, held)
    else:
        archive = pack({**content, **twice}, f"a{kind}")
    told = reasons(found(archive, tmp_path))
    assert "read" not in told.values()
    assert set(told.values()) <= {"unsafe_name", "missing_file"}


def test_links_in_archives_reach_nothing(tmp_path: Path, folder: Path) -> None:
    secret = tmp_path / "secret.hea"
    secret.write_text("CANARY 1 500 1200\n")
    for mode, name in (("w", "l.tar"), ("w:gz", "l.tar.gz")):
        with tarfile.open(tmp_path / name, mode) as tar:  # type: ignore[call-overload]
            for kind, target in ((tarfile.SYMTYPE, str(secret)), (tarfile.LNKTYPE, "../secret.hea")):
                info = tarfile.TarInfo(f"link{kind.decode()}.hea")
                info.type, info.linkname = kind, target
                tar.addfile(info)
            info = tarfile.TarInfo("dir")  # a link to a folder, and a file that would be written through it
            info.type, info.linkname = tarfile.SYMTYPE, str(tmp_path / "in")
            tar.addfile(info)
            info = tarfile.TarInfo("dir/planted.hea")
            info.size = 3
            tar.addfile(info, io.BytesIO(b"abc"))
        told = reasons(found(tmp_path / name, tmp_path))
        assert sorted(told.values()) == ["unreadable", "unsafe", "unsafe", "unsafe"]
    assert not (tmp_path / "in" / "planted.hea").exists()


def test_bombs_are_refused_before_they_are_unpacked(tmp_path: Path, pack: Pack, folder: Path) -> None:
    content = {str(path.relative_to(folder)): path.read_bytes() for path in (folder / "1").iterdir()}
    told = reasons(found(pack({**content, "bomb.hea": bytes(64 << 20)}), tmp_path))
    assert told.pop("a.zip/bomb") == "too_large"
    assert set(told.values()) == {"read"}
    told = reasons(found(pack({"bomb.hea": bytes(64 << 20)}, "b.tar.gz"), tmp_path))
    assert set(told.values()) == {"too_large"}
    assert not [path for path in (tmp_path / "depot").rglob("*") if path.is_file()]


def test_bounds_a_member_and_in_all(tmp_path: Path, pack: Pack, folder: Path) -> None:
    for kind in (".zip", ".tar", ".tar.gz"):
        archive = pack(folder, f"a{kind}")
        told = reasons(found(archive, tmp_path, archives=ArchivesConfig(max_member_bytes=10_000)))
        # Of segments that were never unpacked, their record says that they are missing.
        assert set(told.values()) <= {"too_large"} | ({"missing_file"} if kind == ".tar.gz" else set()), kind
        shutil.rmtree(tmp_path / "depot", ignore_errors=True)
        told = reasons(found(archive, tmp_path, archives=ArchivesConfig(max_total_bytes=60_000)))
        assert "too_large" in told.values()
        shutil.rmtree(tmp_path / "depot", ignore_errors=True)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99])
def test_a_cut_archive_is_one_refused_record(folder: Path, tmp_path: Path, pack: Pack, kind: str, share: float) -> None:
    content = pack(folder, f"a{kind}").read_bytes().rstrip(b"\0")
    outer = tmp_path / "outer"
    shutil.copytree(folder / "1", outer / "plain")
    (outer / f"a{kind}").write_bytes(content[: int(share * len(content))])
    told = reasons(found(outer, tmp_path))
    assert told.pop(f"outer/a{kind}") in ("truncated", "unreadable")
    assert len(told) == 2
    assert set(told.values()) == {"read"}
    parts = list((tmp_path / "depot").glob("*")) if (tmp_path / "depot").exists() else []
    assert parts == []


def test_a_damaged_signal_file_refuses_its_record_alone(folder: Path, tmp_path: Path, pack: Pack) -> None:
    archive = pack(folder)
    with zipfile.ZipFile(archive) as zipped:
        info = next(info for info in zipped.infolist() if info.filename.startswith("1/") and ".dat" in info.filename)
    content = bytearray(archive.read_bytes())
    for place in range(info.header_offset + 100, info.header_offset + 2000, 50):
        content[place] ^= 0xFF
    archive.write_bytes(content)
    told = reasons(found(archive, tmp_path))
    assert list(told.values()).count("read") == 3
    assert told[f"a.zip/{info.filename.removesuffix('.dat')}"] in ("checksum", "unreadable", "too_large")


def test_without_a_depot_what_needs_one_is_refused(folder: Path, pack: Pack) -> None:
    assert set(reasons(list(find([pack(folder, "a.tgz")]))).values()) == {"unsupported"}
    assert len(read_recordings(pack(folder, "a.tgz"))) == 4  # which has one of its own
    assert len(read_recordings(pack(folder, "a.zip"))) == 4


def test_an_archive_without_an_ecg_says_so(tmp_path: Path, pack: Pack) -> None:
    with pytest.raises(UsageError, match=r"no ECG in source .*a\.zip"):
        found(pack({"table.csv": b"a,b\n"}), tmp_path)


def test_the_disk_is_looked_at_before_unpacking(
    folder: Path, tmp_path: Path, pack: Pack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(depot.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1 << 30, 1 << 30, 1 << 20))
    with pytest.raises(PrecheckError, match="more than is free"):
        found(pack(folder, "a.tar.gz"), tmp_path)
    assert len(found(pack(folder, "a.zip"), tmp_path)) == 4


def test_unpacked_once_until_the_archive_changes(
    folder: Path, tmp_path: Path, pack: Pack, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = pack(folder, "a.tar.gz")
    first = found(archive, tmp_path)
    half = tmp_path / "depot" / f"{'0123' * 6}.part"
    half.mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(depot, "PackedStream", None)
        assert found(archive, tmp_path) == first
    assert not half.exists(), "what a killed try left is removed"
    archive.write_bytes(archive.read_bytes())
    os.utime(archive, (1, 1))
    second = found(archive, tmp_path)
    assert [source.key for source in second] == [source.key for source in first]
    assert {source.path for source in second}.isdisjoint(source.path for source in first)
    assert len(list((tmp_path / "depot").iterdir())) == 1
    assert {source.path.stat().st_mtime for source in second} == {1.0}


def test_files_are_there_while_a_block_lasts(
    folder: Path, tmp_path: Path, pack: Pack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places.tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    sources = found(pack(folder), tmp_path)
    with places.local(sources) as here:
        assert [source.key for source in here] == [source.key for source in sources]
        assert all(source.path.is_file() and not source.place for source in here)
        assert {path.name for path in here[0].path.parent.iterdir()} >= {here[0].path.name}
        assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "tmp").iterdir())
        (mine,) = {source.path.parent.parent for source in here}
        os.utime(mine.parents[1], (1, 1))
        with places.local(sources[:1]) as other:
            assert here[0].path.is_file(), "who lives is no orphan"
            assert other[0].path != here[0].path
        with places.local(here) as again:
            assert again == here
    assert not mine.exists()
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.data
@pytest.mark.parametrize("name", ["awkward", "code15-chagas", "ptbxl-extra", "vendor"])
@pytest.mark.parametrize("kind", [".zip", ".tar.gz"])
def test_real_files_are_read_from_archives_as_from_folders(name: str, kind: str, tmp_path: Path, pack: Pack) -> None:
    data = os.environ.get("HEMOMETRIC_DATA")
    if not data:
        pytest.fail(f"HEMOMETRIC_DATA is not set: give the folder that holds {name}")
    plain = list(find([Path(data, name)]))
    sources = found(pack(Path(data, name), f"{name}{kind}"), tmp_path)
    assert [one.key.partition("/")[2] for one in sources] == [one.key.partition("/")[2] for one in plain]
    for mine, other in zip(read_all(sources), read_all(plain), strict=True):
        if isinstance(other, Recording):
            assert same(mine, other)
        else:
            assert isinstance(mine, Rejected)
            assert (mine.reason, mine.detail) == (other.reason, other.detail)


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress], ids=["gzip", "bzip2", "xz"])
def test_compressed_streams(compress: Callable[[bytes], bytes]) -> None:
    content = np.random.default_rng(0).integers(0, 9, 600_000, np.uint8).tobytes()
    packed = compress(content[:400_000]) + compress(content[400_000:])

    def unpacked(packed: bytes) -> bytes:
        return io.BufferedReader(PackedStream(io.BytesIO(packed)), 4096).read()  # type: ignore[arg-type]

    assert unpacked(packed) == content
    assert unpacked(packed + bytes(1000)) == content, "tape drives fill up with zeros"
    for cut in (len(packed) // 3, len(packed) - 3):
        with pytest.raises(ReadError) as caught:
            unpacked(packed[:cut])
        assert caught.value.reason == "truncated"
    with pytest.raises(ReadError, match=str(MAX_RATIO)):
        unpacked(compress(bytes(64 << 20)))


def test_xz_that_wants_too_much_memory() -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 20}]
    content = bytearray(lzma.compress(b"x" * 1000, filters=filters))
    import zlib

    size = (content[12] + 1) * 4
    place = content.index(bytes([0x21, 0x01]), 12) + 2
    content[place] = 40  # a dictionary of 4 GB
    content[12 + size - 4 : 12 + size] = zlib.crc32(content[12 : 12 + size - 4]).to_bytes(4, "little")
    with pytest.raises(ReadError):
        io.BufferedReader(PackedStream(io.BytesIO(bytes(content)))).read()  # type: ignore[arg-type]
