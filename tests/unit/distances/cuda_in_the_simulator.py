"""Compare the CUDA kernel with the CPU's, in numba's simulator; run by test_cuda.py in a process of its own."""

import numpy as np
from numba import cuda

from hemometric.distances import cross, pairwise, refine
from hemometric.distances import cuda as on_device

SHAPES = [
    (4, 2, 11, None),
    (5, 3, 9, 3),
    (3, 2, 17, 0),
    (2, 1, 1, None),
    (1, 2, 5, None),
    (4, 2, 16, 1),
    (2, 8, 8, 0.5),
]


def refuses(action: object, words: str) -> None:
    try:
        action()  # type: ignore[operator]
    except ValueError as error:
        assert words in str(error), error
    else:
        raise AssertionError(f"nothing was refused: {words}")


def main() -> None:
    rng = np.random.default_rng(0)
    for num, num_leads, num_samples, window in SHAPES:
        x = rng.standard_normal((num, num_leads, num_samples)).astype(np.float32)
        for metric in ("dependent", "independent"):
            found = on_device.pairwise(cuda.to_device(x), window=window, metric=metric).copy_to_host()
            np.testing.assert_allclose(found, pairwise(x, window=window, metric=metric, threads=1), rtol=1e-5)
    x = rng.standard_normal((4, 2, 11)).astype(np.float32)
    y = rng.standard_normal((3, 2, 11)).astype(np.float32)
    queries, others = cuda.to_device(x), cuda.to_device(y)
    found = on_device.cross(queries, others, window=4).copy_to_host()
    np.testing.assert_allclose(found, cross(x, y, window=4), rtol=1e-5)
    candidates = np.array([[1, 2], [0, -1], [2, 2], [0, 1]])
    found = on_device.refine(queries, candidates, others=others, window=4).copy_to_host()
    np.testing.assert_allclose(found, refine(x, candidates, others=y, window=4), rtol=1e-5)
    assert on_device.is_on_device(queries)
    assert not on_device.is_on_device(x)
    refuses(lambda: on_device.pairwise(cuda.to_device(x.astype(np.float64))), "give float32 on a device")
    refuses(lambda: on_device.pairwise(cuda.to_device(x[0])), "expected [signal, lead, sample]")
    refuses(lambda: on_device.cross(queries, cuda.to_device(y[:, :1].copy())), "queries and others differ")
    x[2, 0, 3] = np.nan
    refuses(lambda: on_device.pairwise(cuda.to_device(x)), "NaN or infinity in 1 samples")
    print("equal")


if __name__ == "__main__":
    main()
