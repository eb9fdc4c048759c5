"""Who gives [signal, sample, lead], as other libraries want it, is told once."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from hemometric.distances import (
    Dtw,
    DtwDistance,
    EuclideanDistance,
    archive_search,
    cross,
    half_rows,
    nearest,
    pairwise,
    pairwise_across_leads,
    path,
    refine,
    search,
)

HOW = {"window": 1, "metric": "independent"}  # a kernel that is compiled soon
CALLS = {
    "pairwise": ("signals", lambda x: pairwise(x, **HOW)),
    "cross": ("queries", lambda x: cross(x, x.copy(), **HOW)),
    "half_rows": ("signals", lambda x: half_rows(x, [0], **HOW)),
    "refine": ("signals", lambda x: refine(x, [[1]] * len(x), **HOW)),
    "refine to others": ("signals", lambda x: refine(x, [[1]] * len(x), others=x.copy(), **HOW)),
    "nearest": ("queries", lambda x: nearest(x, x, 1, **HOW)),
    "search": ("queries", lambda x: search(x, list(x), 1, **HOW)),
    "a band in samples": ("signals", lambda x: Dtw(1, "independent").pairwise(x)),
    "a config": ("queries", lambda x: DtwDistance(metric="independent").build().nearest(x, x, 1)),
    "euclid": ("signals", lambda x: EuclideanDistance().build().pairwise(x)),
    "across leads": ("signals", lambda x: pairwise_across_leads(x)),
}


@pytest.mark.parametrize(("name", "call"), CALLS.values(), ids=CALLS.keys())
def test_more_leads_than_samples_are_told_once_and_where(name, call, noise, monkeypatch):
    monkeypatch.setattr(archive_search, "FLOATS_OF_BLOCK", 1)  # 64 signals
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call(noise(70, 33, 4))
    (warning,) = caught
    assert warning.category is UserWarning
    assert warning.filename == __file__
    assert str(warning.message) == (
        f"{name} has shape (70, 33, 4), which is 33 leads of 4 samples: arrays are [signal, lead, sample]; "
        "if this one is [signal, sample, lead], swap its last two axes"
    )


def test_the_two_signals_of_a_path_are_told_too(noise):
    words = r"^query has shape \(50, 12\), .*arrays are \[lead, sample\]; if this one is \[sample, lead\]"
    with pytest.warns(UserWarning, match=words) as caught:
        path(*noise(2, 50, 12))
    assert len(caught) == 1


@pytest.mark.parametrize("shape", [(2, 32, 3), (2, 33, 33), (2, 12, 1), (3, 8, 7), (2, 64, 100)])
def test_other_shapes_are_not_doubted(shape, noise):  # a warning is an error here
    signals = noise(*shape)
    assert pairwise(signals, window=0).shape == (shape[0], shape[0])
    assert np.array_equal(EuclideanDistance().build().cross(signals, signals).argmin(axis=1), np.arange(shape[0]))
