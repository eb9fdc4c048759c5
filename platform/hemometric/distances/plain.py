"""The plain DTW kernel: two rows, one pair at a time, sums in float64; slower than `lanes`, and compiles everywhere.

It has the interface of `lanes`, stands in for it where its vectors do not compile, and checks it in the tests; the form
of the local cost is always the difference.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numba import types

from hemometric.distances.checks import Form
from hemometric.distances.compiled import array_type, compiled, compiler_is_off, read_only
from hemometric.distances.schedule import Int64
from hemometric.ecg import Float32


def compile_for(num_leads: int, form: Form) -> None:  # noqa: ARG001 - one kernel serves all
    """Compile the kernel, or load it from numba's cache; without effect the second time."""
    if not compiler_is_off():
        _kernel().compile(_SIGNATURE)


def compile_pairs_for(num_leads: int) -> None:
    """Compile what `solve_pairs` calls: the same kernel."""
    compile_for(num_leads, "difference")


def num_lanes(num_leads: int) -> int:  # noqa: ARG001 - as above
    """Pairs of one task; any number will do."""
    return 8


def lines(signals: Float32, factor: float, *, independent: bool, form: Form) -> Float32:  # noqa: ARG001 - as above
    """Give signals as they are."""
    return signals


def solve(
    queries: Float32,
    others: Float32,
    tasks: Int64,
    window: int,
    stop: Any,
    out: Float32,
    *,
    independent: bool,
    form: Form,  # noqa: ARG001 - always the difference
) -> None:
    """Run tasks; see `lanes.solve`."""
    num_leads = 1 if independent else queries.shape[1]
    _kernel()(read_only(queries), read_only(others), num_leads, read_only(tasks), window, stop, out)


def solve_pairs(
    queries: Float32, others: Float32, pairs: Int64, window: int, stop: Any, out: Float32, *, independent: bool
) -> None:
    """Run pairs; see `lanes.solve_pairs`."""
    for at, (query, other) in enumerate(pairs):
        task, found = np.array([[0, query, 0, 1]]), out[at : at + 1].reshape(1, 1)
        one = others[other : other + 1]
        solve(queries, one, task, window, stop, found, independent=independent, form="difference")


@functools.cache
def _kernel() -> Any:
    return compiled(_solve)


_SIGNATURE = (
    array_type(types.float32, 3),
    array_type(types.float32, 3),
    types.int64,
    array_type(types.int64, 2),
    types.int64,
    array_type(types.uint8, 1, readonly=False),
    array_type(types.float32, 2, readonly=False),
)


def _solve(queries: Any, others: Any, num_leads: Any, tasks: Any, window: Any, stop: Any, out: Any) -> None:
    num_others, all_leads, num_samples = others.shape
    above, row = np.empty(num_samples + 1), np.empty(num_samples + 1)
    for task in range(tasks.shape[0]):
        out_row, query, first, num_pairs = tasks[task]
        for step in range(num_pairs):
            other = (first + step) % num_others
            total = 0.0
            for lead in range(0, all_leads, num_leads):
                # Column 0 stands before the signals: only the cell above and before the first one is reachable.
                above[:] = np.inf
                row[:] = np.inf
                above[0] = 0.0
                for i in range(num_samples):
                    if stop[0] != 0:
                        return
                    begin, end = max(0, i - window), min(num_samples, i + window + 1)
                    row[begin] = np.inf
                    for j in range(begin, end):
                        cost = 0.0
                        for k in range(lead, lead + num_leads):
                            difference = np.float64(queries[query, k, i]) - others[other, k, j]
                            cost += difference * difference
                        row[j + 1] = cost + min(above[j + 1], above[j], row[j])
                    above, row = row, above
                    row[0] = np.inf
                total += above[num_samples]
            out[out_row, other] = total
