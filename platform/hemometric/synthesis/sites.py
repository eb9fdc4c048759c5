"""Hospitals that differ: in whom they see, how fast their hearts beat, and what their recorders add."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hemometric.ecg import Float64
from hemometric.synthesis.config import SynthesisConfig
from hemometric.synthesis.streams import stream

_GAINS_PER_MV = (1000.0, 200.0, 500.0, 204.8)
"""Counts a millivolt of common recorders; sites take them in turn."""


@dataclass(frozen=True, eq=False)
class Sites:
    """Traits of the hospitals, one array [site] each.

    Attributes
    ----------
    share : float64
        Of the patients; sums to 1.
    age_shift, pressure_shift : float64
        Case mix, in standard scores of age and of the latent pressure score.
    log_rate : float64
        Shift of the logarithm of the heart rate.
    noise : float64
        Factor on the recording noise.
    gain_error : float64
        Calibration of the amplifiers; 1 is right.
    gain_per_mv : float64
        Counts a millivolt in the files.
    mains_hz : float64
        50 or 60.
    """

    share: Float64
    age_shift: Float64
    pressure_shift: Float64
    log_rate: Float64
    noise: Float64
    gain_error: Float64
    gain_per_mv: Float64
    mains_hz: Float64

    @staticmethod
    def name(site: int) -> str:
        """Name of a site as it stands in the label table, such as ``site-01``."""
        return f"site-{site + 1:02d}"


def draw_sites(config: SynthesisConfig) -> Sites:
    """Draw the hospitals of a cohort; they depend on the seed, the confounding and their own index only."""
    normals = np.stack([stream(config.seed, "site", site).standard_normal(6) for site in range(config.num_sites)])
    weight = np.exp(0.4 * normals[:, 0])
    turn = np.arange(config.num_sites)
    return Sites(
        share=weight / weight.sum(),
        age_shift=0.20 * normals[:, 1],
        pressure_shift=0.25 * normals[:, 2],
        log_rate=0.05 * config.confounding * normals[:, 3],
        noise=np.exp(0.3 * normals[:, 4]),
        gain_error=1.0 + 0.01 * normals[:, 5],
        gain_per_mv=np.array(_GAINS_PER_MV)[turn % len(_GAINS_PER_MV)],
        mains_hz=np.where(turn % 2 == 0, 50.0, 60.0),
    )
