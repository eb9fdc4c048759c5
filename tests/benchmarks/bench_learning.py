"""What pretraining costs besides its encoder: the losses, Ray, and memory over epochs.

    python tests/benchmarks/bench_learning.py [--json FILE] [--parts losses ray memory]

losses     forward and backward of each objective on random embeddings, in turns; the ratio to NT-Xent.
ray        the same run (the same losses, step by step) in this process and with one Ray worker: ECG/s after start-up,
           and the seconds that each needs besides.
memory     resident memory of a process that pretrains for 50 short epochs, after each fifth of them.

What mining costs beside a step is measured by bench_step.py. Only ratios mean something on a shared machine.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hemometric import demo
from hemometric.mining import Mined, NearestMiner
from hemometric.objectives import GlobalBatch, pretrain_loss
from hemometric.runs.catalogue import config_of
from hemometric.runs.records import read_metrics

PARTS = ("losses", "ray", "memory")
OBJECTIVES: dict[str, dict[str, Any]] = {
    "nt_xent": {"kind": "nt_xent", "positives": "mined"},
    "nt_xent of two views": {"kind": "nt_xent"},
    "relative": {"kind": "relative"},
    "triplet": {"kind": "triplet"},
    "margin": {"kind": "margin"},
    "angular": {"kind": "angular"},
    "multi_similarity": {"kind": "multi_similarity"},
    "landmark": {"kind": "landmark", "num": 128},
    "koleo": {"kind": "koleo"},
}
SIZES, DIM, REPEATS = (64, 512), 128, 15
NARROW = {"kind": "resnet1d", "blocks": [1, 1, 1, 1], "widths": [16, 32, 64, 128], "embedding_dim": 64}
NUM_STEPS, EPOCHS = 400, 50


def mined_of(num: int) -> Mined:
    points = np.random.default_rng(0).normal(size=(num, 8))
    distances = ((points[:, None] - points[None, :]) ** 2).sum(-1).astype(np.float32)
    ids, patients = [f"r{i}" for i in range(num)], [f"p{i // 2}" for i in range(num)]
    return NearestMiner().build().select((distances + distances.T) / 2, ids, patients, 0, 0)


def losses() -> list[dict[str, Any]]:
    rows = []
    for num in SIZES:
        mined = mined_of(num)
        mined = Mined(**{**vars(mined), "landmark_distances": torch.randn(num, 128)})
        ids = [f"r{i}" for i in range(num)]
        batch = GlobalBatch.of(ids, [f"p{i // 2}" for i in range(num)], torch.device("cpu"), mined)
        run = config_of("pretrain")
        modules = {
            name: pretrain_loss(
                run.model_validate({"corpus": "c", "out": "o", "objective": one}, strict=False).objective, DIM
            )
            for name, one in OBJECTIVES.items()
        }
        z = {1: torch.randn(1, num, DIM), 2: torch.randn(2, num, DIM)}
        times: dict[str, list[float]] = {name: [] for name in modules}
        for turn in range(REPEATS + 1):
            for name, module in modules.items():
                given = z[2 if "two views" in name else 1].clone().requires_grad_()
                began = time.perf_counter()
                module(given, batch)[0].backward()
                if turn:
                    times[name].append(time.perf_counter() - began)
        medians = {name: float(np.median(each)) for name, each in times.items()}
        for name, seconds in medians.items():
            rows.append(
                {"batch": num, "objective": name, "ms": 1e3 * seconds, "to_nt_xent": seconds / medians["nt_xent"]}
            )
            print(f"| {num} | {name} | {1e3 * seconds:.2f} | {seconds / medians['nt_xent']:.2f} |", flush=True)
    return rows


def hemometric(*words: str) -> str:
    done = subprocess.run([sys.executable, "-m", "hemometric.cli", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"hemometric {' '.join(words)} ended with {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout


def corpus(work: Path) -> Path:
    source = Path(demo.__file__).parent
    table = source / "data" / "ptbxl" / "ptbxl_database.csv"
    words = [str(source / "data" / "ptbxl"), "--out", str(work / "corpus"), "--key", str(work / "key")]
    hemometric(
        "ingest", *words, "--config", str(source / "configs" / "ingest-ptbxl.yaml"), "--table", str(table), "workers=0"
    )
    return work / "corpus"


def pretrain_words(work: Path, out: str, workers: int, **fields: object) -> list[str]:
    given = {
        "corpus": work / "corpus", "out": work / out, "cache": work / "cache", "workers": workers, "batch_size": 32,
        "preparation.rate_hz": 100, "encoder": json.dumps(NARROW), "objective": json.dumps({"kind": "relative"}),
        "mining.compared": json.dumps({"kind": "whole", "rate_hz": 50}), "mining.distance.window": 0.1,
        "log_every_steps": 20, "tracking.kind": "none",
    }  # fmt: skip
    return ["pretrain", *(f"{name}={value}" for name, value in {**given, **fields}.items())]


def ray(work: Path) -> dict[str, Any]:
    far = 10**6  # no validation and no checkpoint but the last
    rates: dict[str, list[float]] = {"workers_0": [], "ray_1": []}
    starts: dict[str, list[float]] = {"workers_0": [], "ray_1": []}
    runs = []
    for turn in range(3):
        for name, workers in (("workers_0", 0), ("ray_1", 1)):
            out = f"{name}-{turn}"
            fields = {"num_steps": NUM_STEPS, "validate_every_steps": far, "checkpoint_every_steps": far}
            began = time.perf_counter()
            hemometric(*pretrain_words(work, out, workers, **fields))
            whole_s = time.perf_counter() - began
            told = read_metrics(work / out / "metrics.jsonl")
            steady = [found["ecg_per_s"] for found in told[2:]]  # the first readings hold compilation
            rates[name].append(float(np.median(steady)))
            starts[name].append(whole_s - NUM_STEPS * 32 / rates[name][-1])
            runs.append(json.loads((work / out / "outcome.json").read_text())["losses"])
    medians = {name: float(np.median(each)) for name, each in rates.items()}
    return {
        "ecg_per_s": medians, "ray_to_none": medians["ray_1"] / medians["workers_0"],
        "start_and_end_s": {name: float(np.median(each)) for name, each in starts.items()},
        "largest_difference_of_losses": float(np.abs(np.subtract(runs[0], runs[1])).max()),
    }  # fmt: skip


def memory(work: Path) -> dict[str, Any]:
    script = (
        f"import json, sys, resource; sys.path.insert(0, {str(Path(__file__).parent)!r}); import bench_learning as b; "
        f"from pathlib import Path; print(json.dumps(b.resident(Path({str(work)!r}))))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def resident(work: Path) -> dict[str, Any]:
    """Pretrain in this process and look at its memory at each reading."""
    from hemometric.config import decode
    from hemometric.corpus import lay_cache, open_corpus
    from hemometric.runs.pretrain import PretrainRun, pretrain
    from hemometric.runs.training import Hooks
    from hemometric.tracker import NullTracker

    words = pretrain_words(work, "memory", 0, validate_every_steps=50, checkpoint_every_steps=50)[1:]
    config = decode(PretrainRun, {"job": "pretrain"}, words)
    cache = lay_cache(open_corpus(config.corpus), config.preparation, ("train", "validation"), config.cache_folder)
    num_steps = EPOCHS * len(cache.rows("train")) // config.batch_size
    config = config.model_copy(update={"num_steps": num_steps})
    config.out.mkdir(parents=True)
    held: list[float] = []

    class Watch(NullTracker):
        def metrics(self, values: Any, step: int) -> None:
            held.append(int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20)

    pretrain(config, hooks=Hooks(tracker=Watch()))
    fifths = [float(np.median(part)) for part in np.array_split(held, 5)]
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"epochs": EPOCHS, "steps": num_steps, "resident_mb_by_fifths": fifths, "peak_mb": peak_mb}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        if {"ray", "memory"} & set(arguments.parts):
            corpus(work)
        for part in arguments.parts:
            match part:
                case "losses":
                    print("| batch | objective | forward and backward, ms | to NT-Xent |\n|---|---|---|---|")
                    found[part] = losses()
                case "ray":
                    found[part] = ray(work)
                    print(json.dumps(found[part], indent=1), flush=True)
                case "memory":
                    found[part] = memory(work)
                    print(json.dumps(found[part], indent=1), flush=True)
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
