"""How a command begins and ends: signals and streams it can live with, one sentence on stderr, an exit code."""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import typer

from hemometric.errors import HemometricError, UsageError

INTERRUPTED = 130
_LONG = 63
"""Letters of a word that may be a name longer than file systems take."""
_NO_MEMORY = "no memory left; take smaller batches, a smaller model or fewer workers"


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


def guarded(action: Callable[[], Any], *, debug: bool = False) -> int:
    """Run an action and turn its end into an exit code, its error into one sentence on stderr."""
    try:
        result = action()
    except HemometricError as error:
        return _report(error, str(error), error.exit_code, debug)
    except typer.Exit as stop:
        result = int(stop.exit_code)
    except (typer.Abort, KeyboardInterrupt) as error:
        return _interrupted(error, debug)
    except MemoryError as error:
        return _report(error, _NO_MEMORY, 5, debug)
    except OSError as error:
        # What reads and writes names its own files; here a name could be a patient's, so only --debug shows it.
        reason = error.strerror or type(error).__name__
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return _report(error, f"no room left on the disk ({reason}); free some", 5, debug)
        return _report(error, f"a file or folder cannot be used ({reason}); --debug says which", 2, debug)
    except Exception as error:  # noqa: BLE001 - the last resort of a command line
        if hasattr(error, "format_message") and hasattr(error, "exit_code"):  # click's own usage errors
            return _report(error, f"{error.format_message().rstrip('.')} (see --help)", UsageError.exit_code, debug)
        # Torch has errors of its own for this, by type on a GPU and by text on a CPU.
        if type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error):
            return _report(error, _NO_MEMORY, 5, debug)
        return _report(error, f"unexpected {type(error).__name__}; run again with --debug to see where", 1, debug)
    # Typer makes an exit of Ctrl-C, and gives an exit back as a number.
    return _interrupted(KeyboardInterrupt(), debug) if result == INTERRUPTED else int(result or 0)


def say(line: str) -> None:
    """Print a line of a command's result; whoever stopped reading has heard enough."""
    try:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    except (OSError, ValueError):
        sys.stdout = io.StringIO()


def _run(arguments: list[str]) -> Any:
    from hemometric.cli.commands import app

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


def _interrupted(error: BaseException, debug: bool) -> int:
    return _report(error, "interrupted; the same command goes on where it stopped", INTERRUPTED, debug)


def _report(error: BaseException, sentence: str, code: int, debug: bool) -> int:
    try:
        if debug:
            traceback.print_exception(error)
        sys.stderr.write(f"hemometric: {' '.join(sentence.split())}\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        pass  # nobody hears it; the code says it too
    return code
