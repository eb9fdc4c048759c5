"""From what Ray raises to the one sentence and exit code that a person gets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from hemometric.errors import ClusterError, HemometricError

T = TypeVar("T")
_NO_MEMORY = "a worker ran out of memory; take fewer workers or smaller batches, and the same command goes on"


def unwrapped(result: T | HemometricError) -> T:
    """Raise an error of ours that travelled as a value; give anything else as it is."""
    if isinstance(result, HemometricError):
        raise result
    return result


def translated(error: BaseException) -> HemometricError:
    """Find our own error inside one of Ray's; whatever else went wrong is the cluster's, and can be resumed."""
    seen: set[int] = set()
    waiting, is_no_memory = [error], False
    while waiting:
        found = waiting.pop()
        if id(found) in seen:
            continue
        seen.add(id(found))
        if isinstance(found, HemometricError):
            return found
        is_no_memory = is_no_memory or isinstance(found, MemoryError)
        waiting.extend(_inside(found))
    if is_no_memory:
        return ClusterError(_NO_MEMORY)
    return ClusterError(
        f"the cluster gave up ({type(error).__name__}: {_first_line(error)}); the same command goes on where it stopped"
    )


def _inside(error: BaseException) -> Iterator[BaseException]:
    """What Ray wraps: causes, a task's own error, each worker's, the controller's."""
    failures = getattr(error, "worker_failures", None)
    candidates = [error.__cause__, error.__context__]
    candidates += [getattr(error, name, None) for name in ("cause", "_base_exc", "controller_failure")]
    candidates += list(failures.values()) if isinstance(failures, dict) else []
    yield from (found for found in candidates if isinstance(found, BaseException))


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:200] if lines else "no message"
