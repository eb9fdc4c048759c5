"""The step loop: plain torch, resumable at any step, the same on one process and on many."""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from hemometric.errors import IntegrityError, InterruptedRunError, UsageError
from hemometric.learning.batch import World
from hemometric.learning.checkpoints import CheckpointStore, decode_state
from hemometric.learning.collectives import from_main
from hemometric.learning.feed import Batches, Feed
from hemometric.learning.generators import preserved_generators, seed_generators
from hemometric.learning.interrupt import asked_to_stop
from hemometric.learning.learner import Learner
from hemometric.learning.meter import Meter
from hemometric.learning.optimiser import OptimiserConfig, set_learning_rate
from hemometric.learning.outcome import Fit, Report
from hemometric.learning.schedule import ScheduleConfig
from hemometric.learning.state import RunState, copied_weights, from_state, to_state
from hemometric.learning.step import Step, train_step
from hemometric.progress import NullProgress, Progress
from hemometric.tracker import NullTracker, Tracker

_LOG = logging.getLogger(__name__)

Validate = Callable[[Learner], dict[str, float]]
"""Gives metrics with ``validation_loss``, lower is better."""


def _tell_nobody(_: Report) -> None:
    return None


def _never() -> bool:
    return False


def fit(
    learner: Learner,
    batches: Batches,
    *,
    num_steps: int,
    optimiser: OptimiserConfig,
    schedule: ScheduleConfig,
    seed: int,
    world: World | None = None,
    store: CheckpointStore | None = None,
    fingerprint: str = "",
    manifest_hash: str = "",
    checkpoint_every_steps: int = 1000,
    validate_every_steps: int = 1000,
    log_every_steps: int = 20,
    max_skipped_in_a_row: int = 5,
    validate: Validate | None = None,
    tracker: Tracker | None = None,
    progress: Progress | None = None,
    on_report: Callable[[Report], None] = _tell_nobody,
    stop: Callable[[], bool] = _never,
) -> Fit:
    """Train until `num_steps` steps are done in all, going on from the newest checkpoint of `store` if there is one.

    On more than one rank the default process group must be up; every rank calls this with the same arguments, except
    that only the main rank's store, tracker and progress are used. Rank 0 reads the checkpoint and broadcasts it, so
    the other ranks need not see its folder.

    Parameters
    ----------
    batches : callable
        ``batches(first_step)`` gives the batches from there on; they must be a pure function of the step.
    fingerprint, manifest_hash : str
        Of the config and the corpus; a checkpoint with others is refused.
    checkpoint_every_steps : int
        A checkpoint is also taken at the last step, at a validation that is the best so far, and when stopped.
    validate : callable or None
        Runs in evaluation mode, without gradients, on EVERY rank at the same step, so that it may share out its work
        with collectives of its own; rank 0's values are the ones that count. Every `validate_every_steps` and after
        the last step. Modes and buffers are put back after it, and each step seeds its own generators.
    on_report : callable
        Called by every rank at the same steps; see `Report`.
    stop : callable
        Asked on each rank at each step; True on any rank stops all, as do SIGTERM and SIGINT in a main thread.

    Raises
    ------
    UsageError
        Counts below 1, nothing to train, or checkpoints of another run.
    IntegrityError
        No checkpoint of several is whole; a batch is missing or out of order; `max_skipped_in_a_row` steps in a row
        were not finite; a parameter that should learn does not reach the loss.
    PrecheckError
        A checkpoint cannot be written.
    InterruptedRunError
        Stopped; with a store, the next call goes on from here.
    """
    for name, count in (
        ("num_steps", num_steps),
        ("checkpoint_every_steps", checkpoint_every_steps),
        ("validate_every_steps", validate_every_steps),
        ("log_every_steps", log_every_steps),
        ("max_skipped_in_a_row", max_skipped_in_a_row),
    ):
        if count < 1:
            raise UsageError(f"{name} is {count}; give at least 1")
    world = world or World()
    keeper = _Keeper(store if world.is_main else None, fingerprint, manifest_hash, world)
    tracker = tracker if tracker is not None and world.is_main else NullTracker()
    progress = progress if progress is not None and world.is_main else NullProgress()
    factor = schedule.build(num_steps)
    learner.to(world.device)
    adam = optimiser.build(learner)
    run = keeper.resume(learner, adam)
    resumed_from = run.step
    if resumed_from > num_steps:
        raise UsageError(f"the checkpoint is at step {resumed_from}, beyond num_steps {num_steps}; give at least those")
    if resumed_from == num_steps:
        return _finished(run, learner, resumed_from, {})
    if resumed_from:
        tracker.tags({"resumed_from": str(resumed_from)})

    metrics: dict[str, float] = {}
    with contextlib.ExitStack() as stack:
        stack.enter_context(preserved_generators(world.device))
        interrupted = stack.enter_context(asked_to_stop())
        feed = stack.enter_context(Feed(batches, resumed_from, world.device))
        progress.start(resumed_from, num_steps)
        stack.callback(progress.close)
        model = _distributed(learner, world)
        meter, began_s = Meter(), time.perf_counter()
        while run.step < num_steps:
            batch = feed.next(run.step)
            learning_rate = optimiser.learning_rate * factor(run.step)
            set_learning_rate(adam, learning_rate)
            seed_generators(seed, run.step, world.rank)
            learner.train()
            result = train_step(
                model, adam, batch, world, clip_norm=optimiser.clip_norm, asked_to_stop=lambda: stop() or interrupted()
            )
            _count(run, result, max_skipped_in_a_row)
            timing = feed.timing()
            meter.add(result, batch, timing)
            left_s = (time.perf_counter() - began_s) / (run.step - resumed_from) * (num_steps - run.step)
            told = result.parts | {"stalled": timing.stalled_s / timing.step_s}
            progress.update(run.step, result.loss, len(batch.recording_ids) / timing.step_s, left_s, told)

            is_last = run.step == num_steps
            stopping = result.asked_to_stop and not is_last
            validating = validate is not None and (is_last or run.step % validate_every_steps == 0)
            saving = is_last or stopping or run.step % checkpoint_every_steps == 0
            if not (validating or saving or run.step % log_every_steps == 0):
                continue
            metrics = meter.read(world) | {
                "learning_rate": learning_rate,
                "epoch": float(batch.epoch),
                "num_skipped": float(run.num_skipped),
            }
            is_best = False
            if validate is not None and validating:
                seed_generators(seed, run.step, world.rank, "validate")
                validation = _validated(learner, validate, world)
                metrics |= validation
                is_best = run.consider(learner, validation)
            tracker.metrics(metrics, run.step)
            if not (validating or saving):
                continue
            checkpoint = keeper.save(run, learner, adam) if saving or is_best else None
            on_report(Report(run.step, metrics, checkpoint, is_best))
            if stopping:
                kept = "nothing was kept: no store" if store is None else "the same command goes on from there"
                raise InterruptedRunError(f"stopped after step {run.step} of {num_steps}; {kept}")
    return _finished(run, learner, resumed_from, metrics)


