"""Threads of our own over kernels that leave the interpreter's lock: no pool outlives a call, so a fork is safe.

Numba's own parallel loops are never used: one layer aborts when two Python threads enter, another dies after a fork.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from hemometric.distances.schedule import Int64

Work = Callable[[Int64, Any], None]
"""Does a slice of tasks; the second argument is a uint8 [1] that turns 1 when it should give up."""


def num_threads(threads: int | None) -> int:
    """Count the CPUs that this process may use, unless a number is given.

    Raises
    ------
    ValueError
        `threads` is below 1 or no integer.
    """
    if threads is None:
        if hasattr(os, "sched_getaffinity"):
            return len(os.sched_getaffinity(0))
        return os.cpu_count() or 1
    if isinstance(threads, bool) or not isinstance(threads, (int, np.integer)) or threads < 1:
        raise ValueError(f"threads={threads!r}: give a whole number of at least 1, or None for all CPUs of the process")
    return int(threads)


def share(tasks: Int64, work: Work, *, threads: int, tasks_per_turn: int) -> None:
    """Have `threads` threads take turns at the tasks until all are done.

    The caller only waits, even for one thread, so that Ctrl-C reaches it at once: the others are then told to stop and
    the exception goes on. The first error of a thread stops the others and is raised here.
    """
    stop = np.zeros(1, np.uint8)
    starts = range(0, len(tasks), tasks_per_turn)
    turns = iter(starts)

    def take_turns() -> None:
        try:
            for start in turns:  # one iterator for all threads: taking from it is atomic
                if stop[0]:
                    return
                work(tasks[start : start + tasks_per_turn], stop)
        except BaseException:
            stop[0] = 1
            raise

    if not starts:
        return
    num_workers = min(threads, len(starts))
    with ThreadPoolExecutor(num_workers, thread_name_prefix="hemometric-distances") as pool:
        try:
            for done in [pool.submit(take_turns) for _ in range(num_workers)]:
                done.result()
        except BaseException:
            stop[0] = 1
            raise
