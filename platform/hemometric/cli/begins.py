"""How a command begins: words it can read, signals and streams it can live with.

Until `main` runs nobody answers signals, so whatever takes long to load is loaded later.
"""

from __future__ import annotations

import io
import os
import resource
import signal
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from hemometric.cli.ends import guarded
from hemometric.errors import PrecheckError, UsageError

_LONG = 63
"""Letters of a word that may be a name longer than file systems take."""

_LIBRARIES_MB, _THREAD_MB, _MAX_THREADS = 768, 96, 64
"""Addresses that loading numpy, scipy and pyarrow takes, measured, with room for some work; each thread of BLAS takes
more, twice, as numpy and scipy have a copy each."""


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command line; never returns."""
    heard = _listen()
    _open_closed_streams()
    _spin_briefly()
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    words = [word for word in arguments if word != "--debug"]
    code = guarded(lambda: _run(words), debug=debug, is_interrupted=lambda: bool(heard))
    # Whoever reads may have gone (`| head`); at its end the interpreter would stumble over what it cannot flush.
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    sys.exit(code)


def _listen() -> list[int]:
    """Answer signals by an interruption; give the list of those that came.

    A batch system's polite end is an interruption like Ctrl-C: what can be saved is saved, the code is 130.
    """
    heard: list[int] = []

    def interrupt(number: int, _: object) -> NoReturn:
        heard.append(number)
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # what runs in the background hears no Ctrl-C
        signal.signal(signal.SIGINT, interrupt)
    return heard


def _check_addresses() -> None:
    """Refuse a limit of addresses in which BLAS, while it is loaded, would ask for room for ever, deaf to signals."""
    allowed = resource.getrlimit(resource.RLIMIT_AS)[0]
    if allowed == resource.RLIM_INFINITY:
        return
    asked_for = os.environ.get("OPENBLAS_NUM_THREADS", "")
    num_threads = min(len(os.sched_getaffinity(0)), int(asked_for) if asked_for.isdecimal() else _MAX_THREADS)
    needed_mb = _LIBRARIES_MB + _THREAD_MB * num_threads
    if allowed >> 20 < needed_mb:
        raise PrecheckError(
            f"`ulimit -v` allows {allowed >> 20} MB, and {needed_mb} MB are needed to begin; raise it, or set "
            "OPENBLAS_NUM_THREADS=1 to need less"
        )


def _spin_briefly() -> None:
    """Have torch's threads sleep soon where they wait for each other; read when torch is loaded, later.

    By default they spin for milliseconds. On cores that are shared, with mining or with anyone, that keeps whom they
    wait for from running (see tests/benchmarks/RESULTS.md).
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def _run(arguments: list[str]) -> Any:
    _check_addresses()
    for word in arguments:
        if any("\ud800" <= letter <= "\udfff" for letter in word):
            raise UsageError(f"argument {word!a} is not UTF-8; rename the file or folder, or link to it")
        if len(word) > _LONG and ("=" not in word or word.startswith("-")):  # a field=value is the config's to check
            _check_path(word)
    from hemometric.cli.commands import app

    return app(args=arguments, standalone_mode=False)


def _check_path(word: str) -> None:
    from pathlib import Path

    from hemometric.config import check_names

    option, _, value = word.partition("=") if word.startswith("-") else ("", "", word)
    try:
        check_names(Path(value))
    except ValueError as error:
        raise UsageError(f"argument {option or word[:_LONG]!r}: {error}") from None


def _open_closed_streams() -> None:
    """Give a process that was started without streams (``2>&-``) some that keep what they get to themselves."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, io.StringIO())
