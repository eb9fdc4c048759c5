"""One place of a permutation at a time is the permutation."""

from __future__ import annotations

from collections import Counter
from math import factorial

import numpy as np
import pytest

from hemometric.batches.groups import Groups
from hemometric.batches.hashes import hashes, key_of
from hemometric.batches.shuffles import shuffled

WORD = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15


def mix(value: int) -> int:
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & WORD
    value = (value ^ value >> 27) * 0x94D049BB133111EB & WORD
    return value ^ value >> 31


def slow_place(place: int, size: int, seed: int, group: int, number: int) -> int:
    """The same in plain integers."""
    key = 0
    for part in (seed & WORD, group, number):
        key = mix((key ^ part) + GOLDEN & WORD)

    def nth(index: int) -> int:
        return mix(key + (index + 1) * GOLDEN & WORD)

    for turn in range(32):
        other = (nth(turn) % size - place) % size
        if nth(((turn + 1) << 40) + max(place, other)) & 1:
            place = other
    return place


def whole(size: int, seed: int = 0, group: int = 0, number: int = 0) -> list[int]:
    alike = np.ones(size, dtype=np.int64)
    return shuffled(np.arange(size), size * alike, seed, group * alike, number * alike).tolist()


@pytest.mark.parametrize("size", [*range(1, 70), 255, 256, 257, 1000, 4097])
def test_each_comes_once_and_as_a_plain_loop_says(size: int) -> None:
    seed, group, number = size * 2**57, size % 5, size % 3
    found = whole(size, seed, group, number)
    assert sorted(found) == list(range(size))
    some = range(0, size, max(1, size // 50))
    assert [found[place] for place in some] == [slow_place(place, size, seed, group, number) for place in some]


def test_groups_of_all_sizes_at_once_are_as_each_alone() -> None:
    sizes = np.array([1, 2, 3, 17, 5000, 10**7])
    groups, passes = np.arange(6), np.array([9, 0, 4, 1, 0, 2])
    for share in (0.0, 0.5, 0.999):
        places = (sizes * share).astype(np.int64)
        expected = [
            slow_place(*(int(part) for part in (place, size, 3, group, number)))
            for place, size, group, number in zip(places, sizes, groups, passes, strict=True)
        ]
        assert shuffled(places, sizes, 3, groups, passes).tolist() == expected


@pytest.mark.parametrize("size", [2, 3, 4, 5, 6])
def test_all_orders_are_about_equally_often(size: int) -> None:
    draws = 100 * factorial(size)
    places = np.tile(np.arange(size), draws)
    passes = np.repeat(np.arange(draws), size)
    alike = np.ones(len(places), dtype=np.int64)
    counts = Counter(map(tuple, shuffled(places, size * alike, 1, alike, passes).reshape(-1, size).tolist()))
    assert len(counts) == factorial(size)
    # Chi-square over 100 expected each: its mean is (orders - 1), its standard deviation sqrt(2 (orders - 1)).
    chi_square = sum((count - 100) ** 2 / 100 for count in counts.values())
    assert chi_square < factorial(size) - 1 + 5 * np.sqrt(2 * (factorial(size) - 1))


def test_large_orders_spread_evenly() -> None:
    size, draws = 1000, 3000
    alike = np.ones(draws, dtype=np.int64)
    first = shuffled(0 * alike, size * alike, 7, alike, np.arange(draws))
    counts = np.bincount(first // 100, minlength=10)  # 300 each; standard deviation 16
    assert counts.min() > 220
    assert counts.max() < 380


def test_seeds_groups_and_passes_each_change_it() -> None:
    found = {tuple(whole(30, *key)) for key in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (2**63, 0, 0)]}
    assert len(found) == 5


def test_hashes_of_an_epoch_each_are_those_of_the_epoch_alone() -> None:
    rows, epochs = np.array([5, 0, 5, 9]), np.array([0, 3, 2, 3])
    alone = [int(hashes(rows[i : i + 1], 11, int(epochs[i]))[0]) for i in range(4)]
    assert hashes(rows, 11, epochs).tolist() == alone
    assert int(key_of(2**64 + 5)) == int(key_of(5))


def test_groups_hold_their_recordings_and_small_or_nameless_ones_are_left_out() -> None:
    groups = Groups.of(np.array([4, -1, 9, 4, 2, 9, 4, -1]))
    assert groups.recordings.tolist() == [4, 0, 3, 6, 2, 5]
    assert groups.starts.tolist() == [0, 1, 4]
    assert groups.sizes.tolist() == [1, 3, 2]
    assert Groups.of(np.array([4, -1, 9, 4, 2, 9, 4, -1]), 2).recordings.tolist() == [0, 3, 6, 2, 5]
    assert len(Groups.of(np.array([-1, 3]), 2)) == 0


def test_a_group_s_sequence_is_one_permutation_after_another() -> None:
    groups = Groups.of(np.array([4, 9, 4, 2, 9, 4]))
    for group, members in enumerate(([3], [0, 2, 5], [1, 4])):
        size = len(members)
        drawn = groups.take(np.full(20 * size, group), np.arange(20 * size), 6).reshape(20, size)
        assert (np.sort(drawn, axis=1) == members).all()
        assert len({tuple(row) for row in drawn.tolist()}) == factorial(size)
