"""Inputs that are harmless are converted; all others are refused in a sentence that names the argument."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hemometric.distances import EuclideanDistance, band_samples, cross, half_rows, pairwise, warm_up, warm_up_pairs

GOOD = np.random.default_rng(3).integers(-50, 50, (5, 2, 12))


def converted(kind: str) -> object:
    match kind:
        case "float64":
            return GOOD.astype(np.float64)
        case "float16":
            return GOOD.astype(np.float16)
        case "int16":
            return GOOD.astype(np.int16)
        case "int64":
            return GOOD.astype(np.int64)
        case "big-endian":
            return GOOD.astype(">f4")
        case "fortran":
            return np.asfortranarray(GOOD.astype(np.float32))
        case "strided":
            wide = np.zeros((5, 4, 24), np.float32)
            wide[:, ::2, ::2] = GOOD
            return wide[:, ::2, ::2]
        case "read-only":
            array = GOOD.astype(np.float32)
            array.flags.writeable = False
            return array
        case "unaligned":
            raw = np.zeros(GOOD.size * 4 + 1, np.uint8)
            array = raw[1:].view(np.float32).reshape(GOOD.shape)
            array[:] = GOOD
            return array
    return GOOD.tolist()


@pytest.mark.parametrize(
    "kind",
    [
        "float64",
        "float16",
        "int16",
        "int64",
        "big-endian",
        "fortran",
        "strided",
        "read-only",
        "unaligned",
        "lists",
    ],
)
def test_harmless_inputs_are_converted_and_left_alone(kind):
    expected = pairwise(GOOD.astype(np.float32), window=3)
    signals = converted(kind)
    before = np.array(signals, copy=True)
    assert np.array_equal(pairwise(signals, window=3), expected)
    assert np.array_equal(cross(signals, signals, window=3), expected)
    assert np.array_equal(signals, before)
    if isinstance(signals, np.ndarray):
        assert signals.flags.writeable == (kind != "read-only")


def broken(**change: object) -> np.ndarray:
    array = GOOD.astype(np.float64)
    for value in change.values():
        array[3, 1, 7] = value
    return array


BAD_SIGNALS = {
    "NaN": (broken(v=np.nan), "NaN"),
    "infinity": (broken(v=-np.inf), "1 of 5 signals, first at position 3"),
    "beyond float32": (broken(v=1e39), "infinity"),
    "two dimensions": (GOOD[0], r"shape \(2, 12\)"),
    "four dimensions": (GOOD[None], "shape"),
    "no signals": (GOOD[:0], "shape"),
    "no leads": (GOOD[:, :0], "shape"),
    "no samples": (GOOD[:, :, :0], "shape"),
    "complex": (GOOD.astype(complex), "complex"),
    "text": (GOOD.astype(str), "dtype"),
    "booleans": (GOOD > 0, "bool"),
    "objects": (GOOD.astype(object), "object"),
    "unequal": ([np.zeros((2, 3)), np.zeros((2, 4))], "differ in shape"),
    "nothing": (None, "object"),
    "a half type of torch": (torch.zeros((3, 2, 12), dtype=torch.bfloat16), "BFloat16"),
    "a gradient": (torch.zeros((3, 2, 12), requires_grad=True), "requires grad"),
    "large integers": (GOOD.astype(np.int64) + 2**25, "integers"),
}


@pytest.mark.parametrize(("signals", "message"), BAD_SIGNALS.values(), ids=BAD_SIGNALS.keys())
def test_bad_signals_are_refused_by_name(signals, message):
    with pytest.raises(ValueError, match=f"^signals.*{message}"):
        pairwise(signals)
    with pytest.raises(ValueError, match=f"^signals.*{message}"):
        half_rows(signals, [0])
    with pytest.raises(ValueError, match=f"^queries.*{message}"):
        cross(signals, GOOD)
    with pytest.raises(ValueError, match=f"^others.*{message}"):
        cross(GOOD, signals)
    with pytest.raises(ValueError, match=f"^signals.*{message}"):
        EuclideanDistance().build().pairwise(signals)


@pytest.mark.parametrize("other", [GOOD[:, :1], GOOD[:, :, :5]])
def test_queries_and_others_must_fit(other):
    with pytest.raises(ValueError, match=r"^queries and others differ"):
        cross(GOOD, other)


@pytest.mark.parametrize("window", [-1, 13, -0.1, 1.5, float("nan"), True, False, np.True_, "0.1", [3], 3 + 0j])
def test_bad_windows_are_refused(window):
    for call in (lambda: pairwise(GOOD, window=window), lambda: cross(GOOD, GOOD, window=window)):
        with pytest.raises(ValueError, match=r"^window"):
            call()


@pytest.mark.parametrize(
    ("window", "samples"),
    [(None, 12), (12, 12), (0, 0), (0.0, 0), (1.0, 12), (0.3, 3), (np.int32(4), 4), (np.float32(0.5), 6)],
)
def test_windows_in_samples_and_fractions(window, samples):
    assert band_samples(window, 12) == samples


@pytest.mark.parametrize("threads", [0, -1, True, 1.0, "2"])
def test_bad_thread_counts_are_refused(threads):
    for call in (
        lambda: pairwise(GOOD, threads=threads),
        lambda: cross(GOOD, GOOD, threads=threads),
        lambda: EuclideanDistance().build().pairwise(GOOD, threads=threads),
    ):
        with pytest.raises(ValueError, match=r"^threads"):
            call()


@pytest.mark.parametrize("rows", [[5], [-1], [0.0], [[0]], 0, [True], [[0], [1, 2]]])
def test_bad_rows_are_refused(rows):
    with pytest.raises(ValueError, match=r"^rows"):
        half_rows(GOOD, rows)
    with pytest.raises(ValueError, match=r"^rows"):
        EuclideanDistance().build().half_rows(GOOD, rows)


@pytest.mark.parametrize("metric", ["", "Dependent", None, 1])
def test_unknown_metrics_are_refused(metric):
    with pytest.raises(ValueError, match=r"^metric"):
        pairwise(GOOD, metric=metric)
    with pytest.raises(ValueError, match=r"^metric"):
        warm_up(2, metric)


@pytest.mark.parametrize("num_leads", [0, -1, 1.5, True, "two", None])
def test_warm_up_needs_a_lead(num_leads):
    for warm in (warm_up, warm_up_pairs):
        with pytest.raises(ValueError, match=r"^num_leads"):
            warm(num_leads)


def test_distances_beyond_float32_are_an_error_and_not_an_infinity():
    far = np.zeros((3, 1, 10), np.float32)
    far[1] = 1e30
    for call in (
        lambda: pairwise(far),
        lambda: cross(far, far, metric="independent"),
        lambda: EuclideanDistance().build().pairwise(far),
    ):
        with pytest.raises(ValueError, match="exceeds float32"):
            call()
