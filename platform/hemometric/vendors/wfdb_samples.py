"""The bytes of a WFDB signal file into counts: one function, one branch per storage format."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hemometric.ecg import Int16

Counts = npt.NDArray[np.signedinteger]

# Format: (samples of a block, bytes of a block, the count that means "no sample").
FORMATS: dict[int, tuple[int, int, int | None]] = {
    8: (1, 1, None),
    16: (1, 2, -(2**15)),
    24: (1, 3, -(2**23)),
    32: (1, 4, -(2**31)),
    61: (1, 2, -(2**15)),
    80: (1, 1, -(2**7)),
    160: (1, 2, -(2**15)),
    212: (2, 3, -(2**11)),
    310: (3, 4, -(2**9)),
    311: (3, 4, -(2**9)),
}
"""Formats of plain bytes, each with the block that its samples are packed in and its own mark for an absent sample."""

# Format: for each sample of a block, the byte in which it ends.
_ENDS = {212: (2, 3), 310: (2, 4, 4), 311: (2, 3, 4)}


def num_bytes(storage: int, num_values: int) -> int:
    """Count the bytes that so many samples take, all signals of the file together."""
    blocks, rest = divmod(num_values, FORMATS[storage][0])
    # What no sample needs may be missing at the end of a file: a lone last sample of format 212 takes two bytes.
    return blocks * FORMATS[storage][1] + (_ENDS[storage][rest - 1] if rest else 0)


def num_values(storage: int, num_bytes_there: int) -> int:
    """Count the whole samples that lie in so many bytes."""
    blocks, rest = divmod(num_bytes_there, FORMATS[storage][1])
    return blocks * FORMATS[storage][0] + sum(end <= rest for end in _ENDS.get(storage, ()))


def decode(content: bytes, storage: int, num_values_wanted: int) -> Counts:
    """Decode samples in the order of the file.

    Parameters
    ----------
    content : bytes
        At least `num_bytes(storage, num_values_wanted)`.
    storage : int
        One of `FORMATS`. For format 8 the first differences are returned: their sums need to know the signals.

    Returns
    -------
    int16 or int32 [num_values_wanted]

    References
    ----------
    WFDB Applications Guide, signal(5).
    """
    needed = content[: num_bytes(storage, num_values_wanted)]
    match storage:
        case 16:
            return np.frombuffer(needed, "<i2").astype(np.int16, copy=False)
        case 61:
            return np.frombuffer(needed, ">i2").astype(np.int16)
        case 160:
            return (np.frombuffer(needed, "<u2") ^ 0x8000).view(np.int16)
        case 8:
            return np.frombuffer(needed, "i1").astype(np.int16)
        case 80:
            return np.frombuffer(needed, "u1").astype(np.int16) - np.int16(128)
        case 32:
            return np.frombuffer(needed, "<i4").astype(np.int32, copy=False)
        case 24:
            padded = np.zeros((num_values_wanted, 4), dtype=np.uint8)
            padded[:, 1:] = np.frombuffer(needed, np.uint8).reshape(-1, 3)
            return padded.view("<i4")[:, 0] >> 8  # the shift carries the sign
        case 212 | 310 | 311:
            return _unpack(np.frombuffer(needed, np.uint8), storage, num_values_wanted)
    raise ValueError(f"format {storage} is not one of {sorted(FORMATS)}")


def _unpack(stored: npt.NDArray[np.uint8], storage: int, num_values_wanted: int) -> Int16:
    """Take the samples of 12 or 10 bits out of their blocks, whose bytes come lowest first."""
    in_block, block_bytes, _ = FORMATS[storage]
    padded = np.zeros((-(-num_values_wanted // in_block), block_bytes), dtype=np.uint8)
    padded.reshape(-1)[: stored.size] = stored
    byte = padded.T.astype(np.int16)
    match storage:
        case 212:  # the low byte of the first, a byte with the high four bits of both, the low byte of the second
            samples = [byte[0] | (byte[1] & 0x0F) << 8, byte[2] | (byte[1] & 0xF0) << 4]
        case 310:  # eleven bits of each byte pair, the lowest unused; the third in the five high bits of both
            first, second = byte[0] | byte[1] << 8, byte[2] | byte[3] << 8
            samples = [first >> 1, second >> 1, byte[1] >> 3 | (byte[3] & 0xF8) << 2]
        case _:  # 311: ten bits after another
            samples = [
                byte[0] | byte[1] << 8,
                byte[1] >> 2 | byte[2] << 6,
                byte[2] >> 4 | byte[3] << 4,
            ]
    # Two's complement: move the sign to the sixteenth bit, which pushes out what lies above it, and back.
    unused = 4 if storage == 212 else 6
    counts: Int16 = np.stack(samples, axis=1).reshape(-1)[:num_values_wanted]
    return (counts << unused) >> unused
