"""The schedule: each pair once, runs no longer than the lanes, whatever the numbers."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import numpy as np
import pytest

from hemometric.distances.schedule import circulant, rectangle


@pytest.mark.parametrize("num_signals", [1, 2, 3, 4, 5, 63, 64, 65, 100, 129])
@pytest.mark.parametrize("num_lanes", [1, 8, 32])
def test_circulant_gives_each_unordered_pair_once(num_signals, num_lanes):
    tasks = circulant(num_signals, np.arange(num_signals), num_lanes)
    met = Counter(
        frozenset((query, (first + step) % num_signals))
        for row, query, first, num_pairs in tasks.tolist()
        for step in range(num_pairs)
        if row == query
    )
    assert met == Counter(map(frozenset, combinations(range(num_signals), 2)))
    assert tasks.size == 0 or (tasks[:, 3].min() >= 1 and tasks[:, 3].max() <= num_lanes)


def test_work_is_even_between_ranks():
    for num_signals in (64, 65, 100):
        shares = [circulant(num_signals, np.arange(rank, num_signals, 4), 32)[:, 3].sum() for rank in range(4)]
        assert max(shares) - min(shares) <= num_signals // 2


@pytest.mark.parametrize(("num_queries", "num_others"), [(1, 1), (3, 64), (2, 65), (70, 5)])
def test_rectangle_gives_each_ordered_pair_once(num_queries, num_others):
    met = Counter(
        (row, query, first + step)
        for row, query, first, num_pairs in rectangle(num_queries, num_others, 32).tolist()
        for step in range(num_pairs)
    )
    assert met == Counter((q, q, o) for q in range(num_queries) for o in range(num_others))
