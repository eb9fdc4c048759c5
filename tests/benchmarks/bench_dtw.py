"""Speed of DTW against dtaidistance and tslearn: one core each, interleaved in one process, on real ECGs.

    python tests/benchmarks/bench_dtw.py [--json FILE] [--repeats 5]

Cells are those inside the band, counted once for each unordered pair; time is CPU time of the process, everything
included but compilation; the figure is the median over the repeats. Only ratios mean something on a shared machine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # read when the peers' libraries are loaded, below

import numpy as np
from dtaidistance import dtw_ndim
from tslearn.metrics import cdist_dtw

from hemometric import demo
from hemometric.distances import pairwise, warm_up

LENGTHS = (250, 500, 1000)
LEADS = (8, 12)
BANDS = (None, 0.1)
OURS, PEERS = 64, {"dtaidistance": 8, "tslearn": 6}  # signals of a batch: enough for some 0.1 s each


def ecgs(num_signals: int) -> np.ndarray:
    """Real ECGs, float32 [signal, lead, sample] mV at 100 Hz; the last eight leads are I and II's like and V1 … V6."""
    files = sorted((Path(demo.__file__).parent / "data/ptbxl/records100").rglob("*.dat"))[:num_signals]
    return np.stack([np.fromfile(file, "<i2").reshape(-1, 12).T / np.float32(1000) for file in files])


def cells(num_signals: int, num_samples: int, window: int | None) -> int:
    """Cells inside the band of all unordered pairs."""
    reach = num_samples if window is None else window
    inside = sum(min(num_samples, i + reach + 1) - max(0, i - reach) for i in range(num_samples))
    return num_signals * (num_signals - 1) // 2 * inside


def by_hemometric(signals: np.ndarray, window: int | None) -> np.ndarray:
    return pairwise(signals, window=window, threads=1)


def by_dtaidistance(signals: np.ndarray, window: int | None) -> np.ndarray:
    bound = {} if window is None else {"window": window + 1}
    series = np.ascontiguousarray(signals.transpose(0, 2, 1), np.float64)
    return np.asarray(dtw_ndim.distance_matrix_fast(series, parallel=False, **bound)) ** 2


def by_tslearn(signals: np.ndarray, window: int | None) -> np.ndarray:
    bound = {} if window is None else {"global_constraint": "sakoe_chiba", "sakoe_chiba_radius": window}
    return np.asarray(cdist_dtw(signals.transpose(0, 2, 1).astype(np.float64), n_jobs=1, **bound)) ** 2


def seconds(function: Callable[[np.ndarray, int | None], np.ndarray], signals: np.ndarray, window: int | None) -> float:
    start = time.process_time()
    function(signals, window)
    return time.process_time() - start


def measure(repeats: int) -> list[dict[str, object]]:
    every = ecgs(OURS)
    libraries = {"hemometric": (by_hemometric, OURS)} | {
        name: (function, PEERS[name]) for name, function in (("dtaidistance", by_dtaidistance), ("tslearn", by_tslearn))
    }
    for function, _ in libraries.values():  # compile
        for window in (None, 5):
            function(every[:2, :8, :50], window)
    rows: list[dict[str, object]] = []
    for num_leads in LEADS:
        warm_up(num_leads)
        for band in BANDS:
            for num_samples in LENGTHS:
                signals = np.ascontiguousarray(every[:, -num_leads:, :num_samples])
                window = None if band is None else int(band * num_samples)
                few = signals[: min(PEERS.values())]
                for function in (by_dtaidistance, by_tslearn):  # a benchmark of different things means nothing
                    np.testing.assert_allclose(by_hemometric(few, window), function(few, window), rtol=2e-5)
                times: dict[str, list[float]] = {name: [] for name in libraries}
                for _ in range(repeats):
                    for name, (function, size) in libraries.items():
                        times[name].append(seconds(function, signals[:size], window))
                speeds = {
                    name: cells(size, num_samples, window) / statistics.median(times[name]) / 1e6
                    for name, (_, size) in libraries.items()
                }
                best_peer = max(speeds[name] for name in PEERS)
                rows.append(
                    {"leads": num_leads, "band": band, "samples": num_samples, "mcells_per_s": speeds}
                    | {"ratio_to_best_peer": speeds["hemometric"] / best_peer}
                )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    rows = measure(arguments.repeats)
    print("| leads | band | samples | hemometric | dtaidistance | tslearn | times the best peer |")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        speeds = row["mcells_per_s"]
        columns = " | ".join(f"{speeds[name]:.0f}" for name in ("hemometric", "dtaidistance", "tslearn"))
        band = "none" if row["band"] is None else f"{row['band']:.0%}"
        print(f"| {row['leads']} | {band} | {row['samples']} | {columns} | {row['ratio_to_best_peer']:.0f} |")
    print("Mcells/s on one core")
    if arguments.json:
        machine = {"machine": platform.machine(), "processor": processor(), "python": platform.python_version()}
        arguments.json.write_text(json.dumps(machine | {"repeats": arguments.repeats, "rows": rows}, indent=1) + "\n")


def processor() -> str:
    """The CPU as LLVM knows it."""
    import llvmlite.binding as llvm

    return str(llvm.get_host_cpu_name())


if __name__ == "__main__":
    main()
