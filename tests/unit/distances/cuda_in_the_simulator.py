"""Compare distances on CUDA devices with the CPU's, in numba's simulator; run by test_cuda.py in a process of its own.

The simulator runs every CUDA thread as a thread of Python: sizes are tiny, and there are few threads.
"""

import warnings

import numpy as np
from numba import cuda

from hemometric.distances import (
    Dtw,
    cross,
    cuda_kernel,
    cuda_search,
    half_rows,
    nearest,
    pairwise,
    placement,
    refine,
    search,
)
from hemometric.distances import cuda as on_device

SHAPES = [
    (4, 2, 11, None),
    (5, 3, 9, 3),
    (3, 2, 17, 0),
    (2, 1, 1, None),
    (1, 2, 5, None),
    (2, 8, 19, 0.5),
    (3, 12, 20, 0.2),
    (2, 1, 70, 40),
    (2, 60, 5, 2),
]


def few_threads() -> None:
    """So few that pairs take turns, and groups so small that there are several."""
    for module in (on_device, cuda_kernel):
        module.THREADS, module.GROUP = 4, 2
    on_device.WORKSPACE_BYTES = 1


def there(array: object) -> object:
    return cuda.to_device(np.ascontiguousarray(array))


def equal(found: object, expected: np.ndarray) -> None:
    assert placement.is_on_device(found)
    host = found.copy_to_host()  # type: ignore[attr-defined]
    assert host.shape == expected.shape
    assert host.dtype == expected.dtype
    np.testing.assert_allclose(host, expected, rtol=1e-5)


def refuses(action: object, words: str) -> None:
    try:
        action()  # type: ignore[operator]
    except ValueError as error:
        assert words in str(error), error
    else:
        raise AssertionError(f"nothing was refused: {words}")


def all_pairs(rng: np.random.Generator) -> None:
    for num, num_leads, num_samples, window in SHAPES:
        x = rng.standard_normal((num, num_leads, num_samples)).astype(np.float32)
        for metric in ("dependent", "independent"):
            how = {"window": window, "metric": metric}
            found = pairwise(there(x), **how)
            equal(found, pairwise(x, **how, threads=1))
            matrix = found.copy_to_host()
            assert np.array_equal(matrix, matrix.T)
            if num < 4:
                continue
            rows = np.arange(num)[::-1]
            half = half_rows(there(x), rows, **how).copy_to_host()[::-1]
            assert np.array_equal(half + half.T, matrix)
            assert np.array_equal(half > 0, half_rows(x, np.arange(num), **how) > 0)
            assert np.array_equal(cross(there(x), there(x), **how).copy_to_host(), matrix)


def some_pairs(x: np.ndarray, y: np.ndarray) -> None:
    queries, others = there(x), there(y)
    equal(cross(queries, others, window=4), cross(x, y, window=4))
    equal(on_device.cross(queries, others, window=4), cross(x, y, window=4))
    candidates = np.array([[1, 2], [0, -1], [2, 2], [0, 1]])
    for chosen in (candidates, candidates.tolist(), there(candidates)):
        equal(refine(queries, chosen, others=others, window=4), refine(x, candidates, others=y, window=4))
    equal(refine(queries, candidates), refine(x, candidates))
    equal(refine(queries, np.full((4, 1), -1)), np.full((4, 1), np.inf, np.float32))
    for rows in ([3, 0], there(np.array([3, 0])), []):
        host = rows if isinstance(rows, list) else rows.copy_to_host()
        equal(half_rows(queries, rows), half_rows(x, host))
    config = Dtw(window=1000)
    equal(config.pairwise(queries), config.pairwise(x))
    for call in (config.cross, config.refine):
        equal(
            call(queries, queries if call == config.cross else candidates),
            call(x, x if call == config.cross else candidates),
        )
    equal(config.half_rows(queries, [1]), config.half_rows(x, [1]))
    equal(config.nearest(queries, others, 2)[1], config.nearest(x, y, 2)[1])


