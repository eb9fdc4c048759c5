"""Words planted in every kind of file, packed or not, are found and told without being said; clean files stay clean."""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import json
import lzma
import os
import sqlite3
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save_file

from hemometric.errors import PrivacyError, UsageError
from hemometric.runs.privacy import contents
from hemometric.runs.privacy.scan import NUM_SHOWN, UNSAID, Report, scan

NAME, NUMBER, BIRTH, SERIAL = "Zbigniewska", "86753099", "1951-03-17", "CART-SN-44121"
WORDS = (NAME, NUMBER, BIRTH, SERIAL)
ENCODED: dict[str, Callable[[str], bytes]] = {
    "raw": str.encode,
    "folded": lambda text: text.swapcase().encode(),
    "utf-16-le": lambda text: text.encode("utf-16-le"),
    "utf-16-be": lambda text: text.encode("utf-16-be"),
    "hex": lambda text: text.encode().hex().encode(),
    "base64 0": lambda text: base64.b64encode(text.encode() + b"xy"),
    "base64 1": lambda text: base64.b64encode(b"x" + text.encode() + b"x"),
    "base64 2": lambda text: base64.b64encode(b"xy" + text.encode()),
}


def parquet(path: Path, table: pa.Table, **options: Any) -> None:
    pq.write_table(table, path, compression="zstd", **options)


def write_parquet(path: Path, planted: bytes) -> None:
    noise = [os.urandom(9) for _ in range(50)]
    parquet(path, pa.table({"n": range(51), "a": [*noise, b"-" + planted + b"-"]}), write_statistics=False)


def write_parquet_lists(path: Path, planted: bytes) -> None:
    parquet(path, pa.table({"a": [[{"x": b"q"}], [], [{"x": b"q" * 99}, {"x": planted}]]}))


def write_parquet_metadata(path: Path, planted: bytes) -> None:
    parquet(path, pa.table({"a": [1]}).replace_schema_metadata({"note": planted}))


def write_arrow(path: Path, planted: bytes) -> None:
    table = pa.table({"a": [b"q" * 5000, b"q" * 50 + planted]})
    with pa.ipc.new_file(path, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)


def write_arrow_stream(path: Path, planted: bytes) -> None:
    table = pa.table({"a": [b"q" * 5000, b"q" * 50 + planted]})
    with pa.ipc.new_stream(path, table.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer:
        writer.write_table(table)


def write_zip(path: Path, planted: bytes) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("first", b"q" * 999)
        archive.writestr("second", b"q" * 999 + planted)


def write_nested(path: Path, planted: bytes) -> None:
    """A compressed table in a zip file in a gzip file."""
    inner, outer = io.BytesIO(), io.BytesIO()
    pq.write_table(pa.table({"a": [b"q" * 2000, planted]}), inner, compression="gzip")
    with zipfile.ZipFile(outer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("t", inner.getvalue())
    path.write_bytes(gzip.compress(outer.getvalue()))


def write_tar(path: Path, planted: bytes, *, mode: str = "w") -> None:
    """A tar file of a packed table, and of names longer than its headers."""
    held = io.BytesIO()
    pq.write_table(
        pa.table({"a": [b"q" * 2000, b"q" * 50 + planted]}), held, compression="gzip", write_statistics=False
    )
    with tarfile.open(path, mode) as archive:
        for name in ("x" * 150, "t"):
            member = tarfile.TarInfo(name)
            member.size = len(held.getvalue()) if name == "t" else 0
            archive.addfile(member, io.BytesIO(held.getvalue()))


def write_npz(path: Path, planted: bytes) -> None:
    np.savez_compressed(path.with_suffix(".npz"), a=np.arange(2000), b=np.array([b"q", planted]))


def write_sqlite(path: Path, planted: bytes) -> None:
    """Long enough to be cut into pages, at any place of the word."""
    with sqlite3.connect(path) as database:
        database.execute('CREATE TABLE "odd ""name" (id INTEGER PRIMARY KEY, value BLOB)')
        for number in range(60):
            database.execute(
                'INSERT INTO "odd ""name" VALUES (?, ?)', (number, b"q" * (4000 + 3 * number) + planted + b"q" * 5000)
            )
    database.close()


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def write_png(path: Path, kind: str, planted: bytes) -> None:
    packed = zlib.compress(b"q" * 99 + planted)
    data = {
        "tEXt": b"Title\0" + planted,
        "zTXt": b"Title\0\0" + packed,
        "iTXt": b"Title\0\1\0en\0Titel\0" + packed,
        "iTXt plain": b"Title\0\0\0en\0Titel\0" + planted,
        "iCCP": b"Profile\0\0" + packed,
    }[kind]
    image = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)) + png_chunk(kind[:4].encode(), data)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + image + png_chunk(b"IDAT", zlib.compress(b"\0\0")) + png_chunk(b"IEND", b"")
    )


