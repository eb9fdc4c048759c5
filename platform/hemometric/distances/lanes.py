"""The fast path of DTW: lays signals out and calls `lanes_kernel`, compiled for the leads at hand and for this CPU."""

from __future__ import annotations

import functools
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from numba import types

from hemometric.distances.compiled import array_type, compiled, compiler_is_off, read_only
from hemometric.distances.lanes_kernel import solve_lanes
from hemometric.distances.lanes_kernel import solve_pairs as _solve_pairs
from hemometric.distances.schedule import Int64
from hemometric.ecg import Float32

Shape = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
"""Three tuples whose lengths are leads, rows of a block, lanes: lengths are part of a type, so the kernel is compiled
for them, and one cached function serves all."""


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


def compile_for(num_leads: int) -> None:
    """Compile the kernel for a number of leads, or load it from numba's cache; without effect the second time.

    Raises
    ------
    Exception
        Whatever numba or LLVM meet on a platform that they do not serve.
    """
    if compiler_is_off():
        raise RuntimeError("NUMBA_DISABLE_JIT is set")
    _kernel().compile(_signature(shape_for(num_leads)))


def compile_pairs_for(num_leads: int) -> None:
    """Compile what `solve_pairs` calls, as `compile_for` does."""
    if compiler_is_off():
        raise RuntimeError("NUMBA_DISABLE_JIT is set")
    _pairs_kernel().compile(_pairs_signature(shape_for(num_leads)))


def num_lanes(num_leads: int) -> int:
    """Pairs that run side by side."""
    return len(shape_for(num_leads)[2])


def lay(others: Float32, num_columns: int, *, independent: bool) -> Float32:
    """Lay signals [signal, lead, sample] out as [pass, sample, lead, column], the signals repeated over the columns.

    A query finds its run of others side by side wherever it begins, so nothing is rearranged for each query. A pass
    holds the leads that share a path: all of them, or one each if `independent`.
    """
    num_others, num_leads, num_samples = others.shape
    if independent:
        laid = np.empty((num_leads, num_samples, 1, num_columns), np.float32)
        turned = others.transpose(1, 2, 0)[:, :, None]
    else:
        laid = np.empty((1, num_samples, num_leads, num_columns), np.float32)
        turned = others.transpose(2, 1, 0)[None]
    for start in range(0, num_columns, num_others):
        end = min(start + num_others, num_columns)
        laid[..., start:end] = turned[..., : end - start]
    return laid


def solve(queries: Float32, laid: Float32, tasks: Int64, window: int, stop: Any, out: Float32) -> None:
    """Run tasks of `schedule` on one thread, without the interpreter's lock.

    Parameters
    ----------
    queries : float32 [query, lead, sample]
    laid : float32 [pass, sample, lead, column]
        From `lay`.
    tasks : int64 [task, 4]
        From `schedule`.
    window : int
        Band in samples.
    stop : uint8 [1]
        Set to 1 by another thread to have this one return soon, with `out` unfinished.
    out : float32 [row, other]
        Receives squared distances.
    """
    shape = (*shape_for(laid.shape[2]), (0,))
    _kernel()(shape, read_only(queries), read_only(laid), read_only(tasks), window, stop, out)


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
        Receives squared distances, bit for bit those of `solve`.
    """
    shape = (*shape_for(1 if independent else queries.shape[1]), (0, 0))
    _pairs_kernel()(shape, read_only(queries), read_only(others), read_only(pairs), window, stop, out)


@functools.cache
def _kernel() -> Any:
    return compiled(solve_lanes)


@functools.cache
def _pairs_kernel() -> Any:
    return compiled(_solve_pairs)


def _shape_type(shape: Shape, num_sides: int) -> Any:
    return types.Tuple([types.UniTuple(types.int64, n) for n in (*map(len, shape), num_sides)])


def _signature(shape: Shape) -> Any:
    return (
        _shape_type(shape, 1),
        array_type(types.float32, 3),
        array_type(types.float32, 4),
        array_type(types.int64, 2),
        types.int64,
        array_type(types.uint8, 1, readonly=False),
        array_type(types.float32, 2, readonly=False),
    )


def _pairs_signature(shape: Shape) -> Any:
    return (
        _shape_type(shape, 2),
        array_type(types.float32, 3),
        array_type(types.float32, 3),
        array_type(types.int64, 2),
        types.int64,
        array_type(types.uint8, 1, readonly=False),
        array_type(types.float32, 1, readonly=False),
    )
