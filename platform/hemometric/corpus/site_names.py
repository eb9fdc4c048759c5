"""When two names of sites are likely to be one site: written in another way, or with a slip."""

from __future__ import annotations

import re
from itertools import takewhile

from hemometric.corpus.identity import visible

_WORDS = re.compile(r"[^\W\d_]+|\d+")
_LONG = 4
"""Letters of a word in which one slip is a slip: ``A`` and ``B``, ``NE`` and ``NW`` are two names."""


def folded(name: str) -> str:
    """Give what a name shares with all that differ by capitals, blanks and characters that nobody sees."""
    return "".join(visible(name).casefold().split())


def is_near(one: str, other: str) -> bool:
    """Whether two names differ by capitals, blanks, signs or zeros before a number, or by one slip in a long word.

    A slip leaves out, adds or changes one letter, or swaps two. Numbers tell sites apart: ``Site 1`` is not near
    ``Site 2``.
    """
    first, second = _words(one), _words(other)
    if folded(one) == folded(other) or (first and "".join(first) == "".join(second)):
        return True
    if len(first) != len(second):
        return False
    differing = [pair for pair in zip(first, second, strict=True) if pair[0] != pair[1]]
    return len(differing) == 1 and _is_slip(*differing[0])


def _words(name: str) -> list[str]:
    words = _WORDS.findall(visible(name).casefold())
    return [word.lstrip("0") or "0" if word.isdecimal() else word for word in words]


def _is_slip(one: str, other: str) -> bool:
    if one.isdecimal() or other.isdecimal() or min(len(one), len(other)) < _LONG:
        return False
    begin = _num_shared(one, other)
    short, long = sorted((one[begin:], other[begin:]), key=len)
    end = _num_shared(short[::-1], long[::-1])
    short, long = short[: len(short) - end], long[: len(long) - end]
    return len(long) <= 1 or (len(long) == 2 and short == long[::-1])


def _num_shared(one: str, other: str) -> int:
    """Count the letters with which both begin."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
