"""What mining costs a training step: beside it, against the step and the mining each alone on the same cores.

    python tests/benchmarks/bench_step.py [--json FILE] [--rounds 15] [--device cuda] [--only NAME]

A real pretraining step (encoder, loss, backward, AdamW) on batches of 64 bundled real ECGs. Each round measures, in
turns, about a second each: steps on one batch that is there already (bare), batches made and mined with
nothing beside them (mining), and steps beside which the next batch is mined (together, waiting included). Figures are
medians over rounds. Times are wall-clock; the last column is the same ratio in CPU time of the process, which feels a
busy machine less, but does not see a core that is left idle. Only ratios mean something on a shared machine.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # as the command line sets it; read when torch is loaded, below

import numpy as np
import numpy.typing as npt
import torch

from hemometric import demo
from hemometric.config import decode
from hemometric.corpus import Cache, lay_cache, open_corpus
from hemometric.learning import TrainingBatch, World
from hemometric.learning.step import train_step
from hemometric.mining import BatchMiner
from hemometric.runs import ingest
from hemometric.runs.catalogue import config_of
from hemometric.runs.feed import Feed
from hemometric.runs.pretrain import PretrainRun, learner_of, mining_feed

NARROW = {"kind": "resnet1d", "blocks": [1, 1, 1, 1], "widths": [16, 32, 64, 128], "embedding_dim": 64}
WHOLE = {"kind": "whole", "rate_hz": 100}
CASES: dict[str, dict[str, Any]] = {
    "narrow, whole records at 100 Hz": {"encoder": NARROW, "mining": {"compared": WHOLE}},
    "narrow, two rates: the nearest 4 at 250 Hz": {
        "preparation": {"rate_hz": 250, "duration_s": 10},
        "encoder": NARROW,
        "mining": {"compared": WHOLE, "refine": {"compared": {"kind": "whole", "rate_hz": 250}, "candidates": 4}},
    },
    "narrow, median beats": {"encoder": NARROW, "mining": {"compared": {"kind": "median_beat"}}},
    "ResNet-18 at 250 Hz, whole records at 100 Hz": {
        "preparation": {"rate_hz": 250, "duration_s": 10},
        "encoder": {"kind": "resnet1d"},
        "mining": {"compared": WHOLE},
    },
}


ROUND_S = 3
"""A round measures three things for about a second each; a wide encoder, of which two steps take longer, needs more."""

WARM_UP_S = 15
"""Of a case: preparing the records, compiling, the first steps."""

LEGEND = """
bare step: a step on a batch that is there already. mining: making and mining a batch with nothing beside it. together:
a step beside which the next batch is mined, waiting included. All are medians over rounds.
waited: the share of a step together that it waited for its batch.
to bare: together over the bare step; 1 would be mining that costs nothing.
to bare + mining: together over the sum of both alone; 1 is what two tasks on the same full cores take, and less than 1
uses cores that a step alone leaves idle.
CPU: the same ratio in CPU time of the process, which feels a busy machine less, and does not see an idle core.
A few per cent below 1 are noise of the machine, in to bare and in CPU always: mining makes no step faster.
"""


def about_s(num_cases: int, rounds: int) -> float:
    """Seconds that a benchmark takes, roughly."""
    return num_cases * (rounds * ROUND_S + WARM_UP_S)


def made(job: str, data: dict[str, Any]) -> Any:
    return decode(config_of(job), {"job": job, "tracking": {"kind": "none"}} | data if job == "pretrain" else data)


def corpus(folder: Path) -> Path:
    """The bundled ECGs at 500 and at 100 Hz are few; those at 100 Hz are resampled where a case wants more."""
    (folder / "key").touch(mode=0o600)
    (folder / "key").write_text("0123456789abcdef" * 4)
    split = {"kind": "hash", "train": 1.0, "validation": 0.0, "test": 0.0}
    sources = [str(Path(demo.__file__).parent / "data/ptbxl/records100")]
    fields = {"sources": sources, "out": str(folder / "corpus"), "key": str(folder / "key"), "workers": 0}
    ingest.run(made("ingest", {"job": "ingest", **fields, "ingest": {"table": {"kind": "ptbxl"}, "split": split}}))
    return folder / "corpus"


def config(case: dict[str, Any], at: Path) -> PretrainRun:
    miner = {"kind": "nearest", "scaling": "local", "negatives": {"kind": "random"}}
    mining = {"distance": {"kind": "dtw", "window": 0.1}, "miner": miner} | case["mining"]
    common = {"corpus": str(at), "out": str(at.parent / "out"), "batch_size": 64, "num_steps": 10**6}
    common |= {"objective": {"kind": "relative"}, "preparation": {"rate_hz": 100, "duration_s": 10}}
    found: PretrainRun = made("pretrain", common | case | {"mining": mining})
    return found


class Training:
    """A step of a run's own encoder, objective and optimiser."""

    def __init__(self, run: PretrainRun, miner: BatchMiner, world: World) -> None:
        torch.manual_seed(0)
        encoder = run.encoder.build(len(run.preparation.leads))
        self.learner = learner_of(run, encoder, miner)
        self.learner.to(world.device).train()
        self.optimiser = run.optimiser.build(self.learner)
        self.world = world

    def step(self, batch: TrainingBatch) -> None:
        result = train_step(self.learner, self.optimiser, batch.to(self.world.device), self.world)
        assert not result.skipped


