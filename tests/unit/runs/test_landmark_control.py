"""The control without a network: distances to landmarks of the training split, on real ECGs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hemometric.corpus import open_corpus
from hemometric.distances import DtwDistance
from hemometric.errors import UsageError
from hemometric.mining import MedianBeat, WholeRecord
from hemometric.runs.landmark_control import LandmarkControl, landmark_features
from hemometric.waveform import Preparation, median_beats, prepare

PREPARATION = Preparation(rate_hz=100, duration_s=5)
CONTROL = LandmarkControl(num=6, compared=MedianBeat(rate_hz=50, min_beats=2))


def test_features_are_distances_to_training_recordings(line: Any) -> None:
    corpus = open_corpus(line.real)
    ids, features = landmark_features(corpus, PREPARATION, CONTROL, seed=3)
    assert features.shape == (len(ids), 6)
    assert set(ids) == set(corpus.table(columns=["recording_id"])["recording_id"].to_pylist())
    assert np.isfinite(features).all()
    # A landmark is the recording that lies nearest to it, and of the training split.
    split = dict(zip(*corpus.table(columns=["recording_id", "split"]).to_pydict().values(), strict=True))
    nearest = features.argmin(axis=0)
    assert {split[ids[row]] for row in nearest} == {"train"}
    assert len(set(nearest)) == 6
    # One distance by hand, up to the landmark's scale.
    beats = {}
    for row, recording in corpus.recordings():
        signal = prepare(recording, PREPARATION)
        eight = signal[[0, 1, *range(6, 12)]][None]
        beats[row["recording_id"]] = median_beats(eight, 100, to_hz=50, before_s=0.25, after_s=0.45, min_beats=2).beats[
            0
        ]
    distance = DtwDistance(window=0.1).build()
    everyone = np.stack([beats[name] for name in ids])
    told = features[:, 0]
    measured = told > told.min()  # the nearest of all are held to be equally near
    assert measured.sum() > len(ids) // 2
    agreed = [
        np.corrcoef(np.log(distance.cross(everyone[measured], everyone[[row]])[:, 0]), told[measured])[0, 1]
        for row in np.flatnonzero(~measured)
    ]
    assert max(agreed) > 0.99999


def test_the_same_seed_gives_the_same_and_another_one_other_landmarks(line: Any) -> None:
    corpus = open_corpus(line.real)
    first = landmark_features(corpus, PREPARATION, CONTROL, seed=3)[1]
    np.testing.assert_array_equal(first, landmark_features(corpus, PREPARATION, CONTROL, seed=3)[1])
    assert not np.array_equal(first, landmark_features(corpus, PREPARATION, CONTROL, seed=4)[1])


def test_without_beats_it_says_so(line: Any) -> None:
    corpus = open_corpus(line.real)
    control = LandmarkControl(num=6, compared=MedianBeat(rate_hz=50, min_beats=400))
    with pytest.raises(UsageError, match=r"landmarks: 0 of .* hold anything to compare"):
        landmark_features(corpus, PREPARATION, control, seed=0)
    with pytest.raises(UsageError, match=r"compares at 200 Hz"):
        landmark_features(corpus, PREPARATION, LandmarkControl(compared=WholeRecord(rate_hz=200)), seed=0)
