"""The inner loops of the fast DTW kernel as LLVM vectors, which LLVM fits to whatever the CPU has.

Numba has no vector type, and plain loops over lanes are some twenty times slower. What is emitted here is called by
`lanes_kernel`. Nothing is ever compiled with `fastmath`: infinities stand for cells outside the matrix and the band.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils

BLOCK = 16
"""Signals and samples that `emit_transpose` turns at once."""

_FLOAT = ir.FloatType()
_INDEX = ir.IntType(64)
_INT = ir.IntType(32)


class _Lanes:
    """Arithmetic on vectors of `num_lanes` floats, at offsets in floats."""

    def __init__(self, builder: Any, num_lanes: int) -> None:
        self.builder, self.num_lanes = builder, num_lanes
        self.vector = ir.VectorType(_FLOAT, num_lanes)
        self.integers = ir.VectorType(_INT, num_lanes)
        kind = ir.FunctionType(self.vector, [self.vector] * 3)
        self._fused = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fmuladd.v{num_lanes}f32")

    def plus(self, value: Any, constant: int) -> Any:
        return self.builder.add(value, ir.Constant(_INDEX, constant))

    def times(self, value: Any, constant: int) -> Any:
        return self.builder.mul(value, ir.Constant(_INDEX, constant))

    def at(self, base: Any, offset: Any) -> Any:
        return self.builder.bitcast(self.builder.gep(base, [offset]), self.vector.as_pointer())

    def load(self, base: Any, offset: Any) -> Any:
        return self.builder.load(self.at(base, offset), align=4)

    def store(self, value: Any, base: Any, offset: Any) -> None:
        self.builder.store(value, self.at(base, offset), align=4)

    def broadcast(self, base: Any, offset: Any) -> Any:
        scalar = self.builder.load(self.builder.gep(base, [offset]), align=4)
        undefined = ir.Constant(self.vector, ir.Undefined)
        one = self.builder.insert_element(undefined, scalar, ir.Constant(_INT, 0))
        return self.builder.shuffle_vector(one, undefined, ir.Constant(self.integers, [0] * self.num_lanes))

    def fused(self, one: Any, other: Any, addend: Any) -> Any:
        return self.builder.call(self._fused, [one, other, addend])

    def lesser(self, one: Any, other: Any) -> Any:
        """The minimum of floats that are not negative, whose bits are ordered like integers: more ports, less wait."""
        return self._select("<", one, other)

    def nonnegative(self, value: Any) -> Any:
        """The maximum with zero; negative floats are negative integers too."""
        return self._select(">", value, ir.Constant(self.vector, [0.0] * self.num_lanes))

    def _select(self, sign: str, one: Any, other: Any) -> Any:
        one, other = self.builder.bitcast(one, self.integers), self.builder.bitcast(other, self.integers)
        taken = self.builder.select(self.builder.icmp_signed(sign, one, other), one, other)
        return self.builder.bitcast(taken, self.vector)


def emit_sweep(builder: Any, lengths: list[int], pointers: list[Any], numbers: list[Any], *, masked: bool) -> None:
    """Emit the loop over columns [first, last) of one row block; the names are those of `lanes_kernel._sweep`."""
    num_leads, num_rows, num_lanes, num_sides, num_forms = lengths
    query, laid, above, left, corner, penalty = pointers
    row, tile_start, first, last, offset, laid_from = numbers
    lanes = _Lanes(builder, num_lanes)
    origin = ir.Constant(_INDEX, 0)
    if num_sides == 1:
        step, of_query, query_row = 1, lanes.broadcast, row
    else:
        step, of_query, query_row = num_lanes, lanes.load, lanes.plus(row, BLOCK)

    query_at = lanes.times(query_row, num_leads * step)
    left_at = lanes.times(lanes.plus(row, 1), num_lanes)
    entering = [lanes.load(left, lanes.plus(left_at, r * num_lanes)) for r in range(num_rows)]
    entering_corner = lanes.load(corner, origin)
    entry = builder.block
    head, body, end = (builder.append_basic_block(name) for name in ("columns", "column", "swept"))
    builder.branch(head)

    builder.position_at_end(head)
    column = builder.phi(_INDEX)
    column.add_incoming(first, entry)
    diagonal = builder.phi(lanes.vector)
    diagonal.add_incoming(entering_corner, entry)
    lefts = [builder.phi(lanes.vector) for _ in range(num_rows)]
    for phi, value in zip(lefts, entering, strict=True):
        phi.add_incoming(value, entry)
    builder.cbranch(builder.icmp_signed("<", column, last), body, end)

    builder.position_at_end(body)
    above_at = lanes.times(builder.sub(column, tile_start), num_lanes)
    laid_at = lanes.times(lanes.plus(builder.sub(column, laid_from), BLOCK), num_leads * num_lanes)
    # As far as LLVM knows, stores to `above` may change the query; so it reads these scalars again for each column,
    # as operands of the subtraction, rather than keep more vectors than there are registers.
    costs: list[Any] = [None] * num_rows
    differences: list[Any] = [None] * num_rows
    for lead in range(num_leads):
        others = lanes.load(laid, lanes.plus(laid_at, lead * num_lanes))
        for r in range(num_rows):
            mine = of_query(query, lanes.plus(query_at, (r * num_leads + lead) * step))
            if num_forms == 2:
                costs[r] = builder.fadd(others, mine) if lead == 0 else lanes.fused(others, mine, costs[r])
                continue
            difference = differences[r] = builder.fsub(others, mine)
            if num_leads > 1:
                squared = lead == 0
                costs[r] = (
                    builder.fmul(difference, difference) if squared else lanes.fused(difference, difference, costs[r])
                )
    from_above = lanes.load(above, above_at)
    up, upper_left = from_above, diagonal
    for r in range(num_rows):
        # `up` comes last of all: the chain from row to row is one minimum and one addition.
        nearest = lanes.lesser(up, lanes.lesser(lefts[r], upper_left))
        if num_forms == 2:
            costs[r] = lanes.nonnegative(costs[r])
        if masked:  # 0 inside the band, infinity outside; indexed by row - column
            behind = builder.sub(builder.add(row, offset), column)
            outside = lanes.broadcast(penalty, lanes.plus(behind, r))
            if costs[r] is None:
                nearest = builder.fadd(nearest, outside)
            else:
                costs[r] = builder.fadd(costs[r], outside)
        # With one lead the square is fused into the addition: four operations a cell.
        alone = costs[r] is None
        value = lanes.fused(differences[r], differences[r], nearest) if alone else builder.fadd(costs[r], nearest)
        upper_left, up = lefts[r], value
        lefts[r].add_incoming(value, builder.block)
    lanes.store(up, above, above_at)
    diagonal.add_incoming(from_above, builder.block)
    column.add_incoming(lanes.plus(column, 1), builder.block)
    builder.branch(head)

    builder.position_at_end(end)
    for r in range(num_rows):
        lanes.store(lefts[r], left, lanes.plus(left_at, r * num_lanes))
    lanes.store(diagonal, corner, origin)


def emit_move(builder: Any, num_lanes: int, target: Any, target_at: Any, source: Any, source_at: Any) -> None:
    """Emit the copy of one vector."""
    lanes = _Lanes(builder, num_lanes)
    lanes.store(lanes.load(source, source_at), target, target_at)


def emit_transpose(builder: Any, target: Any, target_at: Any, step: Any, source: Any, starts: list[Any]) -> None:
    """Emit the turn of `BLOCK` runs of as many samples: sample s of run l goes to target[target_at + s * step + l]."""
    lanes = _Lanes(builder, BLOCK)
    lines = [lanes.load(source, start) for start in starts]
    distance = BLOCK // 2
    while distance:  # exchange the off-diagonal quarters of blocks half as large each time
        lower = [j if not j & distance else BLOCK + j - distance for j in range(BLOCK)]
        upper = [j + distance if not j & distance else BLOCK + j for j in range(BLOCK)]
        for i in range(BLOCK):
            if not i & distance:
                one, other = lines[i], lines[i + distance]
                lines[i], lines[i + distance] = (
                    builder.shuffle_vector(one, other, ir.Constant(lanes.integers, order)) for order in (lower, upper)
                )
        distance //= 2
    for line in lines:
        lanes.store(line, target, target_at)
        target_at = builder.add(target_at, step)
