"""P, QRS and T as loops of the heart's dipole: sums of Gaussians whose extent and size can be set exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self, TypeVar

import numpy as np
import numpy.typing as npt

from hemometric.ecg import Float64

F = TypeVar("F", np.float32, np.float64)

EDGE = 0.05
"""A wave reaches from where its size over the eight independent leads first passes this share of its peak to where it
last does: what a reader of all leads together would call onset and offset."""

_GRID = np.linspace(0.0, 1.0, 241)


@dataclass(frozen=True, eq=False)
class Wave:
    r"""One wave of the beat, d(t) = sum_k v_k exp(-(t - c_k)^2 / (2 s_k^2)).

    With the cardiac phase theta = 2 pi t / RR, theta_k = 2 pi c_k / RR and b_k = 2 pi s_k / RR this is the vector form
    (Sameni et al., EURASIP J Adv Signal Process 2007:043407, eq. 2) of McSharry's model (IEEE Trans Biomed Eng
    2003;50:289) in closed form, :math:`d = \sum_k v_k \exp(-\Delta\theta_k^2 / 2 b_k^2)`. Centres and widths are kept
    in milliseconds, because the atria and ventricles activate in a time that does not stretch with the RR interval.

    Attributes
    ----------
    centres_ms, widths_ms : float64 [k]
    vectors_mv : float64 [k, 3]
        Amplitudes along X (left), Y (foot) and Z (back).
    """

    centres_ms: Float64
    widths_ms: Float64
    vectors_mv: Float64

    def loop(self, times_ms: npt.NDArray[F]) -> npt.NDArray[F]:
        """Dipole [3, sample] in mV at the given times [sample], in their precision."""
        kind = times_ms.dtype
        centres: npt.NDArray[F] = self.centres_ms.astype(kind)
        sharpness: npt.NDArray[F] = (np.sqrt(0.5) / self.widths_ms).astype(kind)
        vectors: npt.NDArray[F] = self.vectors_mv.T.astype(kind)
        bells = (times_ms - centres[:, None]) * sharpness[:, None]
        np.square(bells, out=bells)
        np.negative(bells, out=bells)
        np.exp(bells, out=bells)
        dipole: npt.NDArray[F] = vectors @ bells
        return dipole

    def grid(self) -> Float64:
        """Times [sample] that cover the wave until it vanishes."""
        first = np.min(self.centres_ms - 4.5 * self.widths_ms)
        last = np.max(self.centres_ms + 4.5 * self.widths_ms)
        return first + (last - first) * _GRID

    def extent(self, leads: Float64) -> tuple[float, float]:
        """Onset and offset in ms, seen through the lead matrix [lead, 3]; see `EDGE`."""
        times = self.grid()
        size = np.sqrt(np.square(leads @ self.loop(times)).sum(axis=0))
        edge = EDGE * size.max()
        inside = np.flatnonzero(size > edge)
        first, last = int(inside[0]), int(inside[-1])
        step = times[1] - times[0]
        onset = times[first] - step * (size[first] - edge) / (size[first] - size[first - 1])
        offset = times[last] + step * (size[last] - edge) / (size[last] - size[last + 1])
        return float(onset), float(offset)

    def fitted(self, leads: Float64, onset_ms: float, offset_ms: float) -> Self:
        """Stretch and move the wave in time so that it reaches from `onset_ms` to `offset_ms`."""
        first, last = self.extent(leads)
        factor = (offset_ms - onset_ms) / (last - first)
        return type(self)(onset_ms + factor * (self.centres_ms - first), factor * self.widths_ms, self.vectors_mv)

    def scaled(self, factor: float) -> Self:
        """Multiply the amplitudes."""
        return type(self)(self.centres_ms, self.widths_ms, factor * self.vectors_mv)
