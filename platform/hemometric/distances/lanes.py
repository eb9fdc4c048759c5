"""The fast path of DTW: lays signals out and calls `lanes_kernel`, compiled for the leads at hand and for this CPU."""

from __future__ import annotations

import functools
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from numba import types

from hemometric.distances import lanes_emit, lanes_kernel
from hemometric.distances.checks import Form
from hemometric.distances.compiled import array_type, compiled, compiler_is_off, read_only
from hemometric.distances.lanes_emit import BLOCK
from hemometric.distances.schedule import Int64
from hemometric.ecg import Float32

Shape = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
"""Three tuples whose lengths are leads, rows of a block, lanes: lengths are part of a type, so the kernel is compiled
for them, and one cached function serves all."""


def _lines(num_leads: int, form: Form) -> int:
    return num_leads + 1 if form == "gemm" else num_leads


def shape_for(num_leads: int) -> Shape:
    """Choose rows and lanes so that a block's accumulators and boundaries just fit the CPU's vector registers.

    32 registers of 16 floats hold 5 rows of 32 lanes; 16 registers of 8 floats hold 3 rows of 16 lanes (1.5 times as
    fast there as 32). One lead has no accumulators, and 32 lanes are faster everywhere.
    """
    num_rows, num_lanes = (5, 32) if num_leads == 1 or _has_wide_registers() else (3, 16)
    return (0,) * num_leads, (0,) * num_rows, (0,) * num_lanes


@functools.cache
def _has_wide_registers() -> bool:
    return bool(llvm.get_host_cpu_features().get("avx512f", False))


def compile_for(num_leads: int, form: Form) -> None:
    """Compile the kernel for leads and a form, or load it from numba's cache; without effect the second time.

    Raises
    ------
    Exception
        Whatever numba or LLVM meet on a platform that they do not serve.
    """
    if compiler_is_off():
        raise RuntimeError("NUMBA_DISABLE_JIT is set")
    _kernel().compile(_signature(_shape(num_leads, form)))


def compile_pairs_for(num_leads: int) -> None:
    """Compile what `solve_pairs` calls, as `compile_for` does."""
    if compiler_is_off():
        raise RuntimeError("NUMBA_DISABLE_JIT is set")
    _pairs_kernel().compile(_pairs_signature(_shape(num_leads, "difference", num_sides=2)))


def num_lanes(num_leads: int) -> int:
    """Pairs that run side by side."""
    return len(shape_for(num_leads)[2])


def lines(signals: Float32, factor: float, *, independent: bool, form: Form) -> Float32:
    """Give signals as `solve` reads them, [signal, line, sample].

    In the GEMM form |x|^2 stands before the leads of each path, multiplied by `factor`: -2 for queries, 1 for others.
    """
    if form == "difference":
        return signals
    num_signals, num_leads, num_samples = signals.shape
    paths = signals.reshape(num_signals, num_leads if independent else 1, -1, num_samples)
    norms = np.einsum("spkt,spkt->spt", paths, paths, dtype=np.float64)[:, :, None].astype(np.float32)
    return np.concatenate([norms, paths * np.float32(factor)], axis=2).reshape(num_signals, -1, num_samples)


def solve(
    queries: Float32,
    others: Float32,
    tasks: Int64,
    window: int,
    stop: Any,
    out: Float32,
    *,
    independent: bool,
    form: Form,
) -> None:
    """Run tasks of `schedule` on one thread, without the interpreter's lock.

    Parameters
    ----------
    queries, others : float32 [signal, line, sample]
        From `lines`.
    tasks : int64 [task, 4]
        From `schedule`.
    window : int
        Band in samples.
    stop : uint8 [1]
        Set to 1 by another thread to have this one return soon, with `out` unfinished.
    out : float32 [row, other]
        Receives squared distances; 0 on entry.
    independent : bool
        Whether each lead has a path of its own.
    """
    sizes = queries.shape[1:]
    shape = _shape(1 if independent else sizes[0] - _lines(0, form), form)
    buffers, window = _workspace(shape, sizes[1], window)
    flat = (read_only(queries.reshape(-1)), read_only(others.reshape(-1)))
    _kernel()(shape, buffers, *flat, sizes, read_only(tasks), window, stop, out)


