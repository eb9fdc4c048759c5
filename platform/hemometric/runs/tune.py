"""Tuning: the trials of a search are fine-tuning runs, each in a folder named after what it computes.

A trial is finished when its folder says so, whoever ran it; a search that was killed is started again, repeats the
recorded trials from their folders, goes on with those that were cut off, and draws only what is missing. No snapshot
of a library is read back.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from hemometric.config import PLACEMENT, Config, decode, fingerprint
from hemometric.encoders import load
from hemometric.errors import UsageError
from hemometric.learning import Report, World
from hemometric.progress import progress_on
from hemometric.runs.finetune import FinetuneRun, SupervisedRun, finetune, resolved
from hemometric.runs.outcome import open_trackers, read_outcome
from hemometric.runs.records import read_metrics, read_sealed, write_sealed
from hemometric.runs.search import Search, Value, drawn, replaced
from hemometric.runs.shapes import TrialsTable
from hemometric.runs.training import Hooks, is_finished
from hemometric.runs.training_run import run_folder
from hemometric.runs.trials import (
    SCORE,
    TRIAL_ERRORS,
    best_of,
    record_failure,
    record_finish,
    record_stop,
    record_trial,
    recorded,
    row_of,
)
from hemometric.runs.words import short
from hemometric.tracking import open_tracker, run_id_of

if TYPE_CHECKING:
    import optuna

log = logging.getLogger(__name__)

_OWN_FIELDS = ("job", "search", "num_trials", "trial_steps", "max_concurrent", "halving")


class Halving(Config):
    """Asynchronous successive halving (Li et al. 2020): of the trials at a rung, one in `factor` goes on.

    Attributes
    ----------
    first_rung_steps : int
        Steps that every trial gets.
    """

    first_rung_steps: int = Field(default=100, ge=1)
    factor: int = Field(default=3, ge=2)


class TuneRun(SupervisedRun):
    """A fine-tuning config, and what to vary in it.

    Attributes
    ----------
    search : mapping
        From a dotted path of the config, such as ``objective.alpha``, to a distribution.
    num_trials : int
    trial_steps : int or None
        Steps of a trial; None takes `num_steps`, which the refit of the best trial always takes.
    max_concurrent : int
        Trials at a time.
    halving : Halving or None
        Early stopping; None lets every trial finish.
    """

    job: Literal["tune"] = "tune"
    search: Search = Field(min_length=1)
    num_trials: int = Field(default=10, ge=1)
    trial_steps: int | None = Field(default=None, ge=1)
    max_concurrent: Annotated[int, PLACEMENT] = Field(default=1, ge=1)
    halving: Halving | None = Halving()

    @model_validator(mode="after")
    def _search_fits(self) -> TuneRun:
        try:
            trial_config(self, {})
        except UsageError as error:
            raise ValueError(f"trial_steps: a trial of that length does not fit the config ({error})") from None
        for path, distribution in self.search.items():
            trials = set()
            for value in distribution.probes():
                try:
                    trials.add(trial_config(self, {path: value}).out)
                except UsageError as error:
                    raise ValueError(f"search.{path} does not fit the config ({error})") from None
            if self.model is not None and path.split(".")[0] in ("encoder", "preparation"):
                raise ValueError(f"search.{path}: the model brings its own {path.split('.')[0]}; search embedding_dim")
            if len(trials) < len(set(distribution.probes())):
                raise ValueError(f"search.{path} changes nothing of what is computed; search something else")
        return self


def trial_config(config: TuneRun, values: dict[str, Value]) -> FinetuneRun:
    """Make the fine-tuning run of a trial: the tune's own config with some fields replaced, in a folder of its own."""
    data = {name: value for name, value in config.model_dump(mode="json").items() if name not in _OWN_FIELDS}
    data = replaced(data, values) | {"num_steps": config.trial_steps or config.num_steps}
    trial = decode(FinetuneRun, data, source="search")
    return trial.model_copy(update={"out": config.out / "trials" / fingerprint(trial)})


def refit_config(config: TuneRun, values: dict[str, Value]) -> FinetuneRun:
    """Make the run that trains the best trial's settings for all of `num_steps`."""
    return trial_config(config, values).model_copy(update={"num_steps": config.num_steps, "out": config.out / "refit"})


def folder_of(config: TuneRun, values: dict[str, Value]) -> Path:
    """Say where a trial lies."""
    return trial_config(config, values).out


def results(config: TuneRun) -> list[dict[str, Any]]:
    """Collect the trials: their settings, how they ended, and their best validation."""
    return [row_of(folder_of(config, record["values"])) for record in recorded(config.out)]


RunTrial = Callable[[FinetuneRun, str | None], None]
"""Train one finetune config to its end, under a parent run of the tracker."""


def run(config: TuneRun) -> list[str]:
    """Tune in this process, one trial after another, without Ray; a finished search is a no-op."""
    config, identity = prepared(config)
    if not is_finished(config.out, identity):
        with run_folder(config, identity):
            parent = parent_run(config, identity)
            _search_here(config, parent)
            conclude(config, identity, run_here)
    return finished_lines(config)


def run_here(config: FinetuneRun, parent: str | None) -> None:
    """Train one finetune config in this process."""
    trial, identity = resolved(config)
    if is_finished(trial.out, identity):
        return
    with (
        run_folder(trial, identity),
        open_trackers(trial, identity, name=trial.out.name, parent=parent) as tracker,
    ):
        finetune(trial, hooks=Hooks(tracker=tracker, progress=progress_on(trial.out.name[:8])))


