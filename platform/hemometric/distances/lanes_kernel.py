"""The fast DTW kernel: one SIMD lane is one pair, so the recurrence needs neither shuffles nor gathers.

A query runs against many others at once, or each lane holds a pair of its own. A few rows of the query stay in
registers while the columns (samples of the others) sweep by; each column costs one load and one store of the boundary
row, and the local cost is fused into the recurrence, so that no cost matrix is ever stored. Columns come in tiles that
stay in the cache.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

from hemometric.distances.lanes_emit import BLOCK, emit_move, emit_sweep, emit_transpose

TILE = 64
"""Columns of a tile: 64 kB of eight leads in 32 lanes stay in a core's second cache."""

LAID = 1 << 19
"""Floats (2 MB) up to which whole signals stay laid out from task to task; longer ones are laid out tile by tile."""

_BY_TILE, _WHOLE, _LAID = 0, 1, 2  # how `_sweep_matrix` finds signals laid out

_INFINITY = np.float32(np.inf)


@intrinsic(prefer_literal=True)
def _sweep(_context: Any, shape: Any, buffers: Any, place: Any, masked: Any) -> Any:
    """Advance a row block of the matrix over some columns of a tile.

    Parameters
    ----------
    shape : Shape
    buffers : float32 arrays
        query [row, lead], or [BLOCK + row, lead, lane] where each lane has its own, laid [BLOCK + column - laid_from,
        lead, lane],
        above [column - tile_start, lane] (on entry the row above the block, on return its last row), left [1 + row,
        lane] (on entry the column before `first`, on return the last one), corner [lane] (the cell above and before;
        on return the one for a next sweep), penalty.
    place : int64
        row of the block, tile_start, first column, last column + 1, offset, laid_from.
    masked : bool, a literal
        Whether the band's edge crosses the block: a cell then costs penalty[offset + row - column] more.
    """

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        arrays = zip(signature.args[1].types, cgutils.unpack_tuple(builder, arguments[1]), strict=True)
        pointers = [make_array(kind)(context, builder, value).data for kind, value in arrays]
        numbers = cgutils.unpack_tuple(builder, arguments[2])
        emit_sweep(builder, [part.count for part in shape.types], pointers, numbers, masked=masked.literal_value)
        return context.get_dummy_value()

    return types.void(shape, buffers, place, masked), emit


@intrinsic
def _move(_context: Any, shape: Any, target: Any, target_at: Any, source: Any, source_at: Any) -> Any:
    """Copy one vector of lanes between float32 arrays at offsets in floats (a loop over lanes is far slower)."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        to, source = (make_array(signature.args[n])(context, builder, arguments[n]).data for n in (1, 3))
        emit_move(builder, shape.types[2].count, to, arguments[2], source, arguments[4])
        return context.get_dummy_value()

    return types.void(shape, target, target_at, source, source_at), emit


@intrinsic
def _transpose(_context: Any, target: Any, to: Any, step: Any, source: Any, starts: Any, lane: Any, at: Any) -> Any:
    """Turn runs of `BLOCK` samples, from starts[lane + …] + at on in `source`, into lanes; see `emit_transpose`."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        goal, source, begun = (make_array(signature.args[n])(context, builder, arguments[n]).data for n in (0, 3, 4))
        places = [
            builder.add(
                builder.load(builder.gep(begun, [builder.add(arguments[5], context.get_constant(types.int64, n))])),
                arguments[6],
            )
            for n in range(BLOCK)
        ]
        emit_transpose(builder, goal, arguments[1], arguments[2], source, places)
        return context.get_dummy_value()

    return types.void(target, to, step, source, starts, lane, at), emit


