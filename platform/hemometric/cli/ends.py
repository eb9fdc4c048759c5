"""How a command ends: one sentence on stderr, and an exit code."""

from __future__ import annotations

import errno
import io
import sys
from collections.abc import Callable
from typing import Any

from hemometric.errors import HemometricError, UsageError

INTERRUPTED = 130
_NO_MEMORY = "no memory left; take fewer workers, or, in training, smaller batches or a smaller model"
_NO_MEMORY_TEXTS = (
    "can't allocate memory",
    "Cannot allocate memory",
    "failed to map segment from shared object",
    "can't start new thread",
)
"""How torch, the system, the loader of libraries and the one of threads say it, each by an error of another type."""


def guarded(
    action: Callable[[], Any], *, debug: bool = False, is_interrupted: Callable[[], bool] = lambda: False
) -> int:
    """Run an action and turn its end into an exit code, its error into one sentence on stderr.

    Parameters
    ----------
    is_interrupted : callable
        Whether a signal came: while a library is loaded, an interruption may end in another error of it.
    """
    try:
        result = action()
    except HemometricError as error:
        return _report(error, str(error), error.exit_code, debug)
    except KeyboardInterrupt as error:
        return _interrupted(error, debug)
    except Exception as error:  # noqa: BLE001 - the last resort of a command line
        import typer  # here, as it takes long to load, and until `action` runs nobody answers signals

        if isinstance(error, typer.Abort) or is_interrupted():
            return _interrupted(error, debug)
        if not isinstance(error, typer.Exit):
            sentence, code = _told(error)
            return _report(error, sentence, code, debug)
        result = error.exit_code
    # Typer makes an exit of Ctrl-C, and gives an exit back as a number.
    return _interrupted(KeyboardInterrupt(), debug) if result == INTERRUPTED else int(result or 0)


def _told(error: Exception) -> tuple[str, int]:
    """Say what an error means in one sentence, and its exit code."""
    if _is_no_memory(error):
        return _NO_MEMORY, 5
    if isinstance(error, OSError):
        # What reads and writes names its own files; here a name could be a patient's, so only --debug shows it.
        reason = error.strerror or type(error).__name__
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return f"no room left on the disk ({reason}); free some", 5
        return f"a file or folder cannot be used ({reason}); --debug says which", 2
    if hasattr(error, "format_message") and hasattr(error, "exit_code"):  # click's own usage errors
        return f"{error.format_message().rstrip('.')} (see --help)", UsageError.exit_code
    return f"unexpected {type(error).__name__}; run again with --debug to see where", 1


def _is_no_memory(error: Exception) -> bool:
    """Whether memory ran out, whoever says it; numpy's and pyarrow's errors of it are `MemoryError`s."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # the latter is torch's, on a GPU
        return True
    return any(text in str(error) for text in _NO_MEMORY_TEXTS)


def say(line: str) -> None:
    """Print a line of a command's result; whoever stopped reading has heard enough."""
    try:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    except (OSError, ValueError):
        sys.stdout = io.StringIO()


def _interrupted(error: BaseException, debug: bool) -> int:
    return _report(error, "interrupted; the same command goes on where it stopped", INTERRUPTED, debug)


def _report(error: BaseException, sentence: str, code: int, debug: bool) -> int:
    try:
        if debug:
            import traceback

            traceback.print_exception(error)
        sys.stderr.write(f"hemometric: {' '.join(sentence.split())}\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        pass  # nobody hears it; the code says it too
    return code