def solve_pairs(
    queries: Float32, others: Float32, pairs: Int64, window: int, stop: Any, out: Float32, *, independent: bool
) -> None:
    """Compare pairs that have nothing in common, on one thread, without the interpreter's lock.

    Parameters
    ----------
    queries, others : float32 [signal, lead, sample]
    pairs : int64 [pair, 2]
        Positions in `queries` and in `others`.
    window, stop
        As for `solve`.
    out : float32 [pair]
        Receives squared distances, bit for bit those of `solve`; 0 on entry.
    """
    shape = _shape(1 if independent else queries.shape[1], "difference", num_sides=2)
    sizes = queries.shape[1:]
    buffers, window = _workspace(shape, sizes[1], window)
    lanes = len(shape[2])
    whole = np.concatenate([pairs, np.repeat(pairs[-1:], -len(pairs) % lanes, axis=0)])  # no lane is left empty
    flat = (read_only(queries.reshape(-1)), read_only(others.reshape(-1)))
    _pairs_kernel()(shape, buffers, *flat, sizes, read_only(whole), window, stop, out)


@functools.cache
def _kernel() -> Any:
    return compiled(lanes_kernel.solve_lanes, lanes_kernel, lanes_emit)


@functools.cache
def _pairs_kernel() -> Any:
    return compiled(lanes_kernel.solve_pairs, lanes_kernel, lanes_emit)


def _shape(num_leads: int, form: Form, num_sides: int = 1) -> tuple[tuple[int, ...], ...]:
    lines, rows, lanes = shape_for(_lines(num_leads, form))
    return lines, rows, lanes, (0,) * num_sides, (0, 0) if form == "gemm" else (0,)


def _workspace(shape: tuple[tuple[int, ...], ...], num_samples: int, window: int) -> tuple[tuple[Float32, ...], int]:
    """Give the buffers of `lanes_kernel._sweep`, and the band in samples that it takes.

    Buffers begin at multiples of 64 bytes: a vector that straddles two cache lines costs two accesses.
    """
    num_leads, num_rows, num_lanes, num_sides, _ = map(len, shape)
    padded = -(-num_samples // num_rows) * num_rows
    if window >= num_samples - 1:
        window = padded  # then no cell of the padded matrix is outside, and there is no edge to mask
    penalty = np.full(2 * (window + num_rows), np.inf, np.float32)
    penalty[num_rows : num_rows + 2 * window + 1] = 0
    query = _aligned((BLOCK + padded) * num_leads * (num_lanes if num_sides == 2 else 1))
    query[:] = 0  # of the rows that pad the last block
    line = num_leads * num_lanes
    whole = (BLOCK + num_samples) * line
    sizes = (
        whole if num_sides == 1 and whole <= lanes_kernel.LAID else (BLOCK + lanes_kernel.TILE) * line,
        lanes_kernel.TILE * num_lanes,
        (padded + 1) * num_lanes,
        2 * num_lanes,
    )
    return (query, *map(_aligned, sizes), penalty), window


def _aligned(size: int) -> Float32:
    memory = np.empty(size + 16, np.float32)
    start = -memory.ctypes.data % 64 // 4
    return memory[start : start + size]


def _type_of(shape: tuple[tuple[int, ...], ...]) -> Any:
    """Type of a shape, and of the buffers that go with it."""
    return (
        types.Tuple([types.UniTuple(types.int64, len(part)) for part in shape]),
        types.UniTuple(array_type(types.float32, 1, readonly=False), 6),
    )


def _signature(shape: tuple[tuple[int, ...], ...]) -> Any:
    return (
        *_type_of(shape),
        array_type(types.float32, 1),
        array_type(types.float32, 1),
        types.UniTuple(types.int64, 2),
        array_type(types.int64, 2),
        types.int64,
        array_type(types.uint8, 1, readonly=False),
        array_type(types.float32, 2, readonly=False),
    )


def _pairs_signature(shape: tuple[tuple[int, ...], ...]) -> Any:
    return (
        *_type_of(shape),
        array_type(types.float32, 1),
        array_type(types.float32, 1),
        types.UniTuple(types.int64, 2),
        array_type(types.int64, 2),
        types.int64,
        array_type(types.uint8, 1, readonly=False),
        array_type(types.float32, 1, readonly=False),
    )
