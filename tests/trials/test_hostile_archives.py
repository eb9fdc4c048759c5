"""Archives that mean harm, given to the command: refused and counted, their neighbours kept, nothing outside."""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hemometric.demo

BUNDLED = Path(hemometric.demo.__file__).parent / "data" / "ptbxl"
NUM_RECORDS = 12
CANARY = "CANARY-QUXABELLA"


def records() -> dict[str, bytes]:
    headers = sorted((BUNDLED / "records100").rglob("*.hea"))[:NUM_RECORDS]
    paths = [path for header in headers for path in (header, header.with_suffix(".dat"))]
    return {str(path.relative_to(BUNDLED)): path.read_bytes() for path in paths}


def zip_of(path: Path, extra: dict[str, bytes]) -> None:
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        warnings.simplefilter("ignore")
        for name, content in {**records(), **extra}.items():
            archive.writestr(name, content)
        link = zipfile.ZipInfo(f"{CANARY}/link.hea")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        archive.writestr(link, "/etc/hostname")


def tar_of(path: Path, extra: dict[str, bytes]) -> None:
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as archive:
        for name, content in {**records(), **extra}.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        info = tarfile.TarInfo(f"{CANARY}/link.hea")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/hostname"
        archive.addfile(info)


HOSTILE: dict[str, dict[str, bytes]] = {
    "unsafe_name": {f"../../{CANARY}.hea": b"x", f"/tmp/{CANARY}.hea": b"x", f"a/../../../{CANARY}.txt": b"x"},
    "too_large": {f"{CANARY}.hea": bytes(100 << 20)},
    "nested_archive": {f"{CANARY}.zip": b"PK", f"{CANARY}.tar.gz": b"\x1f\x8b"},
}


@pytest.fixture
def command(hemometric: Callable[..., Any], tmp_path: Path) -> Callable[[Path], Any]:
    key = tmp_path / "key"
    key.touch(mode=0o600)
    key.write_text("0123456789abcdef" * 4)

    def run(source: Path, *words: str) -> Any:
        shutil.copy(BUNDLED / "ptbxl_database.csv", tmp_path)
        shutil.copy(BUNDLED / "scp_statements.csv", tmp_path)
        return hemometric(
            "ingest", source, "--out", tmp_path / "out", "--key", key, "workers=0",
            "ingest.max_rejected_fraction=0.6", *words,
        )  # fmt: skip

    return run


@pytest.mark.parametrize(
    ("harm", "kind"),
    # A plain tar archive compresses nothing, so that it holds no bomb.
    [(harm, kind) for harm in HOSTILE for kind in (".zip", ".tar", ".tar.gz") if (harm, kind) != ("too_large", ".tar")],
)
def test_refused_and_counted(command: Callable[..., Any], tmp_path: Path, kind: str, harm: str) -> None:
    source = tmp_path / "deep" / "er" / f"in{kind}"
    source.parent.mkdir(parents=True)
    (zip_of if kind == ".zip" else tar_of)(source, HOSTILE[harm])
    before = set(tmp_path.parent.rglob("*"))
    ended = command(source, "ingest.table.kind=none", "ingest.patients=recording_is_patient")
    if harm == "too_large" and kind == ".tar.gz":
        # Its one stream is the bomb: nothing of it can be told apart.
        assert ended.code == 3
        assert "too_large 1" in ended.err
    else:
        assert ended.code == 0, ended.err
        counts = json.loads((tmp_path / "out" / "manifest.json").read_text())["counts"]
        assert counts["rejected"].pop("unsafe") == 1, "the link"
        assert counts["rejected"].pop(harm) == len(HOSTILE[harm])
        assert counts["found"] == NUM_RECORDS + len(HOSTILE[harm]) + 1
        assert counts["accepted"] + sum(counts["rejected"].values()) == NUM_RECORDS
    new = set(tmp_path.parent.rglob("*")) - before
    out = tmp_path / "out"
    assert all(
        path.is_relative_to(out) or path.name.startswith(("key", "ptbxl_", "scp_")) or "key.sources" in path.parts
        for path in new
    )
    assert not Path("/tmp", f"{CANARY}.hea").exists()
    assert not any(CANARY in name for _, folders, names in os.walk(out) for name in (*folders, *names))
    for path in (path for path in out.rglob("*") if path.is_file()):
        assert CANARY.encode() not in path.read_bytes()
    assert CANARY not in ended.out + ended.err


def test_an_encrypted_archive_says_so(command: Callable[..., Any], tmp_path: Path) -> None:
    source = tmp_path / "in.zip"
    zip_of(source, {})
    content = bytearray(source.read_bytes())
    at = -1
    while (at := content.find(b"PK\x01\x02", at + 1)) >= 0:
        content[at + 8] |= 1
    source.write_bytes(content)
    ended = command(source)
    assert ended.code == 3
    assert f"encrypted {NUM_RECORDS + 1}" in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(
    ("address", "code", "sentence"),
    [
        ("http://127.0.0.1:9/ecg", 5, "cannot be reached"),
        ("memory://nowhere", 2, "does not exist"),
        (f"https://me:{CANARY}@host/ecg", 2, "may hold no user"),
        (f"https://host/ecg?token={CANARY}", 2, "may hold no user"),
        ("nonsense://bucket", 2, "knows no such kind of store"),
    ],
)
@pytest.mark.parametrize("words", [[], ["--dry-run"]], ids=["ingest", "dry run"])
def test_stores_that_cannot_be_read(
    command: Callable[..., Any], address: str, code: int, sentence: str, words: list[str]
) -> None:
    ended = command(address, *words)
    assert ended.code == code
    assert sentence in ended.err
    assert CANARY not in ended.out + ended.err
    assert ended.err.count("\n") == 1


def test_the_whole_of_an_archive_in_a_few_words(command: Callable[..., Any], tmp_path: Path) -> None:
    zip_of(tmp_path / "in.zip", {})
    ended = command(tmp_path / "in.zip", "--dry-run")
    assert ended.code == 0, ended.err
    assert f"found: {NUM_RECORDS + 1} recordings (wfdb {NUM_RECORDS}, refused 1)" in ended.out
    assert f"sample: {NUM_RECORDS + 1} of {NUM_RECORDS + 1} read" in ended.out
    assert not (tmp_path / "out").exists()
    assert command(tmp_path / "in.zip").code == 0
