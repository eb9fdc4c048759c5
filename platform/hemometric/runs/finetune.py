"""Fine-tuning: a supervised head, L = alpha x metric + task, on a pretrained trunk or from scratch."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
import torch
from pydantic import Field

from hemometric.config import PLACEMENT, Config
from hemometric.corpus import Cache
from hemometric.ecg import Float64
from hemometric.encoders import (
    MAX_EMBEDDING_DIM,
    EncoderConfig,
    HeadConfig,
    Model,
    ResNet1dConfig,
    Task,
    load,
    load_trunk,
    save,
)
from hemometric.errors import IntegrityError, UsageError
from hemometric.learning import Learner, World
from hemometric.objectives import SupervisedObjective
from hemometric.progress import progress_on
from hemometric.runs.outcome import finished_lines, open_trackers, write_outcome
from hemometric.runs.tasks import RegressionTask, TaskConfig, labelled_rows, scaled, validation_metrics
from hemometric.runs.training import (
    Hooks,
    check_batches,
    checked_corpus,
    feed_of,
    fit_run,
    is_finished,
    lasting,
    open_cache,
    provenance,
    run_identity,
)
from hemometric.runs.training_run import TrainingRun, run_folder
from hemometric.runs.words import finished_already

log = logging.getLogger(__name__)


class SupervisedRun(TrainingRun):
    """What fine-tuning and tuning share.

    Attributes
    ----------
    model : Path or None
        A pretrained model folder; its trunk and preparation are taken. None starts from scratch with `encoder`.
    embedding_dim : int or None
        Size of the embedding; where it differs from the model's, a new embedding layer begins.
    freeze : bool
        Train the head alone.
    """

    model: Annotated[Path | None, PLACEMENT] = None
    encoder: EncoderConfig = ResNet1dConfig()
    embedding_dim: int | None = Field(default=None, ge=2, le=MAX_EMBEDDING_DIM)
    freeze: bool = False
    head: HeadConfig = HeadConfig()
    task: TaskConfig = RegressionTask(label="mpcwp_mmhg", unit="mmHg")
    objective: SupervisedObjective = SupervisedObjective()


class FinetuneRun(SupervisedRun):
    """One supervised run."""

    job: Literal["finetune"] = "finetune"


def run(config: FinetuneRun) -> list[str]:
    """Fine-tune in this process, without Ray; a finished run is a no-op."""
    config, identity = resolved(config)
    if is_finished(config.out, identity):
        return [finished_already(config.out), *finished_lines(config.out)]
    with run_folder(config, identity), open_trackers(config, identity, name="finetune") as tracker:
        finetune(config, hooks=Hooks(tracker=tracker, progress=progress_on("finetune")))
    return finished_lines(config.out)


S = TypeVar("S", bound=SupervisedRun)


def resolved(config: S) -> tuple[S, str]:
    """Take encoder and preparation from the pretrained model, if there is one, and say which run this is.

    Raises
    ------
    UsageError
        The task and its loss do not fit each other, or the config does not fit the corpus.
    """
    wants_logits = config.task.kind == "threshold"
    if wants_logits != (config.objective.task_loss == "bce"):
        raise UsageError(
            f"objective.task_loss {config.objective.task_loss!r} does not fit a {config.task.kind} task; "
            f"take {'bce' if wants_logits else 'rmse'!r}"
        )
    updates: dict[str, Any] = {}
    model_hash = ""
    encoder = config.encoder
    if config.model is not None:
        pretrained = load(config.model)
        _refuse_others(config, pretrained)
        encoder, model_hash = pretrained.description.encoder, pretrained.hash
        updates["preparation"] = pretrained.preparation
    if config.embedding_dim is not None:
        encoder = encoder.model_copy(update={"embedding_dim": config.embedding_dim})
    config = config.model_copy(update=updates | {"encoder": encoder})
    return config, run_identity(config, checked_corpus(config, config.task.label, config.task.unit).hash, model_hash)


def _refuse_others(config: SupervisedRun, pretrained: Model) -> None:
    """Refuse an encoder or a preparation that was asked for and is not the model's: neither may win in silence."""
    theirs: dict[str, Config] = {
        "encoder": pretrained.description.encoder.model_copy(update={"embedding_dim": config.encoder.embedding_dim}),
        "preparation": pretrained.preparation,
    }
    for name, value in theirs.items():
        if name in config.model_fields_set and getattr(config, name) != value:
            raise UsageError(
                f"{name}: the model {config.model} brings its own, and it is another one; leave {name} out"
            )


def finetune(config: FinetuneRun, world: World | None = None, hooks: Hooks | None = None) -> dict[str, float]:
    """Train a `resolved` config, going on from the newest checkpoint, and write ``out/model``; every rank calls it.

    Returns
    -------
    dict
        The metrics at the best validation.
    """
    world, hooks = world or World(), hooks or Hooks()
    corpus, cache = open_cache(config)
    rows = labelled_rows(cache, config.task, "train")
    check_batches(config, rows, world)
    values = cache.column(config.task.label)
    task = scaled(config.task, values[rows])
    torch.manual_seed(config.seed)
    encoder = config.encoder.build(len(config.preparation.leads))
    model_hash = ""
    if config.model is not None:
        pretrained = load(config.model)
        model_hash = pretrained.hash
        began_anew = load_trunk(pretrained, encoder)
        if began_anew and world.is_main:
            log.warning(
                "the pretrained model does not hold these as they are now; they begin anew: %s", ", ".join(began_anew)
            )
            hooks.tracker.tags({"began_anew": ", ".join(began_anew)})
    if config.freeze:
        encoder.requires_grad_(requires_grad=False)
    head = config.head.build(config.encoder.embedding_dim, config.encoder.norm)
    # Targets stay in the label's unit: the label miner's tolerance is in mmHg. The objective standardises them.
    objective = config.objective.build(scale_mean=task.scale_mean, scale_sd=task.scale_sd, threshold=task.threshold)
    learner = Learner(encoder, objective, seed=config.seed, head=head)
    outcome = fit_run(
        config,
        learner,
        feed_of(config, cache, rows, world, targets=values[rows].astype(np.float32)),
        corpus,
        hooks,
        identity=run_identity(config, corpus.hash, model_hash),
        validate=_validation(config, cache, values, task),
    )
    if outcome.best_step is None:
        raise IntegrityError(
            "no validation gave a finite loss, so there is no best model; take a smaller learning rate"
        )
    best = dict(outcome.validations)[outcome.best_step]
    if world.is_main:
        learner.load_state_dict(outcome.best_weights)
        write_outcome(config.out, outcome)  # before the model, whose presence says that the run is finished
        save(
            config.out / "model",
            encoder=encoder,
            encoder_config=config.encoder,
            head=head,
            head_config=config.head,
            preparation=config.preparation,
            task=task,
            provenance=provenance(config, corpus, config.num_steps) | {"pretrained": model_hash or None},
            metrics=lasting(outcome.losses[: outcome.best_step], best),
        )
    return best


def _validation(
    config: FinetuneRun, cache: Cache, values: Float64, task: Task
) -> Callable[[Learner], dict[str, float]]:
    rows = labelled_rows(cache, config.task, "validation")

    def validate(learner: Learner) -> dict[str, float]:
        outputs = learner.predict(np.asarray(cache.signals[rows]))
        return validation_metrics(task, values[rows], outputs)

    return validate
