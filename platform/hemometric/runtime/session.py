"""One Ray session per command: a private cluster on this machine, or the one that an address names."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hemometric.errors import ClusterError, PrecheckError

OBJECT_STORE_BYTES = 512 * 1024**2
ANSWER_TIMEOUT_S = 10.0
DRIVER_CPUS = 0.1
"""What a driver that only waits asks for; Ray refuses 0 for a trial."""


def needed_cpus(
    *, workers: int, cpus_per_worker: float, concurrent: int = 1, driver: float = 0.0, data: float = 0.0
) -> float:
    """Count the CPUs that a run asks of the cluster: `concurrent` times workers and driver, and Ray Data's share."""
    return concurrent * (workers * cpus_per_worker + driver) + data


def check_cpus(needed: float, available: float, *, advice: str) -> None:
    """Refuse a run that could never be scheduled: Ray itself would wait for ever without a word.

    Raises
    ------
    PrecheckError
        The cluster has fewer CPUs than the run asks for.
    """
    if needed > available + 1e-6:
        raise PrecheckError(f"the run asks for {needed:g} CPUs and the cluster has {available:g}; {advice}")


@contextlib.contextmanager
def session(*, num_cpus: float | None = None, address: str | None = None) -> Iterator[None]:
    """Hold a Ray session: the one that is open, the one at an address, or a new private one on this machine.

    Parameters
    ----------
    num_cpus : float, optional
        CPUs of a new session; all of the machine's when not given. Ignored where a cluster exists.
    address : str, optional
        A running cluster; also taken from ``RAY_ADDRESS``, which Ray sets inside a submitted job.

    Raises
    ------
    ClusterError
        No session could be opened, or nobody answers at the address.
    """
    if "ray" in sys.modules and sys.modules["ray"].is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_TRAIN_V2_ENABLED", "1")
    # Drivers of trials and controllers are many small processes; Ray warns of them from 5 times this number on.
    os.environ.setdefault("RAY_worker_maximum_startup_concurrency", "8")
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    address = address or os.environ.get("RAY_ADDRESS")
    with contextlib.ExitStack() as stack:
        if address is not None:
            _check_answers(address)
        else:
            folder = stack.enter_context(_private_folder())
            stack.enter_context(_token(folder))
        import ray

        _read_token_again()
        # Ray leaves sockets and pipes to the garbage collector; that is no fault of ours to report.
        warnings.filterwarnings("ignore", category=ResourceWarning)
        sigterm = signal.getsignal(signal.SIGTERM)
        try:
            if address is None:
                ray.init(
                    address="local",
                    num_cpus=_whole(num_cpus),
                    object_store_memory=OBJECT_STORE_BYTES,
                    include_dashboard=True,
                    dashboard_host="127.0.0.1",
                    # Below the token: Ray opens its folder to everyone, who could then put another token in place.
                    _temp_dir=str(folder / "r"),
                    logging_level=logging.ERROR,
                    log_to_driver=False,
                )
            else:
                ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False)
        except SystemExit as stop:  # while it starts, Ray answers SIGTERM by ending the process with its number
            raise (KeyboardInterrupt if stop.code == signal.SIGTERM else stop) from None
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            hint = "; is the token right (RAY_AUTH_MODE=token, RAY_AUTH_TOKEN_PATH)?" if address else ""
            raise ClusterError(f"no Ray session could be opened ({type(error).__name__}){hint}") from error
        # Ray takes SIGTERM for itself and would end the driver at once, without a checkpoint and with another code.
        if sigterm is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, sigterm)
        try:
            yield
        finally:
            ray.shutdown()


def _check_answers(address: str) -> None:
    """Refuse an address where nobody listens: Ray would try for minutes, and then end this process by a signal.

    Raises
    ------
    ClusterError
        Nothing answers within `ANSWER_TIMEOUT_S`.
    """
    host, _, port = address.rpartition("//")[2].rpartition(":")
    if not port.isdecimal():  # "auto" and "local": Ray looks for these itself
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_TIMEOUT_S).close()
    except (OSError, OverflowError):
        raise ClusterError(
            f"no Ray cluster answers at {address}; start it, or unset RAY_ADDRESS for a private session on this machine"
        ) from None


def cluster_is_there() -> bool:
    """Whether a session is open already, or an address names a cluster."""
    return bool(os.environ.get("RAY_ADDRESS")) or ("ray" in sys.modules and sys.modules["ray"].is_initialized())


def cluster_cpus() -> float:
    """Count the CPUs of the open session."""
    import ray

    return float(ray.cluster_resources().get("CPU", 0))


def cluster_gpus() -> float:
    """Count the GPUs of the open session."""
    import ray

    return float(ray.cluster_resources().get("GPU", 0))


@contextlib.contextmanager
def _private_folder() -> Iterator[Path]:
    # Short, because Ray puts Unix sockets below it and their paths may have 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="hm-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _token(folder: Path) -> Iterator[None]:
    """Give a private session a token of its own in a file that only this user can read; Ray's own is world-readable."""
    if os.environ.get("RAY_AUTH_MODE") or os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH"):
        yield
        return
    path = folder / "token"
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as handle:
        handle.write(secrets.token_hex(32))
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ["RAY_AUTH_TOKEN_PATH"] = str(path)
    try:
        yield
    finally:
        del os.environ["RAY_AUTH_MODE"], os.environ["RAY_AUTH_TOKEN_PATH"]


def _read_token_again() -> None:
    """Have Ray ask the environment anew: it keeps what it found at its import, or what an earlier session told it."""
    with contextlib.suppress(ImportError, AttributeError):  # its own; a Ray without them may keep nothing
        inner: Any = importlib.import_module("ray._raylet")
        inner.Config.initialize("")
        inner.AuthenticationTokenLoader.instance().reset_cache()


def _whole(num_cpus: float | None) -> int | None:
    return None if num_cpus is None else max(1, int(-(-num_cpus // 1)))
