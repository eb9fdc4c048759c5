"""How a training run begins and ends for those outside: its trackers, its summary, what to tell."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from hemometric.config import essence
from hemometric.errors import InterruptedRunError
from hemometric.learning import Fit
from hemometric.mining import MAX_HUB_SHARE
from hemometric.runs.folder import write_text
from hemometric.runs.records import Both, MetricsFile, read_metrics, read_sealed, write_sealed
from hemometric.runs.shapes import Outcome
from hemometric.runs.training_run import TrainingRun
from hemometric.runs.words import counted
from hemometric.tracker import Tracker
from hemometric.tracking import open_tracker

_NOTICED = 1.02
_FALLBACK = "fallback_share_"
_FALLBACKS = {
    "absent": "had nothing to compare",
    "graph": "had no neighbour of the graph in their batch",
    "scale": "had no scale in the graph",
}


@contextlib.contextmanager
def open_trackers(config: TrainingRun, identity: str, *, name: str, parent: str | None = None) -> Iterator[Tracker]:
    """Tell ``metrics.jsonl`` and MLflow of a run, and say how it ended."""
    remote = open_tracker(config.tracking, config.out, identity=identity, name=name, parent=parent)
    tracker = Both((MetricsFile(config.out / "metrics.jsonl"), remote))
    # What is computed, and not where: paths may name a project or a person, and a server is read by others.
    settings = essence(config)
    tracker.params(_flat(settings))
    tracker.tags({"fingerprint": identity})
    try:
        yield tracker
    except (InterruptedRunError, KeyboardInterrupt):
        tracker.finish("interrupted")
        raise
    except BaseException:
        tracker.finish("failed")
        raise
    write_text(config.out / "settings.yaml", yaml.safe_dump(settings, sort_keys=False, allow_unicode=True))
    tracker.artifact(config.out / "settings.yaml")
    tracker.finish("finished")


def write_outcome(folder: Path, outcome: Fit) -> None:
    """Write ``outcome.json``, sealed: what the run gave, for reports and for whoever asks again."""
    write_sealed(
        folder / "outcome.json",
        {
            "losses": [loss if math.isfinite(loss) else None for loss in outcome.losses],
            "validations": [{"step": step, **metrics} for step, metrics in outcome.validations],
            "num_skipped": outcome.num_skipped,
            "best_step": outcome.best_step,
            "best_validation_loss": outcome.best_validation_loss,
            "metrics": outcome.metrics,
        },
    )


def read_outcome(folder: Path) -> dict[str, Any]:
    """Read ``outcome.json``.

    Raises
    ------
    IntegrityError
        It is missing, damaged or changed.
    """
    return read_sealed(folder / "outcome.json", Outcome).model_dump()


def finished_lines(folder: Path) -> list[str]:
    """Say in a few lines what a finished run gave."""
    outcome = read_outcome(folder)
    losses = [loss for loss in outcome["losses"] if loss is not None]
    tenth = max(1, len(losses) // 10)
    told = "no loss was finite"
    if losses:
        first, last = sum(losses[:tenth]) / tenth, sum(losses[-tenth:]) / tenth
        told = f"mean loss of the first tenth {first:.4f}, of the last {last:.4f}"
    lines = [f"{counted(len(outcome['losses']), 'step')}; {told}"]
    metrics = outcome["metrics"]
    if (stalled := stalled_share(folder)) is not None:
        lines.append(f"share of the time that a step waited for its batch: {stalled:.1%}")
    if "step_inflation" in metrics:
        lines.append(_inflation_line(metrics["step_inflation"]))
    lines += [*_hub_lines(metrics), *_fallback_lines(metrics)]
    if outcome["best_step"] is not None:
        lines.append(f"best validation loss {outcome['best_validation_loss']:.4f} after step {outcome['best_step']}")
    elif not outcome["validations"]:
        lines.append("nothing was validated: the corpus has too few validation recordings")
    return [*lines, f"model: {folder / 'model'}"]


def _inflation_line(times: float) -> str:
    # The few steps that are timed alone differ by some per cent from the others anyway.
    if times < _NOTICED:
        return f"a step took no longer beside mining than alone, as far as can be told ({times:.2f} times)"
    return f"a step beside mining took {times:.2f} times what it takes alone"


def _hub_lines(metrics: dict[str, float]) -> list[str]:
    shares = {role: metrics.get(f"hub_share_{role}", 0.0) for role in ("positives", "negatives")}
    told = " and ".join(f"{share:.0%} of the mined {role}" for role, share in shares.items() if share > 0)
    begin = "warning: the" if max(shares.values()) > MAX_HUB_SHARE else "the"
    return [f"{begin} most used 5 % of recordings supplied {told}"] if told else []


def _fallback_lines(metrics: dict[str, float]) -> list[str]:
    shares = {key.removeprefix(_FALLBACK): share for key, share in metrics.items() if key.startswith(_FALLBACK)}
    told = [f"{share:.1%} {_FALLBACKS.get(name, name)}" for name, share in shares.items() if share > 0]
    return [f"of the recordings last mined {', '.join(told)}"] if told else []


def stalled_share(folder: Path) -> float | None:
    """Give the share of a whole run's time that its steps waited for their batches; None where nothing tells it.

    Each reading in ``metrics.jsonl`` is of the steps since the one before, and weighs by the time that they took.
    """
    waited_s = time_s = 0.0
    before = 0
    for found in read_metrics(folder / "metrics.jsonl"):
        if "stalled_share" not in found or not found.get("ecg_per_s"):
            continue
        # Batches are all of one size, so steps over ECG/s are the seconds but for a factor.
        took_s = (found["step"] - before) / found["ecg_per_s"]
        before = int(found["step"])
        waited_s += found["stalled_share"] * took_s
        time_s += took_s
    return waited_s / time_s if time_s else None


def _flat(values: dict[str, object], prefix: str = "") -> dict[str, str | int | float | bool | None]:
    flat: dict[str, str | int | float | bool | None] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value if isinstance(value, (str, int, float, bool, type(None))) else json.dumps(value)
    return flat
