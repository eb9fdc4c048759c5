"""Figures of the DTW engine that no other library is needed for: threads, first calls, forms, pairs, searches."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from hemometric import demo
from hemometric.distances import cross, pairwise, reduced_leads, refine, search

REPEATS = 9
FASTEST_OF = 150
FIRST_CALL = """
import time, numpy as np
from hemometric.distances import pairwise
pairwise(np.random.default_rng(0).standard_normal((4, 8, 100)), window=0.1)
print(time.process_time())
"""


def bundled() -> np.ndarray:
    """The bundled ECGs, float32 [recording, 12 leads, 1000] mV at 100 Hz; copies of one record only once."""
    files = sorted((Path(demo.__file__).parent / "data/ptbxl/records100").rglob("*.dat"))
    signals = np.stack([np.fromfile(file, "<i2").reshape(-1, 12).T / np.float32(1000) for file in files])
    return np.unique(signals, axis=0)


def medians(clock: Callable[[], float], *functions: Callable[[], object]) -> list[float]:
    """Median seconds of each function, interleaved."""
    times: list[list[float]] = [[] for _ in functions]
    for function in functions:
        function()
    for _ in range(REPEATS):
        for function, taken in zip(functions, times, strict=True):
            start = clock()
            function()
            taken.append(clock() - start)
    return [statistics.median(taken) for taken in times]


def fastest(*functions: Callable[[], object]) -> list[float]:
    """Shortest seconds of each function, interleaved: what threads can do where others use the cores as well."""
    times: list[list[float]] = [[] for _ in functions]
    for _ in range(FASTEST_OF):
        for function, taken in zip(functions, times, strict=True):
            start = time.monotonic()
            function()
            taken.append(time.monotonic() - start)
    return [min(taken) for taken in times]


def processor() -> str:
    """The CPU as LLVM knows it."""
    import llvmlite.binding as llvm

    return str(llvm.get_host_cpu_name())


def first_calls() -> dict[str, float]:
    """CPU seconds of a fresh process with one call, imports included, without and with a cache."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "NUMBA_CACHE_DIR": folder}
        command = [sys.executable, "-c", FIRST_CALL]
        cold, *warm = (
            float(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)
            for _ in range(4)
        )
    return {"first call in a process, CPU s": cold, "the same, cached": statistics.median(warm)}


def measure() -> dict[str, float]:
    signals = bundled()
    batch = reduced_leads(signals[:64])
    full = np.repeat(batch, 5, axis=2)
    few = np.random.default_rng(0).integers(0, 64, (64, 4))
    one, two = fastest(lambda: pairwise(batch, window=0.1, threads=1), lambda: pairwise(batch, window=0.1, threads=2))
    about = f"{len(batch)} ECGs of 8 leads at 100 Hz, 10 % band, fastest of {FASTEST_OF}, ms"
    figures = {f"{about}, one thread": 1e3 * one, f"{about}, two": 1e3 * two, "two threads against one": one / two}
    figures |= first_calls()
    for num_leads, name in ((8, "8"), (12, "12")):
        some = batch if num_leads == 8 else signals[:64]
        safe, gemm = medians(
            time.process_time,
            lambda some=some: pairwise(some, threads=1),
            lambda some=some: pairwise(some, form="gemm", threads=1),
        )
        figures[f"GEMM form, {name} leads, times the difference form"] = safe / gemm
    whole, pairs = medians(
        time.process_time,
        lambda: pairwise(full, window=0.1, threads=1),
        lambda: refine(full, few, window=0.1, threads=1),
    )
    figures["refine 64 x 4 at 500 Hz, rate of a pair against pairwise"] = whole / pairs * 256 / (64 * 63 / 2)
    own = np.arange(len(signals))
    for k in (1, 10):
        for name, some in (("12 leads", signals), ("12 leads as 8", reduced_leads(signals))):
            found = search(some, some, k, window=0.1, exclude=(own, own), threads=1)
            brute, bounded = medians(
                time.process_time,
                lambda some=some: cross(some, some, window=0.1, threads=1),
                lambda some=some, k=k: search(some, some, k, window=0.1, exclude=(own, own), threads=1),
            )
            about = f"nearest {k} of {len(signals)}, {name}, 10 % band"
            figures |= {f"{about}, pruned share": found.pruned_share, f"{about}, time of brute force": bounded / brute}
    return {name: round(figure, 3) for name, figure in figures.items()}
