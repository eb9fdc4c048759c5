"""DTW on CUDA devices: one thread is one pair, and the threads of a warp take neighbouring others of one query.

The definition, the arguments and the numerics are those of `dtw`: float32, the difference form, no root. Signals stay
on the device, and so does the result: ``from hemometric.distances import cuda; cuda.pairwise(tensor)``.

Each thread keeps `ROWS` rows of the matrix in registers while the columns sweep by; one row of boundary values goes
through the device's memory, laid out so that the threads of a warp read neighbouring floats. Others are laid out as
[sample, lead, signal] for the same reason. Run in numba's simulator so far, not yet measured on a device.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import cuda, float32

from hemometric.distances.checks import Metric, Window, band_samples, checked_candidates, checked_metric

Int64 = npt.NDArray[np.int64]

ROWS = 8
"""Rows of a block: with eight leads some hundred registers a thread, which leaves the device enough warps."""
THREADS = 128
_SIMULATED = "FakeCUDAArray"  # of numba's simulator, with which the tests run where there is no device
PAIRS = 1 << 22
"""Pairs of one launch: their positions travel to the device."""
WORKSPACE_BYTES = 1 << 28
"""Most that the boundary rows of all threads may take; more pairs than threads take turns."""


def is_on_device(array: object) -> bool:
    """Whether an array lies on a CUDA device: torch's, CuPy's or numba's."""
    return hasattr(array, "__cuda_array_interface__") or type(array).__name__ == _SIMULATED


def pairwise(signals: Any, *, window: Window = None, metric: Metric = "dependent") -> Any:
    """Compute the DTW distances between all signals of a batch on their device; see `dtw.pairwise`.

    Parameters
    ----------
    signals : device float32 [signal, lead, sample] mV

    Returns
    -------
    device float32 [signal, signal] mV^2
        A numba device array; ``torch.as_tensor`` and ``cupy.asarray`` take it without a copy.

    Raises
    ------
    ValueError
        An argument is out of range, or `signals` is not a finite float32 array of that shape.
    """
    checked = _checked(signals, "signals")
    num_signals = checked.shape[0]
    half = num_signals // 2
    rows = np.repeat(np.arange(num_signals), half)
    columns = (rows + np.tile(np.arange(1, half + 1), num_signals)) % max(1, num_signals)
    # For an even number the last offset reaches the opposite signal, which the first half of the signals take.
    once = (columns - rows) % max(1, num_signals) * 2 != num_signals
    once |= rows < half
    return _solve(checked, checked, rows[once], columns[once], columns[once], num_signals, True, window, metric)


def cross(queries: Any, others: Any, *, window: Window = None, metric: Metric = "dependent") -> Any:
    """Compute the DTW distances of queries to others on their device; see `dtw.cross` and `pairwise`."""
    first, second = _checked(queries, "queries"), _checked(others, "others")
    _same_shape(first, second)
    rows = np.repeat(np.arange(first.shape[0]), second.shape[0])
    columns = np.tile(np.arange(second.shape[0]), first.shape[0])
    return _solve(first, second, rows, columns, columns, second.shape[0], False, window, metric)


def refine(
    queries: Any,
    candidates: npt.ArrayLike,
    *,
    others: Any = None,
    window: Window = None,
    metric: Metric = "dependent",
) -> Any:
    """Compute the DTW distances of queries to their own candidates on the device; see `dtw.refine`.

    Parameters
    ----------
    candidates : int64 [query, k], on the host
        Positions in `others`, or in `queries` where there are no others; -1 for none, whose distance is infinite.

    Returns
    -------
    device float32 [query, k] mV^2
    """
    first = _checked(queries, "queries")
    second = first if others is None else _checked(others, "others")
    _same_shape(first, second)
    chosen = checked_candidates(candidates, first.shape[0], second.shape[0])
    rows, places = np.nonzero(chosen >= 0)
    columns = chosen[rows, places]
    return _solve(first, second, rows, columns, places, chosen.shape[1], False, window, metric, np.inf)


