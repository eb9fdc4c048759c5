"""Random words that are a pure function of what they are drawn for: no generator, no history.

A counter-based generator (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011), in torch operations on
the device of the keys. Keys pass the 64-bit finaliser of Steele, Lea and Flood, "Fast splittable pseudorandom number
generators", 2014; elements the 32-bit one whose constants Wellons published as lowbias32, 2018.
"""

from __future__ import annotations

import torch
from torch import Tensor

_WORD = 0xFFFFFFFFFFFFFFFF
_GOLDEN = 0x9E3779B97F4A7C15


def keyed_words(keys: Tensor, stream: int, num: int) -> Tensor:
    """Draw words of 32 uniform bits.

    Parameters
    ----------
    keys : int64 [b]
        Row keys, such as hashes of recording ids.
    stream : int
        64 bits that stand for all else that the words depend on; see `stream_of`.
    num : int
        Words of each row.

    Returns
    -------
    int32 [b, num]
        The same for a row whatever the other rows are, and on whatever device.
    """
    # Numbers of words are hashed before they meet the row's word: rows never hold shifted copies of one another.
    elements = _avalanche32(torch.arange(num, dtype=torch.int32, device=keys.device))
    return _avalanche32(elements ^ _row_words(keys, stream)[:, None])


def stream_of(*parts: int) -> int:
    """Hash whole numbers, such as seed, step and layer, to 64 bits."""
    state = 0
    for part in parts:
        state = _mix64(((state ^ (part & _WORD)) + _GOLDEN) & _WORD)
    return state


def keys_of_view(keys: Tensor, view: int) -> Tensor:
    """Give keys int64 [b] by which another view of the same rows draws numbers of its own; view 0 keeps them."""
    return keys ^ _signed64(stream_of(view)) if view else keys


def _mix64(z: int) -> int:
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _WORD
    return z ^ (z >> 31)


def _row_words(keys: Tensor, stream: int) -> Tensor:
    """Hash keys int64 [b] with a stream to int32 [b]: `_mix64` in wrapping int64 arithmetic, the upper half of it."""
    z = keys ^ _signed64(stream)
    z = (z ^ _shift_right(z, 30, 64)) * _signed64(0xBF58476D1CE4E5B9)
    z = (z ^ _shift_right(z, 27, 64)) * _signed64(0x94D049BB133111EB)
    z = z ^ _shift_right(z, 31, 64)
    return (z >> 32).to(torch.int32)


def _avalanche32(words: Tensor) -> Tensor:
    """Mix int32 words in place, so that each bit of the result hangs on each bit that came in."""
    scratch = torch.empty_like(words)
    words ^= _shift_right(words, 16, 32, scratch)
    words *= 0x7FEB352D
    words ^= _shift_right(words, 15, 32, scratch)
    words *= 0x846CA68B - (1 << 32)
    words ^= _shift_right(words, 16, 32, scratch)
    return words


def _shift_right(words: Tensor, by: int, bits: int, out: Tensor | None = None) -> Tensor:
    """Shift right and fill with zeros; torch's own shift of a signed integer repeats the sign."""
    shifted = torch.bitwise_right_shift(words, by, out=out)
    shifted &= (1 << (bits - by)) - 1
    return shifted


def _signed64(word: int) -> int:
    return word - (1 << 64) if word >> 63 else word
