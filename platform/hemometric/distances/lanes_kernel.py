"""The fast DTW kernel: one SIMD lane is one pair, so the recurrence needs neither shuffles nor gathers.

A query runs against many others at once, or each lane holds a pair of its own. A few rows of the query stay in
registers while the columns (samples of the others) sweep by; each column costs one load and one store of the boundary
row, and the local cost is fused into the recurrence, so that no cost matrix is ever stored. Columns come in tiles that
stay in the cache.

Numba has no vector type: the inner loop is emitted as LLVM vectors, which LLVM fits to whatever the CPU has. The
intrinsics and their caller stay in this one file, because numba's cache watches only the file of the cached function.
`fastmath` is never on: infinities stand for cells outside the matrix and outside the band.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

TILE = 64
"""Columns of a tile: 64 kB of eight leads in 32 lanes stay in a core's second cache."""

_INFINITY = np.float32(np.inf)
_FLOAT = ir.FloatType()
_INDEX = ir.IntType(64)


def _emit_sweep(builder: Any, lengths: list[int], pointers: list[Any], numbers: list[Any], *, masked: bool) -> None:
    """Emit the loop over columns [first, last) of one row block; the names are those of `_sweep`."""
    num_leads, num_rows, num_lanes, num_sides = lengths
    query, tile, above, left, corner, penalty = pointers
    row, tile_start, first, last, offset = numbers
    vector = ir.VectorType(_FLOAT, num_lanes)
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), num_lanes), [0] * num_lanes)
    zero, undefined = ir.Constant(ir.IntType(32), 0), ir.Constant(vector, ir.Undefined)

    def plus(value: Any, constant: int) -> Any:
        return builder.add(value, ir.Constant(_INDEX, constant))

    def times(value: Any, constant: int) -> Any:
        return builder.mul(value, ir.Constant(_INDEX, constant))

    def at(base: Any, offset: Any) -> Any:
        return builder.bitcast(builder.gep(base, [offset]), vector.as_pointer())

    def load(base: Any, offset: Any) -> Any:
        return builder.load(at(base, offset), align=4)

    def store(value: Any, base: Any, offset: Any) -> None:
        builder.store(value, at(base, offset), align=4)

    def broadcast(base: Any, offset: Any) -> Any:
        scalar = builder.load(builder.gep(base, [offset]), align=4)
        return builder.shuffle_vector(builder.insert_element(undefined, scalar, zero), undefined, zeros)

    def lesser(one: Any, other: Any) -> Any:
        return builder.select(builder.fcmp_ordered("<", one, other), one, other)

    fused = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fmuladd.v{num_lanes}f32"
    )
    origin = ir.Constant(_INDEX, 0)

    if num_sides == 1:
        query_at, query_step, of_query = times(row, num_leads), 1, broadcast
    else:
        query_at, query_step, of_query = times(row, num_leads * num_lanes), num_lanes, load
    left_at = times(plus(row, 1), num_lanes)
    entering = [load(left, plus(left_at, r * num_lanes)) for r in range(num_rows)]
    entering_corner = load(corner, origin)
    entry = builder.block
    head = builder.append_basic_block("columns")
    body = builder.append_basic_block("column")
    end = builder.append_basic_block("swept")
    builder.branch(head)

    builder.position_at_end(head)
    column = builder.phi(_INDEX)
    column.add_incoming(first, entry)
    diagonal = builder.phi(vector)
    diagonal.add_incoming(entering_corner, entry)
    lefts = [builder.phi(vector) for _ in range(num_rows)]
    for phi, value in zip(lefts, entering, strict=True):
        phi.add_incoming(value, entry)
    builder.cbranch(builder.icmp_signed("<", column, last), body, end)

    builder.position_at_end(body)
    in_tile = builder.sub(column, tile_start)
    above_at = times(in_tile, num_lanes)
    tile_at = times(in_tile, num_leads * num_lanes)
    # As far as LLVM knows, stores to `above` may change the query; so it reads these scalars again for each column,
    # as operands of the subtraction, rather than keep more vectors than there are registers.
    costs: list[Any] = [None] * num_rows
    for lead in range(num_leads):
        others = load(tile, plus(tile_at, lead * num_lanes))
        for r in range(num_rows):
            difference = builder.fsub(others, of_query(query, plus(query_at, (r * num_leads + lead) * query_step)))
            if lead == 0:
                costs[r] = builder.fmul(difference, difference)
            else:
                costs[r] = builder.call(fused, [difference, difference, costs[r]])
    from_above = load(above, above_at)
    up, upper_left = from_above, diagonal
    for r in range(num_rows):
        if masked:  # 0 inside the band, infinity outside; indexed by row - column
            behind = builder.sub(builder.add(row, offset), column)
            costs[r] = builder.fadd(costs[r], broadcast(penalty, plus(behind, r)))
        # `up` comes last of all: the chain from row to row is one minimum and one addition.
        value = builder.fadd(costs[r], lesser(up, lesser(lefts[r], upper_left)))
        upper_left, up = lefts[r], value
        lefts[r].add_incoming(value, builder.block)
    store(up, above, above_at)
    diagonal.add_incoming(from_above, builder.block)
    column.add_incoming(plus(column, 1), builder.block)
    builder.branch(head)

    builder.position_at_end(end)
    for r in range(num_rows):
        store(lefts[r], left, plus(left_at, r * num_lanes))
    store(diagonal, corner, origin)


