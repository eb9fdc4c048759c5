"""A model, a loss and batches that are small enough to train in milliseconds; also the script of the killed runs.

Run as ``python tiny.py FOLDER KILL_AT_STEP`` it trains with checkpoints in FOLDER and kills itself before that step.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from hemometric.errors import UsageError
from hemometric.learning import (
    CheckpointStore,
    CosineSchedule,
    Fit,
    Learner,
    OptimiserConfig,
    TrainingBatch,
    World,
    fit,
    recording_keys,
)
from hemometric.mining import Mined
from hemometric.objectives import GlobalBatch

NUM_LEADS, NUM_SAMPLES, BATCH = 2, 40, 8


class Encoder(nn.Module):
    """Has running statistics, and dropout that draws from torch's global generator."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(NUM_LEADS, 4, 5), nn.BatchNorm1d(4), nn.ReLU(), nn.Dropout(0.2), nn.AdaptiveAvgPool1d(4)
        )
        self.last = nn.Linear(16, 3)

    def forward(self, signals: Tensor) -> Tensor:
        return self.last(self.layers(signals).flatten(1))


class Objective(nn.Module):
    """Pull positives, push negatives, by a margin that is learnt."""

    def __init__(self) -> None:
        super().__init__()
        self.margin = nn.Parameter(torch.tensor(1.0))

    def forward(self, z: Tensor, batch: GlobalBatch) -> tuple[Tensor, dict[str, Tensor]]:
        if batch.mined is None:
            raise UsageError("this objective needs mined triplets")
        (z,), (a, p, n) = z, batch.mined.as_tuple()
        pull = (z[a] - z[p]).square().sum(1).mean()
        push = nn.functional.softplus(self.margin - (z[a] - z[n]).square().sum(1)).mean()
        return pull + push, {"pull": pull, "push": push}


class HeadObjective(nn.Module):
    """Mean squared error over the rows that have a label."""

    def forward(
        self,
        z: Tensor,
        outputs: Tensor,
        targets: Tensor,
        *,
        recording_ids: object,
        patients: object,
        seed: int,
        epoch: int,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        known = ~torch.isnan(targets)
        error = (outputs[known] - targets[known]).square().sum() / max(1, int(known.sum()))
        return error + 1e-3 * z.square().mean(), {"mse": error}


class Head(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 1)

    def forward(self, z: Tensor) -> Tensor:
        return self.linear(z).squeeze(1)


def make_batch(step: int, rank: int = 0, size: int = 1, *, targets: bool = False) -> TrainingBatch:
    """The same global batch for any world."""
    generator = torch.Generator().manual_seed(1000 + step)
    signals = torch.randn(BATCH, NUM_LEADS, NUM_SAMPLES, generator=generator)
    own = torch.arange(rank, BATCH, size)
    ids = tuple(f"recording-{step}-{position}" for position in range(BATCH))
    everyone = torch.arange(BATCH)
    different = ~torch.eye(BATCH, dtype=torch.bool)
    mined = Mined(
        anchors=everyone,
        positives=everyone.roll(1),
        negatives=everyone.roll(3),
        distances=torch.zeros(BATCH, BATCH),
        valid=different,
        repels=different,
        recording_ids=ids,
    )
    return TrainingBatch(
        step=step,
        epoch=step // 4,
        signals=signals[own],
        keys=recording_keys([ids[position] for position in own.tolist()]),
        positions=own,
        recording_ids=ids,
        patients=tuple(f"patient-{position}" for position in range(BATCH)),
        targets=signals.mean((1, 2))[own] if targets else None,
        mined=None if targets else mined,
    )


def batches(first_step: int, rank: int = 0, size: int = 1) -> Iterator[TrainingBatch]:
    """All batches from a step on."""
    step = first_step
    while True:
        yield make_batch(step, rank, size)
        step += 1


def make_learner() -> Learner:
    """The same weights each time, whatever was drawn before."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        return Learner(Encoder(), Objective(), seed=3)


def make_supervised() -> Learner:
    with torch.random.fork_rng():
        torch.manual_seed(7)
        return Learner(Encoder(), HeadObjective(), seed=3, head=Head())


def validate(learner: Learner) -> dict[str, float]:
    """A loss that changes with the weights; it draws from the global generator, as a careless one may."""
    torch.rand(1 + int(torch.randint(5, ())))
    z = learner.embed(make_batch(10_000).signals.numpy())
    return {"validation_loss": float((z**2).mean()), "largest": float(z.max())}


def train(learner: Learner | None = None, world: World | None = None, **changes: object) -> Fit:
    """A run of 12 steps, but for `changes`."""
    world = world or World()
    arguments = {
        "batches": lambda step: batches(step, world.rank, world.size),
        "num_steps": 12,
        "optimiser": OptimiserConfig(learning_rate=1e-2),
        "schedule": CosineSchedule(warmup_steps=2),
        "seed": 5,
        "fingerprint": "config-a",
        "manifest_hash": "corpus-a",
        "checkpoint_every_steps": 4,
        "validate_every_steps": 3,
        "log_every_steps": 2,
        "validate": validate,
        "world": world,
        **changes,
    }
    return fit(learner or make_learner(), arguments.pop("batches"), **arguments)


def _killed(folder: Path, kill_at_step: int) -> None:
    def until_killed(first_step: int) -> Iterator[TrainingBatch]:
        for batch in batches(first_step):
            if batch.step == kill_at_step:
                os.kill(os.getpid(), signal.SIGKILL)
            yield batch

    train(batches=until_killed, store=CheckpointStore(folder))


if __name__ == "__main__":
    _killed(Path(sys.argv[1]), int(sys.argv[2]))
