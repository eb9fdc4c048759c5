"""Which records a folder holds, and what they are called."""

import os
from importlib.resources import files
from pathlib import Path

import pytest

from hemometric.ecg import Recording, Rejected
from hemometric.errors import UsageError
from hemometric.vendors import VENDORS, Source, find, read
from hemometric.vendors.folders import CORPUS

BUNDLED = Path(str(files("hemometric").joinpath("demo/data/ptbxl")))
HEADER = "rec 1 500 1200\nrec.dat 16 200 16 0 0 0 0 I\n"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A folder of four records in three folders, among other files."""
    folder = tmp_path / "archive"
    for name in ("b/2", "b/10", "a-b/1", "a/deep/er/1"):
        path = folder / f"{name}.hea"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(HEADER)
        path.with_name("rec.dat").write_bytes(bytes(2400))
    (folder / "LICENSE.txt").write_text("rec 1 500 1200\n")
    (folder / "table.csv").write_text("a,b\n")
    (folder / "b" / "._2.hea").write_bytes(b"Mac OS X")
    (folder / ".git").mkdir()
    (folder / ".git" / "3.hea").write_text(HEADER)
    return folder


def keys(*roots: Path) -> list[str]:
    return [source.key for source in find(roots)]


def test_one_source_for_each_record_sorted_by_key(archive: Path) -> None:
    assert keys(archive) == ["archive/a-b/1", "archive/a/deep/er/1", "archive/b/10", "archive/b/2"]
    assert list(find([archive]))[3] == Source("archive/b/2", archive / "b" / "2.hea", "wfdb")


def test_the_bundled_records_and_single_files() -> None:
    names = keys(BUNDLED)
    assert len(names) == 147
    assert names == sorted(names)
    assert names[0] == "ptbxl/records100/00000/00001_lr"
    assert keys(BUNDLED / "records100/00000/00001_lr.hea") == ["00000/00001_lr"]
    assert keys(BUNDLED / "records100", BUNDLED / "records500")[-1].startswith("records500/")


def test_keys_do_not_depend_on_the_way_to_the_folder(archive: Path, monkeypatch) -> None:
    monkeypatch.chdir(archive)
    for root in (Path(), Path("../archive"), Path("b/..")):
        assert keys(root) == keys(archive)
    archive.parent.joinpath("link").symlink_to(archive)
    assert keys(archive.parent / "link") == [key.replace("archive", "link") for key in keys(archive)]


def write_long(archive: Path) -> Path:
    """A record of two segments, and an ordinary one whose name is much like theirs."""
    (archive / "long.hea").write_text("long/4 1 500 1300\nlong_layout 0\nlong_1 600\n~ 100\nlong_2 600\n")
    for name in ("long_1", "long_2", "long_layout", "long_3"):
        (archive / f"{name}.hea").write_text(HEADER.replace("1200", "600"))
    (archive / "rec.dat").write_bytes(bytes(1200))
    return archive / "long.hea"


def long_keys(archive: Path) -> list[str]:
    return [key.removeprefix("archive/") for key in keys(archive) if "long" in key]


def test_segments_are_no_records_of_their_own(archive: Path) -> None:
    long = write_long(archive)
    assert long_keys(archive) == ["long", "long_3"]
    (source,) = (source for source in find([archive]) if source.path == long)
    result = read(source)
    assert isinstance(result, Recording)
    assert result.counts.shape == (1, 1300)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("long", "long_2 600", "gone 600"),
        ("long", "long/4", "long/5"),
        ("long", "long/4 1 500 1300", "long/4 garbage"),
        ("long", "500 1300", "500 1301"),
        ("long", "500 1300", "250 1300"),
        ("long_2", "rec 1", "rec one"),
        ("long_2", "500 600", "500 599"),
        ("long_2", "rec.dat", "gone.dat"),
        ("long_2", " I\n", " V6\n"),
        ("long_2", "rec 1 500 600", "rec/1 1 500 600"),
    ],
)
def test_a_bad_record_of_segments_hides_none_of_them(archive: Path, name: str, old: str, new: str) -> None:
    long = write_long(archive)
    damaged = archive / f"{name}.hea"
    damaged.write_text(damaged.read_text().replace(old, new))
    assert long_keys(archive) == ["long", "long_1", "long_2", "long_3", "long_layout"]
    results = {source.path: read(source) for source in find([archive])}
    assert isinstance(results[long], Rejected)
    assert isinstance(results[archive / "long_1.hea"], Recording)


@pytest.mark.parametrize(
    "segments",
    [
        {"turn": ["turn"]},
        {"turn": ["back"], "back": ["turn"]},
        {"turn": ["back"], "back": ["again"], "again": ["turn", "again"]},
    ],
)
def test_records_that_refer_to_themselves_in_a_circle_are_counted(
    archive: Path, segments: dict[str, list[str]]
) -> None:
    for name, parts in segments.items():
        lines = [f"{name}/{len(parts)} 1 500 {600 * len(parts)}", *(f"{part} 600" for part in parts)]
        (archive / f"{name}.hea").write_text("\n".join(lines) + "\n")
    found = {source.key: read(source) for source in find([archive])}
    assert len(found) == 4 + len(segments)
    for name in segments:
        result = found[f"archive/{name}"]
        assert isinstance(result, Rejected)
        assert result.reason == "unsupported"


def test_a_circle_below_a_record_is_counted_too(archive: Path) -> None:
    for name, part in (("top", "turn"), ("turn", "back"), ("back", "turn")):
        (archive / f"{name}.hea").write_text(f"{name}/1 1 500 1200\n{part} 600\n")
    assert [key.split("/")[1] for key in keys(archive) if key.count("/") == 1] == ["back", "top", "turn"]


def test_damaged_headers_are_found_so_that_they_are_counted(archive: Path) -> None:
    (archive / "empty.hea").write_bytes(b"")
    (archive / "noise.hea").write_bytes(bytes(range(256)))
    (archive / "page.hea").write_text("<html>not a header</html>")
    found = {source.key: read(source) for source in find([archive])}
    assert isinstance(found["archive/empty"], Rejected)
    assert isinstance(found["archive/noise"], Rejected)
    assert isinstance(found["archive/b/2"], Recording)
    assert isinstance(found["archive/page"], Rejected)
    assert len(found) == 7


def test_folders_behind_links_are_left_out_and_loops_end(archive: Path) -> None:
    (archive / "b" / "up").symlink_to(archive)
    (archive / "b" / "linked.hea").symlink_to(archive / "b" / "2.hea")
    assert len(keys(archive)) == 5


def test_a_corpus_among_the_sources_is_none(archive: Path) -> None:
    (archive / "b" / "corpus" / "shards").mkdir(parents=True)
    for folder in (archive / "b" / "corpus", archive / "b" / "corpus" / "shards"):
        (folder / "3.hea").write_text(HEADER)
    assert len(keys(archive)) == 6
    (archive / "b" / "corpus" / CORPUS).touch()
    assert keys(archive) == ["archive/a-b/1", "archive/a/deep/er/1", "archive/b/10", "archive/b/2"]


def test_odd_names(tmp_path: Path) -> None:
    folder = tmp_path / "ar chive \u00e9"
    folder.mkdir()
    for name in ("rec 1", "rec.v2", "r\u00e9c"):
        (folder / f"{name}.hea").write_text(HEADER)
    (folder / "rec.dat").write_bytes(bytes(2400))
    assert keys(folder) == [f"ar chive \u00e9/{name}" for name in ("rec 1", "rec.v2", "r\u00e9c")]
    assert all(isinstance(read(source), Recording) for source in find([folder]))


def test_names_that_are_no_text_get_a_key_that_is(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/r\xffc.hea")).write_text(HEADER)
    (tmp_path / "rec.dat").write_bytes(bytes(2400))
    (source,) = find([tmp_path])
    assert source.key == f"{tmp_path.name}/r\\xffc"
    assert isinstance(read(source), Recording)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: [folder / "nowhere"], "does not exist"),
        (lambda folder: [], "no ECG in no path"),
        (lambda folder: [folder / "empty"], "no ECG in .*empty: 0 files"),
        (lambda folder: [folder / "others"], "no ECG in .*others: 1 files, none in a known format"),
        (
            lambda folder: [folder / "archive", folder / "archive" / "b"],
            "lies in source .*archive; give only the outer",
        ),
        (lambda folder: [folder / "archive" / "b" / "2.hea", folder / "archive"], "lies in source"),
        (lambda folder: [folder / "archive" / "b" / "rec.dat"], r"is no ECG file .*for wfdb, give the \.hea"),
        (lambda folder: [folder / "archive" / "b", folder / "other" / "b"], "share a name"),
    ],
)
def test_wrong_paths_are_one_sentence_at_the_call(archive: Path, make, message: str) -> None:
    top = archive.parent
    (top / "empty").mkdir()
    (top / "others").mkdir()
    (top / "others" / "x.txt").write_text("x")
    (top / "other" / "b").mkdir(parents=True)
    (top / "other" / "b" / "2.hea").write_text(HEADER)
    with pytest.raises(UsageError, match=message):
        find(make(top))


def test_folders_that_cannot_be_listed_are_counted_and_not_named(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scandir = os.scandir

    def listed(folder: str) -> object:
        if Path(folder).name in refused:
            raise PermissionError(13, "Permission denied", folder)
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", listed)
    refused = {"b", "deep"}
    with pytest.raises(UsageError) as caught:
        find([archive])
    assert str(caught.value) == (
        f"source folder {archive} holds folders that cannot be listed (2): Permission denied; "
        "allow reading, or give other sources"
    )
    refused = {"archive"}
    with pytest.raises(UsageError, match="archive cannot be listed: Permission denied"):
        find([archive])


def test_records_that_share_a_name_are_counted_and_not_named(archive: Path) -> None:
    (archive / "b" / "2.HEA").write_text(HEADER)
    (archive / "a-b" / "1.HEA").write_text(HEADER)
    with pytest.raises(UsageError, match="archive: 2 of its records share a name with another one") as caught:
        find([archive])
    assert "/2" not in str(caught.value)
    assert "a-b" not in str(caught.value)


def test_a_source_that_cannot_be_reached_is_said(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "stat", refuse)
    with pytest.raises(UsageError, match="archive cannot be reached: Permission denied"):
        find([archive])


def test_the_same_path_twice_is_one_source(archive: Path) -> None:
    assert keys(archive, archive) == keys(archive)


def test_unknown_formats_are_a_usage_error(archive: Path) -> None:
    with pytest.raises(UsageError, match=r"format 'xyz' is not known; known: wfdb"):
        read(Source("k", archive / "b" / "2.hea", "xyz"))


def test_a_record_that_vanished_is_rejected(archive: Path) -> None:
    source = next(iter(find([archive])))
    source.path.unlink()
    result = read(source)
    assert isinstance(result, Rejected)
    assert result.reason == "unreadable"
    assert os.fspath(source.path) not in result.detail


def test_vendors_have_different_names() -> None:
    assert len({vendor.name for vendor in VENDORS}) == len(VENDORS)
