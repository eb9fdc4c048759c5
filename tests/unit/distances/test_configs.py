"""Distances by their configs."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from hemometric.config import Config, decode, dump, read_yaml
from hemometric.distances import (
    DistanceConfig,
    Dtw,
    DtwAcrossLeadsDistance,
    DtwDistance,
    EuclideanDistance,
    MeanAbsoluteDistance,
    cross,
    half_rows,
    lanes,
    pairwise,
)
from hemometric.errors import UsageError


class Holder(Config):
    distance: DistanceConfig = DtwDistance()


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ([], DtwDistance(window=0.1)),
        (["distance.kind=dtw", "distance.window=5"], DtwDistance(window=5)),
        (
            ["distance.kind=dtw", "distance.window=0.25", "distance.metric=independent"],
            DtwDistance(window=0.25, metric="independent"),
        ),
        (["distance.kind=dtw", "distance.window="], DtwDistance(window=None)),
        (["distance.kind=dtw", "distance.window=1.0"], DtwDistance(window=1.0)),
        (["distance.kind=euclidean"], EuclideanDistance()),
        (["distance.kind=mean_absolute"], MeanAbsoluteDistance()),
        (["distance.kind=dtw_across_leads"], DtwAcrossLeadsDistance()),
    ],
)
def test_decodes_and_survives_yaml(override, expected):
    decoded = decode(Holder, {}, override)
    assert decoded.distance == expected
    assert type(getattr(decoded.distance, "window", None)) is type(getattr(expected, "window", None))
    assert decode(Holder, read_yaml(dump(decoded), source="dump")[0]) == decoded


@pytest.mark.parametrize("window", ["true", "-1", "1.5", "-0.5", "wide"])
def test_bad_windows_are_usage_errors(window):
    with pytest.raises(UsageError, match="window"):
        decode(Holder, {}, ["distance.kind=dtw", f"distance.window={window}"])


@pytest.mark.parametrize("window", [True, False, -1, 1.5, float("nan")])
def test_bad_windows_are_refused_in_python(window):
    with pytest.raises(ValidationError):
        DtwDistance(window=window)


def test_builds_what_it_names(noise):
    signals = noise(4, 2, 20)
    distance = DtwDistance(window=0.2, metric="independent").build()
    assert distance == Dtw(0.2, "independent")
    arguments = {"window": 0.2, "metric": "independent"}
    assert np.array_equal(distance.pairwise(signals, threads=1), pairwise(signals, **arguments))
    assert np.array_equal(distance.cross(signals[:1], signals, 2), cross(signals[:1], signals, **arguments))
    assert np.array_equal(distance.half_rows(signals, [1, 2], 1), half_rows(signals, [1, 2], **arguments))
    for config in (DtwDistance(), EuclideanDistance(), MeanAbsoluteDistance()):
        config.build().warm_up(2)


def test_warming_up_compiles_all_that_calls_need(noise):
    signals = noise(3, 2, 20)
    for distance in (DtwDistance().build(), DtwDistance(metric="independent", form="gemm").build()):
        distance.warm_up(2)
        before = [len(kernel().signatures) for kernel in (lanes._kernel, lanes._pairs_kernel)]
        distance.pairwise(signals)
        distance.cross(signals, signals)
        distance.half_rows(signals, [0])
        distance.refine(signals, [[1]] * 3)
        assert [len(kernel().signatures) for kernel in (lanes._kernel, lanes._pairs_kernel)] == before


def test_samples_beyond_the_signals_are_no_band(noise):
    signals = noise(4, 2, 20)
    whole = pairwise(signals)
    distance = DtwDistance(window=500).build()
    assert np.array_equal(distance.pairwise(signals), whole)
    assert np.array_equal(distance.cross(signals[:2], signals), whole[:2])
    assert np.array_equal(distance.half_rows(signals, [0, 3]), half_rows(signals, [0, 3]))
    assert np.array_equal(DtwDistance(window=3).build().pairwise(signals), pairwise(signals, window=3))
    assert not np.array_equal(DtwDistance(window=3).build().pairwise(signals), whole)
    with pytest.raises(ValueError, match="it must lie in 0 … 20"):
        pairwise(signals, window=500)
    with pytest.raises(ValueError, match="queries has shape"):
        distance.cross(signals[0], signals)