def write_stream(path: Path, codec: str, planted: bytes) -> None:
    with pa.output_stream(str(path), compression=codec) as stream:
        stream.write(b"q" * 3_000_000 + planted + b"q")


KINDS: dict[str, Callable[[Path, bytes], Any]] = {
    "text": lambda path, planted: path.write_bytes(b"x\n" + planted + b"\n"),
    "log beyond a chunk": lambda path, planted: path.write_bytes(b"\n" * ((1 << 20) - 7) + planted + b"."),
    "json": lambda path, planted: path.write_text(json.dumps({"a": [planted.decode("latin-1")]})),
    "key of json": lambda path, planted: path.write_text(json.dumps({planted.decode("latin-1"): 1})),
    "parquet": write_parquet,
    "parquet lists of structs": write_parquet_lists,
    "parquet metadata": write_parquet_metadata,
    "parquet statistics": lambda path, planted: parquet(path, pa.table({"a": [planted]})),
    "arrow": write_arrow,
    "arrow stream": write_arrow_stream,
    "zip": write_zip,
    "nested": write_nested,
    "tar": write_tar,
    "tar.gz": lambda path, planted: write_tar(path, planted, mode="w:gz"),
    "npy": lambda path, planted: np.save(path.with_suffix(".npy"), np.array([b"q", planted])),
    "npz": write_npz,
    "gzip": lambda path, planted: path.write_bytes(gzip.compress(b"q" * 2_000_000 + planted)),
    "bz2": lambda path, planted: path.write_bytes(bz2.compress(b"q" * 2_000_000 + planted)),
    "xz": lambda path, planted: path.write_bytes(lzma.compress(b"q" * 2_000_000 + planted)),
    "zstd": lambda path, planted: write_stream(path, "zstd", planted),
    "lz4": lambda path, planted: write_stream(path, "lz4", planted),
    "sqlite": write_sqlite,
    **{
        f"png {kind}": lambda path, planted, kind=kind: write_png(path, kind, planted)
        for kind in ("tEXt", "zTXt", "iTXt", "iTXt plain", "iCCP")
    },
    "safetensors": lambda path, planted: save_file(
        {"w": np.zeros(9, np.float32)}, path, metadata={"note": planted.decode("latin-1")}
    ),
}  # fmt: skip


@pytest.fixture
def words(tmp_path: Path) -> Path:
    path = tmp_path / "words"
    path.write_text("\n".join(("unrelated", *WORDS)) + "\n")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def lines_of(report: Report) -> set[int]:
    return {int(text.split("line ")[1].split(" ")[0]) for text in report.findings}


def says_none(report: Report) -> None:
    told = "\n".join(report.lines).casefold()
    assert not [word for word in WORDS if word.casefold() in told]


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("how", sorted(ENCODED))
def test_each_encoding_in_each_kind_of_file(kind: str, how: str, folder: Path, words: Path) -> None:
    if how.startswith("utf-16") and kind in ("json", "key of json", "safetensors"):
        # Text formats hold the characters of such bytes as escapes; what they can hold is found.
        planted = ENCODED["raw"](SERIAL)
    else:
        planted = ENCODED[how](SERIAL)
    KINDS[kind](folder / "f", planted)
    report = scan([folder], words)
    assert lines_of(report) == {5}
    assert report.num_unopened == 0
    assert report.num_files == 1
    says_none(report)
    with pytest.raises(PrivacyError, match="finding"):
        report.check()


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_clean_files_are_clean_and_counted(kind: str, folder: Path, words: Path) -> None:
    KINDS[kind](folder / "f", b"CART-SM-44121")
    report = scan([folder, next(folder.iterdir())], words)
    report.check()
    size = sum(path.stat().st_size for path in folder.iterdir())
    assert (report.num_found, report.num_unopened, report.num_files, report.num_bytes) == (0, 0, 2, 2 * size)
    assert report.lines == [
        (
            f"searched 2 files, {2 * size} bytes and {report.num_unpacked} unpacked for 5 words in "
            f"{report.num_patterns} spellings"
        ),
        "none was found",
    ]


