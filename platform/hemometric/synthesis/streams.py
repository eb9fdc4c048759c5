"""Random generators keyed by what they draw, so that any part of a cohort can be made alone."""

from __future__ import annotations

from typing import Literal

import numpy as np

_PURPOSES = {"site": 1, "patient": 2, "visit": 3, "anatomy": 4, "recording": 5, "noise": 6}

Purpose = Literal["site", "patient", "visit", "anatomy", "recording", "noise"]


def stream(seed: int, purpose: Purpose, *indices: int) -> np.random.Generator:
    """Generator of one purpose for one site, patient or visit: equal arguments draw equal numbers."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(_PURPOSES[purpose], *indices))))
