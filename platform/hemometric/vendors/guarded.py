"""Reading in a process that may be killed: a file that makes a parser loop, swell or crash costs itself only.

The child is a fresh interpreter, not one of `multiprocessing`, which would run the user's main module again. It lives
as long as the process that asked for it, and serves one file after the other, for one who asks at a time.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from pydantic import Field

from hemometric.config import Config
from hemometric.ecg import Recording, Rejected
from hemometric.errors import IntegrityError, PrecheckError
from hemometric.vendors.formats_config import FormatsConfig
from hemometric.vendors.registry import read_all, vendor_of
from hemometric.vendors.source import ReadError, Source, Vendor

SERVE = "from hemometric.vendors.guarded import serve; serve({})"
"""What the child runs, with the number of its end of the connection."""

_MAX_DEATHS_A_FILE = 2
_MAX_STARTS, _START_S, _END_S = 3, 120.0, 10.0


class GuardConfig(Config):
    """What one ECG may cost; beyond it the ECG is refused, and its neighbours are read as if nothing had happened.

    Attributes
    ----------
    enabled : bool
        False reads in the process itself: easier to debug, and nothing is limited.
    cpu_s : float
        Processor time for one ECG; beyond, ``timed_out``.
    wall_s : float
        Waiting included, as for a network drive that hangs; beyond, ``timed_out``.
    memory_mb : int
        Memory beyond what the reader needs for itself; beyond, ``too_large``.
    """

    enabled: bool = True
    cpu_s: float = Field(5.0, gt=0)
    wall_s: float = Field(120.0, gt=0)
    memory_mb: int = Field(1024, ge=128)


def read_guarded(
    sources: Sequence[Source], formats: FormatsConfig, guard: GuardConfig
) -> Iterator[Recording | Rejected]:
    """Read records in their order, as `registry.read_all` does, each within the limits.

    Yields
    ------
    Recording or Rejected
        Beside the reasons of the readers: ``timed_out``, ``too_large``, and ``crashed`` where the reader died.

    Raises
    ------
    PrecheckError
        No reader can be started: that is no file's fault.
    IntegrityError
        A reader answered for another recording.
    """
    if not guard.enabled:
        yield from read_all(sources, formats.build())
        return
    start, deaths = 0, 0
    while start < len(sources):
        try:
            for found in _ask(formats, guard, "read", sources[start:], len(sources) - start):
                if found.key != sources[start].key:
                    raise _wrong_answer()
                yield found
                start += 1
        except ReadError as error:
            death = error
        else:
            return
        path, deaths = sources[start].path, deaths + 1
        yield Rejected(sources[start].key, death.reason, death.detail)
        start += 1
        if deaths % _MAX_DEATHS_A_FILE == 0:  # the other ECGs of such a file would end the same way
            while start < len(sources) and sources[start].path == path:
                yield Rejected(sources[start].key, death.reason, death.detail)
                start += 1


def guarded_vendors(formats: FormatsConfig, guard: GuardConfig) -> tuple[Vendor, ...]:
    """Give the readers of `formats`, those that list the ECGs of a file doing so within the limits too."""

    def within(vendor: Vendor) -> Vendor:
        def items(path: Path) -> tuple[str, ...]:
            found: tuple[str, ...]
            (found,) = _ask(formats, guard, "items", (vendor.name, path), 1)
            return found

        return vendor if vendor.items is None else replace(vendor, items=items)

    vendors = formats.build()
    return tuple(map(within, vendors)) if guard.enabled else vendors


class _Child:
    """One reading process, which may be asked.

    Raises
    ------
    OSError, EOFError
        It did not come so far.
    """

    def __init__(self, formats: FormatsConfig, guard: GuardConfig) -> None:
        self.asked_by = os.getpid()
        self.formats, self.guard = formats, guard
        self._num_asked = 0
        ours, theirs = socket.socketpair()
        self._connection = Connection(ours.detach())
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and words
                [sys.executable, "-c", SERVE.format(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # what a library prints of a file may name a patient
                # A thread of BLAS for each core, none of which a reader needs, would be most of its memory.
                env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OPENBLAS_NUM_THREADS": "1"},
            )
        # Whoever drops it, at the interpreter's end too, ends it: it may hang in a file.
        self.end = weakref.finalize(self, _end, self.asked_by, self._connection, self._process)
        try:
            self._begin()
        except BaseException:
            self.end()
            raise

    def _begin(self) -> None:
        self._connection.send((self.formats.model_dump_json(), self.guard.model_dump_json()))
        if not self._connection.poll(_START_S):
            raise TimeoutError
        self._connection.recv()

    @property
    def is_ready(self) -> bool:
        """Whether it may be asked: alive, and by the process that started it."""
        return self.asked_by == os.getpid() and self._process.poll() is None

    def ask(self, what: str, asked: object, num_answers: int) -> Iterator[Any]:
        """Give the answers to one question; `ReadError` where it dies of one, or takes too long."""
        self._num_asked += 1
        try:
            self._connection.send((self._num_asked, what, asked))
            for _ in range(num_answers):
                if not self._connection.poll(self.guard.wall_s):
                    raise ReadError("timed_out", f"reading it took longer than {self.guard.wall_s:g} s")
                number, found = self._connection.recv()
                if number != self._num_asked:
                    raise _wrong_answer()
                yield found
        except (OSError, EOFError):
            self.end()
            raise self._cause() from None

    def _cause(self) -> ReadError:
        if self._process.returncode == -signal.SIGPROF:
            return ReadError("timed_out", f"reading it took more than {self.guard.cpu_s:g} s of processor time")
        return ReadError("crashed", "the reader died of it")


def _end(asked_by: int, connection: Connection, process: subprocess.Popen[bytes]) -> None:
    connection.close()
    if asked_by == os.getpid():  # a forked process holds a copy of what it must not end
        process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):  # one that waits for a drive may outlive its end
            process.wait(_END_S)


def _wrong_answer() -> IntegrityError:
    return IntegrityError("a reading process answered what it was not asked; run the same command again")


_idle: dict[int, list[_Child]] = {}
"""Those that have answered all, by the process that asked: a forked one must not share its parent's.

