"""Real encoders, miners and objectives on one process or several; run as a script, on two gloo ranks.

``python ranks.py FOLDER`` trains on two ranks until rank 1 kills itself, then on two new ones goes through all the
scenarios; it leaves FOLDER/rank-0.pt and rank-1.pt, and prints the exit codes of the four as JSON.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import signal
import sys
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
import torch._dynamo  # every optimiser imports it: here once, before the ranks are forked
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from hemometric.distances import EuclideanDistance
from hemometric.encoders import HeadConfig, ResNet1dConfig
from hemometric.errors import HemometricError
from hemometric.learning import (
    CheckpointStore,
    ConstantSchedule,
    Fit,
    Learner,
    OptimiserConfig,
    Report,
    TrainingBatch,
    World,
    fit,
    recording_keys,
)
from hemometric.mining import Ahead, MiningConfig
from hemometric.objectives import MarginObjective, SupervisedObjective, TripletObjective, pretrain_loss
from hemometric.tracker import MemoryTracker

LEADS = ("I", "II")
BATCH, NUM_SAMPLES = 8, 100
ENCODER = ResNet1dConfig(blocks=(1, 1), widths=(4, 8), stem_kernel=5, kernel=3, dropout=0.2, embedding_dim=6)
KEPT = {"fingerprint": "config-a", "manifest_hash": "corpus-a"}


def make_learner(kind: str) -> Learner:
    """The same weights on every rank; dropout and norm over all ranks, as shipped."""
    torch.manual_seed(11)
    encoder = ENCODER.build(len(LEADS))
    if kind == "supervised":
        objective = SupervisedObjective(alpha=2.0, metric=MarginObjective()).build(scale_sd=8.0)
        return Learner(encoder, objective, seed=3, head=HeadConfig(hidden=8).build(6))
    return Learner(encoder, pretrain_loss(TripletObjective(margin=2.0), 6), seed=3)


class Batches:
    """The same global batches for any world; for pretraining mined ahead, over the miner's own group."""

    def __init__(self, kind: str, world: World) -> None:
        self.kind = kind
        self.world = world
        self.miner = MiningConfig(distance=EuclideanDistance()).build(rate_hz=100.0, leads=LEADS, seed=3)

    def make(self, step: int) -> TrainingBatch:
        world = self.world
        generator = torch.Generator().manual_seed(500 + step)
        slow = torch.randn(BATCH, len(LEADS), NUM_SAMPLES // 10, generator=generator)
        signals = slow.repeat_interleave(10, dim=2)
        targets = 15 + 8 * slow.mean((1, 2))
        targets[step % BATCH] = torch.nan
        ids = tuple(f"recording-{step}-{position}" for position in range(BATCH))
        patients = tuple(f"patient-{position // 2}" for position in range(BATCH))
        own = torch.arange(world.rank, BATCH, world.size)
        batch = TrainingBatch(
            step=step,
            epoch=step // 3,
            signals=signals[own],
            keys=recording_keys([ids[position] for position in own.tolist()]),
            positions=own,
            recording_ids=ids,
            patients=patients,
        )
        if self.kind == "supervised":
            return dataclasses.replace(batch, targets=targets[own])
        mined = self.miner.mine(
            batch.signals.numpy(), own.numpy(), ids, patients, batch.epoch, world.mining_group, world.rank, world.size
        )
        return dataclasses.replace(batch, mined=mined)

    def __call__(self, first_step: int) -> Iterator[TrainingBatch]:
        return Ahead(self.make, first_step, None)


def changed(
    batches: Batches, change: Callable[[TrainingBatch], TrainingBatch]
) -> Callable[[int], Iterator[TrainingBatch]]:
    return lambda first_step: map(change, batches(first_step))


def validate(learner: Learner) -> dict[str, float]:
    generator = torch.Generator().manual_seed(1)
    z = learner.embed(torch.randn(9, len(LEADS), NUM_SAMPLES, generator=generator).numpy())
    return {"validation_loss": float((z**2).mean())}


def train(kind: str, world: World, **changes: Any) -> Fit:
    arguments: dict[str, Any] = {
        "num_steps": 9,
        "optimiser": OptimiserConfig(learning_rate=3e-3),
        "schedule": ConstantSchedule(),
        "seed": 3,
        **KEPT,
        "checkpoint_every_steps": 3,
        "validate_every_steps": 4,
        "log_every_steps": 2,
        "validate": validate,
        "world": world,
        **changes,
    }
    return fit(make_learner(kind), arguments.pop("batches", Batches(kind, world)), **arguments)


def first_gradient(kind: str, world: World) -> dict[str, torch.Tensor]:
    learner = make_learner(kind).train()
    model = learner if world.size == 1 else DistributedDataParallel(learner)
    loss, _ = model(Batches(kind, world).make(0), world)
    loss.backward()
    return {"loss": loss.detach()} | {name: value.grad for name, value in learner.named_parameters()}


def attempt(call: Callable[[], Any]) -> str:
    try:
        call()
    except HemometricError as error:
        return f"{type(error).__name__}: {error}"
    return "nothing was raised"


def scenarios(world: World) -> dict[str, Any]:
    """What must not depend on the number of ranks."""
    found: dict[str, Any] = {}
    for kind in ("pretraining", "supervised"):
        found[f"gradient {kind}"] = first_gradient(kind, world)
        run = train(kind, world)
        found[f"losses {kind}"] = run.losses
        found[f"weights {kind}"] = run.weights
        found[f"validations {kind}"] = run.validations

    def poison(batch: TrainingBatch) -> TrainingBatch:
        if batch.step == 3 and world.rank == world.size - 1:
            batch.signals[1, 0, 7] = math.nan
        return batch

    bad = train("pretraining", world, batches=changed(Batches("pretraining", world), poison))
    found["poisoned"] = {"losses": bad.losses, "weights": bad.weights, "num_skipped": bad.num_skipped}
    found["poisoned too long"] = attempt(
        lambda: train(
            "pretraining", world, batches=changed(Batches("pretraining", world), poison), max_skipped_in_a_row=1
        )
    )

    def emptied(batch: TrainingBatch) -> TrainingBatch:
        if batch.step != 2:
            return batch
        return dataclasses.replace(batch, targets=torch.full_like(batch.targets, torch.nan))

    empty = train("supervised", world, batches=changed(Batches("supervised", world), emptied))
    found["losses without labels"] = empty.losses

    return found


def faults(world: World, folder: Path) -> dict[str, Any]:
    """What befalls one rank and must be met by all."""
    found: dict[str, Any] = {}
    resumed = train("pretraining", world, store=CheckpointStore(folder / "killed"))
    found["killed"] = {"from": resumed.resumed_from, "losses": resumed.losses, "weights": resumed.weights}

    asked = iter([False] * 4 + [world.rank == world.size - 1] * 9)
    store = CheckpointStore(folder / "stopped")
    found["stopped"] = attempt(lambda: train("pretraining", world, store=store, stop=lambda: next(asked)))
    again = train("pretraining", world, store=store)
    found["stopped again"] = {"from": again.resumed_from, "losses": again.losses, "weights": again.weights}
    found["another config"] = attempt(lambda: train("pretraining", world, store=store, fingerprint="config-b"))

    if world.is_main:
        (folder / "in the way").touch()
    blocked = CheckpointStore(folder / "in the way")
    found["blocked"] = attempt(lambda: train("pretraining", world, store=blocked))

    return found


def reported(world: World, folder: Path) -> dict[str, Any]:
    """Who hears what."""
    found: dict[str, Any] = {}
    reports: list[Report] = []
    tracker = MemoryTracker()
    run = train(
        "supervised",
        world,
        validate=lambda _: {"validation_loss": float(world.rank - len(reports))},
        on_report=reports.append,
        store=CheckpointStore(folder / "reports"),
        tracker=tracker,
    )
    found["reports"] = [(report.step, report.metrics, report.is_best) for report in reports]
    found["checkpoints"] = [report.checkpoint is not None for report in reports]
    found["tracked"] = [step for step, _ in tracker.metrics_seen]
    found["best"] = run.best_validation_loss
    return found


def be_a_rank(rank: int, size: int, folder: Path, what: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder / f'join-{what}'}", rank=rank, world_size=size)
    world = World(rank=rank, size=size, mining_group=dist.new_group(backend="gloo"))
    if what == "killed":

        def die(batch: TrainingBatch) -> TrainingBatch:
            if batch.step == 7 and rank == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            return batch

        batches = changed(Batches("pretraining", world), die)
        train("pretraining", world, batches=batches, store=CheckpointStore(folder / "killed"))
    else:
        found = scenarios(world) | faults(world, folder) | reported(world, folder)
        torch.save(found, folder / f"rank-{rank}.pt")
    dist.destroy_process_group()


def main(folder: Path) -> None:
    """Fork, so that torch is imported once; nothing has been computed yet, so there are no threads to lose."""
    codes: dict[str, list[int | None]] = {}
    for what in ("killed", "all"):
        processes = [get_context("fork").Process(target=be_a_rank, args=(rank, 2, folder, what)) for rank in range(2)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(60)
            process.kill()
            process.join()
        codes[what] = [process.exitcode for process in processes]
    print(json.dumps(codes))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
