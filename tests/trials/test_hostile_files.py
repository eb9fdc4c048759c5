"""ECG files and configs that mean harm, among harmless ones: refused with a reason, nothing opened, fetched or run."""

from __future__ import annotations

import os
import pickle
import resource
import socket
import struct
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import yaml

from hemometric.ecg import LEADS

CANARY = "Canaria-Quxabella-of-another-file"
PERSON: dict[str, Any] = {"name": "Doe^Jane", "birth_date": date(1959, 1, 1), "acquired": datetime(2019, 11, 5)}
PERSON |= {"patient_id": "P1", "age_years": 60, "sex": "female", "serial": "S1", "note": "none"}
NUM_HARMLESS = 4
DEFLATED = "1.2.840.10008.1.2.1.99"


class Bomb:
    """Unpickling it would make a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


def xml(folder: Path, root: str, subset: str, body: str = "&x;") -> None:
    (folder / "ecg.xml").write_text(f"<?xml version='1.0'?>\n<!DOCTYPE {root} [{subset}]>\n<{root}>{body}</{root}>\n")


def hostile_xml(place: Callable[[str], Path], canary: Path, port: int) -> dict[str, str]:
    """Bombs, entities of other files and of servers, and any definition at all, for each format of XML."""
    laughs = '<!ENTITY l0 "y">' + "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 12))
    subsets = {
        "bomb": (laughs, "&l11;"),
        "quadratic": (f'<!ENTITY x "{"y" * 100_000}">', "&x;" * 10_000),
        "file": (f'<!ENTITY x SYSTEM "file://{canary}">', "&x;"),
        "server": (f'<!ENTITY x SYSTEM "http://127.0.0.1:{port}/x">', "&x;"),
        "parameter": (f'<!ENTITY % p SYSTEM "http://127.0.0.1:{port}/x">%p;', ""),
        "definition": ("<!ELEMENT a ANY>", ""),
    }
    roots = {"aecg": "AnnotatedECG", "muse": "RestingECG", "philips": "restingecgdata"}
    wanted = {}
    for form, root in roots.items():
        for harm, (subset, body) in subsets.items():
            xml(place(f"{form}-{harm}"), root, subset, body)
            wanted[f"{form}-{harm}"] = "unsafe"
    return wanted


def hostile_hdf5(place: Callable[[str], Path], canary: Path) -> dict[str, str]:
    """Whatever in a file of a known layout leads out of it, and space that is announced and not there."""
    other = canary.with_suffix(".h5")
    with h5py.File(place("hdf5-storage") / "a.h5", "w") as file:
        file.create_dataset("ecg", (12, 400), np.float16, external=[(str(canary), 0, h5py.h5f.UNLIMITED)])
    with h5py.File(place("hdf5-link") / "a.h5", "w") as file:
        file["ecg"] = h5py.ExternalLink(str(other), "/ecg")
    with h5py.File(place("hdf5-soft-link") / "a.h5", "w") as file:
        file["elsewhere"] = h5py.ExternalLink(str(other), "/")
        file["ecg"] = h5py.SoftLink("/elsewhere/ecg")
    with h5py.File(place("hdf5-virtual") / "a.h5", "w") as file:
        layout = h5py.VirtualLayout((12, 400), np.float16)
        layout[...] = h5py.VirtualSource(str(other), "ecg", (12, 400))
        file.create_virtual_dataset("ecg", layout)
    path = place("hdf5-19-gb") / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("tracings", (100_000, 4096, 12), np.float32)
        file["exam_id"] = np.arange(3)
    assert path.stat().st_size < 8192
    wanted = dict.fromkeys(("hdf5-storage", "hdf5-link", "hdf5-soft-link", "hdf5-virtual"), "unsafe")
    return wanted | {"hdf5-19-gb": "truncated"}


def hostile_dicom(place: Callable[[str], Path], dicom: Any) -> dict[str, str]:
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    deflated = b"".join(deflater.compress(bytes(1 << 22)) for _ in range(100)) + deflater.flush()
    assert len(deflated) < 450_000
    (place("dicom-400-mb") / "a.dcm").write_bytes(dicom.file(deflated, DEFLATED))
    nested = b""
    for _ in range(3000):
        nested = dicom.element(0x0040A730, "SQ", [nested])
    (place("dicom-nested") / "a.dcm").write_bytes(dicom.file(dicom.head(PERSON) + nested))
    (place("dicom-no-waveform") / "a.dcm").write_bytes(dicom.file(dicom.head(PERSON)))
    return {"dicom-400-mb": "unsafe", "dicom-nested": "unsafe", "dicom-no-waveform": "no_waveform"}


def hostile_wfdb(place: Callable[[str], Path], wfdb: Any, ecg: np.ndarray, port: int) -> dict[str, str]:
    """Headers that lie of their samples, or send the reader elsewhere for them."""
    changes = {
        "checksum": ("", "", "checksum"),
        "gain-zero": ("200(0)/mV", "0(0)/mV", "gain_zero"),
        "no-gain": ("200(0)/mV", "(0)/mV", "unreadable"),
        "1e12-samples": (" 500 5000 ", " 500 1000000000000 ", "too_long"),
        "server": ("ecg.dat", f"http://127.0.0.1:{port}/ecg.dat", "unsafe_name"),
        "absolute": ("ecg.dat", "/etc/passwd", "unsafe_name"),
        "outside": ("ecg.dat", "../wfdb-absolute/ecg.dat", "unsafe_name"),
    }
    wanted = {}
    for name, (old, new, reason) in changes.items():
        header = wfdb.write(place(f"wfdb-{name}"), ecg, LEADS, 500.0, PERSON)
        text = header.read_text()
        if name == "checksum":
            content = bytearray(header.with_suffix(".dat").read_bytes())
            content[100] ^= 1
            header.with_suffix(".dat").write_bytes(content)
        else:
            assert old in text
            header.write_text(text.replace(old, new))
        wanted[f"wfdb-{name}"] = reason
    return wanted


def hostile_npy(place: Callable[[str], Path], victim: Path) -> dict[str, str]:
    objects = np.array([Bomb(victim)] * 12, dtype=object).reshape(1, 12, 1)
    np.save(place("npy-objects") / "a.npy", objects, allow_pickle=True)
    np.savez(place("npz-objects") / "a.npz", signal=objects, allow_pickle=True)
    (place("npy-pickle") / "a.npy").write_bytes(pickle.dumps(Bomb(victim)))
    lies = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 12, 1000000000000), }\n"
    (place("npy-huge") / "a.npy").write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(lies)) + lies)
    return {"npy-objects": "unsafe", "npz-objects": "unsafe", "npy-pickle": "unreadable", "npy-huge": "too_long"}


@pytest.fixture
def server() -> Iterator[socket.socket]:
    """A server that nobody may call."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        listening.setblocking(False)
        yield listening