def searches(rng: np.random.Generator) -> None:
    cuda_search.QUERIES_OF_BLOCK, cuda_search.PAIRS_OF_BLOCK = 2, 6  # blocks of two queries and three signals
    archive = rng.integers(-1, 2, (8, 2, 5)).astype(np.float32)
    archive[[5, 7]] = archive[0]  # ties
    queries = archive[[0, 3, 6]]
    labels = np.array([0, 3, 6]), np.arange(8) % 7
    mask = np.ones((3, 8), bool)
    mask[0, :2] = False
    for exclude in (None, labels, mask):
        on_both = [exclude]
        if exclude is not None:
            on_both.append(tuple(map(there, exclude)) if isinstance(exclude, tuple) else there(exclude))
        for k in (1, 3, 8):
            expected = search(queries, archive, k, window=2, exclude=exclude, components=0)
            for one in on_both:
                found = search(there(queries), there(archive), k, window=2, exclude=one)
                assert np.array_equal(found.positions.copy_to_host(), expected.positions)
                equal(found.distances, expected.distances)
                assert (found.num_pairs, found.num_computed) == (expected.num_pairs, expected.num_computed)
    names = [np.array(list("ABCDEFG"))[part] for part in labels]
    expected = nearest(queries, archive, 3, exclude=labels)[0]
    for pair in (tuple(names), tuple(part.tolist() for part in names), (there(labels[0]), labels[1].tolist())):
        assert np.array_equal(nearest(there(queries), there(archive), 3, exclude=pair)[0].copy_to_host(), expected)
    positions, _ = nearest(there(queries), there(archive), 1, metric="independent")
    assert positions.copy_to_host().tolist() == nearest(queries, archive, 1, metric="independent")[0].tolist()


def swapped(rng: np.random.Generator) -> None:
    x = there(rng.standard_normal((2, 34, 3)).astype(np.float32))
    for call in (
        lambda: pairwise(x),
        lambda: half_rows(x, [0]),
        lambda: cross(x, there(x.copy_to_host())),
        lambda: nearest(x, there(x.copy_to_host()), 1),
    ):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            call()
        (warning,) = [one for one in caught if issubclass(one.category, UserWarning) and "leads" in str(one.message)]
        assert "has shape (2, 34, 3), which is 34 leads of 3 samples" in str(warning.message)


def refusals(x: np.ndarray, y: np.ndarray) -> None:
    queries, others = there(x), there(y)
    refuses(lambda: cross(queries, y), "queries: on a CUDA device, but not others; bring all to one side")
    refuses(lambda: cross(x, others), "others: on a CUDA device, but not queries; bring all to one side")
    refuses(lambda: refine(queries, [[0]] * 4, others=y), "signals: on a CUDA device, but not others")
    refuses(
        lambda: refine(x, there(np.zeros((4, 1), np.int64))), "candidates: on a CUDA device, but the signals are not"
    )
    refuses(lambda: half_rows(x, there(np.array([0]))), "rows: on a CUDA device")
    refuses(lambda: nearest(queries, y, 1), "queries: on a CUDA device, but not archive")
    refuses(lambda: nearest(x, y, 1, exclude=there(np.zeros((4, 3), bool))), "exclude: on a CUDA device")
    for call in (pairwise, lambda one, **how: half_rows(one, [0], **how), lambda one, **how: cross(one, one, **how)):
        refuses(
            lambda call=call: call(queries, form="gemm"), "form='gemm': on a CUDA device there is only 'difference'"
        )
        refuses(lambda call=call: call(queries, form="other"), "form='other': give")
        refuses(lambda call=call: call(queries, threads=0), "threads=0")
        refuses(lambda call=call: call(queries, window=-1), "window=-1")
        refuses(lambda call=call: call(queries, metric="both"), "metric='both'")
    refuses(lambda: half_rows(queries, [4]), "rows holds positions outside 0 … 3")
    refuses(lambda: refine(queries, [[4]] * 4), "candidates holds positions outside 0 … 3")
    refuses(lambda: nearest(queries, others, 4), "k=4: give a whole number in 1 … 3")
    refuses(lambda: nearest(queries, others, 1, components=-1), "components=-1")
    refuses(lambda: nearest(queries, others, 1, exclude=np.zeros((4, 4), bool)), "exclude has shape (4, 4)")
    refuses(lambda: pairwise(there(x.astype(np.float64))), "give float32 on a device")
    refuses(lambda: pairwise(there(x[0])), "signals has shape (2, 11); expected [signal, lead, sample]")
    refuses(lambda: pairwise(cuda.to_device(x).transpose((0, 2, 1))), "signals is not contiguous")
    refuses(lambda: Dtw(window=3).pairwise(there(x[0])), "signals has shape (2, 11)")
    refuses(lambda: cross(queries, there(y[:, :1])), "queries and others differ")
    refuses(lambda: pairwise(there(x * np.float32(1e30))), "exceeds float32")
    spoilt = x.copy()
    spoilt[2, 0, 3] = np.nan
    refuses(lambda: pairwise(there(spoilt)), "NaN or infinity in 1 samples")


def main() -> None:
    few_threads()
    rng = np.random.default_rng(0)
    all_pairs(rng)
    x = rng.standard_normal((4, 2, 11)).astype(np.float32)
    y = rng.standard_normal((3, 2, 11)).astype(np.float32)
    some_pairs(x, y)
    searches(rng)
    refusals(x, y)
    swapped(rng)
    assert not placement.is_on_device(x)
    print("equal")


if __name__ == "__main__":
    main()
