"""The choice of a kernel, and what the package costs before it is used."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
import warnings

import numpy as np
import pytest

from hemometric.distances import cross, engine, lanes, lanes_kernel, pairwise, plain, refine, warm_up, warm_up_pairs


@pytest.fixture
def fresh(monkeypatch):
    """An engine that has chosen nothing yet."""
    engine.kernel_for.cache_clear()
    monkeypatch.setattr(engine, "_warned", [])
    yield monkeypatch
    engine.kernel_for.cache_clear()


def test_the_fast_kernel_is_the_one_in_use():
    assert engine.kernel_for(2, "difference") is lanes


def test_falls_back_with_one_warning_and_right_values(fresh, noise):
    expected = pairwise(noise(9, 2, 40), window=5)
    engine.kernel_for.cache_clear()
    fresh.setattr(
        lanes, "compile_for", lambda num_leads, form: (_ for _ in ()).throw(RuntimeError("LLVM ERROR: no vectors"))
    )
    with pytest.warns(RuntimeWarning, match=r"vector kernel.*RuntimeError: LLVM ERROR: no vectors") as caught:
        found = pairwise(noise(9, 2, 40), window=5)
    assert len(caught) == 1
    assert engine.kernel_for(2, "difference") is plain
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pairwise(noise(9, 1, 40))  # another number of leads, the same news


def test_blocks_fit_the_registers(monkeypatch):
    monkeypatch.setattr(lanes, "_has_wide_registers", lambda: True)
    assert [len(part) for part in lanes.shape_for(8)] == [8, 5, 32]
    monkeypatch.setattr(lanes, "_has_wide_registers", lambda: False)
    assert [len(part) for part in lanes.shape_for(8)] == [8, 3, 16]
    assert [len(part) for part in lanes.shape_for(1)] == [1, 5, 32]


def test_no_call_compiles_anything_that_warm_up_has_not(noise):
    warm_up(2)
    warm_up(2, "independent")
    kernel = lanes._kernel()
    before = len(kernel.signatures)
    frozen = noise(3, 2, 8)
    frozen.flags.writeable = False
    for signals in (frozen, noise(40, 2, 130), noise(1, 2, 1).astype(float)):
        pairwise(signals)
        pairwise(signals, metric="independent", window=0.5)
    assert len(kernel.signatures) == before


def test_memory_is_the_matrix_and_a_workspace(noise):
    signals, others = noise(64, 2, 4000), noise(64, 2, 4000, seed=1)  # 2 MB each
    warm_up(2)
    warm_up_pairs(2)
    calls = (
        lambda: pairwise(signals, window=1, threads=1),
        lambda: cross(signals, others, window=1, threads=1),
        lambda: refine(signals, np.arange(64)[:, None], window=1, threads=1),
    )
    for call, workspace in zip(calls, (1.7e6, 1.7e6, 1.8e6), strict=True):
        tracemalloc.start()
        call()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < workspace + 3 * 64 * 64 * 4


def test_tile_borders_at_a_tile_of_a_few_columns(oracle, noise):
    """Bands that start, end and turn inside a tile: lengths around one, two and three tiles."""
    for num_samples in (lanes_kernel.TILE * n + d for n in (1, 2, 3) for d in (-1, 0, 1)):
        signals = noise(2, 1, num_samples)
        for window in (0, 1, 7, lanes_kernel.TILE - 1, lanes_kernel.TILE, lanes_kernel.TILE + 1):
            found = pairwise(signals, window=min(window, num_samples))
            np.testing.assert_allclose(found[0, 1], oracle(signals[0], signals[1], window), rtol=1e-5)


def test_importing_is_cheap_and_writes_nothing(tmp_path):
    script = (
        "import sys, hemometric.distances as d; "
        "print([m for m in ('torch', 'ray', 'numba', 'llvmlite', 'pandas') if m in sys.modules])"
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "[]"
    assert not (tmp_path / "cache").exists()


def test_neither_ray_nor_torch_is_needed():
    script = """
import sys
sys.modules.update(dict.fromkeys(("ray", "torch", "pandas", "scipy", "sklearn", "mlflow")))  # importing one fails
import numpy as np
from hemometric.distances import nearest, pairwise, refine
signals = np.arange(40.0).reshape(4, 2, 5)
print(pairwise(signals).shape, refine(signals, [[1]] * 4).shape, nearest(signals, signals, 2)[0].shape)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "(4, 4) (4, 1) (4, 2)", done.stderr


def test_works_where_nothing_can_be_cached_and_without_a_compiler(oracle):
    signals = np.arange(12.0).reshape(2, 1, 6)
    script = """
import warnings, numpy as np
warnings.simplefilter("ignore")
from hemometric.distances import pairwise
print(pairwise(np.arange(12.0).reshape(2, 1, 6))[0, 1])
"""
    for extra in ({"NUMBA_CACHE_DIR": "/proc/none"}, {"NUMBA_DISABLE_JIT": "1"}):
        environment = {**os.environ, **extra}
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=False, env=environment
        )
        assert done.returncode == 0, done.stderr
        assert float(done.stdout) == oracle(*signals)
