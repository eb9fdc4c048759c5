"""Random archives: few patients with many recordings, many with one, sites of all sizes, times and labels with gaps."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from hemometric.batches import Roster


@pytest.fixture(scope="session")
def archive() -> Callable[..., Roster]:
    def made(seed: int, num: int, num_patients: int | None = None) -> Roster:
        rng = np.random.default_rng(seed)
        of = num_patients or max(1, num // 2)
        # Times lie on a grid of half days, so that some are equal and some gaps are just at a limit.
        acquired = np.datetime64("2101-03-01", "s") + 43200 * rng.integers(0, 400, num).astype("timedelta64[s]")
        acquired[rng.random(num) < 0.1] = np.datetime64("NaT")
        targets = np.round(rng.normal(15, 8, num)).astype(np.float32)
        targets[rng.random(num) < 0.2] = np.nan
        return Roster(
            patients=(of * rng.random(num) ** 2).astype(np.int64) * 7 + 3,
            sites=np.where(rng.random(num) < 0.1, -1, np.minimum(rng.geometric(0.5, num), 4)),
            acquired=acquired,
            targets=targets,
            neighbours=np.stack([(np.arange(num) + offset) % num for offset in (1, 2, 3)], axis=1),
        )

    return made
