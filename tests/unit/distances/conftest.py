"""What the tests of distances share: real ECGs, and the definition of DTW written out plainly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hemometric import demo

Oracle = Callable[..., float]


def plain_dtw(one: np.ndarray, other: np.ndarray, window: int | None = None) -> float:
    """Squared dependent DTW of [lead, sample] in float64, cell by cell; `total` has a border of one cell."""
    one, other = one.astype(np.float64), other.astype(np.float64)
    num_samples = one.shape[1]
    band = num_samples if window is None else window
    cost = np.square(one[:, :, None] - other[:, None, :]).sum(axis=0).tolist()
    total = [[float("inf")] * (num_samples + 1) for _ in range(num_samples + 1)]
    total[0][0] = 0.0
    for i in range(num_samples):
        for j in range(num_samples):
            if abs(i - j) <= band:
                total[i + 1][j + 1] = cost[i][j] + min(total[i][j + 1], total[i + 1][j], total[i][j])
    return total[num_samples][num_samples]


@pytest.fixture(scope="session")
def oracle() -> Oracle:
    return plain_dtw


@pytest.fixture(scope="session")
def ecgs() -> np.ndarray:
    """Twelve real ECGs, float32 [12, lead, 1000] mV at 100 Hz: PTB-XL's files are int16, 1000 counts a millivolt."""
    files = sorted((Path(demo.__file__).parent / "data/ptbxl/records100").rglob("*.dat"))[:12]
    return np.stack([np.fromfile(file, "<i2").reshape(-1, 12).T / np.float32(1000) for file in files])


@pytest.fixture(scope="session")
def noise() -> Callable[..., np.ndarray]:
    """Seeded float32 signals of a shape: random walks, so that warps are worth while."""

    def make(*shape: int, seed: int = 0) -> np.ndarray:
        steps = np.random.default_rng((seed, *shape)).standard_normal(shape)
        return (np.cumsum(steps, axis=-1) / np.sqrt(shape[-1])).astype(np.float32)

    return make


@pytest.fixture(scope="session")
def spoilt() -> Callable[[str, np.ndarray], np.ndarray]:
    """Make three signals [3, lead, sample] of three others, as they may come to us or as arithmetic fears them."""

    def make(kind: str, signals: np.ndarray) -> np.ndarray:
        generator = np.random.default_rng(5)
        jitter = generator.standard_normal(signals.shape) * signals.std()
        count = np.arange(3, dtype=np.float32)[:, None, None]
        changed = {
            "random": lambda: generator.standard_normal(signals.shape),
            "real": lambda: signals,
            "shifted": lambda: np.stack([np.roll(signals[0], 5 * step, axis=-1) for step in range(3)]),
            "scaled": lambda: signals[:1] * (0.5 + count),
            "near duplicates": lambda: signals[:1] + 1e-3 * jitter,
            "nearer duplicates": lambda: signals[:1] + 1e-4 * jitter,
            "constant": lambda: count + 0 * signals,
            "huge offset": lambda: signals + 1e4,
            "offset per signal": lambda: signals + 1e3 * count,
            "tiny": lambda: signals * 1e-6,
            "large": lambda: signals * 1e6,
        }[kind]()
        return np.asarray(changed, np.float32)

    return make
