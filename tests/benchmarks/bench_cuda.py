"""Speed of DTW on a CUDA device: against all cores of the CPU, against soft-DTW there, and against the card's limit.

    python tests/benchmarks/bench_cuda.py [--json FILE] [--repeats 5]

First every function is compared with the CPU's on real ECGs: the bundled 100 Hz records, each shifted at random, and
interpolated where they are to be longer. Cells are those inside the band, counted once for each unordered pair; time is
wall-clock, everything included but compilation and the way to the device; the figure is the median over the repeats.
The CPU compares a part of the batch. Soft-DTW is pysdtw's, forward only, one block a pair.

The limit: a cell of D leads takes 2 D + 3 float32 operations (4 for one lead), and a multiprocessor does 128 a clock
(64 if its compute capability is 7.x or 8.0), at the highest clock that the driver names, which a card may not hold.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numba.cuda
import numpy as np
import torch

import hemometric
from hemometric.distances import cross, half_rows, nearest, pairwise, refine

LEADS, LENGTHS, BATCHES, BANDS = (12, 8, 1), (1000, 2500), (256, 512), (None, 0.1)
CPU_BATCH, SOFT_CELLS = 64, 256_000_000


def ecgs(num: int, num_leads: int, num_samples: int) -> np.ndarray:
    """Real ECGs [num, lead, sample] mV, the last leads."""
    files = sorted((Path(hemometric.__file__).parent / "demo/data/ptbxl/records100").rglob("*.dat"))
    own = np.stack([np.fromfile(file, "<i2").reshape(-1, 12).T for file in files]) / 1000.0
    generator, at = np.random.default_rng(0), np.linspace(0, own.shape[2] - 1, num_samples)
    made = np.empty((num, num_leads, num_samples), np.float32)
    for n, shift in enumerate(generator.integers(0, own.shape[2], num)):
        for lead in range(num_leads):
            made[n, lead] = np.interp(at, np.arange(own.shape[2]), np.roll(own[n % len(own), lead - num_leads], shift))
    return made


def differences(signals: np.ndarray, window: float | None, put: Callable[[np.ndarray], object]) -> float:
    """The largest relative difference between the device's distances and the CPU's, of all functions."""
    there, candidates = put(signals), np.arange(2 * len(signals)).reshape(-1, 2) % len(signals)
    how = {"window": window}
    found = [
        (pairwise(there, **how), pairwise(signals, **how)),
        (pairwise(there, metric="independent", **how), pairwise(signals, metric="independent", **how)),
        (cross(there[:3], there, **how), cross(signals[:3], signals, **how)),
        (half_rows(there, [0, 2], **how), half_rows(signals, [0, 2], **how)),
        (refine(there, candidates, **how), refine(signals, candidates, **how)),
        (nearest(there[:3], there, 2, **how)[1], nearest(signals[:3], signals, 2, **how)[1]),
    ]
    hosts = [(one.copy_to_host(), other) for one, other in found]
    return max(float((np.abs(one - other) / np.maximum(other, 1e-6)).max()) for one, other in hosts)


def cells(num_pairs: int, num_samples: int, window: float | None) -> int:
    """Cells inside the band of all pairs."""
    outside = num_samples - 1 - (num_samples if window is None else int(window * num_samples))
    return num_pairs * (num_samples**2 - max(0, outside) * (max(0, outside) + 1))


def seconds(call: Callable[[], object], repeats: int) -> float:
    """The median time of a call, until the device has done; the first one does not count."""
    times = []
    for _ in range(repeats + 1):
        torch.cuda.synchronize()
        began = time.perf_counter()
        call()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:])


def limit(num_leads: int) -> float:
    """Cells a second that the card's float32 lanes allow."""
    card, device = torch.cuda.get_device_properties(), numba.cuda.get_current_device()
    lanes = 64 if card.major == 7 or (card.major, card.minor) == (8, 0) else 128
    operations = 4 if num_leads == 1 else 2 * num_leads + 3
    return card.multi_processor_count * lanes * 1000.0 * device.CLOCK_RATE / operations


@functools.cache
def say_once(message: str) -> None:
    print(message, file=sys.stderr)


def soft_dtw(signals: np.ndarray, window: float | None, repeats: int) -> float | None:
    """Cells a second of pysdtw, where it is installed and works."""
    try:
        import pysdtw

        num_samples = signals.shape[2]
        num, band = max(1, SOFT_CELLS // num_samples**2), None if window is None else int(window * num_samples)
        one, other = (torch.from_numpy(np.resize(x, (num, *x.shape[1:]))).cuda().mT for x in (signals, signals[1:]))
        soft = pysdtw.SoftDTW(gamma=0.1, use_cuda=True, bandwidth=band)
        with torch.no_grad():
            return cells(num, num_samples, window) / seconds(lambda: soft(one, other), repeats)
    except Exception as error:  # noqa: BLE001 - whatever keeps it from running is no matter of ours, and is said
        say_once(f"soft-DTW was not measured: {type(error).__name__}: {str(error)[:200]}")
        return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    missing = [name for name, cuda in (("torch", torch.cuda), ("numba", numba.cuda)) if not cuda.is_available()]
    if missing:
        print(f"no CUDA device that {' and '.join(missing)} can use; run this where there is one", file=sys.stderr)
        sys.exit(5)
    rows = []
    for num_leads, num_samples, window in product(LEADS, LENGTHS, BANDS):
        worst = differences(ecgs(6, num_leads, num_samples), window, lambda x: torch.from_numpy(x).cuda())
        if not worst <= max(1e-5, 2e-8 * num_samples):
            sys.exit(f"{num_leads} leads, T = {num_samples}, band {window}: differs from the CPU by {worst:.1e}")
    print("| leads | T | band | B | Gcells/s | of the limit | CPU, Gcells/s | times | soft-DTW, Gcells/s |")
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    for num_leads, num_samples, window in product(LEADS, LENGTHS, BANDS):
        signals = ecgs(max(BATCHES), num_leads, num_samples)

        def rate(
            batch: np.ndarray | torch.Tensor, num_samples: int = num_samples, window: float | None = window
        ) -> float:
            num_cells = cells(len(batch) * (len(batch) - 1) // 2, num_samples, window)
            return num_cells / seconds(lambda: pairwise(batch, window=window), arguments.repeats)

        cpu, soft = rate(signals[:CPU_BATCH]), soft_dtw(signals, window, arguments.repeats)
        for num in BATCHES:
            found, most = rate(torch.from_numpy(signals[:num]).cuda()), limit(num_leads)
            row = {"leads": num_leads, "samples": num_samples, "band": window, "batch": num, "cells_s": found}
            rows.append(row | {"limit": most, "cpu_cells_s": cpu, "soft_cells_s": soft})
            figures = f"{found / 1e9:.0f} | {found / most:.0%} | {cpu / 1e9:.1f} | {found / cpu:.0f}"
            beside = "not measured" if soft is None else f"{soft / 1e9:.1f}"
            print(f"| {num_leads} | {num_samples} | {window or 'none'} | {num} | {figures} | {beside} |", flush=True)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    card = torch.cuda.get_device_name()
    print(f"{card}; the CPU with {cores} cores")
    if arguments.json:
        arguments.json.write_text(json.dumps({"card": card, "cores": cores, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
