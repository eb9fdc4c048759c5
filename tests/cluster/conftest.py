"""Ray by topology, and drivers in processes of their own that can be killed.

`two_cpus` is one Ray session of two CPUs that all tests share, and that drivers of other processes can join with
`joined`: as a cluster, it outlives them. A driver without that environment starts a private session of its own.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def hear_interrupts() -> None:
    """Undo what a shell does to whatever it starts in the background: its children would never hear of Ctrl-C."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Driver:
    """One command in a process group of its own, its output in a file.

    Everything that descends from it is remembered, so that a test that kills it leaves nothing behind.
    """

    def __init__(self, words: list[str], log: Path, env: Mapping[str, str], folder: Path) -> None:
        self._log = log
        with log.open("wb") as handle:
            self._process = subprocess.Popen(
                words,
                stdout=handle,
                stderr=subprocess.STDOUT,
                env=dict(env),
                cwd=folder,
                start_new_session=True,
                preexec_fn=hear_interrupts,
            )
        self.pid = self._process.pid
        self._known: set[tuple[int, str]] = set()

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def until(self, condition: Callable[[], Any], what: str, timeout_s: float = 90.0) -> Any:
        """Poll until a condition holds while the command runs."""
        deadline = time.monotonic() + timeout_s
        while True:
            found = condition()
            if found:
                return found
            assert self.running, f"ended with {self._process.returncode} before {what}:\n{self.output[-3000:]}"
            assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what}\n{self.output[-3000:]}"
            time.sleep(0.01)

    def wait(self, timeout_s: float = 150.0) -> int:
        """Wait for its end and give the exit code."""
        self._remember()
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {timeout_s:g} s:\n{self.output[-3000:]}") from None

    def finish(self, timeout_s: float = 150.0) -> str:
        """Wait for success and give the output."""
        code = self.wait(timeout_s)
        assert code == 0, f"exit code {code}:\n{self.output[-3000:]}"
        return self.output

    def kill(self) -> None:
        """Kill the command itself without warning; what it started learns of it by itself, or not."""
        self._remember()
        assert self.running, f"it ended before it could be killed:\n{self.output[-3000:]}"
        os.kill(self.pid, signal.SIGKILL)
        self._process.wait()

    def interrupt(self, number: signal.Signals, *, group: bool = False) -> None:
        """Send a signal, as `kill` does, or to the whole group, as a terminal's Ctrl-C does."""
        self._remember()
        if group:
            os.killpg(self.pid, number)
        else:
            os.kill(self.pid, number)

    def clean(self) -> None:
        """Kill whatever is left of it, by process ids that were seen to be its own."""
        self._remember()
        if self.running:
            os.kill(self.pid, signal.SIGKILL)
            self._process.wait()
        for pid, began in self._known:
            if _stat(pid)[1] == began:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def _remember(self) -> None:
        parents = {pid: _stat(pid) for pid in (int(path.name) for path in Path("/proc").glob("[0-9]*"))}
        found = {self.pid}
        while True:
            more = {pid for pid, (parent, _) in parents.items() if parent in found} - found
            if not more:
                break
            found |= more
        self._known |= {(pid, parents[pid][1]) for pid in found - {self.pid} if pid in parents}


def _stat(pid: int) -> tuple[int, str]:
    """Parent and start time of a process; what is not there has neither."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return 0, ""
    return int(fields[1]), fields[19]


def private_env(folder: Path) -> dict[str, str]:
    """Give the environment of a command that knows of no cluster and puts its session below a folder."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return env | {"TMPDIR": str(folder), "RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1"}


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder with a path short enough for Ray's Unix sockets."""
    folder = Path(tempfile.mkdtemp(prefix="hmt-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def start(tmp_path: Path, short_folder: Path) -> Iterator[Callable[..., Driver]]:
    """Start ``python WORDS…`` by itself, or joined to a running session by its environment; all are gone afterwards."""
    drivers: list[Driver] = []

    def begin(*words: str, env: Mapping[str, str] | None = None) -> Driver:
        log = tmp_path / f"driver-{len(drivers)}.log"
        drivers.append(Driver([sys.executable, *words], log, private_env(short_folder) | dict(env or {}), ROOT))
        return drivers[-1]

    yield begin
    for driver in drivers:
        driver.clean()


@pytest.fixture(scope="session")
def two_cpus() -> Iterator[dict[str, str]]:
    """One Ray session of two CPUs in this process; the value is the environment with which other processes join it."""
    from hemometric.runtime.session import session

    with session(num_cpus=2):
        import ray

        address = ray.get_runtime_context().gcs_address
        yield {
            "RAY_ADDRESS": address,
            "RAY_AUTH_MODE": os.environ["RAY_AUTH_MODE"],
            "RAY_AUTH_TOKEN_PATH": os.environ["RAY_AUTH_TOKEN_PATH"],
        }


@pytest.fixture
def config_file(tmp_path: Path) -> Callable[[Any], str]:
    """Write a config as the YAML file that a command reads."""
    from hemometric.config import dump

    def write(config: Any) -> str:
        path = tmp_path / f"{config.job}.yaml"
        path.write_text(dump(config), encoding="utf-8")
        return str(path)

    return write
