"""The data elements of a DICOM file (PS3.5, PS3.10) in one pass without recursion, keeping only what is asked for.

They are parsed here and not by `pydicom`: that package makes 730 MB of objects, in 10 s, of a file of 8 MB that holds a
million empty items, inflates without a bound, follows nesting by recursion, and warns with text of the file. It is the
oracle of this room's tests.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection
from dataclasses import dataclass, field
from struct import Struct
from typing import Literal

from hemometric.vendors.scale import number_from_text
from hemometric.vendors.source import ReadError

MAX_INFLATED_BYTES = 1 << 26
"""What a deflated file may inflate to: more than the samples of the longest ECG that is read."""

MAX_ELEMENTS = 200_000
"""Elements and items of a file; a resting ECG has some thousand."""

MAX_DEPTH = 64
"""Sequences and items within each other; an ECG nests them some eight deep."""

Order = Literal["<", ">"]

_PREAMBLE_BYTES = 128
_MARK = b"DICM"
_TRANSFER_SYNTAX = 0x0002_0010
_IMPLICIT = "1.2.840.10008.1.2"
_DEFLATED = "1.2.840.10008.1.2.1.99"
_BIG_ENDIAN = "1.2.840.10008.1.2.2"
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFE_E000, 0xFFFE_E00D, 0xFFFE_E0DD
_PIXELS = 0x7FE0_0000  # from here on a file holds nothing of a waveform
_UNDEFINED = 0xFFFF_FFFF
# The value representations with a length of 16 bits; all others, those to come included, have one of 32.
_SHORT = frozenset(b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split())
_TAG_LENGTH: dict[Order, Struct] = {"<": Struct("<HHI"), ">": Struct(">HHI")}
_UINT16: dict[Order, Struct] = {"<": Struct("<H"), ">": Struct(">H")}
_UINT32: dict[Order, Struct] = {"<": Struct("<I"), ">": Struct(">I")}


@dataclass(frozen=True, slots=True)
class Dataset:
    """The elements of a file or of an item that were asked for.

    Attributes
    ----------
    order : "<" or ">"
        Whether numbers begin with their low or their high byte.
    values : dict of int to memoryview
        The bytes of each value, by its tag: group and element as one number, 0x0010_0020.
    sequences : dict of int to list of Dataset
    """

    order: Order
    values: dict[int, memoryview] = field(default_factory=dict)
    sequences: dict[int, list[Dataset]] = field(default_factory=dict)

    def items(self, tag: int) -> list[Dataset]:
        """Give the items of a sequence; none where it is absent."""
        return self.sequences.get(tag, [])

    def text(self, tag: int, encoding: str = "latin-1") -> str:
        """Give a value as text without its padding; empty where it is absent."""
        return bytes(self.values.get(tag, b"")).decode(encoding, "backslashreplace").strip(" \0\r\n\t")

    def number(self, tag: int) -> float | None:
        """Give a number that is stored as text; None where it is absent or empty.

        Raises
        ------
        ReadError
            ``unreadable`` where it is something else.
        """
        text = self.text(tag)
        value = number_from_text(text)
        if text and value is None:
            raise ReadError("unreadable", "a number of the waveform is not written as one")
        return value

    def unsigned(self, tag: int) -> int:
        """Give a number of 16 or 32 bits; 0 where it is absent.

        Raises
        ------
        ReadError
            ``unreadable`` where it is longer or shorter.
        """
        value = self.values.get(tag, b"")
        match len(value):
            case 0:
                return 0
            case 2:
                return int(_UINT16[self.order].unpack(value)[0])
            case 4:
                return int(_UINT32[self.order].unpack(value)[0])
        raise ReadError("unreadable", "a number of the waveform has another size than it should")


def read_dataset(content: bytes, values: Collection[int], sequences: Collection[int]) -> Dataset:
    """Read a DICOM file.

    Parameters
    ----------
    content : bytes
        The whole file.
    values, sequences : collection of int
        Tags to keep, on every level that is kept; what lies in other sequences is passed over.

    Raises
    ------
    ReadError
        ``truncated``, ``unreadable``, ``unsafe`` where it inflates, nests or is split beyond the bounds of this module.
    """
    if len(content) < _PREAMBLE_BYTES + len(_MARK):
        raise ReadError("truncated", "the file ends within the preamble of DICOM")
    if content[_PREAMBLE_BYTES : _PREAMBLE_BYTES + len(_MARK)] != _MARK:
        raise ReadError("unreadable", "the file does not bear the mark of DICOM")
    syntax, start = _transfer_syntax(memoryview(content))
    body = memoryview(content)[start:]
    if syntax == _DEFLATED:
        body = memoryview(_inflate(body))
    order: Order = ">" if syntax == _BIG_ENDIAN else "<"
    return _parse(body, syntax != _IMPLICIT, Dataset(order), frozenset(values), frozenset(sequences))


def _transfer_syntax(content: memoryview) -> tuple[str, int]:
    """Read the meta information: how the rest is encoded, and where it begins."""
    meta = Dataset("<")
    position = _PREAMBLE_BYTES + len(_MARK)
    last = 0
    while bytes(content[position : position + 2]) == b"\2\0":
        tag, _, length, position = _element(content, position, len(content), True, "<")
        if tag <= last or position + length > len(content):
            raise ReadError("unreadable", "the meta information of the file is damaged")
        meta.values[tag] = content[position : position + length]
        position, last = position + length, tag
    if not meta.text(_TRANSFER_SYNTAX):
        raise ReadError("unreadable", "the file does not say how it is encoded")
    return meta.text(_TRANSFER_SYNTAX), position


def _inflate(deflated: memoryview) -> bytes:
    inflation = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        inflated = inflation.decompress(deflated, MAX_INFLATED_BYTES)
    except zlib.error:
        raise ReadError("unreadable", "the deflated part of the file is damaged") from None
    if len(inflated) == MAX_INFLATED_BYTES:
        raise ReadError("unsafe", f"the file inflates to {MAX_INFLATED_BYTES >> 20} MB or more")
    if not inflation.eof:
        raise ReadError("truncated", "the deflated part of the file is cut off")
    return inflated


@dataclass(frozen=True, slots=True)
class _Frame:
    """What is being read: the file or an item, which holds elements, or a sequence, which holds items.

    `kept` is None for what is passed over. A frame of undefined length is open: a delimiter ends it, within `end`.
    """

    kept: Dataset | list[Dataset] | None
    is_sequence: bool
    end: int
    is_open: bool
    explicit: bool


def _parse(
    content: memoryview, explicit: bool, root: Dataset, values: frozenset[int], sequences: frozenset[int]
) -> Dataset:
    """Read elements into `root`; the stack of frames stands for the recursion that the format invites to."""
    frames = [_Frame(root, False, len(content), False, explicit)]
    position = num_elements = 0
    while frames:
        frame = frames[-1]
        if position == frame.end:
            if frame.is_open:
                raise ReadError("truncated", "a sequence is not ended")
            frames.pop()
            continue
        num_elements += 1
        if num_elements > MAX_ELEMENTS:
            raise ReadError("unsafe", f"it has more than {MAX_ELEMENTS} elements")
        if len(frames) > MAX_DEPTH:
            raise ReadError("unsafe", f"it nests sequences more than {MAX_DEPTH} levels deep")
        tag, representation, length, position = _element(content, position, frame.end, frame.explicit, root.order)
        if tag in (_ITEM_END, _SEQUENCE_END):
            if not frame.is_open or frame.is_sequence != (tag == _SEQUENCE_END):
                raise ReadError("unreadable", "a sequence is ended where none is open")
            frames.pop()
            continue
        is_open = length == _UNDEFINED
        end = frame.end if is_open else position + length
        if end > frame.end:
            raise ReadError("truncated", "a value is longer than what holds it")
        if frame.is_sequence != (tag == _ITEM):
            raise ReadError("unreadable", "a sequence holds something else than items")
        if isinstance(frame.kept, list):
            frame.kept.append(Dataset(root.order))
            frames.append(_Frame(frame.kept[-1], False, end, is_open, frame.explicit))
        elif frame.is_sequence:
            frames.append(_Frame(None, False, end, is_open, frame.explicit))
        elif frame.kept is root and tag >= _PIXELS:
            break
        elif _is_sequence(representation, is_open, tag in sequences):
            items = frame.kept.sequences.setdefault(tag, []) if frame.kept is not None and tag in sequences else None
            # What was written as of unknown representation holds items in implicit representation (PS3.5, 6.2.2).
            frames.append(_Frame(items, True, end, is_open, frame.explicit and representation != b"UN"))
        elif is_open:
            raise ReadError("unreadable", "a value that is no sequence has no length")
        else:
            if frame.kept is not None and tag in values:
                frame.kept.values[tag] = content[position:end]
            position = end
    return root


def _element(content: memoryview, position: int, end: int, explicit: bool, order: Order) -> tuple[int, bytes, int, int]:
    """Read the head of an element: its tag, representation (empty if implicit), length, and where its value begins."""
    if position + 8 > end:
        raise ReadError("truncated", "the file ends within an element")
    group, number, length = _TAG_LENGTH[order].unpack_from(content, position)
    tag = group << 16 | number
    if not explicit or group == 0xFFFE:
        return tag, b"", length, position + 8
    representation = bytes(content[position + 4 : position + 6])
    if representation in _SHORT:
        return tag, representation, _UINT16[order].unpack_from(content, position + 6)[0], position + 8
    if not (representation.isalpha() and representation.isupper()):
        raise ReadError("unreadable", "an element has no value representation of DICOM")
    if position + 12 > end:
        raise ReadError("truncated", "the file ends within an element")
    return tag, representation, _UINT32[order].unpack_from(content, position + 8)[0], position + 12


def _is_sequence(representation: bytes, is_open: bool, is_known: bool) -> bool:
    return representation == b"SQ" or (representation in (b"UN", b"") and (is_open or is_known))