def prepared(config: TuneRun) -> tuple[TuneRun, str]:
    """Take the pretrained model's preparation, say which search this is, and put trials' tracking into its folder."""
    found, identity = resolved(config)
    if found.tracking.kind == "mlflow" and found.tracking.uri is None:
        tracking = found.tracking.model_copy(update={"uri": found.tracking.address(found.out)})
        found = found.model_copy(update={"tracking": tracking})
    return found, identity


def parent_run(config: TuneRun, identity: str) -> str | None:
    """Open the tracker's run that all trials belong to, and give its id."""
    tracker = open_tracker(config.tracking, config.out, identity=identity, name="tune")
    tracker.params({"num_trials": config.num_trials, "search": json.dumps(sorted(config.search))})
    return run_id_of(tracker)


def conclude(config: TuneRun, identity: str, run_trial: RunTrial) -> None:
    """Write the table of trials, refit the best, and put its model to ``out/model``."""
    rows = results(config)
    best = best_of(rows)
    write_sealed(config.out / "trials.json", {"trials": rows, "best": best["trial"], "num_trials": config.num_trials})
    tracker = open_tracker(config.tracking, config.out, identity=identity, name="tune")
    close_unfinished(config, rows)
    run_trial(refit_config(config, best["values"]), run_id_of(tracker))
    _copy_model(config.out / "refit" / "model", config.out / "model")
    tracker.metrics({f"best_{SCORE}": float(best[SCORE])}, 0)
    tracker.tags({"best_trial": best["trial"]})
    tracker.artifact(config.out / "trials.json")
    tracker.finish("finished")


def close_unfinished(config: TuneRun, rows: list[dict[str, Any]]) -> None:
    """End the tracker's runs of trials that early stopping cut off: nobody else will."""
    for row in rows:
        if not row["finished"]:
            trial, identity = resolved(trial_config(config, row["values"]))
            open_tracker(trial.tracking, trial.out, identity=identity, name=trial.out.name).finish("interrupted")


def read_trials(folder: Path) -> dict[str, Any]:
    """Read the table of a finished search.

    Raises
    ------
    UsageError
        The folder holds none.
    IntegrityError
        It is damaged or changed.
    """
    path = folder / "trials.json"
    if not path.is_file():
        raise UsageError(
            f"{folder} holds no finished search, or its trials.json was removed; run hemometric tune again"
        )
    return read_sealed(path, TrialsTable).model_dump()


def finished_lines(config: TuneRun) -> list[str]:
    """Say what a finished search found."""
    table = read_trials(config.out)
    best = next(row for row in table["trials"] if row["trial"] == table["best"])
    settings = ", ".join(f"{path} = {short(value)}" for path, value in sorted(best["values"].items()))
    num_finished = sum(row["finished"] for row in table["trials"])
    num_failed = sum(row["failed"] is not None and not row["finished"] for row in table["trials"])
    others = f", {num_failed} failed (trials.json says why)" if num_failed else ""
    unit = f" {config.task.unit}".rstrip() if config.task.kind == "regression" else ""
    num_stopped = len(table["trials"]) - num_finished - num_failed
    return [
        f"{len(table['trials'])} trials, {num_finished} finished{others}, {num_stopped} stopped early",
        f"best: {settings}; validation loss {best[SCORE]:.4f}{unit}",
        f"model: {config.out / 'model'}",
    ]


def _search_here(config: TuneRun, parent: str | None) -> None:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    pruner: optuna.pruners.BasePruner = optuna.pruners.NopPruner()
    if config.halving is not None:
        pruner = optuna.pruners.SuccessiveHalvingPruner(
            min_resource=config.halving.first_rung_steps, reduction_factor=config.halving.factor
        )
    # The same seed and the same results draw the same trials, so a search that is run again repeats itself.
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=config.seed), pruner=pruner)

    def objective(trial: optuna.Trial) -> float:
        values = drawn(trial, config.search)
        made = trial_config(config, values)
        record_trial(made.out, values)
        try:
            return _trial_here(made, parent, trial)
        except TRIAL_ERRORS as error:
            record_failure(made.out, error)
            raise

    # A trial that fails is counted, and the others go on; whoever interrupts means the search.
    study.optimize(objective, n_trials=config.num_trials, catch=TRIAL_ERRORS)


def _trial_here(config: FinetuneRun, parent: str | None, trial: optuna.Trial) -> float:
    import optuna

    found, identity = resolved(config)
    told: set[int] = set()

    def tell(step: int, loss: float) -> None:
        if step not in told:
            told.add(step)
            trial.report(loss, step)
            if trial.should_prune():
                record_stop(found.out, step)
                raise optuna.TrialPruned

    def on_report(report: Report) -> None:
        if SCORE in report.metrics:
            tell(report.step, report.metrics[SCORE])

    # What an earlier start told comes first, so that trials are compared as if nothing had been interrupted.
    for metrics in read_metrics(found.out / "metrics.jsonl"):
        if SCORE in metrics:
            tell(int(metrics["step"]), metrics[SCORE])
    if not is_finished(found.out, identity):
        with (
            run_folder(found, identity),
            open_trackers(found, identity, name=found.out.name, parent=parent) as tracker,
        ):
            progress = progress_on(f"trial {trial.number}")
            finetune(found, World(), Hooks(tracker=tracker, progress=progress, on_report=on_report))
    record_finish(found.out)
    return float(read_outcome(found.out)["best_validation_loss"])


def _copy_model(source: Path, target: Path) -> None:
    load(source)  # a damaged one is named here, and not handed on
    temporary = target.with_name(f".{target.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    shutil.copytree(source, temporary)
    shutil.rmtree(target, ignore_errors=True)
    temporary.rename(target)
