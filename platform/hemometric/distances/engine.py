"""Chooses the DTW kernel and runs a schedule on it."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from hemometric.distances.checks import Form, Metric, checked_form, checked_leads, checked_metric
from hemometric.distances.schedule import Int64
from hemometric.distances.workers import num_threads, share
from hemometric.ecg import Float32

CELLS_PER_TURN = (4_000_000, 100_000_000)
"""Fewest and most cells of one turn of a thread: long against the overhead of a turn, short against a person's wait."""


class Kernel(Protocol):
    """What `lanes` and `plain` offer."""

    def compile_for(self, num_leads: int, form: Form) -> None:
        """Compile for a number of leads that share a path."""

    def compile_pairs_for(self, num_leads: int) -> None:
        """Compile for pairs that have nothing in common."""

    def num_lanes(self, num_leads: int) -> int:
        """Pairs of one task."""

    def lines(self, signals: Float32, factor: float, *, independent: bool, form: Form) -> Float32:
        """Give signals as `solve` reads them."""

    def solve(
        self,
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
        """Do tasks."""

    def solve_pairs(
        self,
        queries: Float32,
        others: Float32,
        pairs: Int64,
        window: int,
        stop: Any,
        out: Float32,
        *,
        independent: bool,
    ) -> None:
        """Compare pairs."""


def warm_up(num_leads: int, metric: Metric = "dependent", form: Form = "difference") -> None:
    """Compile now what `pairwise`, `cross` and `half_rows` will need, rather than within the first step.

    Call it in a worker's set-up, with ``NUMBA_CACHE_DIR`` on a disk of the node: seconds the first time on a machine,
    under one second with the cache. `refine`, `nearest` and `search` have a kernel more: `warm_up_pairs`.

    Parameters
    ----------
    num_leads : int
        Of the signals as they will be given: 8 after `reduced_leads`. One kernel serves one number of leads, and
        signals of any length; with ``independent`` all numbers of leads share one.
    metric, form
        As for `pairwise`, and as they will be given.

    Raises
    ------
    ValueError
        `num_leads` is no whole number of at least 1, or `metric` or `form` unknown.
    """
    leads = checked_leads(num_leads)
    kernel_for(1 if checked_metric(metric) == "independent" else leads, checked_form(form))


def warm_up_pairs(num_leads: int, metric: Metric = "dependent") -> None:
    """Compile now what `refine`, `nearest` and `search` will need, rather than within the first step; see `warm_up`.

    What `warm_up` compiles in the difference form is compiled too. A search also compares all pairs by its bound, on a
    few lines in place of the leads: of `nearest` with ``components=3``, these are ``warm_up(4)``. With ``independent``,
    all share the kernel of one lead.

    Parameters
    ----------
    num_leads : int
        Of the signals as they will be given: 8 after `reduced_leads`.
    metric : {"dependent", "independent"}
        As for `pairwise`.

    Raises
    ------
    ValueError
        `num_leads` is no whole number of at least 1, or `metric` is unknown.
    """
    leads = checked_leads(num_leads)
    pairs_kernel_for(1 if checked_metric(metric) == "independent" else leads)


@functools.cache
def pairs_kernel_for(num_leads: int) -> Kernel:
    """Give the kernel that `kernel_for` chooses, compiled for pairs too."""
    kernel = kernel_for(num_leads, "difference")
    kernel.compile_pairs_for(num_leads)
    return kernel


@functools.cache
def kernel_for(num_leads: int, form: Form) -> Kernel:
    """Give the compiled kernel for a number of leads that share a path: the fast one, or the plain one with a warning.

    The modules are imported here, not above: the compiler takes half a second to import.
    """
    try:
        return _fast(num_leads, form)
    except Exception as error:  # noqa: BLE001 - whatever keeps the vectors from compiling, the plain kernel is right
        _warn_once(f"{type(error).__name__}: {error}".splitlines()[0])
    return _plain(num_leads, form)


def _fast(num_leads: int, form: Form) -> Kernel:
    from hemometric.distances import lanes

    lanes.compile_for(num_leads, form)
    return lanes


def _plain(num_leads: int, form: Form) -> Kernel:
    from hemometric.distances import plain

    plain.compile_for(num_leads, form)
    return plain


_warned: list[str] = []


def _warn_once(reason: str) -> None:
    if not _warned:
        _warned.append(reason)
        warnings.warn(
            f"the vector kernel for DTW does not compile here, so a plain one some 20 times slower is used ({reason})",
            RuntimeWarning,
            stacklevel=2,
        )


def run(
    queries: Float32,
    others: Float32,
    schedule: Callable[[int], Int64],
    num_rows: int,
    *,
    window: int,
    metric: Metric,
    form: Form,
    threads: int | None,
) -> Float32:
    """Compare queries with others as scheduled, on threads.

    Parameters
    ----------
    queries, others : float32 [signal, lead, sample]
        Checked.
    schedule : callable
        From the kernel's number of lanes to its tasks.
    window : int
        Band in samples.

    Returns
    -------
    float32 [num_rows, other]
        Squared distances; 0 where nothing was scheduled.

    Raises
    ------
    ValueError
        A thread count below 1, or distances beyond float32.
    """
    workers = num_threads(threads)
    independent = metric == "independent"
    _, num_leads, num_samples = others.shape
    kernel = kernel_for(1 if independent else num_leads, form)
    lanes = kernel.num_lanes(1 if independent else num_leads)
    tasks = schedule(lanes)
    out = np.zeros((num_rows, len(others)), np.float32)
    if len(tasks) == 0:
        return out
    mine = kernel.lines(queries, -2.0, independent=independent, form=form)
    theirs = kernel.lines(others, 1.0, independent=independent, form=form)
    cells = num_samples * min(num_samples, 2 * window + 1) * lanes * (num_leads if independent else 1)
    share(
        tasks,
        lambda turn, stop: kernel.solve(mine, theirs, turn, window, stop, out, independent=independent, form=form),
        threads=workers,
        tasks_per_turn=_tasks_per_turn(len(tasks), cells, workers),
    )
    return _within_float32(out)


def run_pairs(
    queries: Float32, others: Float32, pairs: Int64, *, window: int, metric: Metric, threads: int | None
) -> Float32:
    """Compare pairs that have nothing in common, on threads.

    Parameters
    ----------
    queries, others : float32 [signal, lead, sample]
        Checked.
    pairs : int64 [pair, 2]
        Positions in `queries` and in `others`, checked.
    window : int
        Band in samples.

    Returns
    -------
    float32 [pair]
        Squared distances.

    Raises
    ------
    ValueError
        As `run`.
    """
    workers = num_threads(threads)
    independent = metric == "independent"
    _, num_leads, num_samples = others.shape
    out = np.zeros(len(pairs), np.float32)
    if len(pairs) == 0:
        return out
    kernel = pairs_kernel_for(1 if independent else num_leads)
    lanes = kernel.num_lanes(1 if independent else num_leads)
    starts = np.arange(0, len(pairs), lanes)
    cells = num_samples * min(num_samples, 2 * window + 1) * lanes * (num_leads if independent else 1)

    def work(turn: Int64, stop: Any) -> None:
        turned = slice(int(turn[0]), int(turn[-1]) + lanes)
        kernel.solve_pairs(queries, others, pairs[turned], window, stop, out[turned], independent=independent)

    share(starts, work, threads=workers, tasks_per_turn=_tasks_per_turn(len(starts), cells, workers))
    return _within_float32(out)


def _tasks_per_turn(num_tasks: int, cells: int, workers: int) -> int:
    fewest, most = (max(1, bound // cells) for bound in CELLS_PER_TURN)
    return min(most, max(fewest, num_tasks // (8 * workers)))


def _within_float32(out: Float32) -> Float32:
    if not np.isfinite(out).all():
        raise ValueError("signals differ so much that their squared distance exceeds float32; give them in millivolts")
    return out
