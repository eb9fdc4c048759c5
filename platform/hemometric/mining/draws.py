"""Random draws that are pure functions of (seed, epoch, what is drawn for).

A generator's stream depends on how many draws came before, and so on the position in the batch and on the number of
ranks. These draws are hashes of their own names instead: every rank, every order of the batch and every restart get
the same ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hemometric.ecg import Float32


def number(seed: int, epoch: int, *names: str) -> int:
    """Draw 64 uniform bits for `names`: the keyed BLAKE2b hash of (seed, epoch, names).

    Names are hashed with their lengths, so that ``("ab", "c")`` and ``("a", "bc")`` draw differently.
    """
    digest = hashlib.blake2b(f"{seed}:{epoch}".encode(), digest_size=8)
    for name in names:
        encoded = name.encode()
        digest.update(b"|%d:" % len(encoded))
        digest.update(encoded)
    return int.from_bytes(digest.digest(), "little")


def index(num: int, seed: int, epoch: int, *names: str) -> int:
    """Draw one of ``0 … num - 1``, uniformly up to num / 2**64.

    Raises
    ------
    ValueError
        There is nothing to draw from.
    """
    if num < 1:
        raise ValueError(f"cannot draw one of {num}")
    return number(seed, epoch, *names) * num >> 64


def pair_numbers(seed: int, epoch: int, names: Sequence[str]) -> Float32:
    """Draw a symmetric float32 [B, B] in [0, 1): one number for each unordered pair of names."""
    own = np.array([number(seed, epoch, "pair", name) for name in names], dtype=np.uint64)
    # The sum is symmetric in the pair; the finaliser then spreads it over all bits.
    mixed = _splitmix(own[:, None] + own[None, :])
    return ((mixed >> np.uint64(40)).astype(np.float32)) * np.float32(2.0**-24)


def _splitmix(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Mix 64-bit words (finaliser of SplitMix64; Steele, Lea, Flood 2014). Arrays wrap around without a warning."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
