"""What a report says first of each task: the score, the strongest control, and whether a model beats it."""

from __future__ import annotations

import math

from hemometric.evaluation import Interval, KeyFigure, Score
from hemometric.runs.studies import PRETRAINED, TITLES, TRAINED, Outcome, Study, StudyTask, titled


def headline(study: Study, outcome: Outcome, reachable: dict[str, float]) -> tuple[str, KeyFigure]:
    """Give the sentences and the key figure of one task.

    Parameters
    ----------
    reachable : dict
        As `studies.read_reachable` gives it.
    """
    comparison, task = outcome.comparison, outcome.task
    first = comparison.scores[0]
    unit = f" {task.unit}".rstrip() if task.kind == "regression" and first.in_label_unit else ""
    models = [system for system in (TRAINED, PRETRAINED) if system in outcome.predicted]
    found = [comparison.row(system).scores[first.name] for system in models]
    scores = [f"{first.title} {_estimate(first, score, unit)}" for score in found]
    limit = _limit(outcome, reachable)
    reach = "" if limit is None else f"; the best reachable is {_number(first, limit)}{unit}"
    detail = f"95 % interval {_number(first, found[0].low)} to {_number(first, found[0].high)}"
    control = comparison.strongest_control()
    if control is None:
        told = [f"{scores[0]} for the {models[0]}{reach}", f"No control has a defined {first.title}"]
    else:
        theirs = comparison.row(control).scores[first.name]
        gaps = [comparison.row(system).differences[control][first.name] for system in models]
        verdicts = [f"he {system} {_verdict(first, gap)}" for system, gap in zip(models, gaps, strict=True)]
        differences = [f"difference {_estimate(first, gap, unit, sign='+')}" for gap in gaps]
        against = f"{scores[0]} against {_estimate(first, theirs, unit)}, {differences[0]}{reach}"
        told = [f"t{verdicts[0]} the strongest control, {control}: {against}"]
        told += [f"T{v} it: {s}, {d}" for v, s, d in zip(verdicts[1:], scores[1:], differences[1:], strict=True)]
        detail += f"; strongest control {_number(first, theirs.estimate)}"
    counted = f"Scored on {comparison.num_recordings:,} recordings of {comparison.num_patients:,} test patients"
    classes = comparison.classes
    num_kept = sum(one.counts for one in classes)
    if num_kept < len(classes):
        counted += f", over the {num_kept} of {len(classes)} classes that enough of them have"
    of = f" ({num_kept} of {len(classes)})" if num_kept < len(classes) else ""
    sentence = f"{_named(study.name, task)}: {'. '.join([*told, counted])}."
    return sentence, KeyFigure(
        f"{_number(first, found[0].estimate)}{unit}", f"{first.title} of {titled(task)}{of}, {models[0]}", detail
    )


def _named(study: str, task: StudyTask) -> str:
    """Name study and task, without saying twice what the study's name ends with."""
    what, label = titled(task), TITLES.get(task.label, task.label)
    if study.casefold().endswith(label.casefold()):
        return study + what.removeprefix(label)
    return f"{study}, {what}"


def _verdict(score: Score, gap: Interval) -> str:
    """Say whether a model beats a control; it does only where the whole interval of the difference lies beyond 0."""
    if math.isnan(gap.low):
        return "cannot be compared with"
    low, high = (gap.low, gap.high) if score.higher_is_better else (-gap.high, -gap.low)
    return "beats" if low > 0 else "is worse than" if high < 0 else "does not beat"


def _limit(outcome: Outcome, reachable: dict[str, float]) -> float | None:
    task = outcome.task
    if task.kind == "regression":
        return reachable.get("rmse_mmhg")
    return reachable.get(f"auroc_above_{task.threshold:g}") if task.kind == "threshold" else None


def _estimate(score: Score, found: Interval, unit: str, sign: str = "") -> str:
    if math.isnan(found.estimate):
        return f"undefined ({found.reason})"
    ends = "" if math.isnan(found.low) else f" [{_number(score, found.low, sign)}, {_number(score, found.high, sign)}]"
    return f"{_number(score, found.estimate, sign)}{unit}{ends}"


def _number(score: Score, value: float, sign: str = "") -> str:
    return "n/a" if math.isnan(value) else f"{value:{sign},.{score.digits}f}"
