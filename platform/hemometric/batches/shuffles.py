"""One place of a seeded permutation at a time, without the permutation: for many groups of very different sizes."""

from __future__ import annotations

import numpy as np

from hemometric.batches.hashes import Int64, UInt64, key_of, nth_of_stream

_ROUNDS = 8
_ROUND_BITS = 40
"""Rounds draw from one stream, so far apart; halves are smaller than two to this."""


def shuffled(places: Int64, sizes: Int64, seed: int, groups: Int64, passes: Int64) -> Int64:
    """Say which of 0 … size - 1 stands at a place of the permutation that (seed, group, pass) names.

    A Feistel network of hashes permutes the next power of four, whatever the hashes are; a number beyond `size` goes
    through it again, until it is within: that permutes what is within (Black and Rogaway 2002, "Ciphers with
    arbitrary finite domains", cycle walking). On average fewer than four times, since the power is below 4 sizes.

    Parameters
    ----------
    places, sizes, groups, passes : int64 [draw]
        0 <= place < size.

    Returns
    -------
    int64 [draw]
    """
    keys = np.broadcast_to(key_of(seed, groups, passes), places.shape)
    half = ((np.frexp((sizes - 1).astype(np.float64))[1] + 1) // 2).astype(np.uint64)  # of the bits of size - 1
    found = places.astype(np.uint64)
    outside = np.arange(len(found))
    while len(outside):
        found[outside] = _permuted(found[outside], half[outside], keys[outside])
        outside = outside[found[outside] >= sizes[outside].astype(np.uint64)]
    return found.astype(np.int64)


def _permuted(numbers: UInt64, half: UInt64, keys: UInt64) -> UInt64:
    """Permute 0 … 4 ** half - 1: each round keeps one half, and changes the other by a hash of it."""
    mask = (np.uint64(1) << half) - np.uint64(1)
    left, right = numbers >> half, numbers & mask
    for number in range(_ROUNDS):
        hashed = nth_of_stream(right + np.uint64(number << _ROUND_BITS), keys)
        left, right = right, left ^ (hashed & mask)
    return (left << half) | right
