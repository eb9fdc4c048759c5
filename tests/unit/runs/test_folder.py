"""A folder of output is one command's at a time, marked under its lock, and named where the system refuses it."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from hemometric.corpus.files import usable
from hemometric.errors import PrecheckError, UsageError
from hemometric.runs.folder import claimed_folder, held_folder, read_identity


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_who_comes_second_changes_nothing(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with claimed_folder(out, "winner", "another run"):
        before = contents(out)
        with pytest.raises(PrecheckError, match="another command is writing"), claimed_folder(out, "loser", "a run"):
            pass
        assert contents(out) == before
    assert read_identity(out) == "winner"


def test_a_lock_without_an_identity_keeps_others_out(tmp_path: Path) -> None:
    """Between making the folder and marking it, a winner must not lose it."""
    with held_folder(tmp_path), pytest.raises(PrecheckError), claimed_folder(tmp_path, "loser", "a run"):
        pass
    assert read_identity(tmp_path) is None


def test_somebodys_folder_gets_no_lock(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(UsageError, match="is not empty and holds no run"), claimed_folder(tmp_path, "one", "a run"):
        pass
    assert list(contents(tmp_path)) == ["thesis.tex"]


def test_what_a_kill_left_half_written_is_cleared_under_the_lock(tmp_path: Path) -> None:
    (tmp_path / "._summary.json.77-abc.tmp").write_text("half")
    (tmp_path / ".model.tmp").mkdir()
    with held_folder(tmp_path):
        assert "._summary.json.77-abc.tmp" not in contents(tmp_path)
    assert (tmp_path / ".model.tmp").is_dir()


def test_a_lock_or_a_mark_that_cannot_be_used_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "one" / ".lock").mkdir(parents=True)
    with pytest.raises(UsageError, match=r"out: .*\.lock cannot be written: "), held_folder(tmp_path / "one"):
        pass
    (tmp_path / ".identity").write_text("one")

    def refused(path: Path, *_: object, **__: object) -> str:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_text", refused)
    with pytest.raises(UsageError, match=r"out: .*\.identity cannot be read: Permission denied"):
        read_identity(tmp_path)


def test_a_place_is_named_and_a_file_elsewhere_is_not(tmp_path: Path) -> None:
    def refuse(code: int, filename: Path | None) -> None:
        with usable(tmp_path / "out", "cache"):
            raise OSError(code, "the reason") if filename is None else OSError(code, "the reason", str(filename))

    with pytest.raises(UsageError, match=r"cache: .*/out/below cannot be written: the reason; choose another"):
        refuse(errno.EACCES, tmp_path / "out" / "below")
    for place in (tmp_path, tmp_path / ".out.77.tmp"):
        with pytest.raises(UsageError, match=r"cache: .*/out cannot be written: the reason"):
            refuse(errno.EROFS, place)
    with pytest.raises(PrecheckError, match=r"cache: no room left to write in .*/out \(the reason\)"):
        refuse(errno.ENOSPC, None)
    with pytest.raises(PermissionError):
        refuse(errno.EACCES, tmp_path / "patient.hea")
    with pytest.raises(OSError, match="a library's own"), usable(tmp_path, "out"):
        raise OSError("a library's own")
