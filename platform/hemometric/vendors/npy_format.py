"""NumPy's ``.npy`` and ``.npz`` files of numbers. Pickled objects are never loaded: they could run code."""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from hemometric.ecg import Recording, Rejected
from hemometric.vendors.array_layout import ArrayLayout
from hemometric.vendors.samples import Known, named_items, text_of
from hemometric.vendors.source import HEAD_BYTES, MAX_FILE_BYTES, ReadError, Vendor, open_ordinary

NAME = "npy"

_MAGIC = b"\x93NUMPY"
_ZIP = b"PK\x03\x04"
_STORED = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}


class NpyConfig(ArrayLayout):
    """What the numbers in NumPy's files mean. A file that holds several ECGs names them by their place, from 0.

    Attributes
    ----------
    signal : str
        In an ``.npz``: the array of the samples.
    id, patient : str or None
        In an ``.npz``: arrays [ecg] of numbers or texts.
    """

    signal: str = Field("signal", min_length=1)
    id: str | None = None
    patient: str | None = None

    def build(self) -> Vendor:
        """Give the reader."""
        return Vendor(name=NAME, suffixes=(".npy", ".npz"), sniff=_sniff, read=self._read, items=self._items)

    def _items(self, path: Path) -> tuple[str, ...]:
        with _Arrays(path, self.signal) as arrays:
            num_ecgs = self.num_ecgs(arrays.shape)
            arrays.check_complete()
            if num_ecgs is None:
                return ("",)
            if self.id is None or not arrays.is_zip:
                return tuple(str(index) for index in range(num_ecgs))
            return named_items(arrays.column(self.id, num_ecgs))

    def _read(self, path: Path, keys: Mapping[str, str]) -> Iterator[Recording | Rejected]:
        place = {item: index for index, item in enumerate(self._items(path))}
        with _Arrays(path, self.signal) as arrays:
            num_ecgs = self.num_ecgs(arrays.shape)
            named = self.patient is not None and arrays.is_zip
            patients = arrays.column(self.patient or "", num_ecgs or 1) if named else None
            for item, key in keys.items():
                ecg = None if num_ecgs is None else place[item]
                known = Known(patient_id=None if patients is None else text_of(patients[ecg or 0]))
                try:
                    yield self.recording(arrays.one(self, ecg), key=key, source_format=NAME, known=known)
                except ReadError as error:
                    yield Rejected(key, error.reason, error.detail)


class _Arrays:
    """An open file, of which one array is the signal."""

    def __init__(self, path: Path, signal: str) -> None:
        self._file = open_ordinary(path)
        try:
            self._open(signal)
        except BaseException:
            self._file.close()
            raise

    def _open(self, signal: str) -> None:
        self.is_zip = self._file.read(len(_ZIP)) == _ZIP
        self._file.seek(0)
        self._zip = zipfile.ZipFile(self._file) if self.is_zip else None
        stream = self._file if self._zip is None else self._member(signal)
        self.shape, self._is_fortran, self._dtype = _header(stream)
        self._start = stream.tell()
        self._num_bytes = os.fstat(self._file.fileno()).st_size if self._zip is None else self._size(signal)
        self._stream: IO[bytes] = stream
        self._whole: npt.NDArray[Any] | None = None

    def __enter__(self) -> _Arrays:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def check_complete(self) -> None:
        """Refuse a file that announces more than it holds: a header of 100 bytes can announce millions of ECGs."""
        if self._start + math.prod(self.shape) * self._dtype.itemsize > self._num_bytes:
            raise ReadError("truncated", "the array is not there as far as its header says")

    def one(self, layout: ArrayLayout, ecg: int | None) -> npt.NDArray[Any]:
        """Read one ECG; only its own bytes where they lie side by side."""
        if self._dtype.kind not in "iuf" or self._dtype.itemsize > 8:
            raise ReadError("unsupported", "its samples are no plain numbers")
        outermost = len(layout.axes) - 1 if self._is_fortran else 0
        if ecg is None or layout.axes[outermost] != "ecg" or self.is_zip:
            values: npt.NDArray[Any] = self._all()[layout.index(ecg)]
            return values
        shape = tuple(size for size, axis in zip(self.shape, layout.axes, strict=True) if axis != "ecg")
        num_bytes = math.prod(shape) * self._dtype.itemsize
        self._stream.seek(self._start + ecg * num_bytes)
        return _array(_read_exactly(self._stream, num_bytes), self._dtype, shape, self._is_fortran)

    def column(self, name: str, num_ecgs: int) -> list[Any]:
        """Read an array [ecg] of numbers or texts."""
        stream = self._member(name)
        shape, is_fortran, dtype = _header(stream)
        if shape != (num_ecgs,):
            raise ReadError("truncated", "there are not as many ids as ECGs")
        if dtype.kind not in "iuSU":
            raise ReadError("unsupported", "the ids are no plain list of numbers or texts")
        values = _array(_read_exactly(stream, num_ecgs * dtype.itemsize), dtype, shape, is_fortran)
        return list(values)

    def _all(self) -> npt.NDArray[Any]:
        if self._whole is None:
            content = _read_exactly(self._stream, math.prod(self.shape) * self._dtype.itemsize)
            self._whole = _array(content, self._dtype, self.shape, self._is_fortran)
        return self._whole

    def _size(self, name: str) -> int:
        return 0 if self._zip is None else self._zip.getinfo(f"{name}.npy").file_size

    def _member(self, name: str) -> IO[bytes]:
        if self._zip is None or f"{name}.npy" not in self._zip.namelist():
            raise ReadError("no_waveform", "the .npz holds no array of the name that the config gives")
        member = self._zip.getinfo(f"{name}.npy")
        if member.compress_type not in _STORED or member.flag_bits & 1:
            raise ReadError("unsupported", "an array is packed otherwise than NumPy packs")
        return self._zip.open(member)


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Read what an array is: shape, whether its first axis runs fastest, and type."""
    shapes = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    try:
        version = np.lib.format.read_magic(stream)
        if version not in shapes:  # 3.0 is for names of fields, and samples have no fields
            raise ReadError("unsupported", "the array is of a kind that holds no plain samples")
        shape, is_fortran, dtype = shapes[version](stream, max_header_size=HEAD_BYTES)
    except ValueError:
        raise ReadError("unreadable", "the header of the array is damaged or cut off") from None
    if dtype.hasobject:
        raise ReadError("unsafe", "the array holds pickled objects, which are never loaded")
    if not all(isinstance(size, int) and size >= 0 for size in shape):
        raise ReadError("unreadable", "the header of the array is damaged or cut off")
    return shape, is_fortran, dtype


def _read_exactly(stream: IO[bytes], num_bytes: int) -> bytes:
    if num_bytes > MAX_FILE_BYTES:
        raise ReadError(
            "too_large", f"more than {MAX_FILE_BYTES >> 20} MB must be held at once; let the axis of ECGs be the first"
        )
    content = stream.read(num_bytes)
    if len(content) < num_bytes:
        raise ReadError("truncated", f"{len(content)} of {num_bytes} bytes are there")
    return content


def _array(content: bytes, dtype: np.dtype[Any], shape: tuple[int, ...], is_fortran: bool) -> npt.NDArray[Any]:
    return np.frombuffer(content, dtype).reshape(shape, order="F" if is_fortran else "C")


def _sniff(path: Path, head: bytes) -> bool:
    return head.startswith(_MAGIC) or (head.startswith(_ZIP) and path.suffix.casefold() == ".npz")