def was_called(server: socket.socket) -> bool:
    try:
        server.accept()[0].close()
    except BlockingIOError:
        return False
    return True


def test_each_is_refused_by_its_reason_and_the_harmless_are_read(
    tmp_path: Path, ingested: Any, vendor_files: dict[str, Any], formats: dict[str, Any],
    clean_ecgs: Callable[..., list[np.ndarray]], server: socket.socket, openings: Callable[..., Any],
) -> None:  # fmt: skip
    canary, victim, port = tmp_path / "canary.txt", tmp_path / "victim", server.getsockname()[1]
    canary.write_text(CANARY * 1000)
    with h5py.File(canary.with_suffix(".h5"), "w") as other:
        other["ecg"] = (
            np.frombuffer((CANARY * 1000).encode(), np.uint8)[: 12 * 400 * 2].view(np.float16).reshape(12, -1)
        )

    def place(name: str) -> Path:
        folder = tmp_path / "archive" / name
        folder.mkdir(parents=True)
        return folder

    ecgs = clean_ecgs(NUM_HARMLESS, seed=61)
    wanted = hostile_xml(place, canary, port) | hostile_hdf5(place, canary) | hostile_npy(place, victim)
    wanted |= hostile_dicom(place, vendor_files["dicom"])
    wanted |= hostile_wfdb(place, vendor_files["wfdb"], ecgs[0], port)
    for number, ecg in enumerate(ecgs):
        vendor_files["hl7-aecg"].write(place(f"harmless-{number}"), ecg, LEADS, 500.0, PERSON)

    started, held = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with openings(canary, canary.with_suffix(".h5")) as was_opened:
        done = ingested(tmp_path / "archive", formats=formats["npy"], max_rejected_fraction=0.95)
        assert not was_opened()
        canary.read_bytes()
        assert was_opened(), "the measure is not blind"
    assert done.ended.code == 0, done.ended
    assert time.monotonic() - started < 60
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - held < 1 << 20
    assert not was_called(server)
    socket.create_connection(server.getsockname()).close()
    assert was_called(server), "the measure is not blind"
    assert not victim.exists()
    harmless = {f"harmless-{number}": ["accepted"] for number in range(NUM_HARMLESS)}
    assert done.fates() == {name: [reason] for name, reason in wanted.items()} | harmless
    assert done.counts["rejected"] == Counter(wanted.values())
    for path in (path for path in done.corpus.rglob("*") if path.is_file()):
        assert CANARY.encode() not in path.read_bytes()
    assert CANARY not in done.ended.out + done.ended.err


@pytest.mark.parametrize("tag", ["object/apply:os.mkdir", "object/new:os.mkdir", "name:os.mkdir", "module:os"])
def test_a_config_that_would_run_something_is_refused_with_its_line(
    hemometric: Any, tmp_path: Path, key_file: Path, tag: str
) -> None:
    victim = tmp_path / "victim"
    path = tmp_path / "ingest.yaml"
    path.write_text(f"job: ingest\nworkers: 0\ningest:\n  unit_recordings: !!python/{tag} [{victim}]\n")
    ended = hemometric("ingest", tmp_path, "--out", tmp_path / "out", "--key", key_file, "--config", path)
    assert ended.code == 2
    assert ended.err.startswith(f"hemometric: {path}, line 4: ")
    assert len(ended.err.splitlines()) == 1
    assert not victim.exists()
    assert not (tmp_path / "out").exists()


def test_a_config_that_says_what_it_cannot_mean_names_line_field_and_what_was_meant(
    hemometric: Any, tmp_path: Path, key_file: Path
) -> None:
    cases = {
        "ingest:\n  unit_recordigns: 4": ("line 4", "'ingest.unit_recordigns'", "did you mean 'unit_recordings'?"),
        "ingest:\n  max_rejected_fraction: lots": ("line 4", "'ingest.max_rejected_fraction'", "number"),
        'ingest:\n  find_duplicates: "False"': ("line 4", "'ingest.find_duplicates'", "boolean"),
        "ingest:\n  table: {kind: colums}": (
            "line 4",
            "ingest.table has unknown kind 'colums'",
            "did you mean 'columns'?",
        ),
    }
    for text, told in cases.items():
        path = tmp_path / "ingest.yaml"
        path.write_text(f"job: ingest\nworkers: 0\n{text}\n")
        assert yaml.safe_load(path.read_text())
        ended = hemometric("ingest", tmp_path, "--out", tmp_path / "out", "--key", key_file, "--config", path)
        assert ended.code == 2
        assert len(ended.err.splitlines()) == 1
        assert [words for words in told if words not in ended.err] == [], ended.err
        assert not (tmp_path / "out").exists()
