"""Keyed hashes, 64 uniform bits each (SplitMix64; Steele, Lea and Flood 2014).

Written out, since numpy keeps the right to change its generators' streams and a resume must not see that.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Int64 = npt.NDArray[np.int64]
UInt64 = npt.NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_WORD = 0xFFFFFFFFFFFFFFFF


def hashes(rows: Int64, seed: int, epochs: int | Int64) -> UInt64:
    """Hash rows keyed by (seed, epoch), one epoch for all or one for each."""
    return nth_of_stream(rows, key_of(seed, epochs))


def key_of(seed: int, *parts: int | Int64) -> UInt64:
    """Hash a seed and what follows it: the key of a stream of its own."""
    key = _mixed(np.asarray(seed & _WORD, dtype=np.uint64))
    for part in parts:
        key = _mixed(key ^ np.asarray(part).astype(np.uint64))
    return key


def nth_of_stream(numbers: Int64 | UInt64, keys: UInt64) -> UInt64:
    """Give outputs of the streams of `keys`, each by its number in the stream, which begins with 0."""
    with np.errstate(over="ignore"):
        states = (numbers.astype(np.uint64) + np.uint64(1)) * _GOLDEN + keys
        states = (states ^ (states >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        states = (states ^ (states >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(states ^ (states >> np.uint64(31)))


def _mixed(values: UInt64) -> UInt64:
    return nth_of_stream(np.zeros((), dtype=np.uint64), values)
