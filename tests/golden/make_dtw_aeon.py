"""Write dtw_aeon.npz: DTW values of aeon, whose numba is older than ours. In an environment of its own:

python3.11 -m venv aeon-env && aeon-env/bin/pip install aeon==1.6.0
aeon-env/bin/python tests/golden/make_dtw_aeon.py
"""

from pathlib import Path

import aeon
import numpy as np
from aeon.distances import dtw_distance

SHAPES = ((4, 1, 50), (4, 2, 64), (3, 8, 60), (3, 12, 100))
FRACTIONS = (0.0, 0.1, 0.25, 1.0)


def main() -> None:
    arrays: dict[str, np.ndarray] = {"aeon_version": np.array(aeon.__version__), "fractions": np.array(FRACTIONS)}
    for number, shape in enumerate(SHAPES):
        generator = np.random.default_rng(20 + number)
        signals = np.cumsum(generator.standard_normal(shape), axis=-1).astype(np.float32)
        wide = signals.astype(np.float64)
        dependent = [[[dtw_distance(a, b, window=f) for b in wide] for a in wide] for f in FRACTIONS]
        independent = [
            [[sum(dtw_distance(a[[k]], b[[k]], window=f) for k in range(shape[1])) for b in wide] for a in wide]
            for f in FRACTIONS
        ]
        arrays[f"signals_{number}"] = signals
        arrays[f"dependent_{number}"] = np.array(dependent)
        arrays[f"independent_{number}"] = np.array(independent)
    np.savez_compressed(Path(__file__).with_name("dtw_aeon.npz"), **arrays)


if __name__ == "__main__":
    main()
