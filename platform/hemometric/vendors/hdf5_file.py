"""HDF5 as it may be read from a stranger: nothing outside the file, nothing of unchecked size, no code of plugins.

An HDF5 file can name other files in five ways (external storage, external links, user-defined links, virtual datasets,
and filters that are loaded as libraries). Each is looked for before the library would follow it, and refused.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hemometric.vendors.source import MAX_FILE_BYTES, ReadError, read_bounded

SIGNATURE = b"\x89HDF\r\n\x1a\n"
MAX_CHUNK_BYTES = 1 << 27
"""What the library must unpack at once to give one sample of it."""

_USER_BLOCKS = (0, 512, 1024, 2048)  # where the signature may be, within the bytes that readers see
_FILTERS = {1, 2, 3, 4, 5, 6, 32000}  # deflate, shuffle, fletcher32, szip, nbit, scale-offset, LZF: part of h5py
_SWELLS = {1: 1032, 32000: 90}  # how many bytes, at most, deflate and LZF make of one
_FLETCHER = 3
_MAX_UNPACKED_BYTES = 1 << 29
_SMALL_BYTES = 4096
_HEAP = b"GCOL\1\0\0\0"
_MAX_HEAP_OBJECTS = 1 << 20


def is_hdf5(head: bytes) -> bool:
    """Whether a file that begins so is HDF5."""
    return any(head.startswith(SIGNATURE, at) for at in _USER_BLOCKS)


@lru_cache(maxsize=16)
def _check_heaps(path: str, size: int, mtime_ns: int) -> None:  # noqa: ARG001 - what the answer holds for
    """Refuse a file whose heap of texts would hold the library for ever: an object without a length follows itself.

    The layout is that of the HDF5 File Format Specification, III.E, "Global Heap".
    """
    if size > MAX_FILE_BYTES:
        raise ReadError("unsupported", "texts of variable length are not read in files this large; fix their length")
    content = read_bounded(Path(path), MAX_FILE_BYTES)
    at, num_objects = content.find(_HEAP), 0
    while at >= 0:
        (size,) = struct.unpack_from("<Q", content.ljust(at + 16, b"\0"), at + 8)
        place, end = at + 16, min(at + size, len(content)) - 16
        while place <= end:
            index, length = struct.unpack_from("<H6xQ", content, place)
            # Object 0 is the free rest, and its length counts its own header.
            place += 16 + -(-length // 8) * 8 if index else length
            num_objects += 1
            if (not index and length < 16) or num_objects > _MAX_HEAP_OBJECTS:
                raise ReadError("unsafe", "its heap of texts is damaged, or larger than any ECG needs")
        at = content.find(_HEAP, at + 16)


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open a file and give its root group.

    Raises
    ------
    ReadError
        ``truncated``, ``unreadable``: here and for all that is read within the block.
    OSError
        It is missing, no ordinary file, or may not be read.
    """
    import h5py

    if not read_bounded(path, 1):  # no pipe, no device
        raise ReadError("truncated", "the file is empty")
    try:
        with h5py.File(path, "r", locking=False, rdcc_nbytes=MAX_CHUNK_BYTES) as file:
            yield file
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        # h5py's own text may hold the path, and names of the file.
        reason = "truncated" if "truncated file" in str(error) else "unreadable"
        raise ReadError(reason, "the HDF5 file is cut off" if reason == "truncated" else "it is damaged HDF5") from None


def member(group: Any, name: str) -> Any:
    """Find a group or dataset by its path below a group; None where there is none.

    Raises
    ------
    ReadError
        ``unsafe`` where a link on the way is no hard one.
    """
    import h5py

    found = group
    for part in name.split("/"):
        if not isinstance(found, h5py.Group) or not found.id.links.exists(part.encode()):
            return None
        # The link is looked at and not followed: following it could open another file.
        if found.id.links.get_info(part.encode()).type != h5py.h5l.TYPE_HARD:
            raise ReadError("unsafe", "it links to another place or file, which is not followed")
        found = found[part]
    return found


def is_group(found: Any) -> bool:
    """Whether a member is a group."""
    import h5py

    return isinstance(found, h5py.Group)


def is_dataset(found: Any) -> bool:
    """Whether a member is a dataset."""
    import h5py

    return isinstance(found, h5py.Dataset)


def checked(dataset: Any) -> Any:
    """Pass on a dataset whose values lie in this file and can be read piece by piece.

    Raises
    ------
    ReadError
        ``unsafe``, ``unsupported``, ``truncated``, ``too_large``.
    """
    import h5py

    if not isinstance(dataset, h5py.Dataset) or dataset.shape is None:
        raise ReadError("unsupported", "where samples or ids should be, there is no array")
    created = dataset.id.get_create_plist()
    if created.get_external_count() or created.get_layout() == h5py.h5d.VIRTUAL:
        raise ReadError("unsafe", "an array lies in other files, which are not opened")
    filters = {created.get_filter(index)[0] for index in range(created.get_nfilters())}
    if filters - _FILTERS:
        raise ReadError("unsupported", f"an array is packed with filter {min(filters - _FILTERS)}; unpack it first")
    size = dataset.dtype.itemsize
    if created.get_layout() == h5py.h5d.CHUNKED and math.prod(created.get_chunk()) * size > MAX_CHUNK_BYTES:
        raise ReadError("too_large", f"an array is packed in pieces of more than {MAX_CHUNK_BYTES >> 20} MB")
    # Unwritten space reads as zeros: 1.4 kB can announce 19 GB.
    if math.prod(dataset.shape) and not dataset.id.get_storage_size():
        raise ReadError("truncated", "an array is announced, and none of it is there")
    return dataset


