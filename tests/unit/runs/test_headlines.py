"""What a report says first: the strongest control by its name, and plainly whether a model beats it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hemometric.evaluation import compare
from hemometric.runs.headlines import headline
from hemometric.runs.studies import AGE_SEX, CONTROLS, PRETRAINED, RANDOM, TRAINED, CodesTask, Outcome, Study
from hemometric.runs.tasks import RegressionTask, ThresholdTask

MMHG = RegressionTask(label="mpcwp_mmhg", unit="mmHg")
ABOVE = ThresholdTask(label="mpcwp_mmhg", unit="mmHg", threshold=18)
STUDY = Study(name="Cohort", corpus=Path("corpus"), encoder=Path("encoder"), tasks=(MMHG,))


def outcome(errors: dict[str, float], task: Any = MMHG, true: Any = None) -> Outcome:
    """Systems whose errors have these standard deviations in mmHg, on 300 patients."""
    random = np.random.default_rng(0)
    pressure = random.normal(16, 8, 300)
    guessed = {name: pressure + random.normal(0, error, 300) for name, error in errors.items()}
    truth = pressure if true is None else true
    if task is ABOVE:
        truth = (pressure > 18).astype(float) if true is None else true
        guessed = {name: 1 / (1 + np.exp(18 - guess)) for name, guess in guessed.items()}
    kind: Any = task.kind
    patients = [f"p{n}" for n in range(300)]
    comparison = compare(kind, truth, guessed, patients, controls=CONTROLS, num_resamples=200)
    return Outcome(task, comparison, truth, guessed)


def test_the_stronger_control_is_named_and_not_the_one_that_flatters() -> None:
    found = outcome({AGE_SEX: 8, RANDOM: 4, PRETRAINED: 5.5, TRAINED: 2})
    sentence, key = headline(STUDY, found, {})
    rows = found.comparison

    def shown(interval: Any, sign: str = "") -> str:
        low, high = f"{interval.low:{sign}.2f}", f"{interval.high:{sign}.2f}"
        return f"{interval.estimate:{sign}.2f} mmHg [{low}, {high}]"

    ours, theirs, probe = (rows.row(system).scores["rmse"] for system in (TRAINED, RANDOM, PRETRAINED))
    gap, worse = (rows.row(system).differences[RANDOM]["rmse"] for system in (TRAINED, PRETRAINED))
    assert sentence == (
        "Cohort, mPCWP: the fine-tuned model beats the strongest control, random encoder + probe: "
        f"RMSE {shown(ours)} against {shown(theirs)}, difference {shown(gap, '+')}. "
        "The pretrained encoder + probe is worse than it: "
        f"RMSE {shown(probe)}, difference {shown(worse, '+')}. "
        "Scored on 300 recordings of 300 test patients."
    )
    assert key.value == f"{ours.estimate:.2f} mmHg"
    assert key.label == "RMSE of mPCWP, fine-tuned model"
    assert key.detail.endswith(f"; strongest control {theirs.estimate:.2f}")


@pytest.mark.parametrize("task", [MMHG, ABOVE])
@pytest.mark.parametrize(
    ("errors", "verdict"),
    [
        (
            {AGE_SEX: 9, RANDOM: 5, PRETRAINED: 2},
            "the pretrained encoder + probe beats the strongest control, random encoder + probe: ",
        ),
        (
            {AGE_SEX: 9, RANDOM: 4, PRETRAINED: 3.95},
            "the pretrained encoder + probe does not beat the strongest control, random encoder + probe: ",
        ),
        (
            {AGE_SEX: 9, RANDOM: 2, PRETRAINED: 6},
            "the pretrained encoder + probe is worse than the strongest control, random encoder + probe: ",
        ),
        (
            {AGE_SEX: 2, RANDOM: 6, PRETRAINED: 6},
            "the pretrained encoder + probe is worse than the strongest control, age + sex: ",
        ),
    ],
)
def test_only_a_whole_interval_beyond_zero_beats(task: Any, errors: dict[str, float], verdict: str) -> None:
    assert verdict in headline(STUDY, outcome(errors, task), {})[0]


@pytest.mark.parametrize(
    ("name", "task", "begins"),
    [
        ("Synthetic mPCWP", MMHG, "Synthetic mPCWP: the "),
        ("Synthetic mPCWP", ABOVE, "Synthetic mPCWP > 18 mmHg: the "),
        ("Cohort", ABOVE, "Cohort, mPCWP > 18 mmHg: the "),
    ],
)
def test_a_study_named_after_its_task_does_not_say_it_twice(name: str, task: Any, begins: str) -> None:
    named = STUDY.model_copy(update={"name": name})
    assert headline(named, outcome({AGE_SEX: 8, RANDOM: 4, PRETRAINED: 5.5}, task), {})[0].startswith(begins)


def test_a_macro_score_says_of_how_many_classes_it_is() -> None:
    random = np.random.default_rng(0)
    truth = np.stack([np.arange(60) % 2, np.arange(60) % 3 == 0, np.arange(60) < 2], axis=1).astype(float)
    guessed = {name: random.random((60, 3)) for name in (AGE_SEX, RANDOM, PRETRAINED)}
    patients = [f"p{n}" for n in range(60)]
    comparison = compare("multilabel", truth, guessed, patients, controls=CONTROLS, classes=["A", "B", "C"])
    found = Outcome(CodesTask(label="superclasses"), comparison, truth, guessed, ("A", "B", "C"))
    sentence, key = headline(STUDY.model_copy(update={"name": "PTB-XL superclasses"}), found, {})
    assert sentence.startswith("PTB-XL superclasses: the pretrained encoder + probe ")
    assert sentence.endswith(" of 60 test patients, over the 2 of 3 classes that enough of them have.")
    assert key.label == "Macro AUROC of superclasses (2 of 3), pretrained encoder + probe"


def test_what_is_undefined_is_said_with_its_reason() -> None:
    found = outcome({AGE_SEX: 8, RANDOM: 4, PRETRAINED: 2}, ABOVE, true=np.zeros(300))
    sentence, key = headline(STUDY, found, {})
    assert "AUROC undefined (all true values are the same) for the pretrained encoder + probe" in sentence
    assert "No control has a defined AUROC." in sentence
    assert "nan" not in sentence + key.value + key.detail


def test_the_best_reachable_belongs_to_its_task() -> None:
    reachable = {"rmse_mmhg": 3.214, "r": 0.9, "auroc_above_15": 0.95, "auroc_above_18": 0.9412}
    errors = {AGE_SEX: 8.0, RANDOM: 4.0, PRETRAINED: 2.0}
    assert "; the best reachable is 3.21 mmHg. Scored" in headline(STUDY, outcome(errors), reachable)[0]
    assert "; the best reachable is 0.941. Scored" in headline(STUDY, outcome(errors, ABOVE), reachable)[0]
    other = ThresholdTask(label="mpcwp_mmhg", unit="mmHg", threshold=25)
    plain = outcome(errors, ABOVE)
    elsewhere = Outcome(other, plain.comparison, plain.truth, plain.predicted)
    assert "reachable" not in headline(STUDY, elsewhere, reachable)[0]
