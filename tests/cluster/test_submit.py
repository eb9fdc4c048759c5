"""Submitting to a real head with a token: the laptop's two-node cluster, through the command line."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from hemometric.encoders import load

pytestmark = pytest.mark.timeout(300)
SCRIPT = Path(__file__).parents[2] / "cluster" / "laptop.sh"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Laptop:
    """The two-node cluster of ``cluster/laptop.sh`` in a folder and on ports of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.dashboard = free_port()
        self.address = f"http://127.0.0.1:{self.dashboard}"
        self.env = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        self.env |= {"HEMOMETRIC_CLUSTER_HOME": str(home), "HEMOMETRIC_DASHBOARD_PORT": str(self.dashboard)}
        self.env |= {"HEMOMETRIC_PORT": str(free_port()), "HEMOMETRIC_CPUS_PER_NODE": "1"}

    def __call__(self, verb: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", str(SCRIPT), verb],
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def token_env(self, path: Path | None = None) -> dict[str, str]:
        return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(path or self.home / "token")}

    def processes(self) -> list[str]:
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if str(self.home) in words:
                found.append(words)
        return found


@pytest.fixture(scope="module")
def laptop() -> Iterator[Laptop]:
    """Two nodes of one CPU each, with a token."""
    import tempfile

    home = Path(tempfile.mkdtemp(prefix="hmc-"))
    cluster = Laptop(home)
    started = cluster("start")
    try:
        assert started.returncode == 0, started.stderr
        assert "Two nodes with 1 CPUs each are up" in started.stdout
        yield cluster
    finally:
        stopped = cluster("stop")
        shutil.rmtree(home, ignore_errors=True)
    assert stopped.returncode == 0
    assert cluster.processes() == []


def submitted(start: Any, *words: str, env: Mapping[str, str]) -> tuple[int, str]:
    driver = start("-m", "hemometric.cli", "submit", *words, env=env)
    return driver.wait(), driver.output


def test_a_job_runs_on_the_cluster_and_leaves_its_model(
    line: Any, laptop: Laptop, tmp_path: Path, start: Any, config_file: Any
) -> None:
    config = config_file(line.pretrain(tmp_path / "run", cpus_per_worker=1))
    words = ["pretrain", "--config", config, "--address", laptop.address]
    code, output = submitted(start, *words, env=laptop.token_env())
    assert code == 0, output
    assert "submitted hemometric-pretrain-" in output
    assert f"model: {tmp_path / 'run' / 'model'}" in output, "the job's own log is followed"
    assert "succeeded" in output
    load(tmp_path / "run" / "model")
    secret = (laptop.home / "token").read_text()
    assert secret not in output
    assert all(secret not in words for words in laptop.processes())


def test_a_failed_job_ends_the_command_as_the_job_ended(
    line: Any, laptop: Laptop, tmp_path: Path, start: Any, config_file: Any
) -> None:
    config = config_file(line.pretrain(tmp_path / "run", corpus=tmp_path / "nowhere"))
    code, output = submitted(start, "pretrain", "--config", config, "--address", laptop.address, env=laptop.token_env())
    assert code == 2, output
    assert "nowhere" in output
    assert "failed on the cluster" in output
    assert "Traceback" not in output


def test_a_wrong_token_is_named(line: Any, laptop: Laptop, tmp_path: Path, start: Any, config_file: Any) -> None:
    wrong = tmp_path / "wrong"
    wrong.touch(mode=0o600)
    wrong.write_text("0" * 64)
    config = config_file(line.pretrain(tmp_path / "run"))
    words = ["pretrain", "--config", config, "--address", laptop.address]
    for env in (laptop.token_env(wrong), {}):
        code, output = submitted(start, *words, env=env)
        assert code == 6, output
        assert "token" in output
        assert "Traceback" not in output
    assert not (tmp_path / "run").exists()


def test_status_shows_both_nodes_and_a_second_start_is_refused(laptop: Laptop) -> None:
    status = laptop("status")
    assert status.returncode == 0, status.stderr
    assert status.stdout.count("node_") == 2
    assert "/2.0 CPU" in status.stdout
    again = laptop("start")
    assert again.returncode == 5
    assert "already there" in again.stderr
    assert oct((laptop.home / "token").stat().st_mode & 0o777) == "0o600"


def test_a_folder_with_other_files_is_neither_used_nor_removed(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("precious")
    cluster = Laptop(tmp_path)
    assert cluster("start").returncode == 5
    assert cluster("stop").returncode == 0
    assert (tmp_path / "theirs").read_text() == "precious"


@pytest.mark.parametrize("address", ["http://192.0.2.1:8265", "head.example.org:8265"])
def test_another_machine_without_a_token_is_refused(
    line: Any, tmp_path: Path, start: Any, config_file: Any, address: str
) -> None:
    config = config_file(line.pretrain(tmp_path / "run"))
    code, output = submitted(start, "pretrain", "--config", config, "--address", address, env={})
    assert code == 8, output
    assert "no token is set" in output


def test_a_token_that_others_can_read_is_refused(line: Any, tmp_path: Path, start: Any, config_file: Any) -> None:
    token = tmp_path / "token"
    token.touch(mode=0o644)
    token.write_text("0" * 64)
    config = config_file(line.pretrain(tmp_path / "run"))
    env = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
    code, output = submitted(start, "pretrain", "--config", config, "--address", "http://192.0.2.1:8265", env=env)
    assert code == 8, output
    assert "chmod 600" in output
    assert "0" * 64 not in output
