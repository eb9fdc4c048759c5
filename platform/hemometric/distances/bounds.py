"""Lower bounds of DTW from fewer leads: what need not be computed in a search.

A map f of samples R^lead -> R^line with |f(x) - f(y)| <= |x - y| makes the DTW of mapped signals a lower bound of their
DTW under any band: along the best path of the signals, each cell costs no more after the map. Here f gives the
coordinates along a few orthonormal directions of the leads, and the length of what remains: by the triangle inequality,
lengths differ by no more than the remainders themselves do. The principal directions of the archive make it tight.
With a path for each lead, the distances of some leads alone are the bound, since those of others are not negative.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hemometric.distances.checks import Metric
from hemometric.ecg import Float32

_HALF_ULP = 2.0**-24
_SIGNALS_AT_ONCE = 64


@dataclass(frozen=True)
class Bound:
    """A map from signals to fewer lines.

    Attributes
    ----------
    origin : float64 [lead]
        Taken from each sample first: differences do not notice, and rounding errors are those of smaller numbers.
    directions : float64 [lead, component]
        Orthonormal; with a path for each lead, columns of the unit matrix.
    remainder : bool
        Whether the length of the remainder is a last line.
    """

    origin: npt.NDArray[np.float64]
    directions: npt.NDArray[np.float64]
    remainder: bool

    @property
    def num_lines(self) -> int:
        """Lines of a mapped signal."""
        return int(self.directions.shape[1]) + self.remainder

    def mapped(self, signals: Float32) -> Float32:
        """Map [signal, lead, sample] to [signal, line, sample]."""
        lines = np.empty((len(signals), self.num_lines, signals.shape[2]), np.float32)
        num_components = self.directions.shape[1]
        for start in range(0, len(signals), _SIGNALS_AT_ONCE):  # in float64, which is larger
            some = slice(start, start + _SIGNALS_AT_ONCE)
            centred = signals[some] - self.origin[:, None]
            along = np.matmul(self.directions.T, centred)
            lines[some, :num_components] = along
            if self.remainder:
                lines[some, -1] = np.linalg.norm(centred - np.matmul(self.directions, along), axis=1)
        return lines

    def reach(self, distances: Float32, largest: float, num_leads: int, num_samples: int) -> Float32:
        """Give how far mapped signals may be, as computed, whose own distance is at most so, as computed.

        With u = 2^-24: a path has at most 2T cells, and a sum of that many terms which are not negative, each of as
        many squares as there are leads, errs by a factor of at most 1 + (2T + leads + 4) u; mapped values err by at
        most u times the `largest` magnitude, and so the root of their distance by 2 u largest sqrt(2T lines).
        """
        factor = 1 - 1.01 * (2 * num_samples + num_leads + 6) * _HALF_ULP
        if factor <= 0:
            return np.full_like(distances, np.inf)
        apart = 2.02 * _HALF_ULP * largest * np.sqrt(2 * num_samples * self.num_lines)
        roots = np.sqrt(distances.astype(np.float64) / factor) + apart
        nearly: Float32 = (np.square(roots) / factor).astype(np.float32)
        return np.nextafter(nearly, np.float32(np.inf))


def bound_for(signals: Float32, num_components: int, metric: Metric) -> Bound | None:
    """Choose the directions that hold most of the variance of some signals [signal, lead, sample].

    None if that would be hardly fewer lines than leads.
    """
    num_leads = signals.shape[1]
    if not 0 < num_components < num_leads - 1:
        return None
    means = signals.mean(axis=2, dtype=np.float64)
    origin = means.mean(axis=0)
    moments = np.zeros((num_leads, num_leads))
    for signal in signals:
        centred = signal - origin[:, None]
        moments += centred @ centred.T
    if metric == "independent":
        kept = np.sort(np.argsort(np.diag(moments))[::-1][: num_components + 1])
        return Bound(origin, np.eye(num_leads)[:, kept], remainder=False)
    return Bound(origin, np.linalg.eigh(moments)[1][:, ::-1][:, :num_components], remainder=True)
