"""The commands about privacy end with the codes that scripts rely on, and never repeat a word."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from hemometric.cli import app, commands, guarded
from hemometric.corpus.source_table import folder_of
from hemometric.runs import ingest

WORD = "Zbigniewska"


@pytest.fixture
def hemometric(capfd: pytest.CaptureFixture[str]) -> Any:
    def run(*words: object) -> tuple[int, str]:
        capfd.readouterr()
        code = guarded(lambda: app(args=[str(word) for word in words], standalone_mode=False))
        return code, "".join(capfd.readouterr())

    return run


def test_scan_ends_with_0_8_or_2(tmp_path: Path, hemometric: Any) -> None:
    place, words = tmp_path / "runs", tmp_path / "words"
    place.mkdir()
    (place / "log").write_text("nothing")
    words.write_text(f"{WORD}\n")
    code, told = hemometric("privacy", "scan", place, place / "log", "--canaries", words)
    assert (code, "none was found" in told) == (0, True)
    (place / "log").write_text(WORD.upper())
    code, told = hemometric("privacy", "scan", place, "--canaries", words, "--debug")
    assert code == 8
    assert f"word of line 1 (text) in {place}/log, byte 0" in told
    assert "hemometric: 1 finding of words" in told
    assert WORD.casefold() not in told.casefold()
    words.write_text("abc\n")
    for wrong in ((place, "--canaries", words), (tmp_path / "none", "--canaries", place / "log"), (place,), ()):
        code, told = hemometric("privacy", "scan", *wrong)
        assert code == 2, told
        assert "abc" not in told


def test_locate_ends_with_0_8_or_2(line: Any, tmp_path: Path, hemometric: Any) -> None:
    shutil.copy(line.key, tmp_path / "key")
    ingest.run(line.ingest(tmp_path / "out", key=tmp_path / "key"))
    code, told = hemometric("quarantine", "list", tmp_path / "out")
    assert (code, told) == (0, "0 recordings refused\n")
    assert hemometric("quarantine", "list", tmp_path)[0] == 2
    assert hemometric("quarantine", "list", tmp_path / "out", "--reason", "truncated")[0] == 2
    code, told = hemometric("inspect", tmp_path / "out")
    key = told.split("recording ids: ")[1].split(",")[0]
    locate = ("quarantine", "locate", key[:20], "--key", tmp_path / "key", "--corpus", tmp_path / "out")
    code, told = hemometric(*locate)
    assert code == 0
    assert Path(told.split("\t")[1]).is_file()
    assert hemometric("quarantine", "locate", "0" * 32, "--key", tmp_path / "key")[0] == 2
    folder_of(tmp_path / "key").chmod(0o750)
    code, told = hemometric(*locate)
    assert (code, "chmod 700" in told) == (8, True)


@pytest.mark.parametrize("words", [["--retry-quarantine"], ["retry_quarantine=true"], []])
def test_retry_quarantine_reaches_the_run(words: list[str], monkeypatch: pytest.MonkeyPatch, hemometric: Any) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(commands, "launch", lambda job, config: seen.append(config))
    assert hemometric("ingest", "somewhere", "--out", "corpus", *words)[0] == 0
    assert seen[0].retry_quarantine is bool(words)
