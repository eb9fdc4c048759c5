"""Reading in a process that may be killed: a file that makes a parser loop, swell or crash costs itself only.

The child is a fresh interpreter, not one of `multiprocessing`, which would run the user's main module again. It lives
as long as the process that asked for it, and serves one file after the other.
"""

from __future__ import annotations

import atexit
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from pydantic import Field

from hemometric.config import Config
from hemometric.ecg import Recording, Rejected
from hemometric.vendors.formats_config import FormatsConfig
from hemometric.vendors.registry import read_all, vendor_of
from hemometric.vendors.source import ReadError, Source, Vendor

SERVE = "from hemometric.vendors.guarded import serve; serve({})"
"""What the child runs, with the number of its end of the connection."""

_MAX_DEATHS_A_FILE = 2


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
    """
    if not guard.enabled:
        yield from read_all(sources, formats.build())
        return
    start, deaths = 0, 0
    while start < len(sources):
        for found in _child(formats, guard).read(sources[start:]):
            if isinstance(found, _Death):
                break
            yield found
            start += 1
        else:
            continue
        path, deaths = sources[start].path, deaths + 1
        yield Rejected(sources[start].key, found.reason, found.detail)
        start += 1
        if deaths % _MAX_DEATHS_A_FILE == 0:  # the other ECGs of such a file would end the same way
            while start < len(sources) and sources[start].path == path:
                yield Rejected(sources[start].key, found.reason, found.detail)
                start += 1


def guarded_vendors(formats: FormatsConfig, guard: GuardConfig) -> tuple[Vendor, ...]:
    """Give the readers of `formats`, those that list the ECGs of a file doing so within the limits too."""

    def within(vendor: Vendor) -> Vendor:
        def items(path: Path) -> tuple[str, ...]:
            found = _child(formats, guard).items(vendor.name, path)
            if isinstance(found, _Death):
                raise ReadError(found.reason, found.detail)
            return found

        return vendor if vendor.items is None else replace(vendor, items=items)

    vendors = formats.build()
    return tuple(map(within, vendors)) if guard.enabled else vendors


class _Death:
    """Why a child is no more."""

    def __init__(self, reason: str, detail: str) -> None:
        self.reason, self.detail = reason, detail


class _Child:
    """One reading process."""

    def __init__(self, formats: FormatsConfig, guard: GuardConfig) -> None:
        self.asked_by = os.getpid()
        self.formats, self.guard = formats, guard
        ours, theirs = socket.socketpair()
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and words
            [sys.executable, "-c", SERVE.format(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,  # what a library prints of a file may name a patient
            env=environment,
        )
        theirs.close()
        self._connection = Connection(ours.detach())
        self._connection.send((formats.model_dump_json(), guard.model_dump_json()))
        self._has_begun = False

    @property
    def is_ready(self) -> bool:
        """Whether it may be asked: alive, and by the process that started it."""
        return self.asked_by == os.getpid() and self._process.poll() is None

    def read(self, sources: Sequence[Source]) -> Iterator[Recording | Rejected | _Death]:
        """Give what is read, up to a death."""
        return self._ask(("read", sources), len(sources))

    def items(self, format_name: str, path: Path) -> tuple[str, ...] | _Death:
        """Name the ECGs of a file."""
        found: tuple[str, ...] | _Death
        (found,) = self._ask(("items", (format_name, path)), 1)
        return found

    def _ask(self, question: tuple[str, object], num_answers: int) -> Iterator[Any]:
        try:
            if not self._has_begun:  # its imports are no file's fault
                self._connection.recv()
                self._has_begun = True
            self._connection.send(question)
            for _ in range(num_answers):
                if not self._connection.poll(self.guard.wall_s):
                    self.end()
                    yield _Death("timed_out", f"reading it took longer than {self.guard.wall_s:g} s")
                    return
                yield self._connection.recv()
        except (OSError, EOFError):
            self.end()
            yield self._cause()
        except GeneratorExit:
            self.end()  # it would go on to answer what nobody asks for any more
            raise

    def end(self) -> None:
        """Kill it."""
        self._connection.close()
        self._process.kill()
        self._process.wait()

    def _cause(self) -> _Death:
        if self._process.returncode == -signal.SIGPROF:
            return _Death("timed_out", f"reading it took more than {self.guard.cpu_s:g} s of processor time")
        return _Death("crashed", "the reader died of it")


_children: dict[int, _Child] = {}
"""By the process that asked: a forked one must not share its parent's."""


@atexit.register
def _end() -> None:
    child = _children.get(os.getpid())
    if child is not None:
        child.end()


def _child(formats: FormatsConfig, guard: GuardConfig) -> _Child:
    """Give this process's child, a new one where there is none that fits."""
    child = _children.get(os.getpid())
    if child is None or not child.is_ready or (child.formats, child.guard) != (formats, guard):
        if child is not None and child.is_ready:
            child.end()
        child = _children[os.getpid()] = _Child(formats, guard)
    return child


def serve(descriptor: int) -> None:
    """Be the child: read what is asked for until nobody asks."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer; it closes the connection
    connection = Connection(descriptor)
    try:
        formats_, guard_ = connection.recv()
        formats, guard = FormatsConfig.model_validate_json(formats_), GuardConfig.model_validate_json(guard_)
        vendors = formats.build()
        _limit_memory(guard.memory_mb << 20)
        connection.send("ready")
        while True:
            answers = _answers(connection.recv(), vendors)
            while True:
                signal.setitimer(signal.ITIMER_PROF, guard.cpu_s)  # its signal ends the process, in C code too
                found = next(answers, None)
                signal.setitimer(signal.ITIMER_PROF, 0)
                if found is None:
                    break
                connection.send(found)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


def _answers(question: tuple[str, Any], vendors: Sequence[Vendor]) -> Iterator[object]:
    what, asked = question
    if what == "read":
        return read_all(asked, vendors)
    name, path = asked
    return iter([vendor_of(name, vendors).list_items(path)])


def _limit_memory(num_bytes: int) -> None:
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + num_bytes, resource.RLIM_INFINITY))