class _Keeper:
    """The main rank's store, as all ranks use it: what it says and whether it could write reaches everyone."""

    def __init__(self, store: CheckpointStore | None, fingerprint: str, manifest_hash: str, world: World) -> None:
        self._store = store
        self._fingerprint = fingerprint
        self._manifest_hash = manifest_hash
        self._world = world

    def resume(self, learner: Learner, optimiser: torch.optim.Optimizer) -> RunState:
        content = from_main(self._newest, self._world)
        return from_state(decode_state(content), learner, optimiser) if content else RunState()

    def save(self, run: RunState, learner: Learner, optimiser: torch.optim.Optimizer) -> Path | None:
        written = from_main(lambda: self._write(run, learner, optimiser), self._world)
        return Path(written.decode()) if written and self._world.is_main else None

    def _newest(self) -> bytes:
        if self._store is None:
            return b""
        checkpoint = self._store.latest(fingerprint=self._fingerprint, manifest_hash=self._manifest_hash)
        return b"" if checkpoint is None else checkpoint.read()

    def _write(self, run: RunState, learner: Learner, optimiser: torch.optim.Optimizer) -> bytes:
        if self._store is None:
            return b""
        folder = self._store.save(
            run.step,
            to_state(run, learner, optimiser),
            fingerprint=self._fingerprint,
            manifest_hash=self._manifest_hash,
            validation_loss=run.validation_loss_now,
        )
        return str(folder).encode()


def _distributed(learner: Learner, world: World) -> nn.Module:
    if world.size == 1:
        return learner
    return DistributedDataParallel(learner, device_ids=[world.device] if world.device.type == "cuda" else None)


def _count(run: RunState, result: Step, max_skipped_in_a_row: int) -> None:
    run.step += 1
    run.losses.append(result.loss)
    if not result.skipped:
        run.num_skipped_in_a_row = 0
        return
    run.num_skipped += 1
    run.num_skipped_in_a_row += 1
    named = ", ".join(result.suspects[:5]) + (" …" if len(result.suspects) > 5 else "")
    where = f"values that are not finite in recordings {named}" if named else "all inputs are finite"
    _LOG.warning("step %d skipped on every rank: the loss or its gradient is not finite; %s", run.step, where)
    if run.num_skipped_in_a_row >= max_skipped_in_a_row:
        remedy = "verify the corpus" if named else "lower the learning rate or clip the gradient"
        raise IntegrityError(
            f"{run.num_skipped_in_a_row} steps in a row, up to step {run.step}, were not finite; {where}; {remedy}"
        )


def _validated(learner: Learner, validate: Validate, world: World) -> dict[str, float]:
    buffers = [(buffer, buffer.clone()) for buffer in learner.buffers()]
    learner.eval()
    with torch.no_grad():
        metrics = {name: float(value) for name, value in validate(learner).items()}
        for buffer, before in buffers:
            buffer.copy_(before)
    if "validation_loss" not in metrics:
        raise UsageError(f"validate gave {', '.join(sorted(metrics)) or 'nothing'}; it must give validation_loss")
    shared: dict[str, float] = json.loads(from_main(lambda: json.dumps(metrics).encode(), world))
    return shared


def _finished(run: RunState, learner: Learner, resumed_from: int, metrics: dict[str, float]) -> Fit:
    learner.eval()
    weights = copied_weights(learner)
    best = run.best
    return Fit(
        losses=list(run.losses),
        validations=list(run.validations),
        num_skipped=run.num_skipped,
        best_step=None if best is None else best.step,
        best_validation_loss=None if best is None else best.validation_loss,
        weights=weights,
        best_weights=dict(weights if best is None else best.weights),
        resumed_from=resumed_from,
        metrics=metrics,
    )
