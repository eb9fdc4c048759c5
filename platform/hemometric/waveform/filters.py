"""Filters that a preparation may ask for: Butterworth's, run forwards and backwards, so that no wave is delayed."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator
from scipy import signal as scipy_signal

from hemometric.config import Config
from hemometric.ecg import Float32, Float64

SETTLED = 1e-3
"""What is left of a filter's answer to a step when it counts as over."""


class NoFilter(Config):
    """The signal as it is."""

    kind: Literal["none"] = "none"


class HighPass(Config):
    """Takes away a wandering baseline.

    Attributes
    ----------
    edge_hz : float
        Half of the amplitude is left here. Filters without delay may go up to 0.67 Hz before the ST segment suffers
        (Kligfield et al., Circulation 2007;115:1306).
    order : int
        Of the Butterworth filter that is run twice.
    """

    kind: Literal["highpass"]
    edge_hz: float = Field(ge=0.05, le=1000.0)
    order: int = Field(default=2, ge=1, le=8)


class BandPass(Config):
    """Takes away a wandering baseline, and muscle noise with the sharpest parts of the QRS.

    Attributes
    ----------
    low_hz, high_hz : float
        Half of the amplitude is left at either edge.
    order : int
        Of the Butterworth filter that is run twice, on either side.
    """

    kind: Literal["bandpass"]
    low_hz: float = Field(ge=0.05, le=1000.0)
    high_hz: float = Field(gt=0.05, le=5000.0)
    order: int = Field(default=2, ge=1, le=8)

    @model_validator(mode="after")
    def _edges_in_order(self) -> Self:
        if self.low_hz >= self.high_hz:
            raise ValueError(f"low_hz {self.low_hz:g} is not below high_hz {self.high_hz:g}; exchange or change them")
        return self


FilterConfig = Annotated[NoFilter | HighPass | BandPass, Field(discriminator="kind")]


def highest_edge_hz(config: NoFilter | HighPass | BandPass) -> float:
    """Give the edge that half of the sampling rate has to be above; 0 without a filter."""
    if isinstance(config, BandPass):
        return config.high_hz
    return config.edge_hz if isinstance(config, HighPass) else 0.0


@lru_cache(maxsize=32)
def filter_sections(config: NoFilter | HighPass | BandPass, rate_hz: float) -> Float64:
    """Give the second-order sections of a filter at a sampling rate.

    Returns
    -------
    float64 [section, 6]
        b0 b1 b2 a0 a1 a2 of one of the two runs; no section without a filter. Shared, and not to be written to.
    """
    sections: Float64 = np.empty((0, 6))
    if isinstance(config, HighPass):
        sections = scipy_signal.butter(config.order, config.edge_hz, btype="highpass", fs=rate_hz, output="sos")
    elif isinstance(config, BandPass):
        edges = (config.low_hz, config.high_hz)
        sections = scipy_signal.butter(config.order, edges, btype="bandpass", fs=rate_hz, output="sos")
    sections.setflags(write=False)
    return sections


def settling_samples(sections: Float64) -> int:
    """Count the samples after which a filter has forgotten a step but for `SETTLED`; 0 without sections."""
    slowest = max((float(np.abs(np.roots(section[3:])).max()) for section in sections), default=0.0)
    return int(np.ceil(np.log(SETTLED) / np.log(slowest))) if slowest > 0.0 else 0


def filtered(signal: Float32, sections: Float64) -> Float32:
    """Run the sections forwards and backwards over [lead, sample] without NaN; no sections change nothing.

    Beyond its ends the signal is thought to go on as its own point reflection, until the filter has settled.
    """
    if not len(sections) or not signal.size:
        return signal
    reach = min(settling_samples(sections), signal.shape[1] - 1)
    sections = sections.copy()  # scipy asks for an array that it could write to
    both_ways = scipy_signal.sosfiltfilt(sections, signal.astype(np.float64), axis=1, padtype="odd", padlen=reach)
    return np.asarray(both_ways, dtype=np.float32)