class Samples:
    """A dataset of plain numbers, read part by part.

    Raises
    ------
    ReadError
        As for `checked`, and ``unsupported`` for all other types, such as references.
    """

    def __init__(self, dataset: Any) -> None:
        self._dataset = checked(dataset)
        self.shape: tuple[int, ...] = dataset.shape
        self._sound: set[tuple[int, ...]] = set()
        if dataset.dtype.kind not in "iuf" or dataset.dtype.itemsize > 8:
            raise ReadError("unsupported", "its samples are no plain numbers")

    def read(self, index: tuple[int | slice, ...]) -> npt.NDArray[Any]:
        """Read all along some axes and one place of the others; the caller has checked how much that is.

        Raises
        ------
        ReadError
            ``unsafe`` where what is packed is much more than is announced.
        """
        for chunk in _chunks(self._dataset, index):
            if chunk not in self._sound:
                _check_chunk(self._dataset, chunk)
                self._sound.add(chunk)
        try:
            values: npt.NDArray[Any] = np.asarray(self._dataset[index])
        except OSError:  # of one ECG: the others may be sound
            raise ReadError("unreadable", "the samples are damaged") from None
        return values


def _chunks(dataset: Any, index: tuple[int | slice, ...]) -> Iterator[tuple[int, ...]]:
    """Give where each piece begins that the library will unpack."""
    if dataset.chunks is None or not dataset.id.get_create_plist().get_nfilters():
        return iter(())
    starts = (
        range(0, length, size) if isinstance(at, slice) else [at - at % size]
        for at, length, size in zip(index, dataset.shape, dataset.chunks, strict=True)
    )
    return product(*starts)


def _check_chunk(dataset: Any, start: tuple[int, ...]) -> None:
    """Refuse a packed piece that would swell: the library unpacks all of it, whatever its announced size."""
    stored = dataset.id.get_chunk_info_by_coord(start)
    if stored.byte_offset is None:
        return  # it was never written
    created = dataset.id.get_create_plist()
    filters = [created.get_filter(index)[0] for index in range(created.get_nfilters())]
    if stored.size * math.prod(_SWELLS.get(one, 1) for one in filters) <= _MAX_UNPACKED_BYTES:
        return
    announced = math.prod(dataset.chunks) * dataset.dtype.itemsize
    while filters and filters[-1] == _FLETCHER:  # four bytes at the end, which the unpacking passes over
        filters.pop()
    if not filters or filters.pop() != 1 or any(one in _SWELLS for one in filters):
        raise ReadError("unsupported", "an array is packed in large pieces in an unusual way; unpack it first")
    _, packed = dataset.id.read_direct_chunk(start)
    unpacking = zlib.decompressobj()
    try:
        unpacked = len(unpacking.decompress(packed, announced + 1))
    except zlib.error:
        raise ReadError("unreadable", "a packed piece cannot be unpacked") from None
    if unpacked > announced:
        raise ReadError("unsafe", "a packed piece holds more than the file announces")


def column(dataset: Any) -> Any:
    """Read a checked dataset [ecg] of numbers or texts.

    Raises
    ------
    ReadError
        ``unsupported`` for all other types, ``unsafe`` as for `Samples.read`.
    """
    import h5py

    is_text = dataset.dtype.kind == "S" or h5py.check_string_dtype(dataset.dtype) is not None
    if dataset.ndim != 1 or not (is_text or dataset.dtype.kind in "iu"):
        raise ReadError("unsupported", "the ids are no plain list of numbers or texts")
    for chunk in _chunks(dataset, (slice(None),)):
        _check_chunk(dataset, chunk)
    _before_reading(dataset.dtype, dataset)
    return dataset[()]


def small(dataset: Any) -> Any:
    """Read a dataset of one short value: a number, text, or bytes; None for all else."""
    dataset = checked(dataset)
    if dataset.size != 1 or dataset.id.get_storage_size() > _SMALL_BYTES or _refers(dataset.dtype):
        return None
    _before_reading(dataset.dtype, dataset)
    value = np.asarray(dataset[()]).reshape(-1)[0]
    return value.tobytes() if isinstance(value, np.void) else value


def attribute(found: Any, name: str) -> Any:
    """Read an attribute of one short value: a number or text; None for all else, and where there is none."""
    if name not in found.attrs:
        return None
    stored = found.attrs.get_id(name)
    if math.prod(stored.shape) != 1 or stored.get_storage_size() > _SMALL_BYTES or _refers(stored.dtype):
        return None
    _before_reading(stored.dtype, found)
    value = np.empty(stored.shape, dtype=stored.dtype)
    stored.read(value)
    return value.reshape(-1)[0]


def _refers(dtype: np.dtype[Any]) -> bool:
    """Whether values are references or lists, which lie elsewhere in the file."""
    import h5py

    return dtype.kind == "O" and h5py.check_string_dtype(dtype) is None


def _before_reading(dtype: np.dtype[Any], found: Any) -> None:
    if dtype.kind == "O":
        path = found.file.filename
        status = Path(path).stat()
        _check_heaps(path, status.st_size, status.st_mtime_ns)
