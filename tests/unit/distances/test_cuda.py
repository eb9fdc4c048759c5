"""DTW on CUDA devices equals DTW on the CPU: in numba's simulator everywhere, on the device where there is one."""

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from hemometric.distances import cross, half_rows, nearest, pairwise, refine

SCRIPT = Path(__file__).with_name("cuda_in_the_simulator.py")


def test_the_simulator_s_distances_are_the_cpu_s() -> None:
    env = os.environ | {"NUMBA_ENABLE_CUDASIM": "1"}
    ended = subprocess.run([sys.executable, str(SCRIPT)], env=env, capture_output=True, text=True, check=False)
    assert ended.stdout == "equal\n", ended.stderr[-3000:]


@pytest.mark.parametrize("num_leads", [1, 12])
def test_the_kernel_compiles_for_a_device_and_knows_no_float64(num_leads, monkeypatch) -> None:
    """As far as LLVM's own language, for which neither a device nor the CUDA toolkit is needed."""
    from numba import cuda, float32, int32, int64, types
    from numba.cuda import compiler, dispatcher
    from numba.cuda.cudadrv import nvvm

    if "numba_cuda" in str(cuda.__file__):
        pytest.skip("numba-cuda compiles in another way")
    toolkit = SimpleNamespace(data_layout="", get_ir_version=lambda: (2, 0, 3, 1))
    monkeypatch.setattr(nvvm, "NVVM", lambda: toolkit)
    monkeypatch.setattr(dispatcher, "get_current_device", lambda: SimpleNamespace(compute_capability=(9, 0)))
    from hemometric.distances.cuda_kernel import count_not_finite, distances_kernel, lay

    def floats(num_axes: int) -> types.Array:
        return types.Array(float32, num_axes, "C")

    sizes, turn, flag = types.UniTuple(int64, 3), types.UniTuple(int64, 2), types.Array(int32, 1, "C")
    pairs = types.Array(int32, 2, "C")
    kernel = distances_kernel.__wrapped__(num_leads)  # not the one that other tests may use
    for function, arguments in (
        (kernel, (floats(1), floats(1), sizes, pairs, turn, int64, floats(1), floats(2), flag)),
        (lay, (floats(3), floats(1))),
        (count_not_finite, (floats(1), flag)),
    ):
        compiled = compiler.compile_cuda(function.py_func, types.void, arguments, cc=(9, 0))
        text = compiled.library.get_llvm_str()
        assert "float" in text
        assert not re.findall(r".*fpext.*|.* f(?:add|sub|mul|cmp) .*double.*", text)


def test_cuda_is_imported_only_for_arrays_on_a_device() -> None:
    code = "import sys, numpy as np\nfrom hemometric.distances import pairwise\nassert 'numba' not in sys.modules\n"
    code += "pairwise(np.zeros((2, 1, 3)))\nassert not {'numba.cuda', 'torch'} & set(sys.modules)\nprint('light')"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.stdout == "light\n", ended.stderr[-3000:]


def test_arrays_on_both_sides_are_refused_before_anything_is_imported() -> None:
    host, device = np.zeros((2, 1, 3), np.float32), SimpleNamespace(__cuda_array_interface__={})
    with pytest.raises(ValueError, match="queries: on a CUDA device, but not others"):
        cross(device, host)
    with pytest.raises(ValueError, match="candidates: on a CUDA device, but the signals are not"):
        refine(host, device)
    with pytest.raises(ValueError, match="exclude: on a CUDA device, but the signals are not"):
        nearest(host, host, 1, exclude=(device, device))


def test_the_device_s_distances_are_the_cpu_s() -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    x = np.random.default_rng(0).standard_normal((70, 8, 250)).astype(np.float32)
    there, candidates = torch.from_numpy(x).cuda(), np.array([[1, 2], [3, -1]] * 35)
    for window in (None, 0.1):
        for metric in ("dependent", "independent"):
            how = {"window": window, "metric": metric}
            for found, expected in (
                (pairwise(there, **how), pairwise(x, **how)),
                (cross(there[:5], there, **how), cross(x[:5], x, **how)),
                (half_rows(there, [0, 69], **how), half_rows(x, [0, 69], **how)),
                (refine(there, torch.from_numpy(candidates).cuda(), **how), refine(x, candidates, **how)),
                (nearest(there[:9], there, 3, **how)[1], nearest(x[:9], x, 3, **how)[1]),
            ):
                np.testing.assert_allclose(torch.as_tensor(found).cpu().numpy(), expected, rtol=1e-5)
