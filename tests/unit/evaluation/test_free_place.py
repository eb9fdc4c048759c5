import numpy as np
import pytest

from hemometric.evaluation.free_place import Box, free_box

ABOVE, BELOW = Box(0, 10, 4, 2), Box(0, -10, 4, 2)


def test_the_first_place_that_no_trace_crosses():
    flat = np.array([0.0, 5.0]), np.array([0.0, 0.0])
    assert free_box([ABOVE, BELOW], [flat]) is ABOVE
    high = np.array([0.0, 5.0]), np.array([10.5, 10.5])
    assert free_box([ABOVE, BELOW], [flat, high]) is BELOW


def test_a_stroke_through_a_box_without_a_point_in_it_crosses_it():
    steep = np.array([1.9, 2.0]), np.array([-5.0, 30.0])
    assert free_box([ABOVE, BELOW], [steep]) is BELOW


def test_gaps_and_single_points_cross_nothing():
    gap = np.array([0.0, 1.0, 2.0]), np.array([10.0, np.nan, 10.0])
    assert free_box([ABOVE, BELOW], [gap, (np.array([1.0]), np.array([10.0])), (np.empty(0), np.empty(0))]) is ABOVE


def test_where_none_is_free_the_emptiest_is_taken():
    everywhere = np.array([0.0, 1.0, 2.0, 3.0]), np.array([10.0, 10.0, 10.0, -10.0])
    assert free_box([ABOVE, BELOW], [everywhere]) is BELOW
    with pytest.raises(ValueError, match="at least one box"):
        free_box([], [])
