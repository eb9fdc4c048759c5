"""The kernel finds what a plain loop finds."""

from __future__ import annotations

import random
import re

from hypothesis import given, settings
from hypothesis import strategies as st

from hemometric.runs.privacy.search import Hit, Search, Streams


def by_loop(patterns: dict[bytes, tuple[int, str]], content: bytes) -> set[Hit]:
    return {
        Hit(start, start + len(pattern), *said)
        for pattern, said in patterns.items()
        for start in range(len(content))
        if content.startswith(pattern, start)
    }


def named(patterns: list[bytes]) -> dict[bytes, tuple[int, str]]:
    return {pattern: (number, "x") for number, pattern in enumerate(patterns)}


@settings(max_examples=150, deadline=None)
@given(
    patterns=st.lists(st.text("ab\0", min_size=4, max_size=12).map(str.encode), min_size=1, max_size=30),
    content=st.text("abAB\0", max_size=200).map(str.encode),
)
def test_it_finds_what_a_loop_finds(patterns: list[bytes], content: bytes) -> None:
    """Of few letters, so that patterns overlap, repeat and lie within each other."""
    table = named(patterns)
    found = list(Search(table, fold=True).hits(content))
    assert len(found) == len(set(found))
    assert set(found) == by_loop(table, content.lower())
    assert set(Search(table, fold=False).hits(content)) == by_loop(table, content)


def test_many_patterns_and_many_hits() -> None:
    draw = random.Random(1)
    patterns = [draw.randbytes(draw.randrange(5, 40)) for _ in range(20_000)]
    search = Search(named(patterns), fold=False)
    chosen = draw.sample(range(20_000), 5000)
    content = b"".join(patterns[number] for number in chosen)
    assert {hit.line for hit in search.hits(content)} >= set(chosen), "more than there is room for at first"
    assert list(search.hits(draw.randbytes(1 << 20))) == []
    assert list(search.hits(b"")) == []


@settings(max_examples=60, deadline=None)
@given(data=st.data(), content=st.text("abc", max_size=60).map(str.encode))
def test_chunks_of_any_size_give_the_same(data: st.DataObject, content: bytes) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=8)))
    chunks = [content[a:b] for a, b in zip([0, *cuts], [*cuts, len(content)], strict=True)]
    patterns = named([b"abca", b"ccccc"])
    streams = Streams([Search(patterns, fold=True)])
    found = [(hit.start, hit.line) for hit in streams.hits(iter(chunks))]
    expected = [
        (match.start(), line) for pattern, (line, _) in patterns.items() for match in re.finditer(pattern, content)
    ]
    assert sorted(found) == sorted(expected), "each place once, overlapping ones of a word as one"
