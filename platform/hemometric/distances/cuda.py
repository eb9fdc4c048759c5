"""DTW on CUDA devices, to which `dtw` and `archive_search` hand arrays that lie there.

The definition, the arguments and the numerics are those of `dtw`: float32, the difference form, no root. Signals are
torch's, CuPy's or numba's arrays on the thread's current device, ready on its default stream; the result stays there,
as an array of numba's, which ``torch.as_tensor`` and ``cupy.asarray`` take without a copy. A call returns when it is
done. Besides the driver, numba needs libNVVM of the CUDA toolkit, or the package numba-cuda. Run in numba's simulator
so far, not yet measured on a device.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import cuda

from hemometric.distances.checks import (
    Form,
    Metric,
    Window,
    band_samples,
    checked_candidates,
    checked_form,
    checked_metric,
    checked_rows,
    warn_if_swapped,
)
from hemometric.distances.cuda_kernel import (
    FEWEST_BLOCKS,
    GROUP,
    THREADS,
    blocks_for,
    count_not_finite,
    distances_kernel,
    lay,
)
from hemometric.distances.placement import is_on_device
from hemometric.distances.schedule import Int64

PAIRS = 1 << 22
"""Most pairs of one launch."""
CELLS = 10**12
"""Cells of one launch, unless that leaves the device without work: about a second, so that nothing waits for long."""
WORKSPACE_BYTES = 1 << 30
"""Most that the boundary rows of all threads may take; more pairs than threads take turns."""


def pairwise(signals: Any, *, window: Window = None, metric: Metric = "dependent", form: Form = "difference") -> Any:
    """Compute the DTW distances between all signals of a batch on their device; see `dtw.pairwise`.

    Parameters
    ----------
    signals : device float32 [signal, lead, sample] mV
    form : {"difference"}

    Returns
    -------
    device float32 [signal, signal] mV^2

    Raises
    ------
    ValueError
        An argument is out of range, or `signals` is not a finite float32 array of that shape.
    """
    how = Comparison.of(checked_on_device(signals, "signals"), window, metric, form)
    batch = Laid.of(how, signals)
    rows, columns = _owned(np.arange(batch.num), batch.num)
    out = cuda.to_device(np.zeros((batch.num, batch.num), np.float32))
    how.listed(batch, batch, np.stack([rows, columns, rows, columns, columns, rows]), out)
    return out


def cross(
    queries: Any, others: Any, *, window: Window = None, metric: Metric = "dependent", form: Form = "difference"
) -> Any:
    """Compute the DTW distances of queries to others on their device; see `dtw.cross` and `pairwise`.

    Returns
    -------
    device float32 [query, other] mV^2
    """
    checked_pair_on_device(queries, others, "queries", "others")
    how = Comparison.of(queries, window, metric, form)
    first = Laid.of(how, queries)
    return how.all(first, first if others is queries else Laid.of(how, others))


def half_rows(
    signals: Any, rows: Any, *, window: Window = None, metric: Metric = "dependent", form: Form = "difference"
) -> Any:
    """Compute the share of all pairs that belongs to some signals of a batch; see `dtw.half_rows`.

    Parameters
    ----------
    rows : int64 [row], on the host or the device

    Returns
    -------
    device float32 [row, signal] mV^2
    """
    how = Comparison.of(checked_on_device(signals, "signals"), window, metric, form)
    batch = Laid.of(how, signals)
    owners = checked_rows(on_host(rows), batch.num)
    out = cuda.to_device(np.zeros((len(owners), batch.num), np.float32))
    if len(owners):
        place, columns = _owned(owners, batch.num)
        how.listed(batch, batch, np.stack([owners[place], columns, place, columns, place, columns]), out)
    return out


def refine(
    signals: Any, candidates: Any, *, others: Any = None, window: Window = None, metric: Metric = "dependent"
) -> Any:
    """Compute the DTW distances of each signal to a few candidates of its own on the device; see `dtw.refine`.

    Parameters
    ----------
    candidates : int64 [signal, k], on the host or the device

    Returns
    -------
    device float32 [signal, k] mV^2
    """
    second = signals if others is None else others
    checked_pair_on_device(signals, second, "signals", "others")
    how = Comparison.of(signals, window, metric, "difference")
    first = Laid.of(how, signals)
    wanted = checked_candidates(on_host(candidates), len(signals), len(second))
    row, place = np.nonzero(wanted >= 0)
    columns = wanted[row, place]
    out = cuda.to_device(np.full(wanted.shape, np.inf, np.float32))
    batch = first if second is signals else Laid.of(how, second)
    how.listed(first, batch, np.stack([row, columns, row, place, row, place]), out)
    return out


def _owned(owners: Int64, num_signals: int) -> tuple[Int64, Int64]:
    """Give the pairs that signals own (`dtw.half_rows`): the place among `owners`, and the other signal."""
    reach = np.full(len(owners), (num_signals - 1) // 2)
    if num_signals % 2 == 0:
        reach += owners < num_signals // 2
    place = np.repeat(np.arange(len(owners)), reach)
    offset = np.arange(len(place)) - np.repeat(np.cumsum(reach) - reach, reach)
    return place, (owners[place] + 1 + offset) % num_signals


@dataclass(frozen=True)
class Laid:
    """Checked signals as the kernel reads them."""

    flat: Any
    num: int

    @staticmethod
    def of(how: Comparison, signals: Any) -> Laid:
        """Lay signals out as [group, sample, lead, signal of the group]."""
        array = as_device_array(signals)
        num = len(array)
        flat = cuda.device_array(-(-num // GROUP) * GROUP * how.num_leads * how.num_samples, np.float32)
        lay[blocks_for(flat.size), THREADS](array, flat)
        return Laid(flat, num)


@dataclass(frozen=True)
class Comparison:
    """How signals of one shape are compared."""

    num_samples: int
    num_leads: int
    window: int
    metric: Metric

    @staticmethod
    def of(signals: Any, window: Window, metric: str, form: str) -> Comparison:
        """Check the arguments of a comparison of signals that were checked."""
        _, num_leads, num_samples = signals.shape
        if checked_form(form) != "difference":
            raise ValueError(f"form={form!r}: on a CUDA device there is only 'difference'")
        return Comparison(num_samples, num_leads, band_samples(window, num_samples), checked_metric(metric))

    def all(self, queries: Laid, others: Laid) -> Any:
        """Compare every query with every other, float32 [query, other]."""
        out = cuda.device_array((queries.num, others.num), np.float32)
        nothing = cuda.to_device(np.zeros((6, 1), np.int32))
        num_pairs = queries.num * others.num
        beyond, above, blocks = self._workspace(num_pairs)
        for first, last in self._turns(num_pairs, blocks):
            self._launch(blocks, queries, others, nothing, (first, last), others.num, above, out, beyond)
        _within_float32(beyond)
        return out

    def listed(self, queries: Laid, others: Laid, pairs: Int64, out: Any) -> None:
        """Compare pairs, int64 [query, other, its two indices in `out`, two indices more; pair]."""
        beyond, above, blocks = self._workspace(pairs.shape[1])
        for first, last in self._turns(pairs.shape[1], blocks):
            turn = cuda.to_device(pairs[:, first:last].astype(np.int32))
            self._launch(blocks, queries, others, turn, (0, last - first), 0, above, out, beyond)
        _within_float32(beyond)

    def _workspace(self, num_pairs: int) -> tuple[Any, Any, int]:
        """Give the flag for distances beyond float32, the boundary rows of the threads, and the blocks of threads."""
        fitting = max(FEWEST_BLOCKS, WORKSPACE_BYTES // (4 * (self.num_samples + 1) * THREADS))
        blocks = max(1, min(-(-num_pairs // THREADS), fitting))
        above = cuda.device_array(blocks * THREADS * (self.num_samples + 1), np.float32)
        # Where blocks are added for numba's sake, there are no more pairs than threads with a boundary row.
        return cuda.to_device(np.zeros(1, np.int32)), above, max(FEWEST_BLOCKS, blocks)

    def _turns(self, num_pairs: int, blocks: int) -> list[tuple[int, int]]:
        leads = self.num_leads if self.metric == "independent" else 1
        cells = self.num_samples * min(self.num_samples, 2 * self.window + 1) * leads
        at_once = min(PAIRS, max(blocks * THREADS, CELLS // cells))
        return [(first, min(first + at_once, num_pairs)) for first in range(0, num_pairs, at_once)]

    def _launch(self, blocks: int, queries: Laid, others: Laid, pairs: Any, *rest: Any) -> None:
        sizes = self.num_samples, self.num_leads, self.window
        kernel = distances_kernel(1 if self.metric == "independent" else self.num_leads)
        kernel[blocks, THREADS](queries.flat, others.flat, sizes, pairs, *rest)


def as_device_array(array: Any) -> Any:
    """Take an array of any library on a device as numba's, without a copy."""
    return array if hasattr(array, "__cuda_ndarray__") else cuda.as_cuda_array(array)