Who asks has a child of its own until then: threads, and readings that somebody left in their midst, share none.
"""


def _ask(formats: FormatsConfig, guard: GuardConfig, what: str, asked: object, num_answers: int) -> Iterator[Any]:
    """Ask a child; an end of any kind before its last answer ends it too: it would go on to answer nobody."""
    child = _ready_child(formats, guard)
    try:
        yield from child.ask(what, asked, num_answers)
    except BaseException:
        child.end()
        raise
    _idle.setdefault(os.getpid(), []).append(child)


def _ready_child(formats: FormatsConfig, guard: GuardConfig) -> _Child:
    """Take an idle child, or start one where there is none that fits."""
    idle = _idle.setdefault(os.getpid(), [])
    while idle:
        child = idle.pop()
        if child.is_ready and (child.formats, child.guard) == (formats, guard):
            return child
        child.end()
    for _ in range(_MAX_STARTS):
        try:
            return _Child(formats, guard)
        except (OSError, EOFError):
            continue
    raise PrecheckError(
        f"a process that reads files could not be started, {_MAX_STARTS} times in a row; free some memory, take fewer "
        "workers, or raise the limits that `ulimit -a` shows"
    )


def serve(descriptor: int) -> None:
    """Be the child: read what is asked for until nobody asks."""
    for number in (signal.SIGINT, signal.SIGTERM):  # the parent's to answer, by closing the connection
        signal.signal(number, signal.SIG_IGN)
    connection = Connection(descriptor)
    try:
        formats_, guard_ = connection.recv()
        formats, guard = FormatsConfig.model_validate_json(formats_), GuardConfig.model_validate_json(guard_)
        vendors = formats.build()
        _limit_memory(guard.memory_mb << 20)
        connection.send("ready")
        while True:
            number, what, asked = connection.recv()
            answers = _answers(what, asked, vendors)
            while True:
                signal.setitimer(signal.ITIMER_PROF, guard.cpu_s)  # its signal ends the process, in C code too
                found = next(answers, None)
                signal.setitimer(signal.ITIMER_PROF, 0)
                if found is None:
                    break
                connection.send((number, found))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


def _answers(what: str, asked: Any, vendors: Sequence[Vendor]) -> Iterator[object]:
    if what == "read":
        return read_all(asked, vendors)
    name, path = asked
    return iter([vendor_of(name, vendors).list_items(path)])


def _limit_memory(num_bytes: int) -> None:
    """Allow that much beyond what is held; never more than whoever started this allows, by `ulimit -v`."""
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    allowed = min([held + num_bytes, *(limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY)])
    resource.setrlimit(resource.RLIMIT_AS, (allowed, hard))
