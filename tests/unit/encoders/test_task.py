"""From labels to what is learnt, and back."""

import numpy as np
import pytest
import torch

from hemometric.config import decode
from hemometric.encoders import Task
from hemometric.errors import UsageError


def test_regression_goes_there_and_back():
    task = Task(kind="regression", label="mpcwp_mmhg", unit="mmHg", scale_mean=15.68, scale_sd=8.145)
    labels = np.array([2.0, 15.68, 23.825, np.nan])
    targets = task.targets(labels)
    assert targets.dtype == np.float32
    assert np.allclose(targets[1:3], [0, 1], atol=1e-6)
    assert np.isnan(targets[3])
    assert np.allclose(task.estimates(torch.from_numpy(targets)).numpy()[:3], labels[:3], atol=1e-5)
    assert (task.meaning, task.estimate_unit) == ("mpcwp_mmhg in mmHg", "mmHg")


def test_threshold_is_above_and_not_on():
    task = Task(kind="threshold", label="mpcwp_mmhg", unit="mmHg", threshold=18.0)
    targets = task.targets(np.array([17.9, 18.0, 18.1, np.nan]))
    assert np.array_equal(targets[:3], [0, 0, 1])
    assert np.isnan(targets[3])
    assert np.allclose(task.estimates(torch.tensor([0.0, np.log(3.0)])).numpy(), [0.5, 0.75])
    assert (task.meaning, task.estimate_unit) == ("probability of mpcwp_mmhg > 18 mmHg", "probability")


def test_a_label_without_unit():
    assert Task(kind="regression", label="score").meaning == "score"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"kind": "threshold", "label": "x"}, "needs the field threshold"),
        ({"kind": "regression", "label": "x", "threshold": 18.0}, "threshold only"),
        ({"kind": "regression", "label": "x", "scale_sd": 0.0}, "scale_sd"),
        ({"kind": "regression", "label": ""}, "label"),
        ({"kind": "ranking", "label": "x"}, "kind"),
    ],
)
def test_wrong_tasks_are_refused(data, message):
    with pytest.raises(UsageError, match=message):
        decode(Task, data)
