"""The table that leads from a key back to its file: found fast, kept from others, never in the corpus."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from hemometric.corpus import source_table
from hemometric.corpus.crosswalk import crosswalk_of
from hemometric.corpus.pseudonyms import Key
from hemometric.corpus.source_table import POINTER, Located, folder_of, keep_sources, locate, locate_all, table_name
from hemometric.errors import IntegrityError, PrivacyError, UsageError
from hemometric.vendors import Source

SECRET = b"0123456789abcdef" * 4


@pytest.fixture
def key(tmp_path: Path) -> Key:
    path = tmp_path / "keys" / "k"
    path.parent.mkdir()
    path.write_bytes(SECRET)
    path.chmod(0o600)
    return Key(SECRET, path)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def sources_of(root: Path, names: range, format_: str = "wfdb") -> list[Source]:
    return [Source(f"archive/{name}", root / f"Müller {name}.hea", format_, f"{name % 3}") for name in names]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_every_key_and_unique_beginning_leads_to_its_file(tmp_path: Path, key: Key, out: Path) -> None:
    sources = sources_of(tmp_path / "in", range(500))
    path = keep_sources(key, out, [tmp_path / "in"], sources)
    for source in sources[::37]:
        name = key.recording_id(source.key)
        expected = [Located(name, str(source.path), source.item, "wfdb")]
        assert locate(key.path, name) == locate(key.path, name[:12], table_name(out)) == expected
    assert len(locate(key.path, "a")) == sum(key.recording_id(source.key)[0] == "a" for source in sources) > 5
    assert locate(key.path, "0" * 32) == []
    assert (mode(path.parent), mode(path)) == (0o700, 0o600)
    assert path.parent == folder_of(key.path) == key.path.with_name("k.sources")
    assert [entry.name for entry in path.parent.iterdir()] == [path.name], "no temporary file is left"


def test_a_file_name_that_is_not_utf_8_comes_back(tmp_path: Path, key: Key, out: Path) -> None:
    place = tmp_path / os.fsdecode(b"M\xfcller.hea")
    keep_sources(key, out, [tmp_path / "in"], [Source("a/b", place, "wfdb", "\udcff")])
    (found,) = locate(key.path, key.recording_id("a/b"))
    assert found.where == str(place)
    assert found.item == "\\udcff"


def test_a_record_of_an_archive_or_a_store_is_named_by_its_address(tmp_path: Path, key: Key, out: Path) -> None:
    inside = Source("a/x", Path("ward/x.xml"), "muse", place=f"zip:{tmp_path}/2021.zip")
    stored = Source("b/x", Path("ward/x.xml"), "muse", place="s3://bucket/ecg")
    keep_sources(key, out, [tmp_path / "2021.zip", "s3://bucket/ecg"], [inside, stored])
    found = [locate(key.path, key.recording_id(name))[0].where for name in ("a/x", "b/x")]
    assert found == [f"{tmp_path}/2021.zip/ward/x.xml", "s3://bucket/ecg/ward/x.xml"]


@pytest.mark.parametrize("group_rows", [7, 100, 1 << 16])
def test_later_ingests_add_and_replace(
    tmp_path: Path, key: Key, out: Path, monkeypatch: pytest.MonkeyPatch, group_rows: int
) -> None:
    """Rows cut into groups of any size, growing from one level of digits to the next, say what a dictionary would."""
    monkeypatch.setattr(source_table, "_GROUP_ROWS", group_rows)
    known: dict[str, Path] = {}
    for number, names in enumerate((range(5), range(3, 400), range(0), range(390, 395))):
        sources = sources_of(tmp_path / f"in{number}", names)
        path = keep_sources(key, out, [], sources)
        known |= {key.recording_id(source.key): source.path for source in sources}
        table = pq.read_table(path).to_pylist()
        assert [(row["recording_id"], Path(os.fsdecode(row["path"]))) for row in table] == sorted(known.items())
    assert pq.read_metadata(path).num_row_groups > 400 // group_rows
    for name, place in list(known.items())[::29]:
        assert [one.where for one in locate(key.path, name)] == [str(place)]


def test_a_key_is_found_by_reading_one_group_of_many(
    tmp_path: Path, key: Key, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_table, "_GROUP_ROWS", 10)
    sources = sources_of(tmp_path, range(600))
    path = keep_sources(key, out, [], sources)
    assert pq.read_metadata(path).num_row_groups > 50
    read: list[int] = []
    whole = pq.ParquetFile.read_row_group
    monkeypatch.setattr(pq.ParquetFile, "read_row_group", lambda self, group: read.append(group) or whole(self, group))
    assert len(locate(key.path, key.recording_id("archive/5"))) == 1
    assert len(read) == 1


def test_many_keys_are_found_by_reading_each_table_once(
    tmp_path: Path, key: Key, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_table, "_GROUP_ROWS", 10)
    sources = sources_of(tmp_path, range(600))
    path = keep_sources(key, out, [], sources)
    wanted = [key.recording_id(source.key) for source in sources[::3]]
    read: list[int] = []
    whole = pq.ParquetFile.read_row_group
    monkeypatch.setattr(pq.ParquetFile, "read_row_group", lambda self, group: read.append(group) or whole(self, group))
    found = locate_all(key.path, [*wanted, "0" * 32])
    assert found.pop("0" * 32) == []
    assert [found[name] for name in wanted] == [locate(key.path, name) for name in wanted]
    assert len(read) - len(wanted) <= pq.read_metadata(path).num_row_groups
    read.clear()
    assert locate_all(key.path, wanted[:1]) == {wanted[0]: locate(key.path, wanted[0])}
    assert len(read) == 2, "groups that hold none of them are not read"


def test_a_moved_corpus_keeps_its_table_and_another_has_its_own(tmp_path: Path, key: Key, out: Path) -> None:
    keep_sources(key, out, [], sources_of(tmp_path / "one", range(3)))
    name = table_name(out)
    out.rename(tmp_path / "moved")
    keep_sources(key, tmp_path / "moved", [], sources_of(tmp_path / "one", range(3, 5)))
    assert table_name(tmp_path / "moved") == name
    out.mkdir()
    (tmp_path / "other").mkdir()
    keep_sources(key, tmp_path / "other", [], sources_of(tmp_path / "two", range(2)))
    wanted = key.recording_id("archive/1")
    assert {Path(one.where).parent.name for one in locate(key.path, wanted)} == {"one", "two"}
    assert {Path(one.where).parent.name for one in locate(key.path, wanted, name)} == {"one"}
    assert len(locate(key.path, key.recording_id("archive/4"), name)) == 1


def test_the_corpus_gets_a_name_that_says_nothing_and_a_foreign_one_is_not_followed(
    tmp_path: Path, key: Key, out: Path
) -> None:
    keep_sources(key, out, [], sources_of(tmp_path, range(3)))
    assert [path.name for path in out.iterdir()] == [POINTER]
    assert len((out / POINTER).read_text()) == 33
    for foreign in ("../../etc/passwd", "", "é", "A" * 32):
        (out / POINTER).write_text(foreign)
        assert table_name(out) is None


def test_a_random_code_leads_there_too(tmp_path: Path, key: Key, out: Path) -> None:
    import pyarrow as pa

    sources = sources_of(tmp_path, range(4))
    keep_sources(key, out, [], sources)
    keyed = key.recording_id(sources[2].key)
    (code,) = crosswalk_of(key).published(pa.array([keyed])).to_pylist()
    assert code != keyed
    for given in (code, code[:10], keyed):
        assert [one.where for one in locate(key.path, given)] == [str(sources[2].path)]
    crosswalk_of(key).path.write_bytes(b"no database at all, but long enough to be looked at as one" * 30)
    with pytest.raises(IntegrityError, match="damaged"):
        locate(key.path, code)


@pytest.mark.parametrize("opened", ["folder", "table"])
@pytest.mark.parametrize("bit", [0o004, 0o040, 0o002, 0o010])
def test_a_table_that_others_may_read_is_neither_read_nor_written(
    tmp_path: Path, key: Key, out: Path, opened: str, bit: int
) -> None:
    path = keep_sources(key, out, [], sources_of(tmp_path, range(3)))
    place = path if opened == "table" else path.parent
    place.chmod(mode(place) | bit)
    before = path.read_bytes()
    with pytest.raises(PrivacyError, match="chmod"):
        locate(key.path, "a")
    with pytest.raises(PrivacyError, match="chmod"):
        keep_sources(key, out, [], sources_of(tmp_path, range(9)))
    assert path.read_bytes() == before


def test_a_key_within_corpus_or_sources_is_refused(tmp_path: Path, key: Key, out: Path) -> None:
    for what, corpus, root in (("sources", out, key.path.parent), ("corpus", key.path.parent, out)):
        with pytest.raises(PrivacyError, match=f"within the {what}"):
            keep_sources(key, corpus, [root], sources_of(tmp_path, range(3)))
    assert not folder_of(key.path).exists()
    with pytest.raises(UsageError, match="lies in one"):
        keep_sources(Key(SECRET), out, [], [])


def test_nothing_kept_and_something_damaged(tmp_path: Path, key: Key, out: Path) -> None:
    with pytest.raises(UsageError, match="no table of sources"):
        locate(key.path, "a")
    path = keep_sources(key, out, [], sources_of(tmp_path, range(300)))
    content = path.read_bytes()
    with pytest.raises(UsageError, match="cannot be read"):
        locate(key.path, "a", "0" * 32)
    middle = len(content) // 3
    flipped = content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]
    for broken in (b"", content[:100], content[:-8], b"PAR1" * 10, flipped):
        path.write_bytes(broken)
        with pytest.raises(IntegrityError, match="table of sources"):
            locate(key.path, "")
