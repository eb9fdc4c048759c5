"""Pictures of training runs: losses, trials, and triplets as the miner chose them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from hemometric.config import decode_file
from hemometric.corpus import lay_cache, open_corpus
from hemometric.errors import UsageError
from hemometric.evaluation import Section, Text, Trial, loss_curves, picture, triplet_figure, tuning_trials
from hemometric.evaluation.report import Part
from hemometric.learning import World
from hemometric.runs.outcome import read_outcome, stalled_share
from hemometric.runs.pretrain import PretrainRun, mining_feed
from hemometric.runs.records import read_metrics
from hemometric.runs.search import Uniform
from hemometric.runs.trials import SCORE
from hemometric.runs.tune import TuneRun, read_trials
from hemometric.runs.words import counted

NUM_TRIPLETS = 3


def pretrain_section(folder: Path) -> Section:
    """Show a pretraining run: its loss, and some of the triplets that it learnt from.

    Raises
    ------
    UsageError
        The folder holds no finished pretraining run.
    """
    outcome = _outcome(folder, "pretrain")
    losses, validations = outcome["losses"], outcome["validations"]
    train = [(step, math.nan if loss is None else float(loss)) for step, loss in enumerate(losses, start=1)]
    validation = [(int(found["step"]), float(found[SCORE])) for found in validations]
    told = read_metrics(folder / "metrics.jsonl")
    parts: list[Part] = [
        picture(
            loss_curves(train, validation),
            alt="Training and validation loss over steps",
            caption="Loss of each training batch, and of mined batches of the validation split.",
        )
    ]
    stalled = stalled_share(folder)
    rates = [found["ecg_per_s"] for found in told if "ecg_per_s" in found]
    if stalled is not None and rates:
        parts.append(
            Text(
                f"{counted(len(losses), 'step')}. Mining ran a batch ahead of the step: {stalled:.1%} of the time was "
                f"spent waiting for it. {np.median(rates):,.0f} ECG/s (median)."
            )
        )
    return Section("Pretraining", (*parts, *triplets(folder)))


def triplets(folder: Path) -> list[Part]:
    """Mine the first batch of a run again, and draw anchors with what the miner chose for them."""
    config = decode_file(PretrainRun, folder / "config.yaml")
    cache = lay_cache(open_corpus(config.corpus), config.preparation, ("train", "validation"), config.cache_folder)
    batch = mining_feed(config, cache, cache.rows("train"), World())[0].batch(0)
    mined = batch.mined
    if mined is None or not len(mined.anchors):
        return [Text("The first batch had no eligible triplet.")]
    parts: list[Part] = []
    for anchor, positive, negative in list(zip(*(found.tolist() for found in mined.as_tuple()), strict=True))[
        :NUM_TRIPLETS
    ]:
        distances = (float(mined.distances[anchor, positive]), float(mined.distances[anchor, negative]))
        figure = triplet_figure(
            batch.signals[anchor].numpy(),
            batch.signals[positive].numpy(),
            batch.signals[negative].numpy(),
            config.preparation.rate_hz,
            distances,
            leads=config.preparation.leads,
        )
        parts.append(
            picture(
                figure,
                alt="Three ECGs side by side: an anchor, its mined positive and its mined negative",
                caption=f"A triplet of the first batch: {config.mining.distance.kind} distance {distances[0]:.3g} "
                f"to the positive, {distances[1]:.3g} to the negative.",
            )
        )
    return parts


def tune_section(folder: Path) -> Section:
    """Show a search: each trial's score against what was varied.

    Raises
    ------
    UsageError
        The folder holds no finished search.
    """
    table = read_trials(folder)
    search = decode_file(TuneRun, folder / "config.yaml").search
    trials = [
        Trial(
            {_short(path): value for path, value in row["values"].items()},
            math.nan if row[SCORE] is None else float(row[SCORE]),
            stopped_early=not row["finished"],
            name=row["trial"],
        )
        for row in table["trials"]
    ]
    num_finished = sum(not trial.stopped_early for trial in trials)
    num_failed = sum(row["failed"] is not None for row in table["trials"])
    ends = {"finished": num_finished, "failed": num_failed, "stopped early": len(trials) - num_finished - num_failed}
    told = ", ".join(f"{num} {end}" for end, num in ends.items() if num)
    shown = picture(
        tuning_trials(
            trials,
            "validation loss",
            logarithmic=[_short(path) for path, drawn in search.items() if isinstance(drawn, Uniform) and drawn.log],
        ),
        alt="Validation loss of each trial against each searched parameter",
        caption=f"{len(trials)} trials: {told}. Those that finished are drawn.",
    )
    return Section("Search", (shown,))


def _short(path: str) -> str:
    return path.rsplit(".", 1)[-1]


def _outcome(folder: Path, job: str) -> dict[str, Any]:
    if not (folder / "outcome.json").is_file():
        raise UsageError(f"{job}: {folder} holds no finished run")
    return read_outcome(folder)
