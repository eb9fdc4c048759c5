"""Draws are uniform, and functions of their names alone."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from hemometric.mining import draws


def test_number_is_the_documented_hash_in_every_process_and_for_ever() -> None:
    expected = hashlib.blake2b(b"7:3|8:negative|2:r1", digest_size=8).digest()
    assert draws.number(7, 3, "negative", "r1") == int.from_bytes(expected, "little")
    assert draws.number(7, 3, "negative", "r1") == 0x0A61913A0FE9C285


def test_every_name_counts_and_so_do_their_borders() -> None:
    drawn = {
        draws.number(1, 2, "ab", "c"),
        draws.number(1, 2, "a", "bc"),
        draws.number(1, 2, "abc"),
        draws.number(1, 2, "c", "ab"),
        draws.number(2, 2, "ab", "c"),
        draws.number(1, 3, "ab", "c"),
        draws.number(12, 2, "ab", "c"),
    }
    assert len(drawn) == 7


def test_index_is_uniform() -> None:
    counts = np.bincount([draws.index(7, 0, 0, f"recording {i}") for i in range(7000)], minlength=7)
    chi_squared = float(((counts - 1000) ** 2 / 1000).sum())
    assert len(counts) == 7
    assert chi_squared < 22.5  # 6 degrees of freedom, p = .001; the draws are fixed


def test_index_of_one_is_zero_and_of_none_is_refused() -> None:
    assert draws.index(1, 0, 0, "r") == 0
    with pytest.raises(ValueError, match="one of 0"):
        draws.index(0, 0, 0, "r")


def test_pair_numbers_are_symmetric_uniform_and_go_by_name() -> None:
    names = [f"recording {i}" for i in range(80)]
    drawn = draws.pair_numbers(3, 1, names)
    assert drawn.dtype == np.float32
    np.testing.assert_array_equal(drawn, drawn.T)
    upper = drawn[np.triu_indices(80, 1)]
    counts = np.histogram(upper, bins=10, range=(0, 1))[0]
    assert float(((counts - len(upper) / 10) ** 2 / (len(upper) / 10)).sum()) < 27.9  # 9 degrees of freedom, p = .001
    shuffled = np.random.default_rng(0).permutation(80)
    np.testing.assert_array_equal(
        draws.pair_numbers(3, 1, [names[i] for i in shuffled]), drawn[np.ix_(shuffled, shuffled)]
    )
    assert not np.array_equal(draws.pair_numbers(3, 2, names), drawn)