@numba.njit(nogil=True, error_model="numpy")
def _lay(shape: Any, target: Any, signals: Any, starts: Any, span: Any, num_samples: Any) -> None:
    """Lay some samples of signals, one a lane, out as [sample, lead, lane].

    Lead k of a lane begins at float starts[lane] + k * num_samples. The first sample comes `BLOCK` samples into
    `target`: blocks are whole, so that the last one may begin before what is wanted.
    """
    num_leads, num_lanes = len(shape[0]), len(shape[2])
    first, last = span
    step = num_leads * num_lanes
    for k in range(num_leads):
        for lane in range(0, num_lanes, BLOCK):
            begin = (BLOCK - first) * step + k * num_lanes + lane
            if num_samples >= BLOCK:
                for i in range(first, last, BLOCK):
                    whole = min(i, num_samples - BLOCK)
                    _transpose(target, begin + whole * step, step, signals, starts, lane, k * num_samples + whole)
            else:
                for i in range(first, last):
                    for n in range(BLOCK):
                        target[begin + i * step + n] = signals[starts[lane + n] + k * num_samples + i]


@numba.njit(nogil=True, error_model="numpy")
def _sweep_matrix(shape: Any, buffers: Any, others: Any, starts: Any, layout: Any, sizes: Any, stop: Any) -> Any:
    """Leave the last column of the matrix in `left`, tile by tile; False if told to stop.

    Each lane's signal begins in `others` where `starts` says. It is laid out tile by tile (`layout` is `_BY_TILE`),
    from end to end (`_WHOLE`), or is so already (`_LAID`). One place calls `_lay`: each costs a second to compile.

    Invariant of the tile loop: `left[1 + i]` holds cell (i, tile_start - 1), `left[0]` the virtual cell above it, and
    `above` the last row done so far, infinite in columns that no row has reached. Rows from T on pad the last block;
    they lie below every cell that is asked for, so what they hold never matters.
    """
    num_rows, num_lanes = len(shape[1]), len(shape[2])
    num_samples, window = sizes
    _, laid, above, left, corner, _ = buffers
    offset = window + num_rows
    padded = (num_samples + num_rows - 1) // num_rows * num_rows
    for lane in range(left.size):
        left[lane] = _INFINITY
    for lane in range(num_lanes):
        left[lane] = np.float32(0)
    for tile_start in range(0, num_samples, TILE):
        tile_end = min(tile_start + TILE, num_samples)
        laid_from = tile_start if layout == _BY_TILE else 0
        if layout == _BY_TILE or (layout == _WHOLE and tile_start == 0):
            _lay(shape, laid, others, starts, (laid_from, tile_end if layout == _BY_TILE else num_samples), num_samples)
        for lane in range(above.size):
            above[lane] = _INFINITY
        first_row = max(0, tile_start - window) // num_rows * num_rows
        _move(shape, corner, num_lanes, left, first_row * num_lanes)
        for i in range(first_row, min(padded, tile_end + window), num_rows):
            if stop[0] != 0:
                return False
            # The next block's corner is kept before this block overwrites the column that it belongs to.
            _move(shape, corner, 0, corner, num_lanes)
            _move(shape, corner, num_lanes, left, (i + num_rows) * num_lanes)
            begin, end = max(tile_start, i - window), min(tile_end, i + num_rows + window)
            if begin > tile_start:
                # The band begins inside the tile: no tile before has reached these rows, so all is infinite
                # to their left, and the cell above and before stands in the row above.
                _move(shape, corner, 0, above, (begin - 1 - tile_start) * num_lanes)
            # The band's edges cross the columns before `inner` and from `outer` on.
            inner = min(max(begin, i + num_rows - 1 - window), end)
            outer = max(inner, min(end, i + window + 1))
            for part in range(3):
                if part == 1:
                    if inner < outer:
                        _sweep(shape, buffers, (i, tile_start, inner, outer, offset, laid_from), False)
                else:
                    first, last = (begin, inner) if part == 0 else (outer, end)
                    if first < last:
                        _sweep(shape, buffers, (i, tile_start, first, last, offset, laid_from), True)
        for lane in range(num_lanes):
            left[lane] = _INFINITY
    return True


