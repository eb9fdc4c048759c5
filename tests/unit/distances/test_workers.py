"""Threads: any number gives the same bits, errors and Ctrl-C stop them, fork and spawn do not mind them."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from hemometric.distances import EuclideanDistance, pairwise
from hemometric.distances.workers import num_threads, share


def run_python(script: str) -> str:
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("threads", [1, 2, 5, 64, None])
@pytest.mark.parametrize("metric", ["dependent", "independent"])
def test_any_number_of_threads_gives_the_same_bits(threads, metric, noise):
    signals = noise(65, 2, 50)
    assert np.array_equal(
        pairwise(signals, window=0.1, metric=metric, threads=threads),
        pairwise(signals, window=0.1, metric=metric, threads=1),
    )
    euclid = EuclideanDistance().build()
    assert np.array_equal(euclid.pairwise(signals, threads=threads), euclid.pairwise(signals, threads=1))


def test_default_is_the_cpus_of_the_process():
    assert num_threads(None) == len(os.sched_getaffinity(0))
    assert num_threads(np.int64(3)) == 3


def test_every_task_is_done_once_and_no_thread_is_left():
    done = np.zeros(1000, np.int64)
    before = threading.active_count()

    def work(turn, _stop):
        np.add.at(done, turn[:, 0], 1)

    share(np.arange(1000)[:, None], work, threads=7, tasks_per_turn=3)
    assert np.all(done == 1)
    assert threading.active_count() == before


def test_no_tasks_are_no_work():
    calls = []
    share(np.empty((0, 4), np.int64), lambda *given: calls.append(given), threads=2, tasks_per_turn=1)
    assert not calls


def test_an_error_stops_all_threads_and_is_raised():
    started = []

    def work(turn, stop):
        started.append(int(turn[0, 0]))
        if turn[0, 0] == 0:
            raise MemoryError("no room")
        while not stop[0]:  # without a stop this would go on for ever
            pass

    with pytest.raises(MemoryError, match="no room"):
        share(np.arange(100)[:, None], work, threads=3, tasks_per_turn=1)
    assert len(started) <= 3


def test_two_python_threads_may_call_at_once(noise):
    batches = [noise(40, 2, 80, seed=seed) for seed in range(8)]
    alone = [pairwise(batch, threads=1) for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda batch: pairwise(batch, threads=2), batches))
    for one, other in zip(alone, together, strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_may_be_made_after_use(method):
    script = f"""
import multiprocessing, numpy as np
from concurrent.futures import ProcessPoolExecutor
from hemometric.distances import pairwise
signals = np.random.default_rng(0).standard_normal((40, 2, 60))
here = pairwise(signals, threads=2)
with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context({method!r})) as pool:
    there = list(pool.map(pairwise, [signals] * 4))
assert all(np.array_equal(here, other) for other in there)
print("same")
"""
    assert run_python(script).strip() == "same"


@pytest.mark.parametrize(
    ("threads", "kernel", "call"),
    [
        (1, "fast", "pairwise(signals, threads=1)"),
        (2, "plain", "pairwise(signals, threads=2)"),
        (2, "fast", "refine(signals, [[1], [2], [0]], threads=2)"),
    ],
)
def test_ctrl_c_ends_within_a_second_what_would_take_many_minutes(threads, kernel, call):
    script = f"""
import os, signal, threading, time, numpy as np
from hemometric.distances import engine, pairwise, refine
signal.signal(signal.SIGINT, signal.default_int_handler)
if {kernel!r} == "plain":
    engine._fast = engine._plain
short, signals = np.zeros((3, 1, 10)), np.zeros((3, 1, 1_000_000), np.float32)
{call.replace("signals", "short")}
sent = []
threading.Timer(0.5, lambda: (sent.append(time.monotonic()), os.kill(os.getpid(), signal.SIGINT))).start()
try:
    {call}
except KeyboardInterrupt:
    print("interrupted", time.monotonic() - sent[0] < 1, threading.active_count())
"""
    assert run_python(script).split() == ["interrupted", "True", "1"]