Clock = npt.NDArray[np.float64]
"""Wall and CPU seconds, [2]."""


def clock() -> Clock:
    return np.array([time.perf_counter(), time.process_time()])


def bare(training: Training, batch: TrainingBatch, num: int) -> Clock:
    began = clock()
    for _ in range(num):
        training.step(batch)
    return (clock() - began) / num


def mining(feed: Feed, first: int, num: int) -> Clock:
    began = clock()
    for step in range(first, first + num):
        feed.batch(step)
    return (clock() - began) / num


def together(training: Training, feed: Feed, first: int, num: int) -> tuple[Clock, float]:
    """Seconds a step, and of those waited; counted from the first batch on, when the next one begins to be made."""
    with feed(first) as ahead:
        batch = next(ahead)
        began, stalled = clock(), ahead.stalled_s
        for _ in range(num):
            training.step(batch)
            batch = next(ahead)
        return (clock() - began) / num, (ahead.stalled_s - stalled) / num


def measure(run: PretrainRun, cache: Cache, rounds: int, device: str) -> dict[str, float]:
    world = World(device=torch.device(device))
    feed, miner = mining_feed(run, cache, cache.rows("train"), world)
    miner.warm_up()
    training, batch = Training(run, miner, world), feed.batch(0)
    bare(training, batch, 3)
    num = max(2, round(1.0 / bare(training, batch, 2)[0]))
    times, waited = np.zeros((rounds, 3, 2)), np.zeros(rounds)
    for number in range(rounds):
        first = 1 + number * 2 * (num + 2)
        for which in np.roll(np.arange(3), number):  # what comes first in a round pays for what came before
            if which == 0:
                times[number, which] = bare(training, batch, num)
            elif which == 1:
                times[number, which] = mining(feed, first, num)
            else:
                times[number, which], waited[number] = together(training, feed, first + num, num)
    bare_s, mining_s, together_s = np.median(times[:, :, 0], axis=0).tolist()
    to_bare = times[:, 2] / times[:, 0]
    to_sum = times[:, 2] / (times[:, 0] + times[:, 1])
    return {
        "bare_s": bare_s,
        "mining_s": mining_s,
        "together_s": together_s,
        "stalled_share": float(np.median(waited / times[:, 2, 0])),
        "step_inflation": float(np.median(to_bare[:, 0])),
        "to_sum": float(np.median(to_sum[:, 0])),
        "to_sum_cpu": float(np.median(to_sum[:, 1])),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", default="", help="cases whose name begins so")
    arguments = parser.parse_args()
    chosen = {name: case for name, case in CASES.items() if name.startswith(arguments.only)}
    minutes = math.ceil(about_s(len(chosen), arguments.rounds) / 60)
    print(f"{len(chosen)} cases of {arguments.rounds} rounds: {minutes} min or so", file=sys.stderr, flush=True)
    found: dict[str, dict[str, float]] = {}
    print("| batch of 64 | bare step, ms | mining, ms | together, ms | waited | to bare | to bare + mining | CPU |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        at = corpus(Path(folder))
        for name, case in chosen.items():
            run = config(case, at)
            cache = lay_cache(open_corpus(at), run.preparation, ("train",), Path(folder) / "cache")
            row = found[name] = measure(run, cache, arguments.rounds, arguments.device)
            times = " | ".join(f"{1000 * row[part]:.0f}" for part in ("bare_s", "mining_s", "together_s"))
            ratios = f"{row['step_inflation']:.2f} | {row['to_sum']:.3f} | {row['to_sum_cpu']:.3f}"
            print(f"| {name} | {times} | {row['stalled_share']:.0%} | {ratios} |", flush=True)
    print(LEGEND)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    print(f"{cores} cores, {torch.get_num_threads()} threads of torch, device {arguments.device}")
    if arguments.json:
        arguments.json.write_text(json.dumps({"cores": cores, "device": arguments.device, "cases": found}, indent=1))


if __name__ == "__main__":
    main()
