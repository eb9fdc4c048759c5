"""Tar archives against the standard library's reader, and what is wrong with damaged and hostile ones."""

import io
import random
import tarfile
from collections.abc import Callable

import pytest

from hemometric.vendors.archive_members import Raw
from hemometric.vendors.source import Piece, ReadError
from hemometric.vendors.tar_archive import tar_chunks, tar_members

LONG = "/".join(["a-folder-with-a-long-name"] * 9) + "/rec.hea"
CONTENTS = {"a.hea": b"header", "b/c.dat": random.Random(0).randbytes(70_000), "empty.dat": b"", LONG: b"x" * 512}
FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def packed(write: Callable[[tarfile.TarFile], None], kind: str = "pax") -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=FORMATS[kind]) as archive:
        write(archive)
    return file.getvalue()


def add(
    archive: tarfile.TarFile, name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = ""
) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = len(content), kind, link
    archive.addfile(info, io.BytesIO(content))


def write_all(archive: tarfile.TarFile) -> None:
    for name, content in CONTENTS.items():
        add(archive, name, content)


def members(content: bytes) -> list[Raw]:
    return list(tar_members(io.BytesIO(content)))


def content_of(content: bytes, raw: Raw) -> bytes:
    return b"".join(tar_chunks(io.BytesIO(content), Piece(raw.name, raw.num_bytes, 0, raw.at)))


@pytest.mark.parametrize("kind", FORMATS)
def test_lists_and_reads_what_the_standard_library_wrote(kind: str) -> None:
    def write(archive: tarfile.TarFile) -> None:
        add(archive, "b", kind=tarfile.DIRTYPE)
        write_all(archive)
        add(archive, "ä ö.xml" if kind != "ustar" else "x.xml", b"<x/>")

    content = packed(write, kind)
    found = {raw.name: content_of(content, raw) for raw in members(content)}
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        files = [info for info in archive if info.isfile()]
        expected = {info.name: archive.extractfile(info).read() for info in files}  # type: ignore[union-attr]
    assert found == expected
    assert len(found) == 5


def test_links_and_devices_are_refused_and_what_follows_is_read() -> None:
    def write(archive: tarfile.TarFile) -> None:
        add(archive, "soft.hea", kind=tarfile.SYMTYPE, link="/etc/passwd")
        add(archive, "hard.hea", kind=tarfile.LNKTYPE, link="a.hea")
        add(archive, "pipe", kind=tarfile.FIFOTYPE)
        add(archive, "disk", kind=tarfile.BLKTYPE)
        write_all(archive)

    found = members(packed(write))
    assert {raw.name for raw in found if raw.refusal == ("unsafe", found[0].refusal[1])} == {  # type: ignore[index]
        "soft.hea", "hard.hea", "pipe", "disk",
    }  # fmt: skip
    assert {raw.name for raw in found if raw.refusal is None} == set(CONTENTS)


def test_a_name_of_a_megabyte_and_a_size_that_is_none() -> None:
    def huge(archive: tarfile.TarFile) -> None:
        add(archive, "n" * (2 << 20), b"x")

    with pytest.raises(ReadError) as caught:
        members(packed(huge, "gnu"))
    assert caught.value.reason == "too_large"
    for size in ("-1", "1e3", "9" * 30):

        def bad(archive: tarfile.TarFile, size: str = size) -> None:
            info = tarfile.TarInfo("rec.hea")
            info.pax_headers = {"size": size}
            archive.addfile(info)

        with pytest.raises(ReadError) as caught:
            members(packed(bad))
        assert caught.value.reason in ("unreadable", "truncated")


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.9])
def test_a_cut_archive(share: float) -> None:
    content = packed(write_all)
    content = content[: content.rindex(b"x" * 512) + 512]  # without the filling at its end
    with pytest.raises(ReadError) as caught:
        members(content[: int(share * len(content))])
    assert caught.value.reason in ("truncated", "unreadable")


def test_any_damage_is_an_answer() -> None:
    clean = packed(write_all)
    draw = random.Random(1)
    refused = 0
    for _ in range(2000):
        content = bytearray(clean)
        for place in [draw.randrange(512), draw.randrange(512 * 3)]:
            content[place] = draw.randrange(256)
        try:
            for raw in members(bytes(content)):
                if raw.refusal is None:
                    content_of(bytes(content), raw)
        except ReadError:
            refused += 1
    assert refused > 1000
