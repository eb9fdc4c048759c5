"""Distributions over dotted paths: drawn, checked against the config, and turned into trials."""

from __future__ import annotations

from typing import Any

import optuna
import pytest

from hemometric.config import decode
from hemometric.errors import DataRejectedError, UsageError
from hemometric.runs.search import Choice, Uniform, drawn, replaced, space
from hemometric.runs.trials import best_of
from hemometric.runs.tune import TuneRun, refit_config, trial_config

UNIFORM = {"kind": "uniform", "low": 0.1, "high": 2.0}


def tuned(search: Any, **fields: Any) -> TuneRun:
    return decode(TuneRun, {"corpus": "c", "out": "o", "search": search} | fields)


def test_paths_are_set_without_changing_the_mapping() -> None:
    data = {"a": {"b": {"c": 1, "d": 2}}, "e": None}
    assert replaced(data, {"a.b.c": 5, "e.f": 6, "g": 7}) == {"a": {"b": {"c": 5, "d": 2}}, "e": {"f": 6}, "g": 7}
    assert data == {"a": {"b": {"c": 1, "d": 2}}, "e": None}


def test_what_is_drawn_lies_in_the_distributions() -> None:
    search = {"x": Uniform(low=1e-4, high=1.0, log=True), "y": Uniform(low=-1.0, high=1.0), "z": Choice(values=(3, 5))}
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    values = [drawn(study.ask(), search) for _ in range(60)]
    assert all(1e-4 <= v["x"] <= 1 and -1 <= v["y"] <= 1 and v["z"] in (3, 5) for v in values)
    assert sum(v["x"] < 1e-2 for v in values) > 15, "a log scale draws every decade alike"
    assert {v["z"] for v in values} == {3, 5}
    assert study.ask(space(search)).distributions == study.trials[0].distributions


@pytest.mark.parametrize(
    ("search", "sentence"),
    [
        ({"objective.metric.margn": UNIFORM}, "unknown field 'objective.metric.margn'; did you mean 'margin'?"),
        ({"objetive.alpha": UNIFORM}, "unknown field 'objetive'; did you mean 'objective'?"),
        ({"embedding_dim": UNIFORM}, "field 'embedding_dim': input should be a valid integer, found 0.1"),
        ({"embedding_dim": {"kind": "choice", "values": [8, 1]}}, "field 'embedding_dim': input should be greater"),
        ({"objective.alpha": {"kind": "uniform", "low": -1, "high": 1}}, "field 'objective.alpha': input should be"),
        ({"objective.alpha": {"kind": "uniform", "low": 2, "high": 1}}, "low must lie below high"),
        ({"objective.alpha": {"kind": "uniform", "low": 0, "high": 1, "log": True}}, "above 0 where log is true"),
        ({"objective.task_loss": {"kind": "choice", "values": ["rmse", "mae"]}}, "field 'objective.task_loss'"),
        ({}, "give at least 1, found 0"),
        ({"objective.alpha": {"kind": "choice", "values": []}}, "give at least 1, found 0"),
    ],
)
def test_a_search_that_does_not_fit_is_refused(search: Any, sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        tuned(search)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("path", ["job", "search", "num_trials", "out", "corpus", "model", "workers", "tracking.uri"])
def test_only_what_is_computed_can_be_searched(path: str) -> None:
    with pytest.raises(UsageError, match=f"search.{path}"):
        tuned({path: {"kind": "choice", "values": ["x", "y"]}})


def test_a_trial_s_folder_is_named_after_what_it_computes() -> None:
    config = tuned({"objective.alpha": UNIFORM}, trial_steps=7, num_steps=70, workers=1)
    one, same, other = (trial_config(config, {"objective.alpha": alpha}) for alpha in (0.5, 0.5, 0.6))
    assert one == same
    assert one.out.parent == config.out / "trials"
    assert one.out != other.out
    assert one.objective.alpha == 0.5
    assert one.num_steps == 7
    wide = config.model_copy(update={"workers": 4, "max_concurrent": 9})
    assert trial_config(wide, {"objective.alpha": 0.5}).out == one.out, "workers are no part of what is computed"
    refit = refit_config(config, {"objective.alpha": 0.5})
    assert (refit.num_steps, refit.out, refit.objective.alpha) == (70, config.out / "refit", 0.5)


def test_the_best_is_the_lowest_of_the_finished() -> None:
    rows = [
        {"trial": "b", "validation_loss": 2.0},
        {"trial": "a", "validation_loss": 2.0},
        {"trial": "c", "validation_loss": None, "failed": None},
        {"trial": "d", "validation_loss": 3.0},
    ]
    assert best_of(rows)["trial"] == "a"
    with pytest.raises(DataRejectedError, match="none of 1 trials finished"):
        best_of(rows[2:3])
