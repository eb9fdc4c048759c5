from pathlib import Path

import pytest

from hemometric.tracker import MemoryTracker, NullTracker, Tracker


@pytest.mark.parametrize("make", [MemoryTracker, NullTracker])
def test_a_tracker_takes_everything(make):
    tracker: Tracker = make()
    tracker.params({"lr": 0.1})
    tracker.tags({"run": "a"})
    tracker.metrics({"loss": 1.0}, step=3)
    tracker.artifact(Path("model"))
    tracker.finish("finished")
    assert getattr(tracker, "status", None) == ("finished" if make is MemoryTracker else None)


def test_the_memory_tracker_remembers_in_order():
    tracker = MemoryTracker()
    tracker.params({"lr": 0.1})
    tracker.params({"batch": 8})
    tracker.tags({"run": "a"})
    tracker.metrics({"loss": 2.0}, step=1)
    tracker.metrics({"loss": 1.0, "rmse": 7.0}, step=2)
    tracker.artifact(Path("model"))
    tracker.finish("interrupted")
    assert tracker.params_seen == {"lr": 0.1, "batch": 8}
    assert tracker.tags_seen == {"run": "a"}
    assert tracker.series("loss") == [(1, 2.0), (2, 1.0)]
    assert tracker.series("rmse") == [(2, 7.0)]
    assert tracker.artifacts_seen == [Path("model")]
    assert tracker.status == "interrupted"
