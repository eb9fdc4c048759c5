"""Send a job to a running Ray cluster through its Jobs API, follow its log, and give back how it ended."""

from __future__ import annotations

import hashlib
import ipaddress
import os
import re
import shlex
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from hemometric.config import dump
from hemometric.config.base import Config
from hemometric.errors import ClusterError, HemometricError, PrivacyError, UsageError
from hemometric.runs.base import relative_paths

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

_ENDED = {"SUCCEEDED", "FAILED", "STOPPED"}


def submit(
    job: str,
    config: Config,
    *,
    address: str,
    follow: bool = True,
    say: Callable[[str], None] = print,
    poll_s: float = 1.0,
) -> str:
    """Submit one job and, with `follow`, wait for its end.

    The cluster's machines must hold the package (the image of cluster/Dockerfile, or cluster/vms.yaml); only the
    resolved config travels, so nothing is installed and nothing fetched. Paths in it are those of the cluster.
    The same config submitted again goes on where the first one stopped, since a run is its `out` folder.

    Returns
    -------
    str
        The submission id.

    Raises
    ------
    UsageError
        A path of the config is relative: the job runs in a folder of its own.
    PrivacyError
        The address is not this machine and no token is set.
    ClusterError
        The cluster does not answer, refuses the token, or the job failed on it.
    """
    if relative := relative_paths(config):
        listed = " ".join(f"{field}={example}" for field, example in relative.items())
        raise UsageError(f"a submitted job needs whole paths, as the cluster's machines see them; give {listed}")
    address = _checked(address)
    with tempfile.TemporaryDirectory(prefix="hm-job-") as folder:
        # The config travels as a file: a command line is visible to every user of the machine.
        Path(folder, "config.yaml").write_text(dump(config), encoding="utf-8")
        client = _client(address)
        submission_id = _submission_id(job, config)
        entrypoint = shlex.join(["python", "-m", "hemometric.cli", job, "--config", "config.yaml"])
        try:
            client.submit_job(
                entrypoint=entrypoint,
                submission_id=submission_id,
                runtime_env={"working_dir": folder},
                metadata={"job": job},
            )
        except (RuntimeError, ConnectionError, OSError) as error:
            raise ClusterError(f"{address} did not take the job: {_first_line(error)}") from None
    say(f"submitted {submission_id} to {address}")
    if follow:
        wait(client, submission_id, say=say, poll_s=poll_s)
    return submission_id


def wait(client: JobSubmissionClient, submission_id: str, *, say: Callable[[str], None], poll_s: float = 1.0) -> None:
    """Follow a job's log until it ends.

    Raises
    ------
    ClusterError
        It failed, was stopped, or the cluster stopped answering.
    """
    shown, silent = 0, 0
    while True:
        try:
            status = str(client.get_job_status(submission_id).value)
            text = client.get_job_logs(submission_id)
            silent = 0
        except (RuntimeError, ConnectionError, OSError):
            silent += 1
            if silent > 30:
                raise ClusterError(
                    f"the cluster stopped answering; the job {submission_id} may still run there"
                ) from None
            time.sleep(poll_s)
            continue
        complete = len(text) if status in _ENDED else text.rfind("\n") + 1
        for line in text[shown:complete].splitlines():
            say(line)
        shown = max(shown, complete)
        if status in _ENDED:
            break
        time.sleep(poll_s)
    if status != "SUCCEEDED":
        message = client.get_job_info(submission_id).message or ""
        raise _failure(submission_id, status, message)
    say(f"{submission_id} succeeded")


def _failure(submission_id: str, status: str, message: str) -> HemometricError:
    found = re.search(r"exit code (\d+)", message)
    code = int(found[1]) if found else 0
    by_code = {kind.exit_code: kind for kind in _all_kinds(HemometricError)}
    kind = by_code.get(code, ClusterError)
    return kind(f"job {submission_id} {status.lower()} on the cluster (its log is above); submit it again to go on")


def _all_kinds(base: type[HemometricError]) -> list[type[HemometricError]]:
    return [found for kind in base.__subclasses__() for found in (kind, *_all_kinds(kind))]


def _checked(address: str) -> str:
    parts = urlsplit(address if "//" in address else f"http://{address}")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"address {address!r}: give the cluster's dashboard, such as http://127.0.0.1:8265")
    has_token = bool(os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH"))
    if not has_token and not _is_loopback(parts.hostname):
        raise PrivacyError(
            f"{parts.hostname} is another machine and no token is set; a cluster without a token runs anyone's code: "
            "set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH=<file>"
        )
    path = os.environ.get("RAY_AUTH_TOKEN_PATH")
    if path:
        token = Path(path)
        if not token.is_file():
            raise UsageError(f"RAY_AUTH_TOKEN_PATH: {path} does not exist")
        if token.stat().st_mode & 0o077:
            raise PrivacyError(f"RAY_AUTH_TOKEN_PATH: {path} can be read by others; run: chmod 600 {path}")
    if has_token:
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    return parts.geturl()


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _client(address: str) -> JobSubmissionClient:
    from ray.exceptions import AuthenticationError
    from ray.job_submission import JobSubmissionClient

    try:
        return JobSubmissionClient(address)
    except AuthenticationError:
        raise ClusterError(
            f"{address} refuses our token; set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH=<file with the cluster's>"
        ) from None
    except (ConnectionError, RuntimeError, OSError) as error:
        raise ClusterError(
            f"{address} does not answer or refuses us ({_first_line(error)}); is the cluster up, and is the token "
            "right (RAY_AUTH_MODE=token, RAY_AUTH_TOKEN_PATH)?"
        ) from None


def _submission_id(job: str, config: Config) -> str:
    unique = f"{dump(config)}{time.time_ns()}{os.getpid()}"
    return f"hemometric-{job}-{hashlib.sha256(unique.encode()).hexdigest()[:10]}"


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
