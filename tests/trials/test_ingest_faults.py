"""An ingest that is stopped, killed, crowded or run twice, by the command: nothing lost or twice, no half file."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hemometric.corpus import open_corpus
from hemometric.ecg import LEADS

COMMAND = [sys.executable, "-m", "hemometric.cli"]
NUM = 40
STEPS = {"unit_recordings": 2, "shard_bytes": 1 << 18}
"""Many units and many shards, so that there is a midst to be stopped in."""

ITS_OWN = (".lock", ".stamps", ".sources")
"""Files that no two corpora share: who holds it, when its sources were looked at, its random name beside the key."""

KILL = """
import os, random, sys, time
import pandas, pyarrow.dataset  # which Arrow imports when it is first asked for them: here, not in each child
from hemometric.cli import app, guarded
import hemometric.runs.ingest

out, draw = sys.argv[1], random.Random(52)
num_files = lambda: sum(len(names) for _, _, names in os.walk(out))
for _ in range(10):
    before, child = num_files(), os.fork()
    if child == 0:
        os._exit(guarded(lambda: app(args=sys.argv[2:], standalone_mode=False)))
    started = time.monotonic()
    while num_files() <= before and time.monotonic() < started + 2:  # a finished one writes nothing
        time.sleep(0.002)
    time.sleep(draw.uniform(0.0, 0.05))
    is_done = os.path.exists(os.path.join(out, "_SUCCESS"))
    os.kill(child, 9)
    os.waitpid(child, 0)
    print("done" if is_done else "half", num_files())
"""
"""Run as a program: kill the command at ten moments, each a random while after it wrote a file."""


@pytest.fixture
def archive(tmp_path: Path, vendor_files: dict[str, Any], clean_ecgs: Callable[..., list[np.ndarray]]) -> Path:
    for number, ecg in enumerate(clean_ecgs(NUM, seed=51)):
        folder = tmp_path / "archive" / f"{number:02d}"
        folder.mkdir(parents=True)
        person = {"patient_id": f"P{number}", "name": "Doe^Jane", "birth_date": date(1959, 1, 1), "age_years": 60}
        person |= {"sex": "female", "acquired": datetime(2019, 11, 5), "serial": "S1", "note": "none"}
        vendor_files["wfdb"].write(folder, ecg, LEADS, 500.0, person)
    return tmp_path / "archive"


@pytest.fixture
def clean(archive: Path, ingested: Any) -> dict[str, bytes]:
    """The files of an ingest that nobody disturbed."""
    done = ingested(archive, "clean", **STEPS)
    assert done.ended.code == 0, done.ended
    assert len(list((done.corpus / "shards").rglob("*.parquet"))) > 10
    return files_of(done.corpus)


def files_of(folder: Path) -> dict[str, bytes]:
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths if path.name not in ITS_OWN}


def begin(words: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # What a shell starts in the background never hears of Ctrl-C; the command under test must.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


@contextmanager
def largest_file(num_bytes: int) -> Iterator[None]:
    """Let no file grow beyond so many bytes, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_an_ingest_with_130_and_the_same_command_finishes_it(
    archive: Path, clean: dict[str, bytes], hemometric: Any, ingest_words: Any, tmp_path: Path, number: signal.Signals,
    until: Any,
) -> None:  # fmt: skip
    out = tmp_path / "corpus"
    words = ingest_words(archive, out, **STEPS)
    process = begin(words)
    until(lambda: len(list(out.glob("staging/unit-*.json"))) >= 3, "three units")
    process.send_signal(number)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130, said
    assert said.splitlines()[-1] == "hemometric: interrupted; the same command goes on where it stopped"
    assert "Traceback" not in said
    assert not (out / "_SUCCESS").exists()
    staged = {path: path.stat().st_mtime_ns for path in out.glob("staging/unit-*.json")}
    assert 3 <= len(staged) < NUM / 2
    done = hemometric(*words)
    assert done.code == 0, done
    assert files_of(out) == clean


