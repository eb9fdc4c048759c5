"""The DTW kernel for CUDA devices: one thread is one pair, and the threads of a warp take neighbouring others.

Each thread keeps some rows of the matrix in registers while the columns sweep by; one row of boundary values goes
through the device's memory, laid out so that the threads of a warp read neighbouring floats. Signals are laid out as
[sample, lead, signal] for the same reason.

Three things keep the registers in use, and are to be kept: every loop over rows or leads has a constant number of
turns, no index into a local array is computed, and no float64 arises. `min` and `max` are spelt out: numba's own do
not compile for a device in every release.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from numba import config, cuda, float32
from numba.cuda import libdevice

THREADS = 128
GROUP = 32
"""Signals, and threads, whose values lie side by side: those of a warp."""
FEWEST_BLOCKS = 1 if config.ENABLE_CUDASIM else 128
"""Numba warns of smaller grids on a device; blocks without work end at once."""

_VALUES_IN_REGISTERS = 112
_INFINITY = np.float32(np.inf)


def _plain_least(one: Any, other: Any) -> Any:
    return one if one < other else other


_least: Any = cuda.jit(device=True)(_plain_least) if config.ENABLE_CUDASIM else libdevice.fminf


def rows_of_block(num_leads: int) -> int:
    """Count the rows that a thread keeps: as many as leave the device enough registers for two warps a scheduler.

    More rows mean less traffic of boundary values, which is what limits one lead.
    """
    return next((rows for rows in (32, 16, 8, 4, 2) if rows * (num_leads + 1) <= _VALUES_IN_REGISTERS), 1)


def blocks_for(num: int) -> int:
    """Count the blocks of a launch whose threads take turns at `num` small things."""
    return max(FEWEST_BLOCKS, min(4096, -(-num // THREADS)))


@functools.cache
def distances_kernel(num_leads: int) -> Any:
    """Compile for a number of leads that share a path; arguments as `kernel` below."""
    num_rows = rows_of_block(num_leads)

    @cuda.jit(device=True)
    def take(signals: Any, at: Any, column: Any) -> None:
        for k in range(num_leads):
            column[k] = signals[at + np.uint64(k * GROUP)]

    @cuda.jit(device=True)
    def cost_of(query: Any, r: Any, column: Any) -> Any:
        gap = query[r, 0] - column[0]
        cost = gap * gap
        for k in range(1, num_leads):
            gap = query[r, k] - column[k]
            cost += gap * gap
        return cost

    @cuda.jit(device=True)
    def lean(left: Any, corner: Any) -> None:
        """Turn `left` into the lesser of left and corner, from below, so that no value has to move."""
        for turn in range(num_rows - 1):
            left[num_rows - 1 - turn] = _least(left[num_rows - 2 - turn], left[num_rows - 1 - turn])
        left[0] = _least(corner, left[0])

    @cuda.jit(device=True)
    def step(
        others: Any, at: Any, above: Any, here: Any, query: Any, left: Any, column: Any, up: Any, corner: Any
    ) -> Any:
        """Go on by one column, at `at` of `others` and `here` of `above`; returns what is above the next."""
        following = above[here + np.uint64(GROUP)]  # asked for early: it comes from far away
        take(others, at, column)
        lean(left, corner)
        for r in range(num_rows):
            up = cost_of(query, r, column) + _least(up, left[r])
            left[r] = up
        above[here] = up
        return following

    @cuda.jit(device=True)
    def edge_step(
        others: Any,
        at: Any,
        above: Any,
        here: Any,
        query: Any,
        left: Any,
        column: Any,
        up: Any,
        corner: Any,
        below: Any,
        band: Any,
    ) -> Any:
        """Do as `step` where cells may lie outside of the band; `below` is how much later the first row is."""
        following = above[here + np.uint64(GROUP)]
        take(others, at, column)
        lean(left, corner)
        for r in range(num_rows):
            up = cost_of(query, r, column) + _least(up, left[r])
            if abs(below + float32(r)) > band:
                up = _INFINITY
            left[r] = up
        above[here] = up
        return following

    @cuda.jit
    def kernel(
        queries: Any,
        others: Any,
        sizes: Any,
        pairs: Any,
        turn: Any,
        num_columns: Any,
        above: Any,
        out: Any,
        beyond: Any,
    ) -> None:
        """Compare pairs.

        `queries` and `others` are flat [group, sample, lead, GROUP], `sizes` the samples, the leads and the band;
        `above` is flat [group of threads, sample and one, GROUP]. Pair n is query ``pairs[0, n]`` and other
        ``pairs[1, n]``, written at ``[pairs[2, n], pairs[3, n]]`` and, the other way round, at
        ``[pairs[4, n], pairs[5, n]]``; or, where `num_columns` is not 0, query ``n // num_columns`` and other
        ``n % num_columns``. A launch compares the pairs from the first of `turn` to before its second. `beyond` [1]
        becomes 1 where a distance is not finite.
        """
        thread = cuda.grid(1)
        num_samples, all_leads, window = sizes
        query = cuda.local.array((num_rows, num_leads), float32)
        left = cuda.local.array(num_rows, float32)
        column = cuda.local.array(num_leads, float32)
        next_sample, band = np.uint64(all_leads * GROUP), float32(window)
        # Unsigned indices are not asked whether they count from the end.
        my_above = np.uint64(thread // GROUP * (num_samples + 1) * GROUP + thread % GROUP)
        for pair in range(turn[0] + thread, turn[1], cuda.gridsize(1)):
            if num_columns > 0:
                one, other = pair // num_columns, pair % num_columns
            else:
                one, other = pairs[0, pair], pairs[1, pair]
            total = float32(0.0)
            for lead in range(0, all_leads, num_leads):
                mine = np.uint64((one // GROUP * num_samples * all_leads + lead) * GROUP + one % GROUP)
                theirs = np.uint64((other // GROUP * num_samples * all_leads + lead) * GROUP + other % GROUP)
                for j in range(num_samples + 1):
                    above[my_above + np.uint64(j * GROUP)] = _INFINITY
                for i in range(0, num_samples, num_rows):
                    for r in range(num_rows):
                        left[r] = _INFINITY
                        # Rows beyond the end lie below every cell that is asked for, so what they hold never matters.
                        row = i + r if i + r < num_samples else num_samples - 1
                        for k in range(num_leads):
                            query[r, k] = queries[mine + np.uint64((row * all_leads + k) * GROUP)]
                    begin = i - window if i > window else 0
                    end = i + num_rows + window if i + num_rows + window < num_samples else num_samples
                    # Columns whose rows all lie in the band need no look at it: those from `whole` to before `part`.
                    whole = i + num_rows - 1 - window
                    whole = begin if whole < begin else whole
                    whole = end if whole > end else whole
                    part = i + window + 1
                    part = whole if part < whole else part
                    part = end if part > end else part
                    corner = float32(0.0) if i == 0 else _INFINITY
                    here, at = my_above + np.uint64(begin * GROUP), theirs + np.uint64(begin) * next_sample
                    if begin > 0:
                        corner = above[here - np.uint64(GROUP)]
                    up = above[here]
                    for j in range(begin, whole):
                        following = edge_step(
                            others, at, above, here, query, left, column, up, corner, float32(i - j), band
                        )
                        corner, up = up, following
                        here, at = here + np.uint64(GROUP), at + next_sample
                    for _ in range((part - whole) // 2):  # two a turn, so that values need not move to their places
                        following = step(others, at, above, here, query, left, column, up, corner)
                        corner, up = up, following
                        here, at = here + np.uint64(GROUP), at + next_sample
                        following = step(others, at, above, here, query, left, column, up, corner)
                        corner, up = up, following
                        here, at = here + np.uint64(GROUP), at + next_sample
                    if (part - whole) % 2 == 1:
                        following = step(others, at, above, here, query, left, column, up, corner)
                        corner, up = up, following
                        here, at = here + np.uint64(GROUP), at + next_sample
                    for j in range(part, end):
                        following = edge_step(
                            others, at, above, here, query, left, column, up, corner, float32(i - j), band
                        )
                        corner, up = up, following
                        here, at = here + np.uint64(GROUP), at + next_sample
                last = (num_samples - 1) % num_rows
                for r in range(num_rows):
                    if r == last:
                        total += left[r]
            if num_columns > 0:
                out[one, other] = total
            else:
                out[pairs[2, pair], pairs[3, pair]] = total
                out[pairs[4, pair], pairs[5, pair]] = total
            if not math.isfinite(total):
                beyond[0] = 1

    return kernel


@cuda.jit
def lay(signals: Any, flat: Any) -> None:
    """Lay out [signal, lead, sample] as [group, sample, lead, GROUP]; 0 where the last group has no signal."""
    num_signals, num_leads, num_samples = signals.shape
    for place in range(cuda.grid(1), flat.shape[0], cuda.gridsize(1)):
        rest, in_group = place // GROUP, place % GROUP
        signal = rest // (num_leads * num_samples) * GROUP + in_group
        sample, lead = rest // num_leads % num_samples, rest % num_leads
        flat[place] = signals[signal, lead, sample] if signal < num_signals else float32(0.0)


@cuda.jit
def count_not_finite(flat: Any, counted: Any) -> None:
    """Add to `counted` [1] the values that are NaN or infinite."""
    for place in range(cuda.grid(1), flat.shape[0], cuda.gridsize(1)):
        if not math.isfinite(flat[place]):
            cuda.atomic.add(counted, 0, 1)
