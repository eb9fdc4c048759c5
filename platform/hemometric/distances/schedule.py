"""Who is compared with whom: runs of neighbouring signals for one query, as a plain integer array.

A task is a row (row of the result, query, first other, number of others): the query meets the others first, first + 1,
… counted modulo the number of others, at most `num_lanes` of them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Int64 = npt.NDArray[np.int64]


def circulant(num_signals: int, rows: Int64, num_lanes: int) -> Int64:
    """Give each of `rows` its share of all pairs: signal i meets i + 1 … i + num_signals // 2, modulo num_signals.

    Over all rows this is each unordered pair once. For an even number the last offset reaches the opposite signal,
    which only the first half of the signals take.

    Parameters
    ----------
    rows : int64 [row]
        Signals whose shares are wanted; row r of the result belongs to signal rows[r].

    Returns
    -------
    int64 [task, 4]
        Ordered by offset first, so that a thread's next task reads nearly the same others.
    """
    reach = np.full(len(rows), (num_signals - 1) // 2, np.int64)
    if num_signals % 2 == 0:
        reach += rows < num_signals // 2
    return _in_runs(np.arange(len(rows), dtype=np.int64), rows, rows + 1, reach, num_lanes)


def rectangle(num_queries: int, num_others: int, num_lanes: int) -> Int64:
    """Let every query meet every other; int64 [task, 4], ordered as by `circulant`."""
    queries = np.arange(num_queries, dtype=np.int64)
    return _in_runs(queries, queries, np.zeros_like(queries), np.full_like(queries, num_others), num_lanes)


def _in_runs(rows: Int64, queries: Int64, first: Int64, reach: Int64, num_lanes: int) -> Int64:
    runs = [
        np.stack([rows, queries, first + start, np.minimum(reach - start, num_lanes)], axis=1)[reach > start]
        for start in range(0, int(reach.max(initial=0)), num_lanes)
    ]
    return np.concatenate(runs) if runs else np.empty((0, 4), np.int64)
