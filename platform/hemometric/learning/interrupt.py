"""SIGTERM and SIGINT as a question that the loop asks between steps."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


@contextmanager
def asked_to_stop() -> Iterator[Callable[[], bool]]:
    """Catch the first SIGTERM or SIGINT while inside; the value answers whether one came.

    The second one is the previous handler's: whoever presses Ctrl-C twice means it. Outside the main thread (a Ray
    Train worker) signals cannot be caught, and the answer stays False.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return
    previous: dict[signal.Signals, Any] = {}

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    def handle(_number: int, _frame: FrameType | None) -> None:
        asked.set()
        restore()

    for number in (signal.SIGTERM, signal.SIGINT):
        handler = signal.getsignal(number)
        if handler is not None:  # None: installed from outside Python, not ours to replace
            previous[number] = handler
            signal.signal(number, handle)
    try:
        yield asked.is_set
    finally:
        restore()