def test_numbers_and_dates_are_values_too(folder: Path, words: Path) -> None:
    day = np.datetime64("1951-03-17")
    parquet(folder / "p", pa.table({"day": [None, day.item()], "mrn": [1, int(NUMBER)]}))
    np.save(folder / "n.npy", np.array([1, int(NUMBER)], ">i4"))
    np.savez_compressed(
        folder / "z.npz", d=np.array(["2000-01-01", "1951-03-17T11"], "datetime64[h]"), u=np.array(["q", NAME])
    )
    with sqlite3.connect(folder / "s") as database:
        database.execute("CREATE TABLE t (a, b)")
        database.executemany("INSERT INTO t VALUES (?, ?)", [(1, "x"), (int(NUMBER), 2.5), (None, float(NUMBER))])
    database.close()
    report = scan([folder], words)
    root = str(folder)
    assert sorted(report.findings) == sorted(
        [
            f"word of line 3 (number) in {root}/n.npy, row 1",
            f"word of line 3 (number) in {root}/p, column mrn, row 1",
            f"word of line 4 (date) in {root}/p, column day, row 1",
            f"word of line 3 (number) in {root}/s, table t, column a, row 1",
            f"word of line 3 (number) in {root}/s, table t, column b, row 2",
            f"word of line 4 (date) in {root}/z.npz, member 1 (d.npy), row 1",
            *[text for text in report.findings if "UTF-32" in text],
        ]
    )
    assert any("line 2 (UTF-32)" in text and "u.npy" in text for text in report.findings)


def test_a_category_that_no_row_has_any_more(folder: Path, words: Path) -> None:
    """What a data frame keeps of a column that was filtered."""
    values = pa.DictionaryArray.from_arrays(pa.array([0, 0], pa.int32()), pa.array(["A" * 99, "A" * 99 + NAME]))
    parquet(folder / "p", pa.table({"c": values}), write_statistics=False)
    schema = pa.schema([("c", pa.string())])
    pq.write_table(
        pa.table({"c": values}), folder / "q", compression="zstd", write_statistics=False, store_schema=False
    )
    assert pq.read_schema(folder / "q").equals(schema)
    report = scan([folder], words)
    assert any("/p, column c, a value that no row uses" in text for text in report.findings)
    assert any("/q, column c, dictionary of row group 0, row 1" in text for text in report.findings)


def test_names_of_files_folders_and_links(folder: Path, words: Path) -> None:
    (folder / f"ward {NAME.upper()}" / "a").mkdir(parents=True)
    (folder / f"ward {NAME.upper()}" / "a" / "clean.txt").write_text(NUMBER)
    (folder / f"{BIRTH}.xml").touch()
    (folder / "link").symlink_to(f"/archive/{SERIAL}/x")
    report = scan([folder], words)
    assert lines_of(report) == {2, 3, 4, 5}
    root = str(folder)
    assert set(report.findings) == {
        f"word of line 4 (text) in the name of entry 1 of {root}",
        f"word of line 5 (text) in the target of the link {root}/link",
        f"word of line 2 (text) in the name of entry 3 of {root}",
        f"word of line 3 (text) in {root}/[entry 3 by name]/a/clean.txt, byte 0",
    }
    says_none(report)


def test_names_within_files_are_not_said(folder: Path, words: Path) -> None:
    parquet(folder / "p", pa.table({f"of {NAME}": [NUMBER]}))
    with zipfile.ZipFile(folder / "z", "w") as archive:
        archive.writestr(f"{NAME}/x", NUMBER)
    with sqlite3.connect(folder / "s") as database:
        database.execute(f'CREATE TABLE "{NAME}" ("{SERIAL}")')
        database.execute(f'INSERT INTO "{NAME}" VALUES (?)', (NUMBER,))
    database.close()
    report = scan([folder], words)
    assert lines_of(report) == {2, 3, 5}
    assert sum(UNSAID in text for text in report.findings) >= 3
    says_none(report)