@intrinsic(prefer_literal=True)
def _sweep(_context: Any, shape: Any, buffers: Any, place: Any, masked: Any) -> Any:
    """Advance a row block of the matrix over some columns of a tile.

    Parameters
    ----------
    shape : Shape
    buffers : float32 arrays
        query [row, lead], or [row, lead, lane] where each lane has its own, tile [column - tile_start, lead, lane],
        above [column - tile_start, lane] (on entry the row above the block, on return its last row), left [1 + row,
        lane] (on entry the column before `first`, on return the last one), corner [lane] (the cell above and before;
        on return the one for a next sweep), penalty.
    place : int64
        row of the block, tile_start, first column, last column + 1, offset.
    masked : bool, a literal
        Whether the band's edge crosses the block: a cell then costs penalty[offset + row - column] more.
    """

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        arrays = zip(signature.args[1].types, cgutils.unpack_tuple(builder, arguments[1]), strict=True)
        pointers = [make_array(kind)(context, builder, value).data for kind, value in arrays]
        numbers = cgutils.unpack_tuple(builder, arguments[2])
        _emit_sweep(builder, [part.count for part in shape.types], pointers, numbers, masked=masked.literal_value)
        return context.get_dummy_value()

    return types.void(shape, buffers, place, masked), emit


@intrinsic
def _move(_context: Any, shape: Any, target: Any, target_at: Any, source: Any, source_at: Any) -> Any:
    """Copy one vector of lanes between float32 arrays at offsets in floats (a loop over lanes is far slower)."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = ir.VectorType(_FLOAT, signature.args[0].types[2].count)

        def at(position: int) -> Any:
            data = make_array(signature.args[position])(context, builder, arguments[position]).data
            return builder.bitcast(builder.gep(data, [arguments[position + 1]]), vector.as_pointer())

        builder.store(builder.load(at(3), align=4), at(1), align=4)
        return context.get_dummy_value()

    return types.void(shape, target, target_at, source, source_at), emit


@numba.njit(nogil=True, error_model="numpy", boundscheck=False)
def _workspace(shape: Any, num_samples: Any, window: Any) -> Any:
    """Give the buffers of `_sweep`, and its offset: one allocation for all the tasks of a call."""
    num_leads, num_rows, num_lanes = len(shape[0]), len(shape[1]), len(shape[2])
    query_lanes = 1 if len(shape[3]) == 1 else num_lanes
    padded = (num_samples + num_rows - 1) // num_rows * num_rows
    # Buffers begin at multiples of 64 bytes: a vector that straddles two cache lines costs two accesses.
    memory = np.empty(num_lanes * (TILE * (num_leads + 1) + padded + 3) + 16, np.float32)
    start = (-memory.ctypes.data) % 64 // 4
    tile = memory[start : start + TILE * num_leads * num_lanes]
    start += tile.size
    above = memory[start : start + TILE * num_lanes]
    start += above.size
    left = memory[start : start + (padded + 1) * num_lanes]
    start += left.size
    corner = memory[start : start + 2 * num_lanes]
    query = np.zeros(padded * num_leads * query_lanes + 16, np.float32)
    start = (-query.ctypes.data) % 64 // 4
    offset = window + num_rows
    penalty = np.full(2 * offset, _INFINITY, np.float32)
    penalty[num_rows : num_rows + 2 * window + 1] = np.float32(0)
    return (query[start : start + padded * num_leads * query_lanes], tile, above, left, corner, penalty), offset


@numba.njit(nogil=True, error_model="numpy", boundscheck=False)
def _sweep_matrix(shape: Any, buffers: Any, others: Any, place: Any, band: Any, stop: Any) -> Any:
    """Leave the last column of the matrix in `left`, tile by tile; False if told to stop.

    `others` holds, from float `first` on and `width` floats apart, the vectors of each sample and lead.

    Invariant of the tile loop: `left[1 + i]` holds cell (i, tile_start - 1), `left[0]` the virtual cell above it, and
    `above` the last row done so far, infinite in columns that no row has reached. Rows from T on pad the last block;
    they lie below every cell that is asked for, so what they hold never matters.
    """
    num_leads, num_rows, num_lanes = len(shape[0]), len(shape[1]), len(shape[2])
    first, width, num_samples = place
    window, offset = band
    _, tile, above, left, corner, _ = buffers
    padded = (num_samples + num_rows - 1) // num_rows * num_rows
    left[:] = _INFINITY
    left[:num_lanes] = np.float32(0)
    for tile_start in range(0, num_samples, TILE):
        tile_end = min(tile_start + TILE, num_samples)
        for line in range((tile_end - tile_start) * num_leads):
            _move(shape, tile, line * num_lanes, others, first + (tile_start * num_leads + line) * width)
        above[:] = _INFINITY
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
            inner = min(max(begin, i + num_rows - 1 - window), end)
            outer = max(inner, min(end, i + window + 1))
            if begin < inner:
                _sweep(shape, buffers, (i, tile_start, begin, inner, offset), True)
            if inner < outer:
                _sweep(shape, buffers, (i, tile_start, inner, outer, offset), False)
            if outer < end:
                _sweep(shape, buffers, (i, tile_start, outer, end, offset), True)
        left[:num_lanes] = _INFINITY
    return True


def solve_lanes(shape: Any, queries: Any, others: Any, tasks: Any, window: Any, stop: Any, out: Any) -> None:
    """Do the work of `lanes.solve`, compiled."""
    num_leads, num_rows, num_lanes = len(shape[0]), len(shape[1]), len(shape[2])
    num_passes, num_samples, width, num_others = others.shape[0], others.shape[1], others.shape[3], out.shape[1]
    if window >= num_samples - 1:
        window = num_samples + num_rows  # then no cell of the padded matrix is outside, and there is no edge to mask
    buffers, offset = _workspace(shape, num_samples, window)
    query, left = buffers[0], buffers[3]
    total = np.empty(num_lanes, np.float32)
    for task in range(tasks.shape[0]):
        out_row, query_row, first_column, num_pairs = tasks[task]
        total[:] = np.float32(0)
        for p in range(num_passes):
            for k in range(num_leads):
                for i in range(num_samples):
                    query[i * num_leads + k] = queries[query_row, p * num_leads + k, i]
            place = (p * num_samples * num_leads * width + first_column, width, num_samples)
            if not _sweep_matrix(shape, buffers, others, place, (window, offset), stop):
                return
            for lane in range(num_lanes):
                total[lane] += left[num_samples * num_lanes + lane]
        for lane in range(num_pairs):
            out[out_row, (first_column + lane) % num_others] = total[lane]


def solve_pairs(shape: Any, queries: Any, others: Any, pairs: Any, window: Any, stop: Any, out: Any) -> None:
    """Do the work of `lanes.solve_pairs`, compiled; lanes beyond the last pair repeat it."""
    num_leads, num_rows, num_lanes = len(shape[0]), len(shape[1]), len(shape[2])
    num_pairs, num_samples = pairs.shape[0], queries.shape[2]
    num_passes = queries.shape[1] // num_leads
    if window >= num_samples - 1:
        window = num_samples + num_rows
    buffers, offset = _workspace(shape, num_samples, window)
    query, left = buffers[0], buffers[3]
    laid = np.empty(num_samples * num_leads * num_lanes, np.float32)
    for start in range(0, num_pairs, num_lanes):
        end = min(start + num_lanes, num_pairs)
        out[start:end] = np.float32(0)
        for p in range(num_passes):
            for lane in range(num_lanes):
                one, other = pairs[min(start + lane, end - 1)]
                for k in range(num_leads):
                    for i in range(num_samples):
                        at = (i * num_leads + k) * num_lanes + lane
                        query[at] = queries[one, p * num_leads + k, i]
                        laid[at] = others[other, p * num_leads + k, i]
            if not _sweep_matrix(shape, buffers, laid, (0, num_lanes, num_samples), (window, offset), stop):
                return
            for lane in range(end - start):
                out[start + lane] += left[num_samples * num_lanes + lane]
