"""WFDB signal files that are FLAC streams: formats 508, 516 and 524."""

from __future__ import annotations

import hashlib
import io

import numpy as np
import numpy.typing as npt

from hemometric.vendors.source import ReadError

FLAC_FORMATS: dict[int, tuple[int, int]] = {508: (8, -(2**7)), 516: (16, -(2**15)), 524: (24, -(2**23))}
"""Storage formats, each with the most bits of a sample and its mark for an absent sample."""

_HEAD_BYTES = 42  # the signature, and the block STREAMINFO with its own head
_READ_AT_ONCE = 1 << 16


def decode_flac(content: bytes, storage: int, num_channels: int, max_values: int) -> npt.NDArray[np.int32]:
    """Decode a whole stream; how much it holds is read from its head, and checked, before anything is decoded.

    Parameters
    ----------
    content : bytes
        A file.
    storage : int
        One of `FLAC_FORMATS`.
    num_channels : int
        Signals that it must hold.
    max_values : int
        Samples of all signals together that it may hold.

    Returns
    -------
    int32 [sample, channel]

    Raises
    ------
    ReadError
        ``truncated``, ``too_long``, ``checksum`` (the MD5 sum of the stream), ``unsupported`` (a resolution of other
        than 8, 16 or 24 bits, an unknown length), ``unreadable`` (no FLAC, or not what the header announces).

    References
    ----------
    RFC 9639, section 8.2; WFDB Applications Guide, signal(5).
    """
    if not content.startswith(b"fLaC"):
        raise ReadError("unreadable", "the signal file is no FLAC stream")
    if len(content) < _HEAD_BYTES:
        raise ReadError("truncated", "the FLAC stream ends within its head")
    if content[4] & 0x7F != 0 or int.from_bytes(content[5:8]) != _HEAD_BYTES - 8:
        raise ReadError("unreadable", "the FLAC stream does not begin with its description")
    described = int.from_bytes(content[18:26])  # 20 bits of rate, 3 of channels - 1, 5 of bits - 1, 36 of length
    channels, bits, num_samples = (described >> 41 & 7) + 1, (described >> 36 & 31) + 1, described & (1 << 36) - 1
    if channels != num_channels:
        raise ReadError("unreadable", f"the FLAC stream has {channels} channels for {num_channels} signals")
    if bits not in (8, 16, 24) or num_samples == 0:
        raise ReadError("unsupported", f"the FLAC stream has {bits} bits a sample and announces {num_samples} samples")
    if bits > FLAC_FORMATS[storage][0]:
        raise ReadError("unreadable", f"the FLAC stream has {bits} bits a sample, more than format {storage}")
    if num_samples * channels > max_values:
        raise ReadError("too_long", f"the FLAC stream announces {num_samples} samples a signal")
    counts = _decode(content, bits, (num_samples, channels))
    expected = content[26:_HEAD_BYTES]
    if any(expected) and hashlib.md5(_stored(counts, bits).data, usedforsecurity=False).digest() != expected:
        raise ReadError("checksum", "the samples do not add up to the checksum of the FLAC stream")
    return counts


def _decode(content: bytes, bits: int, shape: tuple[int, int]) -> npt.NDArray[np.int32]:
    import soundfile

    counts = np.empty(shape, dtype=np.int32)
    done = 0
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as stream:
            if (stream.format, stream.channels) != ("FLAC", shape[1]):
                raise ReadError("unreadable", "the signal file is no FLAC stream")
            while done < shape[0]:  # in parts: libsndfile fails at more than 2**24 values at once
                num_read = len(stream.read(out=counts[done : done + _READ_AT_ONCE], dtype="int32"))
                if num_read == 0:
                    break
                done += num_read
    except soundfile.LibsndfileError as error:
        raise ReadError("unreadable", f"the FLAC stream is damaged or cut (libsndfile error {error.code})") from None
    if done < shape[0]:
        raise ReadError("truncated", f"the FLAC stream holds {done} of {shape[0]} samples a signal")
    counts >>= 32 - bits  # libsndfile puts a sample into the highest bits
    return counts


def _stored(counts: npt.NDArray[np.int32], bits: int) -> npt.NDArray[np.uint8]:
    """Lay out samples as the MD5 sum of a stream wants them: interleaved, lowest byte first."""
    return np.ascontiguousarray(counts.astype("<i4", copy=False).reshape(-1, 1).view(np.uint8)[:, : bits // 8])