@numba.njit(nogil=True, error_model="numpy")
def _lay_changed(shape: Any, target: Any, signals: Any, starts: Any, before: Any, num_samples: Any) -> Any:
    """Lay those lanes out that begin elsewhere than `before`, which then equals `starts`; or say that all should be."""
    num_leads, num_lanes = len(shape[0]), len(shape[2])
    num_changed = 0
    for lane in range(num_lanes):
        num_changed += starts[lane] != before[lane]
    for lane in range(num_lanes):
        if starts[lane] != before[lane] and num_changed <= BLOCK // 4:  # a turn of whole blocks costs what a few do
            at = BLOCK * num_leads * num_lanes + lane
            for i in range(starts[lane], starts[lane] + num_samples):
                for k in range(num_leads):
                    target[at + k * num_lanes] = signals[i + k * num_samples]
                at += num_leads * num_lanes
        before[lane] = starts[lane]
    return _WHOLE if num_changed > BLOCK // 4 else _LAID


def solve_lanes(
    shape: Any, buffers: Any, queries: Any, others: Any, sizes: Any, tasks: Any, window: Any, stop: Any, out: Any
) -> None:
    """Do the work of `lanes.solve`, compiled; `queries` and `others` are flat.

    Other number p (from a task's `first` on, beyond the last one going on with number 0) sits in lane p modulo lanes:
    where a task's others are the last one's moved on by one, one lane changes and the rest stay laid out.
    """
    num_leads, num_lanes = len(shape[0]), len(shape[2])
    all_leads, num_samples = sizes
    query, left = buffers[0], buffers[3]
    whole = buffers[1].size >= (BLOCK + num_samples) * num_leads * num_lanes
    starts, before = np.empty(num_lanes, np.int64), np.full(num_lanes, -1)
    for lead in range(0, all_leads, num_leads):
        for task in range(tasks.shape[0]):
            row, query_row, first, num_pairs = tasks[task, 0], tasks[task, 1], tasks[task, 2], tasks[task, 3]
            start = (query_row * all_leads + lead) * num_samples
            for i in range(num_samples):
                for k in range(num_leads):
                    query[i * num_leads + k] = queries[start + k * num_samples + i]
            for p in range(first, first + num_lanes):
                starts[p % num_lanes] = (p % out.shape[1] * all_leads + lead) * num_samples
            layout = _BY_TILE
            if whole:
                layout = _lay_changed(shape, buffers[1], others, starts, before, num_samples)
            if not _sweep_matrix(shape, buffers, others, starts, layout, (num_samples, window), stop):
                return
            for p in range(first, first + num_pairs):
                out[row, p % out.shape[1]] += left[num_samples * num_lanes + p % num_lanes]


def solve_pairs(
    shape: Any, buffers: Any, queries: Any, others: Any, sizes: Any, pairs: Any, window: Any, stop: Any, out: Any
) -> None:
    """Do the work of `lanes.solve_pairs`, compiled: `queries` and `others` are flat, `pairs` are whole vectors."""
    num_leads, num_lanes = len(shape[0]), len(shape[2])
    all_leads, num_samples = sizes
    query, left = buffers[0], buffers[3]
    starts = np.empty(num_lanes, np.int64)
    for first in range(0, pairs.shape[0], num_lanes):
        for lead in range(0, all_leads, num_leads):
            for lane in range(num_lanes):
                starts[lane] = (pairs[first + lane, 0] * all_leads + lead) * num_samples
            _lay(shape, query, queries, starts, (0, num_samples), num_samples)
            for lane in range(num_lanes):
                starts[lane] = (pairs[first + lane, 1] * all_leads + lead) * num_samples
            if not _sweep_matrix(shape, buffers, others, starts, _BY_TILE, (num_samples, window), stop):
                return
            for lane in range(min(num_lanes, out.size - first)):
                out[first + lane] += left[num_samples * num_lanes + lane]
