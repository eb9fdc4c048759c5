"""Records whose files were written by a system that ignores letter case: capitals of a name make no file missing."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hemometric.ecg import Recording, Rejected
from hemometric.vendors import find, read
from hemometric.vendors.wfdb_names import beside, spellings

HeaderOf = Callable[..., Path]


@pytest.fixture
def capitals(tmp_path: Path, write_record: HeaderOf) -> Path:
    """The files of a record of two segments in capitals, as a memory card names them; their headers are as before."""
    folder = tmp_path / "card"
    folder.mkdir()
    for name in ("rec_1", "rec_2"):
        header = write_record(name)
        for path in (header, header.with_suffix(".dat")):
            path.rename(folder / path.name.upper())
    (folder / "REC.HEA").write_text("rec/2 12 500 1002\nrec_1 501\nrec_2 501\n")
    return folder


def only(root: Path, depot: Path) -> Recording:
    (source,) = find([root], depot=depot)
    recording = read(source)
    assert isinstance(recording, Recording), recording
    return recording


def test_suffixes_in_capitals(write_record: HeaderOf, counts: np.ndarray, tmp_path: Path) -> None:
    header = write_record("Rec7")
    for path in (header, header.with_suffix(".dat")):
        path.rename(path.with_suffix(path.suffix.upper()))
    recording = only(tmp_path, tmp_path / "depot")
    np.testing.assert_array_equal(recording.counts, counts.T)
    assert recording.key == f"{tmp_path.name}/Rec7"


@pytest.mark.parametrize("kind", ["folder", "zip", "tar", "tar.gz"])
def test_names_in_capitals(capitals: Path, counts: np.ndarray, tmp_path: Path, kind: str) -> None:
    root = capitals
    if kind == "zip":
        root = tmp_path / "card.zip"
        with zipfile.ZipFile(root, "w") as archive:
            for path in sorted(capitals.iterdir()):
                archive.write(path, path.name)
    elif kind != "folder":
        root = tmp_path / f"card.{kind}"
        with tarfile.open(root, "w:gz" if kind == "tar.gz" else "w") as tar:
            for path in sorted(capitals.iterdir()):
                tar.add(path, path.name)
    recording = only(root, tmp_path / "depot")
    np.testing.assert_array_equal(recording.counts, np.tile(counts.T, 2))


def test_a_file_of_another_record_is_not_taken(write_record: HeaderOf, tmp_path: Path) -> None:
    mine = write_record("Rec")
    mine.with_suffix(".dat").unlink()
    mine.rename(mine.with_suffix(".HEA"))
    write_record("rec")
    one, other = (read(source) for source in find([tmp_path]))
    assert isinstance(one, Rejected)
    assert one.reason == "missing_file"
    assert isinstance(other, Recording)


def test_what_a_file_may_be_called(tmp_path: Path) -> None:
    assert spellings(tmp_path / "R0.HEA", "r0.dat") == ("r0.dat", "R0.dat", "R0.DAT")
    assert spellings(tmp_path / "a.hea", "B.Mat") == ("B.Mat", "B.MAT", "B.mat", "b.mat")
    assert spellings(tmp_path / "REC.HEA", "rec_1.HEA") == ("rec_1.HEA", "rec_1.hea", "REC_1.HEA")
    assert spellings(tmp_path / "Rec.hea", "b.dat") == ("b.dat", "b.DAT")
    assert beside(tmp_path / "a.hea", "b.dat") == tmp_path / "b.dat"
    (tmp_path / "b.DAT").touch()
    assert beside(tmp_path / "a.hea", "b.dat") == tmp_path / "b.DAT"
