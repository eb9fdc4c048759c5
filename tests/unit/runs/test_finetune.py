"""Fine-tuning in one process: what learns, what stays, and in which unit it answers."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hemometric.corpus import open_corpus
from hemometric.encoders import load, load_trunk
from hemometric.errors import InterruptedRunError, UsageError
from hemometric.learning import Learner
from hemometric.runs import finetune as runs_finetune
from hemometric.runs import training
from hemometric.runs.finetune import FinetuneRun, finetune, resolved
from hemometric.runs.training import Hooks
from hemometric.tracker import MemoryTracker

HERE: dict[str, Any] = {"workers": 0, "tracking": {"kind": "none"}}
MARGIN = {"metric": {"kind": "margin", "learnt": True}, "task_loss": "rmse"}


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Learner, dict[str, torch.Tensor]]]:
    """Each learner that is trained, beside its parameters as they were before the first step."""
    seen: list[tuple[Learner, dict[str, torch.Tensor]]] = []
    real = training.fit

    def fit(learner: Learner, *words: Any, **named: Any) -> Any:
        seen.append((learner, {name: value.detach().clone() for name, value in learner.named_parameters()}))
        return real(learner, *words, **named)

    monkeypatch.setattr(training, "fit", fit)
    return seen


def moved(watched: list[tuple[Learner, dict[str, torch.Tensor]]]) -> dict[str, bool]:
    learner, before = watched[-1]
    return {name: not torch.equal(value, before[name]) for name, value in learner.named_parameters()}


def trained(config: FinetuneRun, tracker: MemoryTracker | None = None) -> FinetuneRun:
    found, _ = resolved(config)
    finetune(found, hooks=Hooks(tracker=tracker or MemoryTracker()))
    return found


def test_who_sits_in_no_batch_is_counted(line: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tracker = MemoryTracker()
    trained(line.finetune(tmp_path / "run", **HERE, num_steps=2, batches={"kind": "pairs"}), tracker)
    reason, num = tracker.tags_seen["batches_left_out"].split()
    assert reason == "no_partner"
    assert f"batches of kind pairs leave out: no_partner {num}" in caplog.text
    corpus = open_corpus(line.labelled).table(["train"], ["patient"])["patient"].to_pylist()
    assert int(num) == sum(corpus.count(patient) == 1 for patient in corpus) > 0


@pytest.mark.parametrize(
    "batches",
    [
        {
            "kind": "patients",
            "recordings_per_patient": 4,
        },  # nobody has as many: a recording stands there up to four times
        {"kind": "label_balanced", "edges": [25]},
    ],
    ids=lambda batches: batches["kind"],
)
def test_batches_with_copies_train_and_go_on_as_they_would_have(
    line: Any, tmp_path: Path, batches: dict[str, Any]
) -> None:
    fields = {**HERE, "num_steps": 6, "batches": batches, "checkpoint_every_steps": 2}
    straight = trained(line.finetune(tmp_path / "straight", **fields))
    cut, _ = resolved(line.finetune(tmp_path / "cut", **fields))
    asked = iter([False] * 3 + [True] * 9)
    with pytest.raises(InterruptedRunError, match="stopped after step"):
        finetune(cut, hooks=Hooks(stop=lambda: next(asked)))
    finetune(cut, hooks=Hooks())
    weights = [load(config.out / "model").encoder.state_dict() for config in (straight, cut)]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_every_parameter_that_should_learn_moves(line: Any, tmp_path: Path, watched: Any) -> None:
    trained(line.finetune(tmp_path / "run", **HERE, objective=MARGIN))
    found = moved(watched)
    rooms = {name.split(".")[0] for name in found}
    assert rooms == {"encoder", "head", "objective"}
    assert [name for name in found if name.startswith("objective")] == ["objective.metric.loss.beta"]
    assert not [name for name, has_moved in found.items() if not has_moved]


def test_a_frozen_encoder_stays_and_the_head_learns(line: Any, encoder: Path, tmp_path: Path, watched: Any) -> None:
    config = trained(line.finetune(tmp_path / "run", **HERE, model=encoder, freeze=True, objective=MARGIN))
    found = moved(watched)
    assert not [name for name, has_moved in found.items() if name.startswith("encoder") and has_moved]
    assert all(has_moved for name, has_moved in found.items() if name.startswith("head"))
    before, after = load(encoder).encoder.state_dict(), load(config.out / "model").encoder.state_dict()
    for name, value in before.items():
        assert torch.equal(value, after[name]), name  # running statistics too


def test_it_begins_with_the_pretrained_trunk(line: Any, encoder: Path, tmp_path: Path, watched: Any) -> None:
    tracker = MemoryTracker()
    trained(line.finetune(tmp_path / "run", **HERE, model=encoder), tracker)
    for name, value in load(encoder).encoder.named_parameters():
        assert torch.equal(watched[-1][1][f"encoder.{name}"], value), name
    assert "began_anew" not in tracker.tags_seen


def test_another_embedding_size_begins_a_new_layer_and_says_so(
    line: Any, encoder: Path, tmp_path: Path, watched: Any, caplog: pytest.LogCaptureFixture
) -> None:
    tracker = MemoryTracker()
    with caplog.at_level(logging.WARNING):
        config = trained(line.finetune(tmp_path / "run", **HERE, model=encoder, embedding_dim=6), tracker)
    assert load(config.out / "model").embedding_dim == 6
    began_anew = load_trunk(load(encoder), config.encoder.build(12))
    assert began_anew
    assert tracker.tags_seen["began_anew"] == ", ".join(began_anew)
    assert f"they begin anew: {', '.join(began_anew)}" in caplog.text
    pretrained = dict(load(encoder).encoder.named_parameters())
    at_start = {name.removeprefix("encoder."): value for name, value in watched[-1][1].items()}
    same = {name for name, value in pretrained.items() if torch.equal(at_start[name], value)}
    assert {name for name in pretrained if name.startswith("trunk")} <= same
    assert same != set(pretrained)


def test_the_pretrained_model_s_preparation_is_taken(line: Any, encoder: Path, tmp_path: Path) -> None:
    asked = line.finetune(tmp_path / "run", **HERE, model=encoder, preparation={"rate_hz": 250, "duration_s": 9})
    with pytest.raises(UsageError, match=r"preparation: the model .* brings its own"):
        resolved(asked)
    given = {name: getattr(asked, name) for name in asked.model_fields_set - {"preparation", "encoder"}}
    found, identity = resolved(type(asked)(**given))
    assert found.preparation == load(encoder).preparation
    assert found.encoder == load(encoder).description.encoder
    assert load(encoder).hash[:16] in identity
    assert open_corpus(line.labelled).hash[:16] in identity


def test_a_regression_answers_in_the_label_s_unit(line: Any, estimator: Path) -> None:
    model = load(estimator)
    table = open_corpus(line.labelled).table(["train"])
    values = np.array(table["label.mpcwp_mmhg"].to_pylist(), dtype=float)
    assert model.task is not None
    assert (model.task.kind, model.task.label, model.task.unit) == ("regression", "mpcwp_mmhg", "mmHg")
    assert model.task.scale_mean == pytest.approx(np.nanmean(values))
    assert model.task.scale_sd == pytest.approx(np.nanstd(values))
    recordings = [recording for _, recording in open_corpus(line.labelled).recordings(["validation"])]
    estimates = model.predict(recordings)
    assert abs(estimates.mean() - np.nanmean(values)) < 3 * np.nanstd(values)
    truth = open_corpus(line.labelled).table(["validation"])["label.mpcwp_mmhg"].to_pylist()
    rmse = float(np.sqrt(np.mean((estimates - np.array(truth)) ** 2)))
    assert model.description.metrics["validation_loss"] == pytest.approx(rmse, rel=1e-4), "the best weights are kept"


def test_a_threshold_answers_with_probabilities(line: Any, tmp_path: Path, watched: Any) -> None:
    task = {"kind": "threshold", "label": "mpcwp_mmhg", "unit": "mmHg", "threshold": 15}
    config = trained(line.finetune(tmp_path / "run", **HERE, task=task, objective={"task_loss": "bce"}))
    assert all(moved(watched).values())
    model = load(config.out / "model")
    assert model.task is not None
    assert (model.task.kind, model.task.threshold) == ("threshold", 15.0)
    recordings = [recording for _, recording in open_corpus(line.labelled).recordings(["validation"])]
    probabilities = model.predict(recordings)
    assert ((probabilities > 0) & (probabilities < 1)).all()
    assert {"validation_auroc", "validation_auprc"} <= set(model.description.metrics)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (
            {"objective": {"task_loss": "bce"}},
            "objective.task_loss 'bce' does not fit a regression task; take 'rmse'",
        ),
        (
            {"task": {"kind": "threshold", "label": "mpcwp_mmhg", "threshold": 15}},
            "objective.task_loss 'rmse' does not fit a threshold task; take 'bce'",
        ),
    ],
)
def test_a_loss_that_does_not_fit_the_task_is_refused(line: Any, tmp_path: Path, fields: Any, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        runs_finetune.run(line.finetune(tmp_path / "run", **HERE, **fields))
    assert not (tmp_path / "run").exists()


def test_an_interrupted_run_goes_on_to_the_same_model(line: Any, estimator: Path, tmp_path: Path) -> None:
    config, _ = resolved(line.finetune(tmp_path / "run", **HERE))
    asked = iter([False] * 9 + [True])
    with pytest.raises(InterruptedRunError, match="stopped after step 10 of 16"):
        finetune(config, hooks=Hooks(stop=lambda: next(asked)))
    finetune(config)
    assert load(config.out / "model").hash == load(estimator).hash


def test_a_finished_run_is_a_no_op(line: Any, estimator: Path) -> None:
    config = line.finetune(estimator.parent, **HERE)
    before = (estimator / "model.json").stat().st_mtime_ns
    lines = runs_finetune.run(config)
    assert (estimator / "model.json").stat().st_mtime_ns == before
    best = json.loads((estimator.parent / "outcome.json").read_text())
    assert lines[-2] == f"best validation loss {best['best_validation_loss']:.4f} after step {best['best_step']}"
