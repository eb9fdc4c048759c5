"""The demo's last lines are commands that work where they are pasted."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from hemometric.demo.closing import closing_lines, command


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment that is not activated, below the current folder."""
    commands = tmp_path / "my project" / ".venv" / "bin"
    commands.mkdir(parents=True)
    for name in ("python", "hemometric", "mlflow"):
        (commands / name).write_text('#!/bin/sh\necho "$@"\n')
        (commands / name).chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(commands / "python"))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.chdir(commands.parents[1])
    return commands


def test_a_command_is_named_so_that_this_shell_finds_it(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert command("hemometric") == ".venv/bin/hemometric"
    assert command("absent") == "absent"
    monkeypatch.chdir("/usr")
    assert command("hemometric") == shlex.quote(str(environment / "hemometric"))
    monkeypatch.setenv("PATH", f"{environment}:/usr/bin:/bin")
    assert command("hemometric") == "hemometric"


def test_the_commands_run_when_pasted(environment: Path) -> None:
    out = Path.cwd() / "demo output"
    lines = closing_lines(out)
    pasted = [line.removeprefix("  metrics").strip() for line in lines if ".venv/bin/" in line]
    assert len(pasted) == 3
    said = [
        subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, check=True).stdout.strip()
        for line in pasted
    ]
    assert said[0] == f"ui --backend-store-uri sqlite:///{out / 'mlflow.db'}"
    assert said[1] == "ingest YOUR_ECGS --out corpus"
    assert any(line.endswith(str(out / "report" / "report.html")) for line in lines)
