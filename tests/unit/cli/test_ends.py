"""How commands end: interrupted, out of memory, without streams, or with nobody who reads them."""

from __future__ import annotations

import io
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
import typer

from hemometric.cli import guarded, main
from hemometric.cli.begins import _run as run_words
from hemometric.cli.ends import say
from hemometric.progress import JsonLinesProgress, tell

HEMOMETRIC = [sys.executable, "-m", "hemometric.cli"]


def raising(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), typer.Abort(), typer.Exit(130)])
def test_an_interruption_is_said(error: BaseException, capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(lambda: raising(error)) == 130
    assert capsys.readouterr().err == "hemometric: interrupted; the same command goes on where it stopped\n"


def test_any_other_exit_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(lambda: raising(typer.Exit(3))) == 3
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("given", "found"),
    [({}, "1000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "ACTIVE"}, None)],
)
def test_threads_that_wait_spin_briefly_unless_something_else_was_asked_for(
    given: dict[str, str], found: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = dict(given)
    monkeypatch.setattr("os.environ", environment)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr("hemometric.cli.begins._run", lambda words: None)
    with pytest.raises(SystemExit):
        main(["version"])
    assert environment.get("GOMP_SPINCOUNT") == found


def too_large() -> None:
    torch.empty(1 << 60, dtype=torch.uint8)


def too_large_for_numpy() -> None:
    np.empty(1 << 60, np.uint8)


@pytest.mark.parametrize(
    "action",
    [
        too_large,
        too_large_for_numpy,
        lambda: raising(torch.OutOfMemoryError("CUDA")),
        lambda: raising(MemoryError()),
        lambda: raising(pa.ArrowMemoryError("malloc of size 64 failed")),
        lambda: raising(OSError(12, "Cannot allocate memory", "Miller.dat")),
        lambda: raising(ImportError("libarrow.so: failed to map segment from shared object")),
        lambda: raising(RuntimeError("can't start new thread")),
    ],
)
def test_out_of_memory_is_one_thing_whoever_says_it(action: object, capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(action) == 5  # type: ignore[arg-type]
    assert "no memory left; take fewer workers" in capsys.readouterr().err


class Gone(io.StringIO):
    def write(self, _: str) -> int:
        raise BrokenPipeError

    def isatty(self) -> bool:
        return False


def test_progress_and_results_outlive_their_readers(monkeypatch: pytest.MonkeyPatch) -> None:
    progress = JsonLinesProgress("run", Gone())
    progress.start(0, 2)
    progress.update(2, 0.5, 1.0, 0.0)
    tell({"run": "x"}, Gone())
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", Gone())
        say("one")
        say("two")
        patch.setattr(sys, "stderr", Gone())
        assert guarded(lambda: raising(KeyboardInterrupt())) == 130


@pytest.mark.parametrize("redirection", ["2>&-", ">&- 2>&-", "<&- >&- 2>&-", "2>/dev/full", "| true"])
def test_closed_streams_change_no_exit_code(redirection: str, tmp_path: Path) -> None:
    words = f"{' '.join(HEMOMETRIC)} synthesise --out {tmp_path / 'out'} cohort.num_patients=2 num_draws=100"
    command = f"set -o pipefail; {words}"
    ended = subprocess.run(["bash", "-c", f"{command} {redirection}"], capture_output=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "out" / "labels.csv").is_file()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_midst_of_work_is_said(number: signal.Signals, tmp_path: Path) -> None:
    words = [*HEMOMETRIC, "synthesise", "--out", str(tmp_path / "out"), "cohort.num_patients=100000"]
    process = subprocess.Popen(
        words,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.rglob("*.hea")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, number)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert told.endswith("hemometric: interrupted; the same command goes on where it stopped\n")


SIGNALLED = """
import os, signal, sys


class Signalling:
    def find_spec(self, name, *_):
        if name == {name!r}:
            os.kill(os.getpid(), {number})


signal.signal(signal.SIGINT, signal.default_int_handler)
sys.meta_path.insert(0, Signalling())
from hemometric.cli import main

main(["ingest", "nowhere", "--out", "out", "workers=0"])
"""


@pytest.mark.parametrize("name", ["typer", "yaml", "pyarrow.parquet", "scipy"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_libraries_are_loaded_is_said(number: signal.Signals, name: str, tmp_path: Path) -> None:
    script = SIGNALLED.format(name=name, number=int(number))
    ended = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.stderr == "hemometric: interrupted; the same command goes on where it stopped\n"
    assert ended.returncode == 130


def test_an_interruption_that_became_another_error_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    """As numpy makes an `ImportError` of all that comes while another library loads it."""
    error = ImportError("numpy.core.multiarray failed to import")
    assert guarded(lambda: raising(error), is_interrupted=lambda: True) == 130
    assert capsys.readouterr().err == "hemometric: interrupted; the same command goes on where it stopped\n"
    assert guarded(lambda: raising(error), is_interrupted=lambda: False) == 1


@pytest.mark.parametrize(("limit_mb", "threads", "code"), [(400, "", 5), (863, "1", 5), (864, "1", 2)])
def test_too_low_a_limit_of_memory_is_said_before_anything_is_loaded(
    limit_mb: int, threads: str, code: int, tmp_path: Path
) -> None:
    """At 400 MB, BLAS asked for its memory for ever while scipy was loaded, and SIGTERM went unheard."""
    ended = subprocess.run(
        [*HEMOMETRIC, "ingest", "nowhere", "--out", "out", "workers=0"],
        cwd=tmp_path,
        env=os.environ | {"OPENBLAS_NUM_THREADS": threads},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit_mb << 20, limit_mb << 20)),
    )
    assert ended.returncode == code, ended.stderr
    says_so = ended.stderr.startswith(f"hemometric: `ulimit -v` allows {limit_mb} MB, and ")
    assert says_so == (code == 5), ended.stderr
    assert ended.stderr.count("\n") == 1


def test_an_argument_that_is_no_text_is_one_sentence() -> None:
    ended = subprocess.run([*HEMOMETRIC, "verify", b"a\xff"], capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr == "hemometric: argument 'a\\udcff' is not UTF-8; rename the file or folder, or link to it\n"


def test_a_config_may_come_from_a_pipe(tmp_path: Path) -> None:
    config = Path(__file__).parents[3] / "configs" / "pretrain" / "laptop.yaml"
    command = f"{' '.join(HEMOMETRIC)} config check <(cat {config})"
    ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["verify", "LONG"],
        ["inspect", "LONG"],
        ["inspect", "c", "--draw", "first", "--out", "d/LONG.png"],
        ["ingest", "LONG", "--out", "o"],
        ["ingest", "a=LONG", "--out", "o"],
        ["ingest", "s", "--out", "LONG"],
        ["ingest", "s", "--out", "o", "--table", "LONG.csv"],
        ["ingest", "s", "--out", "o", "--key=LONG"],
        ["embed", "--model", "m", "--corpus", "LONG", "--out", "o"],
        ["pretrain", "--config", "LONG"],
        ["pretrain", "corpus=LONG", "out=o"],
        ["config", "check", "LONG"],
        ["synthesise", "--out=LONG"],
        ["demo", "--out", "LONG"],
    ],
    ids=" ".join,
)
def test_a_name_that_is_too_long_is_one_sentence(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(lambda: run_words([word.replace("LONG", "x" * 300) for word in words])) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "at most 255 are taken; shorten it" in told or "unknown field 'a'" in told