def test_the_given_path_s_own_name_counts_and_its_parents_do_not(tmp_path: Path, words: Path) -> None:
    place = tmp_path / NAME / "out"
    place.mkdir(parents=True)
    (place / "f").write_text("fine")
    scan([place], words).check()
    report = scan([place.parent], words)
    assert report.findings == ["word of line 2 (text) in the name of path 1"]


def test_at_most_so_many_are_listed_and_all_are_counted(folder: Path, words: Path) -> None:
    (folder / "f").write_text(f"{NAME}\n" * 70)
    report = scan([folder], words)
    assert (report.num_found, len(report.findings)) == (70, NUM_SHOWN)
    assert f"… and {70 - NUM_SHOWN} more" in report.lines
    assert report.findings[1] == f"word of line 2 (text) in {folder}/f, byte {len(NAME) + 1}"


def damaged(path: Path, planted: bytes, write: Callable[[Path, bytes], Any]) -> None:
    write(path, planted)
    (path,) = path.parent.iterdir()
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])


@pytest.mark.parametrize(
    "kind", ["parquet", "arrow", "zip", "nested", "tar.gz", "npz", "gzip", "bz2", "xz", "zstd", "png zTXt"]
)
def test_of_what_cannot_be_looked_into_nothing_is_proved(kind: str, folder: Path, words: Path) -> None:
    damaged(folder / "f", b"nothing", KINDS[kind])
    report = scan([folder], words)
    assert (report.num_found, report.num_unopened) == (0, 1)
    assert "not looked into" in report.lines[0]
    assert "none was found" not in report.lines
    with pytest.raises(PrivacyError, match="nothing is proved"):
        report.check()


def test_a_packed_text_that_is_cut_short_within_a_whole_file(folder: Path, words: Path) -> None:
    packed = zlib.compress(os.urandom(3_000_000))
    for name, data in (("whole", packed), ("cut", packed[:-9])):
        chunk = png_chunk(b"zTXt", b"Title\0\0" + data)
        (folder / name).write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + png_chunk(b"IEND", b""))
    (told,) = scan([folder], words).unopened
    assert "/cut (" in told


def test_other_packings_are_told(folder: Path, words: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "a.pdf").write_bytes(b"%PDF-1.4 ...")
    (folder / "b.h5").write_bytes(b"\x89HDF\r\n\x1a\n ...")
    deep = b"x"
    for _ in range(contents.MAX_DEPTH + 1):
        deep = gzip.compress(deep)
    (folder / "c").write_bytes(deep)
    write_nested(folder / "d", b"fine")
    os.mkfifo(folder / "e")
    monkeypatch.setattr(contents, "MAX_HELD", 100)
    told = scan([folder], words).unopened
    assert [text.split("/")[-1].split(" ")[0].strip(",") for text in told] == ["a.pdf", "b.h5", "c", "d", "e"]
    assert scan([folder / "e"], words).num_unopened == 1


def test_random_bytes_of_any_beginning_end_well(folder: Path, words: Path) -> None:
    heads = [b"PAR1", b"PARE", b"ARROW1\0\0", b"\xff\xff\xff\xff", b"\x93NUMPY\1\0", b"PK\3\4", b"SQLite format 3\0"]
    heads += [b"\x89PNG\r\n\x1a\n", b"\x1f\x8b\x08", b"BZh9", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18"]
    draw = np.random.default_rng(3)
    for number, head in enumerate(heads):
        for size in (0, 1, 30, 3000):
            (folder / f"{number}-{size}").write_bytes(head + draw.bytes(size))
    report = scan([folder], words)
    assert report.num_found == 0
    assert report.num_files == 4 * len(heads)
    assert report.num_unopened > 2 * len(heads)


def test_what_cannot_be_searched(folder: Path, words: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        scan([tmp_path / "none"], words)
    for path in (tmp_path, words):
        with pytest.raises(UsageError, match="move it elsewhere"):
            scan([path], words)


def test_a_bomb_is_read_in_little_memory(folder: Path, words: Path) -> None:
    import tracemalloc

    (folder / "f").write_bytes(gzip.compress(bytes(200_000_000) + NAME.encode(), 1))
    scan([words.with_name("out")], words)
    tracemalloc.start()
    report = scan([folder], words)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert lines_of(report) == {2}
    assert report.num_unpacked > 200_000_000
    assert peak < 30_000_000
