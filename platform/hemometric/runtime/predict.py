"""Predicting on Ray Data actors."""

from __future__ import annotations

from hemometric.runs.predict import PredictRun, predict
from hemometric.runtime.actors import on_actors


def run(config: PredictRun) -> list[str]:
    """Predict on ``config.workers`` actors; what is finished is not done again."""
    return predict(config, on_actors(config))
