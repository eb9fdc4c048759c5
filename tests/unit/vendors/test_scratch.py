"""A folder for a while: it goes with its block or, after a kill, when the next one is made; others' stay."""

import os
import tempfile
from pathlib import Path

import pytest

from hemometric.vendors.scratch import remove_orphans, scratch


@pytest.fixture
def tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_it_is_empty_and_private_and_goes_with_its_block(tmp: Path) -> None:
    with scratch() as folder:
        assert list(folder.iterdir()) == []
        (outer,) = tmp.iterdir()
        assert outer in folder.parents
        assert outer.stat().st_mode & 0o077 == 0
        (folder / "a.hea").write_text("a")
        with scratch() as other:
            assert other != folder
            assert (folder / "a.hea").is_file(), "who lives is no orphan"
    assert list(tmp.iterdir()) == []


def test_what_a_killed_process_left_goes_at_once(tmp: Path) -> None:
    pid = os.fork()
    if pid == 0:
        with scratch() as folder:
            (folder / "MILLER.hea").write_text("a")
            os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    assert len(list(tmp.rglob("MILLER.hea"))) == 1
    remove_orphans()
    assert list(tmp.iterdir()) == []


@pytest.mark.parametrize("has_lock", [True, False])
def test_what_has_just_been_begun_stays_what_never_went_on_goes(tmp: Path, has_lock: bool) -> None:
    begun = tmp / "hemometric-scratch-a1b2c3d4"
    begun.mkdir()
    if has_lock:
        (begun / "lock").touch()
    remove_orphans()
    assert begun.is_dir()
    os.utime(begun, (1, 1))
    remove_orphans()
    assert not begun.exists()


@pytest.mark.parametrize("name", ["hemometric-scratch-of mine", "hemometric-scratch-", "hemometric-notes-a1b2c3d4"])
def test_folders_of_other_names_stay(tmp: Path, name: str) -> None:
    (tmp / name).mkdir()
    (tmp / name / "lock").write_bytes(b"held")
    os.utime(tmp / name, (1, 1))
    remove_orphans()
    assert (tmp / name / "lock").is_file()


def test_a_link_is_not_followed(tmp: Path) -> None:
    mine = tmp / "mine"
    mine.mkdir()
    (mine / "lock").write_bytes(b"held")
    (tmp / "hemometric-scratch-a1b2c3d4").symlink_to(mine)
    remove_orphans()
    assert (mine / "lock").is_file()
