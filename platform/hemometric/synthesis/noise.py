"""What electrodes pick up besides the heart: muscle, mains, baseline wander."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.fft import irfft, next_fast_len, rfftfreq

from hemometric.ecg import Float32, Float64

NUM_ELECTRODES = 9
"""RA, LA, LL, V1..V6, each against the right leg."""


@dataclass(frozen=True, eq=False)
class NoiseLevels:
    """Root mean squares in mV; arrays [electrode]."""

    muscle_mv: Float64
    wander_mv: Float64
    breath_mv: Float64
    mains_mv: Float64
    mains_phase: Float64
    mains_hz: float


def draw_levels(rng: np.random.Generator, *, factor: float, mains_hz: float) -> NoiseLevels:
    """Draw how noisy a visit is (all electrodes together) and each electrode within it."""
    visit = np.exp(np.array([0.5, 0.5, 0.4, 0.8]) * np.clip(rng.standard_normal(4), -2.5, 2.5))
    own = np.exp(0.35 * rng.standard_normal((4, NUM_ELECTRODES)))
    level = factor * np.array([0.006, 0.030, 0.012, 0.0015])[:, None] * visit[:, None] * own
    level[2] *= np.where(rng.random(NUM_ELECTRODES) < 0.5, -1.0, 1.0)
    phase = rng.uniform(0.0, 2.0 * np.pi, NUM_ELECTRODES)
    return NoiseLevels(level[0], level[1], level[2], level[3], mains_phase=phase, mains_hz=mains_hz)


def electrode_noise(
    rng: np.random.Generator, levels: NoiseLevels, times_s: Float64, rate_hz: float, breath: Float64
) -> Float32:
    """Potentials [electrode, sample] in mV.

    Muscle noise has the power density (f / 30 Hz)^2 / (1 + (f / 30 Hz)^2)^2 up to the recorder's 150 Hz, wander falls
    as 1 / f^2 above 0.15 Hz and ends at 0.7 Hz; both are Gaussian, made in the frequency domain. Mains is left out
    where the rate cannot carry it.
    """
    num_samples = len(times_s)
    length, muscle, wander = _spectra(num_samples, rate_hz)
    power = np.square(levels.muscle_mv)[:, None] * muscle + np.square(levels.wander_mv)[:, None] * wander
    spectrum = rng.standard_normal((NUM_ELECTRODES, 2 * len(muscle)), dtype=np.float32).view(np.complex64)
    spectrum *= np.sqrt(power).astype(np.float32)
    # irfft divides by the length and adds each frequency twice: this factor makes `power` the variance per bin.
    noise: Float32 = irfft(spectrum, n=length)[:, :num_samples] * np.float32(0.5 * length)
    noise += levels.breath_mv.astype(np.float32)[:, None] * (np.sqrt(2.0) * breath).astype(np.float32)
    if levels.mains_hz < 0.45 * rate_hz:
        angle = 2.0 * np.pi * levels.mains_hz * times_s
        waves = np.stack([np.sin(angle), np.cos(angle)])
        phase = levels.mains_phase
        weights = np.sqrt(2.0) * levels.mains_mv[:, None] * np.stack([np.cos(phase), np.sin(phase)], axis=1)
        noise += (weights @ waves).astype(np.float32)
    return noise


@lru_cache(maxsize=8)
def _spectra(num_samples: int, rate_hz: float) -> tuple[int, Float64, Float64]:
    """Length of the transform and variance per bin of muscle noise and of wander, each of total variance 1.

    The transform is a quarter longer than the recording, so that its period does not show. A rate that cannot carry
    150 Hz holds its own share of the muscle noise only.
    """
    length = next_fast_len(num_samples + num_samples // 4 + 1, real=True)
    frequency = rfftfreq(length, 1.0 / rate_hz)
    step = frequency[1]

    def density(hz: Float64) -> Float64:
        squared = np.square(hz / 30.0)
        return np.where(hz <= 150.0, squared / np.square(1.0 + squared), 0.0)

    whole = np.arange(0.0, 150.0, 0.1)
    muscle = density(frequency) * step / (density(whole).sum() * 0.1)
    muscle[frequency > 0.45 * rate_hz] = 0.0
    in_band = (frequency > 0.0) & (frequency <= 0.7)
    wander = np.where(in_band, 1.0 / (np.square(frequency) + 0.15**2), 0.0)
    return length, muscle, wander / max(float(wander.sum()), 1e-12)
