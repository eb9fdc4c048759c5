"""Tuning on Ray Tune: Optuna proposes, ASHA stops early, each trial is a nested Ray Train run."""

from __future__ import annotations

import logging
import math
import os
from typing import Any

from hemometric.errors import HemometricError, InterruptedRunError, PrecheckError, PrivacyError
from hemometric.runs.finetune import FinetuneRun, finetune, resolved
from hemometric.runs.outcome import read_outcome
from hemometric.runs.search import Value, space
from hemometric.runs.search_pace import SearchPace
from hemometric.runs.training import is_finished
from hemometric.runs.training_run import run_folder
from hemometric.runs.trials import (
    SCORE,
    TRIAL_ERRORS,
    is_done,
    record_failure,
    record_finish,
    record_stop,
    record_trial,
    recorded,
)
from hemometric.runs.tune import (
    TuneRun,
    conclude,
    finished_lines,
    folder_of,
    parent_run,
    prepared,
    results,
    trial_config,
)
from hemometric.runtime.failures import translated
from hemometric.runtime.session import DRIVER_CPUS, session
from hemometric.runtime.train import check_fits, train_on_ray

_ENDING = "ends_search"
"""Key of a report in which a trial tells the driver of an error that is none of a trial's; see `_stopper`."""


def run(config: TuneRun) -> list[str]:
    """Search with nested Ray Train runs, then refit the best; a finished search is a no-op."""
    config, identity = prepared(config)
    if not is_finished(config.out, identity):
        with run_folder(config, identity), session():
            check_fits(config, concurrent=config.max_concurrent, driver=DRIVER_CPUS)
            _search(config, parent_run(config, identity))
            conclude(config, identity, _refit)
    return finished_lines(config)


def _search(config: TuneRun, parent: str | None) -> None:
    import optuna
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler
    from ray.tune.search.optuna import OptunaSearch

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.getLogger("ray.tune").setLevel(logging.ERROR)
    known = [record["values"] for record in recorded(config.out)]
    num_done = sum(is_done(folder_of(config, values)) for values in known)
    has_finished = any(row["finished"] for row in results(config))
    if len(known) >= config.num_trials and num_done == len(known) and has_finished:
        return
    num_steps = config.trial_steps or config.num_steps
    scheduler = None
    if config.halving is not None:
        scheduler = ASHAScheduler(
            time_attr="step",
            grace_period=config.halving.first_rung_steps,
            reduction_factor=config.halving.factor,
            max_t=num_steps + 1,
        )
    pace = SearchPace(config.num_trials, num_steps, num_done)
    ended_by: list[HemometricError] = []
    tuner = tune.Tuner(
        tune.with_resources(
            tune.with_parameters(_trial, base=config.model_dump_json(), parent=parent), {"CPU": DRIVER_CPUS}
        ),
        tune_config=tune.TuneConfig(
            metric=SCORE,
            mode="min",
            num_samples=config.num_trials,
            max_concurrent_trials=config.max_concurrent,
            scheduler=scheduler,
            # Recorded trials come first: finished ones answer from their folders, cut-off ones go on.
            search_alg=OptunaSearch(
                space(config.search),
                metric=SCORE,
                mode="min",
                points_to_evaluate=known or None,
                sampler=optuna.samplers.TPESampler(seed=config.seed + len(known)),
            ),
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=str((config.out / "ray").resolve()),
            verbose=0,
            callbacks=[_watcher(pace)],
            stop=_stopper(ended_by),
            failure_config=tune.FailureConfig(max_failures=1),
        ),
    )
    # Tune's own handler would swallow the first Ctrl-C, end the search early, and let it pass for a finished one.
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"
    try:
        with pace:
            num_ended = len(tuner.fit())
    except Exception as error:
        raise (ended_by[0] if ended_by else translated(error)) from error
    if ended_by:
        raise ended_by[0]
    if num_ended < config.num_trials:
        raise InterruptedRunError(
            f"the search ended after {num_ended} of {config.num_trials} trials; the same command goes on from there"
        )
    for record in recorded(config.out):
        folder = folder_of(config, record["values"])
        if not is_done(folder):
            record_stop(folder, None)  # whom Tune ended without a word to the trial itself


def _watcher(pace: SearchPace) -> Any:
    """Tell a pace what Tune hears of its trials, in the process of the driver."""
    from ray.tune import Callback

    # Tune calls them with keywords, and with more of them than matter here.
    class Watcher(Callback):  # type: ignore[misc]
        def on_trial_start(self, *, trial: Any, **_: Any) -> None:
            pace.began(trial.trial_id)

        def on_trial_result(self, *, trial: Any, result: dict[str, Any], **_: Any) -> None:
            if SCORE in result:
                pace.reported(trial.trial_id, int(result["step"]), float(result[SCORE]))

        def on_trial_complete(self, *, trial: Any, **_: Any) -> None:
            pace.ended(trial.trial_id)

        def on_trial_error(self, *, trial: Any, **_: Any) -> None:
            pace.ended(trial.trial_id, failed=True)

        def on_step_end(self, **_: Any) -> None:
            pace.show()

        def __reduce__(self) -> tuple[Any, ...]:
            return Callback, ()  # Tune pickles what it is given, and a bar cannot travel

    return Watcher()


def _stopper(ended_by: list[HemometricError]) -> Any:
    """End the whole search as soon as a trial reports an error that ends it, and keep that error."""
    from ray.tune.stopper import NoopStopper, Stopper

    class Ending(Stopper):  # type: ignore[misc]
        def __call__(self, _: str, result: dict[str, Any]) -> bool:
            if _ENDING in result:
                ended_by.append(result[_ENDING])
            return _ENDING in result

        def stop_all(self) -> bool:
            return bool(ended_by)

        def __reduce__(self) -> tuple[Any, ...]:
            return NoopStopper, ()  # Tune pickles what it is given, and the list would be another one

    return Ending()


def _trial(values: dict[str, Value], *, base: str, parent: str | None) -> None:
    """Run one trial inside Tune: a nested Ray Train run, or the record of a finished one."""
    from ray import tune
    from ray.tune.integration.ray_train import TuneReportCallback

    config = TuneRun.model_validate_json(base)
    trial, identity = resolved(trial_config(config, values))
    record_trial(trial.out, values)
    if not is_finished(trial.out, identity):
        try:
            with run_folder(trial, identity):
                train_on_ray(
                    finetune,
                    trial,
                    identity=identity,
                    name=trial.out.name,
                    parent=parent,
                    callbacks=(TuneReportCallback(),),
                    watch=False,
                )
        except (PrecheckError, PrivacyError) as error:
            # Told as a report: Tune would try a trial that raises again, and then go on with the others.
            tune.report({_ENDING: error, SCORE: math.inf, "step": 0})
            return
        except TRIAL_ERRORS as error:
            record_failure(trial.out, error)
            raise
        record_finish(trial.out)
        # One killed between its last checkpoint and its model has nothing left to validate; Tune refuses such silence.
        tune.report(_validations(trial)[-1])
        return
    record_finish(trial.out)
    for validation in _validations(trial):
        tune.report(validation)


def _refit(config: FinetuneRun, parent: str | None) -> None:
    found, identity = resolved(config)
    if not is_finished(found.out, identity):
        with run_folder(found, identity):
            train_on_ray(finetune, found, identity=identity, name="refit", parent=parent)


def _validations(trial: FinetuneRun) -> list[dict[str, Any]]:
    return list(read_outcome(trial.out)["validations"])
