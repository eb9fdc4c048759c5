"""Evaluation: systems beside their controls on the test split, in one report."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field

from hemometric import __version__
from hemometric.config import PLACEMENT, fingerprint
from hemometric.corpus import Corpus, open_corpus
from hemometric.corpus.files import usable
from hemometric.encoders import load, save
from hemometric.evaluation import (
    KeyFigure,
    Report,
    Section,
    Text,
    class_table,
    embedding_projection,
    picture,
    predicted_against_true,
    render,
    roc_curve,
    write_report,
)
from hemometric.evaluation.report import Part
from hemometric.runs.base import Workers
from hemometric.runs.embed import EmbedRun, ShardwiseRun, embed
from hemometric.runs.folder import held_folder
from hemometric.runs.headlines import headline
from hemometric.runs.landmark_control import landmark_features
from hemometric.runs.limits import ALWAYS, limits_of
from hemometric.runs.predict import PredictRun, predict
from hemometric.runs.readings import record_reading, told_of_readings
from hemometric.runs.records import write_summary
from hemometric.runs.run_figures import pretrain_section, tune_section
from hemometric.runs.shardwise import Map, read_output
from hemometric.runs.studies import (
    LANDMARKS,
    PRETRAINED,
    RANDOM,
    TITLES,
    TRAINED,
    Outcome,
    Study,
    StudyTask,
    check,
    read_reachable,
    score,
    titled,
)
from hemometric.runs.study_rows import Rows, joined
from hemometric.runs.words import finished_already

OpenMap = Callable[[ShardwiseRun], Callable[[], AbstractContextManager[Map | None]]]
"""From a shard-wise run to what deals its shards: to workers, or to nobody."""


class EvaluateRun(Workers):
    """One evaluation.

    Attributes
    ----------
    out : Path
        Folder of ``report.html``, ``scores.json`` and the embeddings.
    title : str
    studies : tuple of Study
    pretrain, tune : Path or None
        Folders of finished runs whose figures belong into the report.
    num_resamples : int
        Of the patients, for intervals.
    notes : tuple of str
        Sentences on what else limits the findings; those that the facts give are always shown.
    """

    job: Literal["evaluate"] = "evaluate"
    out: Annotated[Path, PLACEMENT]
    title: str = "hemometric report"
    studies: tuple[Study, ...] = Field(min_length=1)
    pretrain: Annotated[Path | None, PLACEMENT] = None
    tune: Annotated[Path | None, PLACEMENT] = None
    num_resamples: int = Field(default=1000, ge=100)
    seed: int = Field(default=0, ge=0, lt=2**63)
    notes: tuple[str, ...] = ()


def run(config: EvaluateRun) -> list[str]:
    """Evaluate in this process, without Ray."""
    return evaluate(config, lambda _: lambda: nullcontext(None))


def evaluate(config: EvaluateRun, open_map: OpenMap) -> list[str]:
    """Embed with each system, score each task, and write ``report.html`` and ``scores.json``.

    Raises
    ------
    UsageError
        A study does not fit its corpus, or `out` cannot be written.
    PrecheckError
        Another command is writing there, or the disk is full.
    """
    # Whatever is wrong is said now, and not after an hour of embedding.
    for study in config.studies:
        check(study, open_corpus(study.corpus), load(study.predictor) if study.predictor is not None else None)
        load(study.encoder)
        read_reachable(study.reachable)
    of_runs = [pretrain_section(config.pretrain)] if config.pretrain is not None else []
    of_runs += [tune_section(config.tune)] if config.tune is not None else []
    with usable(config.out, "out"), held_folder(config.out):
        return _evaluated(config, open_map, of_runs)


def _evaluated(config: EvaluateRun, open_map: OpenMap, of_runs: list[Section]) -> list[str]:
    sections: list[Section] = []
    summary: list[str] = []
    keys: list[KeyFigure] = []
    limits: list[str] = [*ALWAYS]
    facts = [("hemometric", __version__), ("config", fingerprint(config)), ("seed", str(config.seed))]
    scores: dict[str, dict[str, float]] = {}
    studies_of: dict[str, list[str]] = {}
    for number, study in enumerate(config.studies):
        corpus = open_corpus(study.corpus)
        rows = _rows(config, study, number, corpus, open_map)
        encoder = load(study.encoder)
        predictor = load(study.predictor) if study.predictor is not None else None
        studies_of.setdefault(corpus.hash, []).append(study.name)
        record_reading(config.out, study, corpus, encoder, predictor, config.seed)
        outcomes = [
            score(rows, task, predictor, num_resamples=config.num_resamples, seed=config.seed) for task in study.tasks
        ]
        reachable = read_reachable(study.reachable)
        sections.append(Section(study.name, tuple(_parts(study, rows, outcomes, reachable))))
        for outcome in outcomes:
            scores[f"{study.name}: {_key(outcome.task)}"] = outcome.comparison.flat()
            sentence, key = headline(study, outcome, reachable)
            summary.append(sentence)
            keys.append(key)
        facts += [
            (f"corpus of {study.name!r}", corpus.hash[:16]),
            (f"encoder of {study.name!r}", encoder.hash[:16]),
        ]
        facts += [(f"predictor of {study.name!r}", predictor.hash[:16])] if predictor is not None else []
        limits += limits_of(study, rows, corpus, encoder, predictor)
    sections += of_runs
    # Counted when all are recorded: two studies of one corpus are two readings of its test split.
    for corpus_hash, names in studies_of.items():
        fact, limit = told_of_readings(config.out, corpus_hash)
        facts.append((f"test split of {', '.join(map(repr, names))}", fact))
        limits += [f"{', '.join(names)}: {limit}"] if limit else []
    report = Report(
        title=config.title,
        subtitle="Research use only; not a medical device",
        summary=tuple(summary),
        sections=tuple(sections),
        key_figures=tuple(keys[:4]),
        notes=(*limits, *config.notes),
        facts=tuple(facts),
    )
    path = config.out / "report.html"
    told = [*summary, f"report: {path}"]
    if path.is_file() and path.read_bytes() == render(report).encode():
        told = [finished_already(config.out), *told]
    write_report(report, path)
    write_summary(config.out / "scores.json", scores)
    return told


def _rows(config: EvaluateRun, study: Study, number: int, corpus: Corpus, open_map: OpenMap) -> Rows:
    pretrained = load(study.encoder)
    random_folder = config.out / "random-encoders" / f"{number}-{pretrained.hash[:12]}-seed-{config.seed}"
    if not (random_folder / "_SUCCESS").is_file():
        # The control: the same architecture and preparation, with weights that have seen nothing.
        torch.manual_seed(config.seed)
        save(
            random_folder,
            encoder=pretrained.description.encoder.build(len(pretrained.preparation.leads)),
            encoder_config=pretrained.description.encoder,
            preparation=pretrained.preparation,
            provenance={"job": "random encoder", "seed": config.seed},
            metrics={},
        )
    wide = {"corpus": study.corpus, "workers": config.workers, "cpus_per_worker": config.cpus_per_worker}
    embeddings: dict[str, tuple[npt.NDArray[np.object_], npt.NDArray[np.float32]]] = {}
    for system, model in ((RANDOM, random_folder), (PRETRAINED, study.encoder)):
        out = config.out / "embeddings" / f"{number}-{load(model).hash[:12]}-{corpus.hash[:12]}"
        job = EmbedRun.model_validate({**wide, "model": model, "out": out, "gpus_per_worker": config.gpus_per_worker})
        embed(job, open_map(job))
        table = read_output(out)
        ids = np.asarray(table["recording_id"].to_pylist(), dtype=object)
        flat = table["embedding"].combine_chunks().flatten().to_numpy()
        embeddings[system] = (ids, flat.reshape(len(ids), -1))
    if study.landmarks is not None:
        embeddings[LANDMARKS] = landmark_features(corpus, pretrained.preparation, study.landmarks, config.seed)
    estimates = None
    if study.predictor is not None:
        out = config.out / "predictions" / f"{number}-{load(study.predictor).hash[:12]}-{corpus.hash[:12]}"
        guess = PredictRun.model_validate(
            {**wide, "model": study.predictor, "out": out, "gpus_per_worker": config.gpus_per_worker}
        )
        predict(guess, open_map(guess))
        table = read_output(out)
        estimates = (np.asarray(table["recording_id"].to_pylist(), dtype=object), table["estimate"].to_numpy())
    return joined(corpus, embeddings, estimates)


def _parts(study: Study, rows: Rows, outcomes: list[Outcome], reachable: dict[str, float]) -> list[Part]:
    counts = ", ".join(f"{int(rows.mask(split).sum())} {split}" for split in ("train", "validation", "test"))
    parts: list[Part] = [
        Text(
            f"Recordings: {counts}. Probes are fitted on the training split, their penalty is chosen on "
            "the validation split, and scores are of the test split."
        )
    ]
    if reachable:
        listed = (
            f"RMSE {reachable['rmse_mmhg']:.2f} mmHg, r {reachable['r']:.2f}, AUROC {reachable['auroc_above_15']:.3f} "
            f"above 15 mmHg and {reachable['auroc_above_18']:.3f} above 18 mmHg"
        )
        parts.append(
            Text(f"The best that any estimator could reach on this cohort, by its construction: {listed}.", "note")
        )
    for outcome in outcomes:
        task = outcome.task
        unit = "" if task.kind == "codes" else task.unit
        title = titled(task)
        if outcome.codes:
            title = f"{title} ({', '.join(one.name for one in outcome.comparison.classes if one.counts) or 'none'})"
        parts.append(outcome.comparison.table(title, unit))
        if outcome.codes:
            systems = [row.system for row in outcome.comparison.rows]
            parts.append(class_table(outcome.comparison.classes, systems, f"{titled(task)}, one by one"))
        parts += [Text(note, "note") for note in outcome.notes]
        parts += _figures(outcome, title, unit, "measured" if study.reachable is None else "planted")
    parts.append(_projection(study, rows))
    return parts


def _key(task: StudyTask) -> str:
    """Name a task in ``scores.json``: two thresholds of one label are two tasks."""
    return f"{task.kind} of {task.label}" + (f" > {task.threshold:g}" if task.kind == "threshold" else "")


def _figures(outcome: Outcome, title: str, unit: str, origin: str) -> list[Part]:
    known = ~np.isnan(outcome.truth)
    best = TRAINED if TRAINED in outcome.predicted else PRETRAINED
    if outcome.task.kind == "regression":
        figure = predicted_against_true(
            outcome.truth[known], outcome.predicted[best][known], name=title, unit=unit, origin=origin
        )
        return [
            picture(figure, alt=f"Predicted against {origin} {title}", caption=f"{best}, test split.", width="half")
        ]
    if outcome.task.kind == "threshold":
        intervals = {row.system: row.scores["auroc"] for row in outcome.comparison.rows}
        shown = {system: values[known] for system, values in outcome.predicted.items()}
        figure = roc_curve(outcome.truth[known], shown, intervals)
        return [picture(figure, alt=f"ROC curves for {title}", caption=f"{title}, test split.", width="half")]
    return []


def _projection(study: Study, rows: Rows) -> Part:
    task = study.tasks[0]
    values = rows.labels(task.label)
    if task.kind == "codes":
        colours = np.asarray(
            [None if not found else found[0] if len(found) == 1 else "several" for found in values], dtype=object
        )
    else:
        colours = np.asarray([np.nan if value is None else float(value) for value in values])
    name = TITLES.get(task.label, task.label)
    unit = f" ({task.unit})" if task.kind != "codes" and task.unit else ""
    figure = embedding_projection(rows.embeddings[PRETRAINED], colours, name=name + unit)
    return picture(
        figure,
        alt=f"Embeddings on their first two principal axes, coloured by {name}",
        caption=f"Embeddings of all recordings by the pretrained encoder, coloured by {name}.",
        width="half",
    )
