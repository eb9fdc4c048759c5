"""Near duplicates among 10,000, 30,000 and 100,000 sketches: time, memory, what is found, and how the time grows.

    python tests/benchmarks/bench_duplicates.py [--json FILE]

Features are those of 1,500 generated ECGs; each row takes one of them and adds normal noise of half the spread of each
feature, so that the cloud is as wide as that of the cohort. One row in fifty is a copy of another, at a distance of
0.12, which few real copies have. Each row has the outline of one of the ECGs by chance, a copy that of its original.
Each number of rows runs in a process of its own, on one thread; the memory is the peak of that process, 2 kB for each
outline not included, since they are shared. `sketch` is timed on generated ECGs of 12 x 5000, in CPU time. `all alike`
is the worst case: rows that hardly differ, with one outline.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np

from hemometric.corpus.duplicates import candidates, find_duplicates
from hemometric.corpus.sketch import NUM_FEATURES, Sketch, sketch
from hemometric.synthesis import SynthesisConfig, generate

NUMBERS = (10_000, 30_000, 100_000)
COPIES = 50
COPY_DISTANCE = 0.12


def sketches(num: int, rate_hz: float) -> tuple[list[Sketch], float]:
    """Sketch some generated ECGs; give the median CPU time of one in ms too."""
    found, times = [], []
    for visit in generate(SynthesisConfig(num_patients=num, visits_min=1, visits_max=1, rate_hz=rate_hz)):
        recording = visit.recording()
        start = time.process_time()
        found.append(sketch(recording))
        times.append(time.process_time() - start)
    return found, 1000 * float(np.median(times))


def cloud(base: np.ndarray, num: int, alike: bool) -> tuple[np.ndarray, np.ndarray]:
    """Features of `num` rows, and which of the base's outlines each has; the last rows are copies of the first."""
    random = np.random.default_rng(0)
    if alike:
        noise = random.normal(0, 0.005, (num, NUM_FEATURES))
        return (base[0] + noise).astype(np.float32), np.zeros(num, np.int64)
    rows = base[random.integers(len(base), size=num)]
    rows = rows + random.normal(size=rows.shape) * 0.5 * base.std(axis=0)
    outline = random.integers(len(base), size=num)
    copies = num // COPIES
    noise = random.normal(size=(copies, NUM_FEATURES))
    rows[-copies:] = rows[:copies] + COPY_DISTANCE * noise / np.linalg.norm(noise, axis=1, keepdims=True)
    outline[-copies:] = outline[:copies]
    return rows.astype(np.float32), outline


def measure(base: list[Sketch], num: int, alike: bool) -> dict[str, float]:
    features, outline = cloud(np.array([one.features for one in base]), num, alike)
    stored = [base[one].outline for one in outline.tolist()]
    start = time.perf_counter()
    near = candidates(features)
    searched = time.perf_counter() - start
    pairs = find_duplicates(features, lambda positions: [stored[position] for position in positions])
    whole = time.perf_counter() - start - searched  # it searches again
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    copies = num // COPIES
    planted = int(((pairs[:, 1] - pairs[:, 0] == num - copies) & (pairs[:, 0] < copies)).sum())
    row = {"num": num, "candidates": len(near), "search_s": searched, "whole_s": whole, "memory_mb": memory}
    return row if alike else {**row, "planted": copies, "found": planted, "others": len(pairs) - planted}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()
    _, sketch_ms = sketches(200, 500.0)
    base, _ = sketches(1500, 100.0)
    print(f"sketch: {sketch_ms:.2f} ms, {128 + max(len(one.outline) for one in base)} bytes at most\n")
    print("| sketches | candidates | search, s | search and proof, s | memory, MB | planted | found | others |")
    print("|---" * 8 + "|")
    rows = []
    for num, alike in [*((num, False) for num in NUMBERS), (NUMBERS[-1], True)]:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            row = pool.apply(measure, (base, num, alike))
        rows.append({**row, "alike": alike})
        times = f"{row['search_s']:.2f} | {row['whole_s']:.2f} | {row['memory_mb']:.0f}"
        found = " | ".join(str(row.get(name, "-")) for name in ("planted", "found", "others"))
        print(f"| {num:,}{' all alike' if alike else ''} | {row['candidates']:,} | {times} | {found} |", flush=True)
    first, last = rows[0], rows[len(NUMBERS) - 1]
    growth = np.log(last["whole_s"] / first["whole_s"]) / np.log(last["num"] / first["num"])
    print(f"\nthe time grows with the number to the power of {growth:.2f}")
    if arguments.json:
        figures = {"sketch_ms": sketch_ms, "growth": growth, "rows": rows}
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
