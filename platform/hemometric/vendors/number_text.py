"""Samples that a file spells out as text, parted by white space."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from hemometric.ecg import Float64
from hemometric.vendors.source import MAX_VALUES, ReadError

Int64 = npt.NDArray[np.int64]

_WHOLE = re.compile(r"[0-9+\-\s]*", re.ASCII)
_DECIMAL = re.compile(r"[0-9+\-.eE\s]*", re.ASCII)
_BLANK = re.compile(r"\s", re.ASCII)
_PART_CHARS = 1 << 20


def read_integers(text: str) -> Int64:
    """Read whole numbers, int64 [number].

    Raises
    ------
    ReadError
        ``unreadable`` where something else stands there, or a number beyond 64 bits; ``too_long``.
    """
    if not _WHOLE.fullmatch(text):
        raise ReadError("unreadable", "the samples hold something that is no whole number")
    try:
        parts = [np.array(list(map(int, words)), dtype=np.int64) for words in _words(text)]
    except (ValueError, OverflowError):
        raise ReadError("unreadable", "the samples hold something that is no whole number") from None
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)


def read_numbers(text: str) -> Int64 | Float64:
    """Read numbers, int64 or float64 [number]: int64 where all of them are whole, however written (``3``, ``3.0``).

    Raises
    ------
    ReadError
        ``unreadable`` where something is no finite number; ``too_long``.
    """
    if _WHOLE.fullmatch(text):
        return read_integers(text)
    if not _DECIMAL.fullmatch(text):
        raise ReadError("unreadable", "the samples hold something that is no number")
    try:
        decimals = np.concatenate([np.array(list(map(float, words)), dtype=np.float64) for words in _words(text)])
    except ValueError:
        raise ReadError("unreadable", "the samples hold something that is no number") from None
    if not np.isfinite(decimals).all():
        raise ReadError("unreadable", "the samples hold a number that is not finite")
    if (np.abs(decimals) < 2**53).all() and (decimals == np.rint(decimals)).all():
        return decimals.astype(np.int64)
    return decimals


def _words(text: str) -> Iterator[list[str]]:
    """Split part by part: the words of a whole file at once would take many times its own memory."""
    at = num_values = 0
    while at < len(text):
        blank = _BLANK.search(text, at + _PART_CHARS)
        end = blank.start() if blank else len(text)
        words = text[at:end].split()
        num_values += len(words)
        if num_values > MAX_VALUES:
            raise ReadError("too_long", f"more than {MAX_VALUES} samples")
        yield words
        at = end
