"""DTW on CUDA devices equals DTW on the CPU: in numba's simulator everywhere, on the device where there is one."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).with_name("cuda_in_the_simulator.py")


def test_the_simulator_s_distances_are_the_cpu_s() -> None:
    env = os.environ | {"NUMBA_ENABLE_CUDASIM": "1"}
    ended = subprocess.run([sys.executable, str(SCRIPT)], env=env, capture_output=True, text=True, check=False)
    assert ended.stdout == "equal\n", ended.stderr[-3000:]


def test_the_device_s_distances_are_the_cpu_s() -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    from hemometric.distances import cuda, pairwise

    x = np.random.default_rng(0).standard_normal((70, 8, 250)).astype(np.float32)
    for window in (None, 0.1):
        found = torch.as_tensor(cuda.pairwise(torch.from_numpy(x).cuda(), window=window)).cpu().numpy()
        np.testing.assert_allclose(found, pairwise(x, window=window), rtol=1e-5)