def on_host(array: Any) -> Any:
    """Copy an array from the device; what lies on the host is given as it is."""
    return as_device_array(array).copy_to_host() if is_on_device(array) else array


def checked_on_device(signals: Any, name: str) -> Any:
    """Take a device array [signal, lead, sample] of finite float32; checks and warning of `checks.checked_signals`."""
    array = _checked(signals, name)
    warn_if_swapped(tuple(array.shape), name)
    return array


def _checked(signals: Any, name: str) -> Any:
    array = as_device_array(signals)
    if array.dtype != np.float32:
        raise ValueError(f"{name} has dtype {array.dtype}; give float32 on a device")
    if array.ndim != 3 or 0 in array.shape:
        raise ValueError(
            f"{name} has shape {tuple(array.shape)}; expected [signal, lead, sample] with at least one of each"
        )
    if not array.is_c_contiguous():
        raise ValueError(f"{name} is not contiguous; make it so (torch: .contiguous())")
    counted = cuda.to_device(np.zeros(1, np.int32))
    count_not_finite[blocks_for(array.size), THREADS](array.reshape(array.size), counted)
    if bad := int(counted.copy_to_host()[0]):
        raise ValueError(f"{name} holds NaN or infinity in {bad} samples; leave such recordings out")
    return array


def checked_pair_on_device(queries: Any, others: Any, name: str, other_name: str) -> None:
    """Check two sets of signals that meet."""
    first = checked_on_device(queries, name)
    second = first if others is queries else _checked(others, other_name)
    if tuple(first.shape[1:]) != tuple(second.shape[1:]):
        raise ValueError(
            f"{name} and {other_name} differ: {first.shape[1]} leads of {first.shape[2]} samples against "
            f"{second.shape[1]} of {second.shape[2]}"
        )


def _within_float32(beyond: Any) -> None:
    if beyond.copy_to_host()[0]:
        raise ValueError("signals differ so much that their squared distance exceeds float32; give them in millivolts")
