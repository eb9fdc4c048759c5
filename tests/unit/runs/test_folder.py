"""A folder of output is one command's at a time, marked under its lock, and named where the system refuses it."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from hemometric.corpus.files import usable
from hemometric.corpus.own_files import MARK
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
    halves = ("._summary.json.77-0123abcd.tmp", ".page.html.0123abcd.tmp")
    others = (".draft.tmp", ".draft.1.tmp", ".draft.v2-abc.tmp")
    for name in (*halves, *others):
        (tmp_path / name).write_text("half")
    (tmp_path / ".model.77-0123abcd.tmp").mkdir()
    with held_folder(tmp_path):
        assert set(contents(tmp_path)) == {".lock", *others}
    assert (tmp_path / ".model.77-0123abcd.tmp").is_dir()


@pytest.mark.parametrize("name", [".drafts", ".notes", ".settings"])
def test_hidden_work_of_others_is_not_taken_for_a_jobs_own(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with (
        pytest.raises(UsageError, match=rf"holds no run \({name} is there\)"),
        claimed_folder(tmp_path, "one", "a run"),
    ):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("place", ["run", "shards/run", "link"])
def test_no_run_lies_within_a_corpus(tmp_path: Path, place: str) -> None:
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / MARK).touch()
    (tmp_path / "way").symlink_to(tmp_path / "corpus")
    out = tmp_path / ("way/run" if place == "link" else f"corpus/{place}")
    told = r"out: .* lies within the corpus .*/corpus; choose a folder outside of it"
    with pytest.raises(UsageError, match=told), claimed_folder(out, "one", "a run"):
        pass
    assert [path.name for path in (tmp_path / "corpus").iterdir()] == [MARK]


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
