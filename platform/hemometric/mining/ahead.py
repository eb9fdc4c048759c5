"""Work done one item ahead of its use, in a thread of its own."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Generic, TypeVar

NICENESS = 5
"""How much more willing than its user the thread is to wait for a core."""

T = TypeVar("T")
_log = logging.getLogger(__name__)


class _Shelf(Generic[T]):
    """What the maker and the user of items share; it knows neither, so that an unused `Ahead` can be collected."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        # Re-entrant: the garbage collector may stop the maker from within either thread, at any allocation.
        self.changed = threading.Condition(threading.RLock())
        self.items: deque[tuple[T, None] | tuple[None, BaseException]] = deque()
        self.num_quiet = 0  # of the items
        self.stopped = False
        self.finished = False
        self.making_s = 0.0  # all that was made
        self.began_s: float | None = None  # what is being made

    @property
    def is_full(self) -> bool:
        return len(self.items) >= self.depth + self.num_quiet

    def stop(self) -> None:
        with self.changed:
            self.stopped = True
            self.items.clear()
            self.num_quiet = 0
            self.changed.notify_all()


class Ahead(Generic[T]):
    """Iterate over ``make(start), make(start + 1) … make(stop - 1)``, each made while the one before is in use.

    At most `depth` items are made and not yet taken, and one more behind a quiet one. An exception of `make` is raised
    here, in place of its item; nothing follows it. An interrupt while waiting loses no item. The thread ends with the
    last item, with `close`, or when the iterator is no longer referred to (`make` must not refer to it).

    Its thread, and those that it starts, give way to the user's where cores are few (on Linux): the threads of a
    training step wait for each other, and one that has lost its core keeps all of them.

    When NOT to use it: for a `make` that holds the GIL throughout; it would only slow its user down.

    Parameters
    ----------
    make : function of int
        Runs in the thread of this object, and nowhere else: collectives in it need a process group of their own.
    start, stop : int
        The first item, and the one after the last; `stop` None goes on for ever.
    depth : int
        How many items ahead.
    quiet : function of int
        Items during whose use nothing should be made, so that their user can be timed without a neighbour: the next
        one is made before the quiet one is taken, if there is time for both.

    Attributes
    ----------
    stalled_s : float
        Seconds that the user has waited for items in all; the first item is always waited for.
    """

    def __init__(
        self,
        make: Callable[[int], T],
        start: int,
        stop: int | None,
        depth: int = 1,
        quiet: Callable[[int], bool] = lambda _: False,
    ) -> None:
        if depth < 1:
            raise ValueError(f"depth is {depth}; at least one item must be made ahead")
        self.stalled_s = 0.0
        self._shelf: _Shelf[T] = _Shelf(depth)
        self._quiet = quiet
        self._next = start
        # A daemon: an interpreter that exits does not wait for a `make` that hangs in a collective.
        self._thread = threading.Thread(
            target=_fill, args=(self._shelf, make, start, stop, quiet), name="ahead", daemon=True
        )
        self._finalizer = weakref.finalize(self, self._shelf.stop)
        self._thread.start()

    def __iter__(self) -> Ahead[T]:
        return self

    def __next__(self) -> T:
        shelf = self._shelf
        began = time.perf_counter()
        try:
            with shelf.changed:
                while not shelf.items and not shelf.finished and not shelf.stopped:
                    shelf.changed.wait()
                if not shelf.items:
                    raise StopIteration
                value, error = shelf.items.popleft()
                shelf.num_quiet -= self._quiet(self._next)
                self._next += 1
                shelf.changed.notify_all()
        finally:
            self.stalled_s += time.perf_counter() - began
        if error is None:
            return value  # type: ignore[return-value]  # an item without an error is a value, and T may allow None
        self.close()
        if isinstance(error, StopIteration):
            raise RuntimeError("making an item ahead raised StopIteration") from error  # noqa: TRY004 - no type is wrong
        raise error

    @property
    def making_s(self) -> float:
        """Seconds spent on making items in all, with the one that is being made; it stands still while none is."""
        shelf = self._shelf
        with shelf.changed:
            return shelf.making_s + (0.0 if shelf.began_s is None else time.perf_counter() - shelf.began_s)

    def close(self, timeout_s: float = 60.0) -> None:
        """Stop making items, drop those that are made, and wait for the thread.

        A `make` that is under way is waited for, at most `timeout_s` seconds; then a warning is logged and the
        thread is left to end by itself. Safe to call twice.
        """
        self._finalizer()
        if self._thread is not threading.current_thread():
            self._thread.join(timeout_s)
            if self._thread.is_alive():
                _log.warning("an item is still being made after %g s; its thread is left to itself", timeout_s)

    def __enter__(self) -> Ahead[T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _fill(
    shelf: _Shelf[T], make: Callable[[int], T], start: int, stop: int | None, quiet: Callable[[int], bool]
) -> None:
    step = start
    _give_way()
    try:
        while stop is None or step < stop:
            with shelf.changed:
                while shelf.is_full and not shelf.stopped:
                    shelf.changed.wait()
                if shelf.stopped:
                    return
                shelf.began_s = time.perf_counter()
            item: tuple[T, None] | tuple[None, BaseException]
            try:
                item = (make(step), None)
            except BaseException as error:  # noqa: BLE001 - it is raised again where the item is taken
                item = (None, error)
            failed = item[1] is not None
            with shelf.changed:
                shelf.making_s, shelf.began_s = shelf.making_s + time.perf_counter() - shelf.began_s, None
                if not shelf.stopped:
                    shelf.items.append(item)
                    shelf.num_quiet += quiet(step)
                    shelf.changed.notify_all()
            del item  # or this thread would keep an item alive while it waits
            if failed:
                return
            step += 1
    finally:
        with shelf.changed:
            shelf.finished = True
            shelf.changed.notify_all()


def _give_way() -> None:
    """Lower the priority of this thread; elsewhere than on Linux that would be the whole process."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + NICENESS)
