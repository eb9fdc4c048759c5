"""How a command begins: words it can read, signals and streams it can live with."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from hemometric.cli.commands import app
from hemometric.cli.ends import guarded
from hemometric.errors import UsageError

_LONG = 63
"""Letters of a word that may be a name longer than file systems take."""


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command line; never returns."""
    _open_closed_streams()
    _spin_briefly()
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    # A batch system's polite end is an interruption like Ctrl-C: what can be saved is saved, the code is 130.
    signal.signal(signal.SIGTERM, _interrupt)
    code = guarded(lambda: _run([word for word in arguments if word != "--debug"]), debug=debug)
    # Whoever reads may have gone (`| head`); at its end the interpreter would stumble over what it cannot flush.
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    sys.exit(code)


def _spin_briefly() -> None:
    """Have torch's threads sleep soon where they wait for each other; read when torch is loaded, later.

    By default they spin for milliseconds. On cores that are shared, with mining or with anyone, that keeps whom they
    wait for from running (see tests/benchmarks/RESULTS.md).
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def _run(arguments: list[str]) -> Any:
    for word in arguments:
        if any("\ud800" <= letter <= "\udfff" for letter in word):
            raise UsageError(f"argument {word!a} is not UTF-8; rename the file or folder, or link to it")
        if len(word) > _LONG and ("=" not in word or word.startswith("-")):  # a field=value is the config's to check
            _check_path(word)
    return app(args=arguments, standalone_mode=False)


def _check_path(word: str) -> None:
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


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt
