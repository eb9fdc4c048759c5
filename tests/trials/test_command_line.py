"""The command as the shell sees it: exit codes, one line on stderr, a polite end."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from hemometric.config import dump
from hemometric.runs.outcome import read_outcome

NUM_STEPS = 80
COMMAND = [sys.executable, "-m", "hemometric.cli"]


def test_an_error_is_one_line_and_a_code(tmp_path: Path) -> None:
    done = subprocess.run([*COMMAND, "verify", "nowhere"], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        "hemometric: corpus nowhere does not exist; make one with `hemometric ingest SOURCE --out nowhere`\n"
    )
    assert not list(tmp_path.iterdir())


def test_debug_shows_where(tmp_path: Path) -> None:
    words = [*COMMAND, "verify", "nowhere", "--debug"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback (most recent call last)" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_with_130_and_the_same_command_goes_on(
    line: Any, tmp_path: Path, number: signal.Signals, until: Any
) -> None:
    config = line.pretrain(
        tmp_path / "run", workers=0, num_steps=NUM_STEPS, checkpoint_every_steps=2, tracking={"kind": "none"}
    )
    path = tmp_path / "run.yaml"
    path.write_text(dump(config))
    words = [*COMMAND, "pretrain", "--config", str(path)]
    process = subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # What a shell starts in the background never hears of Ctrl-C; the command under test must.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    until(lambda: list((tmp_path / "run").glob("checkpoints/step-*")), "a checkpoint")
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    last = err.splitlines()[-1]
    assert last.startswith("hemometric: stopped after step ")
    assert last.endswith("the same command goes on from there")
    assert "Traceback" not in err
    step = int(last.split()[4])
    assert (tmp_path / "run" / "checkpoints" / f"step-{step:08d}" / "_SUCCESS").is_file()
    # The length of a run is part of what it computes: only the same one may go on.
    whole = path.read_text()
    path.write_text(yaml.safe_dump(yaml.safe_load(whole) | {"num_steps": step + 2}))
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "holds a run of another config" in done.stderr
    path.write_text(whole)
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(read_outcome(tmp_path / "run")["losses"]) == NUM_STEPS
    steps = [json.loads(row)["step"] for row in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert steps.count(2) == 1, "it went on from where it was, not from the first step"
