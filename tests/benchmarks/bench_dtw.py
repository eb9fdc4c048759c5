"""Speed of DTW against dtaidistance, tslearn and aeon: one core each, interleaved, on real ECGs; see `make bench-dtw`.

    python tests/benchmarks/bench_dtw.py --peers build/peers/bin/python [--json FILE] [--repeats 5] [--lengths 250 500]

Cells are those inside the band, counted once for each unordered pair; time is CPU time, everything included but
compilation and the reading of files; the figure is the median over the repeats. Signals have 250 Hz: the first T
samples of records500 in HEMOMETRIC_DATA's ptbxl, each second one, or without it the bundled 100 Hz records, resampled.
The shares are of what `dtw_limit` allows, of the whole call and of the compiled kernel in it. Only ratios mean
something on a shared machine.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # read when numpy is loaded, below

import dtw_extras
import dtw_limit
import numpy as np
from scipy.signal import resample_poly

from hemometric import demo
from hemometric.distances import lanes, pairwise, reduced_leads, warm_up

LENGTHS = (250, 500, 1250, 2500)
PEERS = ("dtaidistance", "tslearn", "aeon")
BATCH = 64
PEER_CELLS = 40_000_000  # some 0.2 s


@dataclass(frozen=True)
class Case:
    """One kind of DTW; the peers always get `num_leads` leads, we get them reduced to eight lines if `reduced`."""

    name: str
    num_leads: int
    band: float | None = None
    metric: str = "dependent"
    reduced: bool = False

    @property
    def paths(self) -> int:
        """Matrices for each pair."""
        return self.num_leads if self.metric == "independent" else 1

    @property
    def operations(self) -> int:
        """Vector operations for each vector of cells."""
        leads = 8 if self.reduced else 1 if self.metric == "independent" else self.num_leads
        return dtw_limit.operations_a_cell(leads, "difference")

    def ours(self, signals: np.ndarray, window: int | None) -> np.ndarray:
        return pairwise(
            reduced_leads(signals) if self.reduced else signals, window=window, metric=self.metric, threads=1
        )


CASES = (
    Case("12 leads", 12),
    Case("12 leads as 8", 12, reduced=True),
    Case("1 lead", 1),
    Case("12 leads, a path each", 12, metric="independent"),
    Case("12 leads, 10 % band", 12, 0.1),
    Case("12 leads as 8, 10 % band", 12, 0.1, reduced=True),
    Case("12 leads, 5 % band", 12, 0.05),
    Case("12 leads as 8, 5 % band", 12, 0.05, reduced=True),
    Case("1 lead, 5 % band", 1, 0.05),
)


def ecgs(num_signals: int) -> tuple[np.ndarray, str]:
    """Real ECGs, float32 [signal, 12 leads, 2500] mV at 250 Hz, and where they are from."""
    data = os.environ.get("HEMOMETRIC_DATA")
    if data:
        files = sorted((Path(data) / "ptbxl/records500").rglob("*.dat"))[:num_signals]
        signals = np.stack([np.fromfile(file, "<i2").reshape(-1, 12).T[:, ::2] / np.float32(1000) for file in files])
        return np.ascontiguousarray(signals), "PTB-XL records500, each second sample"
    files = sorted((Path(demo.__file__).parent / "data/ptbxl/records100").rglob("*.dat"))[:num_signals]
    signals = np.stack([np.fromfile(file, "<i2").reshape(-1, 12).T / np.float32(1000) for file in files])
    return resample_poly(signals, 5, 2, axis=-1).astype(np.float32), "bundled PTB-XL records100, resampled to 250 Hz"


def cells(num_samples: int, window: int | None) -> int:
    """Cells inside the band of one pair."""
    reach = num_samples if window is None else window
    return sum(min(num_samples, i + reach + 1) - max(0, i - reach) for i in range(num_samples))


def cpu_seconds(function: Callable[[], object], calls: int) -> float:
    start = time.process_time()
    for _ in range(calls):
        function()
    return (time.process_time() - start) / calls


class InKernel:
    """CPU seconds of the calling threads inside the compiled kernel, which stands in for it."""

    def __init__(self) -> None:
        self._kernel = lanes._kernel()
        self.compile = self._kernel.compile
        self.cpu_s = 0.0

    def __call__(self, *arguments: object) -> None:
        start = time.thread_time()
        self._kernel(*arguments)
        self.cpu_s += time.thread_time() - start


class Peers:
    """The other libraries, in a process of their own."""

    def __init__(self, python: str, folder: Path) -> None:
        script = Path(__file__).with_name("dtw_peers.py")
        self._folder = folder
        self._process = subprocess.Popen([python, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline().strip() == "ready", "the peers did not start"

    def give(self, signals: np.ndarray) -> None:
        np.save(self._folder / "signals.npy", signals)

    def run(self, peer: str, window: int | None, metric: str) -> tuple[float, np.ndarray]:
        files = {"signals": str(self._folder / "signals.npy"), "out": str(self._folder / "out.npy")}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"peer": peer, "window": window, "metric": metric} | files) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())["cpu_s"], np.load(files["out"])

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def measure(
    case: Case, num_samples: int, every: np.ndarray, peers: Peers, kernel: InKernel, repeats: int
) -> dict[str, object]:
    signals = np.ascontiguousarray(every[:, : case.num_leads, :num_samples])
    window = None if case.band is None else int(case.band * num_samples)
    a_pair = cells(num_samples, window) * case.paths
    few = next(n for n in range(12, 1, -1) if n * (n - 1) // 2 * a_pair <= PEER_CELLS or n == 2)
    peers.give(signals[:few])
    for peer in PEERS:  # a benchmark of different things means nothing
        tolerance = 2e-3 if case.reduced else 1e-4
        np.testing.assert_allclose(case.ours(signals[:few], window), peers.run(peer, window, case.metric)[1], tolerance)
    probe = dtw_limit.VectorRate()
    calls = math.ceil(0.15 / cpu_seconds(lambda: case.ours(signals, window), 1))  # as long as a peer takes
    times: dict[str, list[float]] = {name: [] for name in ("hemometric", *PEERS)}
    rates, in_kernel = [], []
    for _ in range(repeats):
        kernel.cpu_s = 0.0
        times["hemometric"].append(cpu_seconds(lambda: case.ours(signals, window), calls))
        in_kernel.append(kernel.cpu_s / calls)
        rates.append(probe())
        for peer in PEERS:
            times[peer].append(peers.run(peer, window, case.metric)[0])
    pairs = dict.fromkeys(PEERS, few * (few - 1) // 2) | {"hemometric": BATCH * (BATCH - 1) // 2}
    speeds = {name: pairs[name] * a_pair / statistics.median(times[name]) / 1e6 for name in times}
    best = max(PEERS, key=lambda peer: speeds[peer])
    limit = statistics.median(rates) * dtw_limit.LANES / case.operations
    return {
        "case": case.name,
        "samples": num_samples,
        "mcells_per_s": speeds,
        "best_peer": best,
        "times_best_peer": speeds["hemometric"] / speeds[best],
        "limit_mcells_per_s": limit,
        "share_of_limit": speeds["hemometric"] / limit,
        "share_of_limit_kernel": pairs["hemometric"] * a_pair / statistics.median(in_kernel) / 1e6 / limit,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", required=True, help="the Python of the environment that has the other libraries")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--lengths", type=int, nargs="+", default=LENGTHS, help="samples, at most 2500")
    arguments = parser.parse_args()
    every, source = ecgs(BATCH)
    for num_leads in (1, 8, 12):
        warm_up(num_leads)
    kernel = InKernel()
    lanes._kernel = lambda: kernel
    rows = []
    print(f"Million cells a second and core; {source}")
    print("| | samples | hemometric | dtaidistance | tslearn | aeon | times the best | share of limit | kernel alone |")
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        peers = Peers(arguments.peers, Path(folder))
        for case in CASES:
            for num_samples in arguments.lengths:
                row = measure(case, num_samples, every, peers, kernel, arguments.repeats)
                rows.append(row)
                columns = " | ".join(f"{row['mcells_per_s'][name]:,.0f}" for name in ("hemometric", *PEERS))
                shares = f"{row['share_of_limit']:.0%} | {row['share_of_limit_kernel']:.0%}"
                print(
                    f"| {case.name} | {num_samples:,} | {columns} | {row['times_best_peer']:.0f} | {shares} |",
                    flush=True,
                )
        peers.close()
    extras = dtw_extras.measure()
    for name, figure in extras.items():
        print(f"{name}: {figure}")
    if arguments.json:
        machine = {"machine": platform.machine(), "processor": dtw_extras.processor()}
        machine |= {"python": platform.python_version(), "source": source, "repeats": arguments.repeats}
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(machine | {"rows": rows, "extras": extras}, indent=1) + "\n")


if __name__ == "__main__":
    main()