def test_killed_at_ten_random_moments_it_ends_in_the_clean_bytes(
    archive: Path, clean: dict[str, bytes], hemometric: Any, ingest_words: Any, tmp_path: Path
) -> None:
    """`tests/unit/corpus/test_kill.py` does so at each rename; here the clock decides."""
    out = tmp_path / "corpus"
    words = ingest_words(archive, out, **STEPS, guard={"enabled": False})  # whose processes take long to start
    run = subprocess.run([sys.executable, "-c", KILL, str(out), *words], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    killed = [line.split()[0] for line in run.stdout.splitlines() if line.startswith(("half ", "done "))]
    assert len(killed) == 10
    assert killed.count("half") >= 5, run.stdout
    done = hemometric(*words)
    assert done.code == 0, done
    assert files_of(out) == clean
    ids = open_corpus(out).table(columns=["recording_id"])["recording_id"].to_pylist()
    assert len(ids) == len(set(ids)) == NUM


@pytest.mark.parametrize("num_bytes", [20_000, 150_000])
def test_a_disk_that_is_full_ends_it_with_5_and_space_lets_it_go_on(
    archive: Path, clean: dict[str, bytes], hemometric: Any, ingest_words: Any, tmp_path: Path, num_bytes: int
) -> None:
    """No room for a unit, or none for a shard of several."""
    out = tmp_path / "corpus"
    words = ingest_words(archive, out, **STEPS)
    with largest_file(num_bytes):
        ended = hemometric(*words)
    assert ended.code == 5, ended
    assert ended.err.startswith("hemometric: no room left to write in ")
    assert "run the same command again" in ended.err
    assert len(ended.err.splitlines()) == 1
    assert not [path for path in out.rglob("*") if path.name.endswith(".tmp")]
    assert not (out / "_SUCCESS").exists()
    assert hemometric(*words).code == 0
    assert files_of(out) == clean


def test_of_two_ingests_into_one_folder_the_second_ends_at_once(
    archive: Path, hemometric: Any, ingest_words: Any, tmp_path: Path, until: Any
) -> None:
    out = tmp_path / "corpus"
    words = ingest_words(archive, out, **STEPS)
    first = begin(words)
    until(lambda: list(out.glob("staging/unit-*.json")), "a unit")
    os.kill(first.pid, signal.SIGSTOP)  # it holds the folder, however quick it is
    try:
        started = time.monotonic()
        second = hemometric(*words)
        assert time.monotonic() - started < 10
    finally:
        os.kill(first.pid, signal.SIGCONT)
    assert second.code == 5, second
    assert second.err == (f"hemometric: another ingest is writing into {out}; wait for it, or choose another --out\n")
    said = first.communicate(timeout=60)[1]
    assert first.returncode == 0, said
    assert open_corpus(out).manifest.counts.accepted == NUM


def test_the_same_command_twice_is_done_in_seconds_and_changes_nothing(
    archive: Path, clean: dict[str, bytes], hemometric: Any, ingest_words: Any, tmp_path: Path
) -> None:
    out = tmp_path / "clean"
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.name != ".lock"}
    started = time.monotonic()
    ended = hemometric(*ingest_words(archive, out, **STEPS))
    assert time.monotonic() - started < 10
    assert ended.code == 0
    assert f"{out} holds these recordings already; nothing to do" in ended.out
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.name != ".lock"} == before


def test_one_flipped_byte_in_any_file_of_a_corpus_is_named(
    archive: Path, clean: dict[str, bytes], hemometric: Any, tmp_path: Path
) -> None:
    """In the manifest, the marker, the tables and some shards, at places drawn from a seed."""
    out, draw = tmp_path / "clean", np.random.default_rng(53)
    shards = [name for name in clean if name.startswith("shards/")]
    for name in ["manifest.json", "_SUCCESS", "quarantine.parquet", "links.parquet", *draw.choice(shards, 3)]:
        for _ in range(3):
            content = bytearray(clean[name])
            content[draw.integers(len(content))] ^= 1 << draw.integers(8)
            (out / name).write_bytes(content)
            ended = hemometric("verify", out)
            assert ended.code == 4, (name, ended)
            assert ("manifest.json" if name == "_SUCCESS" else Path(name).name) in ended.err
            assert len(ended.err.splitlines()) == 1
            assert "Traceback" not in ended.err
        (out / name).write_bytes(clean[name])
    assert hemometric("verify", out).code == 0
