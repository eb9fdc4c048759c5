"""One place of a seeded permutation at a time, without the permutation: for many groups of very different sizes."""

from __future__ import annotations

import numpy as np

from hemometric.batches.hashes import Int64, key_of, nth_of_stream

_ROUNDS = 32
"""What stands at two places is independent but for a chance of about 2 ** -32: of no round moving one alone."""

_ROUND_BITS = 40
"""Each round has a part of the stream for its coins, so far from the next; groups are smaller than two to this."""


def shuffled(places: Int64, sizes: Int64, seed: int, groups: Int64, passes: Int64) -> Int64:
    """Say which of 0 … size - 1 stands at a place of the permutation that (seed, group, pass) names.

    Swap or not (Hoang, Morris and Rogaway 2012, "An enciphering scheme based on a card shuffle"): each round pairs
    x with (key - x) mod size, and swaps the two where the pair's own coin says so. Each round is therefore a
    permutation, for any size, whatever the hashes are.

    Parameters
    ----------
    places, sizes, groups, passes : int64 [draw]
        0 <= place < size.

    Returns
    -------
    int64 [draw]
    """
    keys = key_of(seed, groups, passes)
    found, size = places.astype(np.uint64), sizes.astype(np.uint64)
    for number in range(_ROUNDS):
        key = nth_of_stream(np.asarray(number), keys) % size
        other = np.where(key >= found, key - found, key + size - found)
        coins = nth_of_stream(np.maximum(found, other) + np.uint64(number + 1 << _ROUND_BITS), keys)
        found = np.where(coins & np.uint64(1), other, found)
    return found.astype(np.int64)
