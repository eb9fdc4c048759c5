"""Randomness that is a pure function of (seed, step, rank), so that a checkpoint needs no generator states.

Dropout is keyed by recording id and needs none of this; it is for any module or library that draws from the global
generators of torch, numpy or Python. They are seeded before each step, so a resumed run draws what the run it
continues would have drawn, whatever ran in between (a validation, an import, another number of epochs).
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def seed_generators(seed: int, step: int, rank: int, purpose: str = "step") -> None:
    """Seed the global generators of torch (every device), numpy and Python."""
    key = hashlib.blake2b(f"{purpose}/{seed}/{step}/{rank}".encode(), digest_size=8).digest()
    number = int.from_bytes(key, "big") >> 1
    torch.manual_seed(number)
    random.seed(number)
    np.random.seed(number % 2**32)  # noqa: NPY002 - the generator that other libraries draw from


@contextmanager
def preserved_generators(device: torch.device) -> Iterator[None]:
    """Give the caller its own generator states back afterwards; on a GPU, those of `device`."""
    numpy_state = np.random.get_state()  # noqa: NPY002 - as above
    python_state = random.getstate()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        try:
            yield
        finally:
            np.random.set_state(numpy_state)  # noqa: NPY002 - as above
            random.setstate(python_state)
