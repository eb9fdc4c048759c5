"""The nearest signals of an archive on a CUDA device: every pair is compared there, and the host keeps the best.

No bound is looked at. The host holds a few million distances at a time, and the archive is laid out anew in parts.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import cuda

from hemometric.distances.checks import Metric, Window
from hemometric.distances.cuda import Comparison, Laid, as_device_array, checked_pair_on_device, on_host
from hemometric.distances.search_checks import checked_components, checked_exclude, checked_k

QUERIES_OF_BLOCK = 512
PAIRS_OF_BLOCK = 1 << 22
"""Distances that are on the host at once: 16 MB, and twice that as keys."""
FLOATS_OF_BLOCK = 1 << 28
"""Samples of all leads of as much of the archive as is laid out anew at once: 1 GB of the device."""

_POSITION = 2**32 - 1


def nearest(
    queries: Any,
    archive: Any,
    k: int,
    *,
    window: Window = None,
    metric: Metric = "dependent",
    exclude: Any = None,
    components: int = 0,
) -> tuple[Any, Any, int]:
    """Find the k nearest signals of each query; see `archive_search.nearest`.

    Parameters
    ----------
    queries : device float32 [query, lead, sample] mV
    archive : device float32 [signal, lead, sample] mV
    exclude : optional
        As there, on the host or the device (labels that are strings: on the host).
    components : int
        Checked, and not used.

    Returns
    -------
    positions : device int64 [query, k]
    distances : device float32 [query, k] mV^2
    num_pairs : int
        Pairs that were not excluded.

    Raises
    ------
    ValueError
        As there.
    """
    checked_pair_on_device(queries, archive, "queries", "archive")
    asked, kept = as_device_array(queries), as_device_array(archive)
    checked_k(k, len(kept))
    checked_components(components)
    parts = tuple(on_host(part) for part in exclude) if isinstance(exclude, tuple) else on_host(exclude)
    excluded = checked_exclude(parts, len(asked), len(kept))
    how = Comparison.of(asked, window, metric, "difference")

    # A key is a distance, then a position: float32 that are not negative are in the order of their bits.
    nothing = int(np.float32(np.inf).view(np.int32)) << 32 | _POSITION
    best = np.full((len(asked), k), nothing, np.int64)
    num_pairs = 0
    at_once = PAIRS_OF_BLOCK // min(len(asked), QUERIES_OF_BLOCK)
    at_once = min(at_once, max(1, FLOATS_OF_BLOCK // (how.num_leads * how.num_samples)))
    for first in range(0, len(kept), at_once):
        block = Laid.of(how, kept[first : first + at_once])
        columns = slice(first, first + block.num)
        for start in range(0, len(asked), QUERIES_OF_BLOCK):
            some = Laid.of(how, asked[start : start + QUERIES_OF_BLOCK])
            rows = slice(start, start + some.num)
            barred = excluded(rows, columns)
            num_pairs += barred.size - int(barred.sum())
            found = how.all(some, block).copy_to_host()
            keys = found.view(np.int32).astype(np.int64) << 32 | np.arange(len(kept))[None, columns]
            keys[barred] = nothing
            best[rows] = np.partition(np.concatenate([best[rows], keys], axis=1), k - 1, axis=1)[:, :k]
    best.sort(axis=1)
    positions, distances = best & _POSITION, (best >> 32).astype(np.int32).view(np.float32)
    positions[np.isinf(distances)] = -1
    return cuda.to_device(positions), cuda.to_device(distances), num_pairs
