import numpy as np
import pytest

from hemometric.evaluation.baselines import AgeSexFeatures


def test_missing_age_and_sex_are_filled_from_training_and_said():
    features = AgeSexFeatures.fit([40.0, 60.0, np.nan], ["female", "male", "male"])
    assert features.mean_age_years == 50.0
    assert features.female_share == pytest.approx(1 / 3)
    found = features([np.nan, 80.0], ["female", None])
    np.testing.assert_allclose(found, [[50.0, 1.0, 1.0, 0.0], [80.0, 0.0, 1 / 3, 1.0]])


def test_nobody_known():
    features = AgeSexFeatures.fit([np.nan], [None])
    np.testing.assert_array_equal(features([np.nan], ["unknown"]), [[0.0, 1.0, 0.5, 1.0]])


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="both must be"):
        AgeSexFeatures.fit([40.0, 50.0], ["male"])
