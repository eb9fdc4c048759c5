"""Names, numbers, dates and devices in a file of every format, whole, cut or refused: an ingest lets none out."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from hemometric.ecg import LEADS

PERSON: dict[str, Any] = {
    "patient_id": "MRN0815471", "name": "Canaria^Quxabella", "birth_date": date(1951, 3, 29), "age_years": 68,
    "sex": "female", "acquired": datetime(2019, 11, 5, 13, 37, 59), "serial": "SNDEV99X7",
    "note": "called Dr Zweistein about the son",
}  # fmt: skip
CANARIES = ("MRN0815471", "Canaria", "Quxabella", "SNDEV99X7", "Zweistein")
BIRTHS = ("1951-03-29", "29.03.1951", "03-29-1951", "19510329", "29-MAR-1951")


def encodings(word: str) -> Iterator[bytes]:
    """Raw, both UTF-16s, and base64 at each of its three alignments."""
    yield word.encode()
    yield word.lower().encode()
    yield word.encode("utf-16-le")
    yield word.encode("utf-16-be")
    for shift in range(3):
        coded = base64.b64encode(b"\0" * shift + word.encode())
        yield coded[4 if shift else 0 : -4]  # characters at both ends depend on the neighbours


PATTERNS = {code: word for word in (*CANARIES, *BIRTHS) for code in encodings(word)}


def found_in(content: bytes) -> set[str]:
    return {word for code, word in PATTERNS.items() if code in content}


def found_below(folder: Path) -> dict[str, set[str]]:
    """What is found in each file, its name and, where its columns are packed, its values."""
    found = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        content = str(path.relative_to(folder)).encode() + path.read_bytes()
        if path.suffix == ".parquet":
            content += repr(pq.read_table(path, partitioning=None).to_pylist()).encode()
        found[str(path.relative_to(folder))] = found_in(content)
    return {name: words for name, words in found.items() if words}


def test_the_search_is_not_blind(tmp_path: Path, vendor_files: dict[str, Any]) -> None:
    for word in (*CANARIES, *BIRTHS):
        for planted in (word.encode(), f"x{word}".encode("utf-16-le"), base64.b64encode(f"abcd {word} x".encode())):
            assert found_in(b"\1\2" + planted + b"\3") == {word}
    for name, module in vendor_files.items():
        (tmp_path / name).mkdir()
        module.write(tmp_path / name, np.zeros((12, 2000)), LEADS, 500.0, PERSON)
    assert {path.split("/")[0] for path in found_below(tmp_path)} == set(vendor_files) - {"npy"}, "it holds no text"


@pytest.fixture
def archive(tmp_path: Path, vendor_files: dict[str, Any], clean_ecgs: Callable[..., list[np.ndarray]]) -> Path:
    """A whole file, a cut one, one that the gates refuse and one of no sense of each format, in folders with names."""
    ecgs = iter(clean_ecgs(2 * len(vendor_files), seed=71))
    root = tmp_path / "Canaria_ward"
    for name, module in vendor_files.items():
        for what in ("whole", "cut", "flat", "senseless"):
            folder = root / f"{name}-{what}" / "MRN0815471"
            folder.mkdir(parents=True)
            signal = np.full((12, 5000), 0.5) if what in ("flat", "senseless") else next(ecgs)
            module.write(folder, signal, LEADS, 500.0, PERSON)
            for path in sorted(folder.iterdir()) if what in ("cut", "senseless") else []:
                content = path.read_bytes()
                if what == "cut":
                    path.write_bytes(content[: len(content) // 2])
                else:  # every byte of the samples, or what there is instead of them, is another; the head stays
                    path.write_bytes(content[:700] + bytes(byte ^ 0x15 for byte in content[700:]))
    return root


def test_an_ingest_of_every_format_names_nobody(
    archive: Path, ingested: Any, hemometric: Any, tmp_path: Path, vendor_files: dict[str, Any],
    formats: dict[str, Any],
) -> None:  # fmt: skip
    fields = {"formats": formats["csv"], "patients": "recording_is_patient"}
    strict = ingested(archive, "refused", **fields, max_rejected_fraction=0.0)
    assert strict.ended.code == 3
    done = ingested(archive, **fields, max_rejected_fraction=0.9)
    assert done.ended.code == 0, done.ended
    fates = done.fates()
    read = set(vendor_files) - {"arrow"}  # one ingest reads tables of one layout, and takes that of Parquet
    assert {name for name in read if "accepted" in fates[f"{name}-whole"]} == read
    assert not {name for name in read if fates[f"{name}-flat"][0] != "flat"}
    assert sum("accepted" not in fates[f"{name}-{what}"] for name in read for what in ("cut", "senseless")) > len(read)

    said = [strict.ended.out, strict.ended.err, done.ended.out, done.ended.err]
    for words in (
        ("verify", done.corpus),
        ("quarantine", "list", done.corpus, "--keys"),
        ("inspect", done.corpus, "--draw", "first", "--out", tmp_path / "corpus" / "page.png"),
    ):
        ended = hemometric(*words)
        assert ended.code == 0, ended
        said += [ended.out, ended.err]
    assert found_in("\n".join(said).encode()) == set()
    for out in (strict.corpus, done.corpus):
        assert len(list(out.rglob("*"))) > 3
        assert found_below(out) == {}


@pytest.mark.timeout(300)
def test_the_logs_of_ray_name_nobody(
    archive: Path, hemometric: Any, ingest_words: Any, tmp_path: Path, formats: dict[str, Any]
) -> None:
    """What workers print goes to files of their own, which outlive a cluster's ingest."""
    from hemometric.runtime.session import session

    fields = {"formats": formats["csv"], "patients": "recording_is_patient", "max_rejected_fraction": 0.9}
    words = ingest_words(archive, tmp_path / "corpus", **fields, unit_recordings=16)
    path = tmp_path / "corpus.yaml"
    path.write_text(path.read_text().replace("workers: 0", "workers: 2\ncpus_per_worker: 0.5"))
    assert yaml.safe_load(path.read_text())["workers"] == 2
    with session(num_cpus=2):
        import ray  # only here: it reads the token of the session when it is imported

        logs = Path(ray._private.worker._global_node.get_session_dir_path()) / "logs"
        ended = hemometric(*words)
        assert ended.code == 0, ended
        assert len([one for one in logs.rglob("*") if one.is_file() and one.stat().st_size]) > 5
        assert found_below(logs) == {}
    assert found_in((ended.out + ended.err).encode()) == set()
    assert found_below(tmp_path / "corpus") == {}