def _solve(
    queries: Any,
    others: Any,
    rows: Int64,
    columns: Int64,
    places: Int64,
    width: int,
    symmetric: bool,
    window: Window,
    metric: Metric,
    elsewhere: float = 0.0,
) -> Any:
    """Write the distance of query ``rows[n]`` to other ``columns[n]`` at ``[rows[n], places[n]]``."""
    num_samples = queries.shape[2]
    band = band_samples(window, num_samples)
    num_passes = queries.shape[1] if checked_metric(metric) == "independent" else 1
    out = cuda.to_device(np.full((queries.shape[0], width), elsewhere, np.float32))
    if not len(rows):
        return out
    fitting = max(1, WORKSPACE_BYTES // (4 * num_samples * THREADS))
    blocks = min(-(-len(rows) // THREADS), fitting)
    above = cuda.device_array((num_samples, blocks * THREADS), np.float32)
    first = _by_sample(queries)
    second = first if others is queries else _by_sample(others)
    kernel = _kernel(queries.shape[1] // num_passes)
    for start in range(0, len(rows), PAIRS):
        pairs = np.stack([rows, columns, places])[:, start : start + PAIRS].astype(np.int32)
        kernel[blocks, THREADS](first, second, cuda.to_device(pairs), num_passes, band, symmetric, above, out)
    return out


@functools.cache
def _kernel(num_leads: int) -> Any:
    """Compile for a number of leads that share a path: its loops are unrolled, and a block's rows stay in registers."""

    @cuda.jit
    def kernel(
        queries: Any, others: Any, pairs: Any, num_passes: Any, window: Any, symmetric: Any, above: Any, out: Any
    ) -> None:
        thread = cuda.grid(1)
        num_samples = queries.shape[0]
        query = cuda.local.array((ROWS, num_leads), float32)
        left = cuda.local.array(ROWS, float32)
        for pair in range(thread, pairs.shape[1], cuda.gridsize(1)):
            one, other = pairs[0, pair], pairs[1, pair]
            total = float32(0.0)
            for p in range(num_passes):
                lead = p * num_leads
                for j in range(num_samples):
                    above[j, thread] = float32(np.inf)
                for i in range(0, num_samples, ROWS):
                    for r in range(ROWS):
                        left[r] = float32(np.inf)
                        # Rows beyond the end lie below every cell that is asked for, so what they hold never matters.
                        row = min(i + r, num_samples - 1)
                        for k in range(num_leads):
                            query[r, k] = queries[row, lead + k, one]
                    begin, end = max(0, i - window), min(num_samples, i + ROWS + window)
                    corner = float32(0.0) if i == 0 else float32(np.inf)
                    if begin > 0:
                        corner = above[begin - 1, thread]
                    for j in range(begin, end):
                        up = above[j, thread]
                        before = corner
                        corner = up
                        for r in range(ROWS):
                            cost = float32(0.0)
                            for k in range(num_leads):
                                gap = query[r, k] - others[j, lead + k, other]
                                cost += gap * gap
                            if abs(i + r - j) > window:
                                cost = float32(np.inf)
                            value = cost + min(up, min(before, left[r]))
                            before = left[r]
                            left[r] = value
                            up = value
                        above[j, thread] = up
                total += left[(num_samples - 1) % ROWS]
            out[one, pairs[2, pair]] = total
            if symmetric:
                out[other, one] = total

    return kernel


def _by_sample(signals: Any) -> Any:
    """Lay signals out as [sample, lead, signal], so that neighbouring threads read neighbouring floats."""
    num_signals, num_leads, num_samples = signals.shape
    turned = cuda.device_array((num_samples, num_leads, num_signals), np.float32)
    _turn[-(-signals.size // THREADS), THREADS](signals, turned)
    return turned


@cuda.jit
def _turn(signals: Any, turned: Any) -> None:
    place = cuda.grid(1)
    num_signals, num_leads, num_samples = signals.shape
    if place < num_signals * num_leads * num_samples:
        signal, rest = place // (num_leads * num_samples), place % (num_leads * num_samples)
        turned[rest % num_samples, rest // num_samples, signal] = signals[
            signal, rest // num_samples, rest % num_samples
        ]


@cuda.jit
def _count_not_finite(flat: Any, counted: Any) -> None:
    for place in range(cuda.grid(1), flat.shape[0], cuda.gridsize(1)):
        if not math.isfinite(flat[place]):
            cuda.atomic.add(counted, 0, 1)


def _checked(signals: Any, name: str) -> Any:
    """Take a device array [signal, lead, sample] of finite float32; the checks of `checks.checked_signals`."""
    array = signals if type(signals).__name__ == _SIMULATED else cuda.as_cuda_array(signals)
    if array.dtype != np.float32:
        raise ValueError(f"{name} has dtype {array.dtype}; give float32 on a device")
    if array.ndim != 3 or 0 in array.shape:
        raise ValueError(f"{name} has shape {array.shape}; expected [signal, lead, sample] with at least one of each")
    if not array.is_c_contiguous():
        raise ValueError(f"{name} is not contiguous; make it so (torch: .contiguous())")
    counted = cuda.to_device(np.zeros(1, np.int32))
    _count_not_finite[min(1024, -(-array.size // THREADS)), THREADS](array.reshape(array.size), counted)
    if bad := int(counted.copy_to_host()[0]):
        raise ValueError(f"{name} holds NaN or infinity in {bad} samples; leave such recordings out")
    return array


def _same_shape(first: Any, second: Any) -> None:
    if first.shape[1:] != second.shape[1:]:
        raise ValueError(
            f"queries and others differ: {first.shape[1]} leads of {first.shape[2]} samples against "
            f"{second.shape[1]} of {second.shape[2]}"
        )
