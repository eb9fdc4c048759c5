"""The bytes of a WFDB signal file into counts: one function, one branch per storage format."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hemometric.ecg import INVALID_COUNT, Int16

Counts = npt.NDArray[np.signedinteger]

# Format: (bytes of a sample, the count that means "no sample").
FORMATS: dict[int, tuple[float, int | None]] = {
    8: (1, None),
    16: (2, -(2**15)),
    24: (3, -(2**23)),
    32: (4, -(2**31)),
    61: (2, -(2**15)),
    80: (1, -(2**7)),
    160: (2, -(2**15)),
    212: (1.5, -(2**11)),
}
"""Storage formats that are read, each with its bytes per sample and its own mark for an absent sample."""


def num_bytes(storage: int, num_values: int) -> int:
    """Count the bytes that so many samples take, all signals of the file together."""
    # Format 212 packs two samples into three bytes; a lone last sample takes two.
    return -(-num_values * 3 // 2) if storage == 212 else num_values * int(FORMATS[storage][0])


def num_values(storage: int, num_bytes_there: int) -> int:
    """Count the whole samples that lie in so many bytes."""
    return num_bytes_there * 2 // 3 if storage == 212 else num_bytes_there // int(FORMATS[storage][0])


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
        case 212:
            return _decode_212(np.frombuffer(needed, np.uint8), num_values_wanted)
    raise ValueError(f"format {storage} is not one of {sorted(FORMATS)}")


def _decode_212(stored: npt.NDArray[np.uint8], num_values_wanted: int) -> Int16:
    """Unpack pairs: the low byte of the first, a byte with the high four bits of both, the low byte of the second."""
    pairs = np.zeros((-(-num_values_wanted // 2), 3), dtype=np.int16)
    pairs.reshape(-1)[: stored.size] = stored
    counts = np.empty((len(pairs), 2), dtype=np.int16)
    counts[:, 0] = pairs[:, 0] | (pairs[:, 1] & 0x0F) << 8
    counts[:, 1] = pairs[:, 2] | (pairs[:, 1] & 0xF0) << 4
    # Twelve bits in two's complement: move the sign to the sixteenth bit and back.
    return (counts.reshape(-1)[:num_values_wanted] << 4) >> 4


def to_int16(counts: npt.NDArray[np.int32]) -> tuple[Int16, float, int]:
    """Bring the counts of one lead into int16, exactly where their span allows it.

    Parameters
    ----------
    counts : int32 [sample]
        The smallest int32 marks an absent sample.

    Returns
    -------
    counts : int16 [sample]
        round((counts - centre) / step), `INVALID_COUNT` where absent.
    step : float
        Native counts per new count; 1 means that nothing was lost.
    centre : int
        The native count that became 0.
    """
    absent = counts == np.iinfo(np.int32).min
    there = counts[~absent]
    if there.size == 0:
        return np.full(counts.shape, INVALID_COUNT, dtype=np.int16), 1.0, 0
    low, high = int(there.min()), int(there.max())
    if low > INVALID_COUNT and high < -INVALID_COUNT:
        return np.where(absent, INVALID_COUNT, counts).astype(np.int16), 1.0, 0
    centre = (low + high) // 2
    step = max(1.0, (high - low) / 65000.0)
    scaled = np.rint((counts.astype(np.float64) - centre) / step)
    return np.where(absent, INVALID_COUNT, scaled).astype(np.int16), step, centre
