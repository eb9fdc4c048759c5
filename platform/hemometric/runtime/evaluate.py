"""Evaluation whose embeddings and estimates come from Ray Data actors."""

from __future__ import annotations

from hemometric.runs.evaluate import EvaluateRun, evaluate
from hemometric.runtime.actors import on_actors


def run(config: EvaluateRun) -> list[str]:
    """Evaluate; the scoring itself is small and happens here."""
    return evaluate(config, on_actors)
