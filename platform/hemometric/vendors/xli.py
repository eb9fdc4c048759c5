"""XLI, the lossless compression of Philips cardiographs.

One block for each channel: four bytes of length, two that are always 1, two with the first delta, all little-endian;
then LZW codes of ten bits. What these unpack to is the high bytes of all deltas, then their low bytes.

Decoded here and not by the `sierraecg` package, which unpacks whatever a file asks for (a megabyte may give 600) and
follows no announced length. It is the oracle of this room's tests.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hemometric.vendors.source import ReadError

_CODE_BITS = 10
_END = (1 << _CODE_BITS) - 1
_HEADER_BYTES = 8
_BIAS = 64

Int64 = npt.NDArray[np.int64]


def decode_xli(content: bytes, num_channels: int, num_samples: int) -> Int64:
    """Decode the first channels.

    Parameters
    ----------
    content : bytes
        The blocks, one after another; those beyond the wanted channels are left alone.

    Returns
    -------
    int64 [channel, sample]

    Raises
    ------
    ReadError
        ``truncated`` where blocks or samples are fewer than announced; ``unreadable``.

    References
    ----------
    sixlettervariables/sierra-ecg-tools, the project that found out the format.
    """
    channels = np.empty((num_channels, num_samples), dtype=np.int64)
    at = 0
    for channel in channels:
        header = content[at : at + _HEADER_BYTES]
        num_bytes = int.from_bytes(header[:4], "little")
        block = content[at + _HEADER_BYTES : at + _HEADER_BYTES + num_bytes]
        if len(header) < _HEADER_BYTES or len(block) < num_bytes:
            raise ReadError("truncated", "the compressed samples end within a channel")
        packed = _unpack_lzw(block, 2 * num_samples)
        first = int.from_bytes(header[6:], "little", signed=True)
        channel[:] = _add_up(packed, first)
        at += _HEADER_BYTES + num_bytes
    return channels


def _unpack_lzw(block: bytes, num_bytes: int) -> bytes:
    """Unpack exactly so many bytes: LZW with a table that stays as it is once its 1023 places are taken."""
    table = [bytes([value]) for value in range(256)]
    unpacked = bytearray()
    previous = b""
    for code in _codes(block):
        if code == _END:
            break
        if code < len(table):
            word = table[code]
        elif code == len(table) < _END and previous:
            word = previous + previous[:1]  # the one word that may be used while it is being made
        else:
            raise ReadError("unreadable", "the compressed samples refer to a code that does not exist")
        if previous and len(table) < _END:
            table.append(previous + word[:1])
        unpacked += word
        previous = word
        if len(unpacked) > num_bytes:
            raise ReadError("unreadable", "a channel holds more samples than announced")
    if len(unpacked) < num_bytes:
        raise ReadError("truncated", "a channel holds fewer samples than announced")
    return bytes(unpacked)


def _codes(block: bytes) -> list[int]:
    """Split into numbers of ten bits, the highest bit first; five bytes hold four of them."""
    padded = block + bytes(-len(block) % 5)
    five = np.frombuffer(padded, np.uint8).reshape(-1, 5).astype(np.uint16)
    codes = np.empty((len(five), 4), dtype=np.uint16)
    for index in range(4):
        high, low = five[:, index], five[:, index + 1]
        codes[:, index] = (high << (2 + 2 * index) | low >> (6 - 2 * index)) & _END
    found: list[int] = codes.reshape(-1)[: len(block) * 8 // _CODE_BITS].tolist()
    return found


def _add_up(packed: bytes, first: int) -> Int64:
    """Turn deltas into samples: two samples as they are, then what each lacks of the line through the two before it.

    The delta of the third sample is `first`; that of each later one stands one place before it, plus 64.
    """
    halves = np.frombuffer(packed, np.uint8).reshape(2, -1)
    deltas = np.ascontiguousarray(halves.T).view(">i2")[:, 0].astype(np.int64)
    if len(deltas) < 3:
        return deltas
    second = np.empty(len(deltas) - 1, dtype=np.int64)
    second[0] = deltas[1] - deltas[0]
    second[1] = -first
    second[2:] = _BIAS - deltas[2:-1]
    return np.concatenate([deltas[:1], deltas[0] + np.cumsum(np.cumsum(second))])
