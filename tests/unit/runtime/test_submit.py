"""Where a job may be sent, with which token, and how its end becomes an exit code: without a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hemometric.config import decode
from hemometric.errors import ClusterError, InterruptedRunError, PrecheckError, PrivacyError, UsageError
from hemometric.runs.base import relative_paths
from hemometric.runs.ingest import IngestRun
from hemometric.runs.pretrain import PretrainRun
from hemometric.runtime import submit as module
from hemometric.runtime.submit import submit, wait

CONFIG = decode(PretrainRun, {"corpus": "/data/c", "out": "/data/o"})


@pytest.fixture(autouse=True)
def no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    made = Client()
    monkeypatch.setattr(module, "_client", lambda address: made)
    return made


class Client:
    """As much of Ray's job client as is used."""

    def __init__(self) -> None:
        self.states: list[tuple[str, str] | Exception] = [("SUCCEEDED", "done\n")]
        self.message = ""
        self.submitted: dict[str, Any] = {}
        self.config = ""

    def submit_job(self, **given: Any) -> None:
        self.submitted = given
        self.config = Path(given["runtime_env"]["working_dir"], "config.yaml").read_text()

    def _state(self) -> tuple[str, str]:
        state = self.states[0]
        if isinstance(state, Exception):
            self.states.pop(0)
            raise state
        return state

    def get_job_status(self, _: str) -> Any:
        return type("Status", (), {"value": self._state()[0]})

    def get_job_logs(self, _: str) -> str:
        text = self._state()[1]
        if len(self.states) > 1:
            self.states.pop(0)
        return text

    def get_job_info(self, _: str) -> Any:
        return type("Info", (), {"message": self.message})


def send(address: str) -> list[str]:
    said: list[str] = []
    submit("pretrain", CONFIG, address=address, say=said.append, poll_s=0)
    return said


@pytest.mark.parametrize("address", ["ftp://host", "http://", "", "http://:8265"])
def test_what_is_no_address_is_refused(address: str, client: Client) -> None:
    with pytest.raises(UsageError, match=r"give the cluster's dashboard, such as http://127.0.0.1:8265"):
        send(address)


@pytest.mark.parametrize(
    "address", ["http://10.0.0.5:8265", "head:8265", "https://cluster.example", "http://[2001::1]:1"]
)
def test_another_machine_without_a_token_is_refused(address: str, client: Client) -> None:
    with pytest.raises(PrivacyError, match="is another machine and no token is set") as caught:
        send(address)
    assert caught.value.exit_code == 8
    assert client.submitted == {}


@pytest.mark.parametrize("address", ["http://127.0.0.1:8265", "localhost:8265", "http://[::1]:8265", "127.9.9.9:1"])
def test_this_machine_needs_no_token(address: str, client: Client) -> None:
    assert send(address)[-1].endswith("succeeded")


def test_a_token_opens_another_machine_if_only_we_can_read_it(
    tmp_path: Path, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tmp_path / "token"
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(token))
    with pytest.raises(UsageError, match=r"RAY_AUTH_TOKEN_PATH: .* does not exist"):
        send("http://10.0.0.5:8265")
    token.write_text("secret")
    token.chmod(0o644)
    with pytest.raises(PrivacyError, match=r"can be read by others; run: chmod 600 ") as caught:
        send("http://10.0.0.5:8265")
    assert "secret" not in str(caught.value)
    token.chmod(0o600)
    said = send("http://10.0.0.5:8265")
    assert module.os.environ["RAY_AUTH_MODE"] == "token"
    assert "secret" not in repr(client.submitted) + "".join(said)


def test_only_the_config_travels_and_not_on_the_command_line(client: Client) -> None:
    said = send("http://127.0.0.1:8265")
    assert client.submitted["entrypoint"] == "python -m hemometric.cli pretrain --config config.yaml"
    assert set(client.submitted["runtime_env"]) == {"working_dir"}
    assert "corpus: /data/c" in client.config
    assert not Path(client.submitted["runtime_env"]["working_dir"]).exists(), "nothing is left behind"
    assert said[0] == f"submitted {client.submitted['submission_id']} to http://127.0.0.1:8265"


def test_the_log_is_followed_line_by_line(client: Client) -> None:
    client.states = [
        ("PENDING", ""),
        ("RUNNING", "one\ntw"),
        ConnectionError("for a moment"),
        ("RUNNING", "one\ntwo\nthr"),
        ("SUCCEEDED", "one\ntwo\nthree"),
    ]
    said: list[str] = []
    wait(client, "job", say=said.append, poll_s=0)  # type: ignore[arg-type]
    assert said == ["one", "two", "three", "job succeeded"]


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        (
            "Job entrypoint command failed with exit code 2, last available logs (truncated to 20,000 chars):",
            UsageError,
        ),
        ("Job entrypoint command failed with exit code 5, last available logs:\nstep 130 of 200", PrecheckError),
        ("exit code 5.", PrecheckError),
        ("exit code 130", InterruptedRunError),
        ("exit code 77", ClusterError),
        ("", ClusterError),
    ],
)
def test_the_exit_code_of_the_job_is_ours(client: Client, message: str, kind: type[Exception]) -> None:
    client.states, client.message = [("FAILED", "bad\n")], message
    with pytest.raises(kind, match="failed on the cluster"):
        wait(client, "hemometric-pretrain-1a2b", say=lambda _: None, poll_s=0)  # type: ignore[arg-type]


def test_a_cluster_that_falls_silent_is_said(client: Client) -> None:
    client.states = [ConnectionError("gone") for _ in range(40)]
    with pytest.raises(ClusterError, match="stopped answering; the job job may still run there"):
        wait(client, "job", say=lambda _: None, poll_s=0)  # type: ignore[arg-type]


def test_relative_paths_are_refused_before_anything_is_sent(client: Client) -> None:
    db = {"kind": "mlflow", "uri": "sqlite:///m.db"}
    config = decode(PretrainRun, {"corpus": "c", "out": "/data/o", "cache": "fast/cache", "tracking": db})
    with pytest.raises(
        UsageError, match=r"give corpus=/…/c cache=/…/fast/cache tracking.uri=sqlite:////…/m.db$"
    ) as caught:
        submit("pretrain", config, address="http://127.0.0.1:8265", say=lambda _: None)
    assert caught.value.exit_code == 2
    assert client.submitted == {}


def test_paths_in_lists_and_below_are_found() -> None:
    config = decode(
        IngestRun, {"sources": ["/a", "b"], "out": "/o", "ingest": {"table": {"kind": "ptbxl", "path": "t"}}}
    )
    assert relative_paths(config) == {"sources.1": "/…/b", "ingest.table.path": "/…/t"}
