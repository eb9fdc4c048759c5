"""Zip archives against the standard library's reader, and what is wrong with damaged and hostile ones."""

import io
import random
import struct
import warnings
import zipfile
from collections.abc import Callable

import pytest

from hemometric.vendors.archive_members import Raw
from hemometric.vendors.source import Piece, ReadError
from hemometric.vendors.zip_archive import zip_chunks, zip_members

CONTENTS = {
    "a.hea": b"header",
    "b/c.dat": random.Random(0).randbytes(300_000),
    "b/ä ö.xml": b"<x/>" * 5000,
    "empty.dat": b"",
    "d/zeros.dat": bytes(400_000),
}


def zipped(write: Callable[[zipfile.ZipFile], None], **options: int) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w", **options) as archive:  # type: ignore[call-overload]
        warnings.simplefilter("ignore")  # of names that stand twice
        write(archive)
    return file.getvalue()


def write_all(archive: zipfile.ZipFile) -> None:
    for name, content in CONTENTS.items():
        archive.writestr(name, content)


def members(content: bytes) -> list[Raw]:
    return list(zip_members(io.BytesIO(content)))


def content_of(content: bytes, raw: Raw) -> bytes:
    return b"".join(zip_chunks(io.BytesIO(content), Piece(raw.name, raw.num_bytes, raw.version, raw.at)))


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("before", [b"", b"#!/bin/sh\n" * 100], ids=["plain", "behind a program"])
@pytest.mark.parametrize("comment", [b"", b"PK comment"])
def test_lists_and_reads_what_the_standard_library_wrote(method: int, before: bytes, comment: bytes) -> None:
    def write(archive: zipfile.ZipFile) -> None:
        archive.mkdir("b")
        write_all(archive)
        archive.comment = comment

    content = before + zipped(write, compression=method)
    found = members(content)
    assert [raw.name for raw in found] == list(CONTENTS)
    assert {raw.name: content_of(content, raw) for raw in found} == CONTENTS
    assert all(raw.refusal is None for raw in found)


def test_sizes_and_places_of_64_bits(tmp_path) -> None:
    def write(archive: zipfile.ZipFile) -> None:
        for name, content in CONTENTS.items():
            with archive.open(name, "w", force_zip64=True) as file:
                file.write(content)

    content = zipped(write)
    # The end of the directory, too, as of an archive beyond 4 GB.
    at = content.rindex(b"PK\x05\x06")
    _, _, _, num, _, size, start, _ = struct.unpack_from("<4s4H2IH", content, at)
    wide = struct.pack("<4sQ2H2I4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, num, num, size, start)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, at, 1)
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    content = content[:at] + wide + locator + end
    assert {raw.name: content_of(content, raw) for raw in members(content)} == CONTENTS
    assert zipfile.ZipFile(io.BytesIO(content)).namelist() == list(CONTENTS)


def test_names_of_other_systems() -> None:
    def write(archive: zipfile.ZipFile) -> None:
        archive.writestr("folder\\rec.hea", b"x")

    assert members(zipped(write))[0].name == "folder/rec.hea"


def test_what_the_format_itself_refuses() -> None:
    def write(archive: zipfile.ZipFile) -> None:
        link = zipfile.ZipInfo("link.hea")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("packed.xml", b"x" * 1000, zipfile.ZIP_LZMA)
        archive.writestr("secret.xml", b"x" * 1000)

    content = bytearray(zipped(write))
    at = content.rindex(b"PK\x01\x02")  # the last entry of the directory
    content[at + 8] |= 1
    reasons = {raw.name: raw.refusal and raw.refusal[0] for raw in members(bytes(content))}
    assert reasons == {"link.hea": "unsafe", "packed.xml": "unsupported", "secret.xml": "encrypted"}


def test_a_member_that_is_larger_than_it_says_is_cut_short() -> None:
    content = bytearray(zipped(write_all, compression=zipfile.ZIP_DEFLATED))
    at = content.rindex(b"d/zeros.dat") - 46
    content[at + 24 : at + 28] = struct.pack("<I", 1000)
    (raw,) = (raw for raw in members(bytes(content)) if raw.name == "d/zeros.dat")
    with pytest.raises(ReadError, match="declares") as caught:
        content_of(bytes(content), raw)
    assert caught.value.reason == "too_large"


def test_a_wrong_checksum_is_found() -> None:
    content = bytearray(zipped(write_all))
    content[content.index(CONTENTS["b/c.dat"][:50])] ^= 1
    (raw,) = (raw for raw in members(bytes(content)) if raw.name == "b/c.dat")
    with pytest.raises(ReadError) as caught:
        content_of(bytes(content), raw)
    assert caught.value.reason == "checksum"


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99])
def test_a_cut_archive(share: float) -> None:
    content = zipped(write_all)
    with pytest.raises(ReadError) as caught:
        members(content[: int(share * len(content))])
    assert caught.value.reason == "truncated"


def test_a_place_beyond_all_files() -> None:
    content = bytearray(zipped(write_all))
    at = content.rindex(b"PK\x01\x02")
    content[at + 42 : at + 46] = b"\xff" * 4
    name, extra = struct.unpack_from("<2H", content, at + 28)
    wide = struct.pack("<2HQ", 1, 8, (1 << 64) - 1)
    content[at + 46 + name + extra : at + 46 + name + extra] = wide
    content[at + 30 : at + 32] = struct.pack("<H", extra + len(wide))
    end = content.rindex(b"PK\x05\x06")
    size = struct.unpack_from("<I", content, end + 12)[0]
    content[end + 12 : end + 16] = struct.pack("<I", size + len(wide))
    with pytest.raises(ReadError, match="outside"):
        members(bytes(content))


def test_any_damage_is_an_answer() -> None:
    def write(archive: zipfile.ZipFile) -> None:
        for number in range(5):
            archive.writestr(f"rec{number}.hea", b"rec 1 500 1200\n" * 20)

    clean = zipped(write, compression=zipfile.ZIP_DEFLATED)
    draw = random.Random(1)
    refused = 0
    for _ in range(2000):
        content = bytearray(clean)
        for _ in range(draw.randint(1, 4)):
            content[draw.randrange(len(content))] = draw.randrange(256)
        try:
            for raw in members(bytes(content)):
                if raw.refusal is None:
                    content_of(bytes(content), raw)
        except ReadError:
            refused += 1
    assert refused > 1000
