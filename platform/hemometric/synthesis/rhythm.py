"""When the heart beats: sinus rhythm with respiratory arrhythmia."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hemometric.ecg import Float64


@dataclass(frozen=True, eq=False)
class Rhythm:
    """Beats of one recording, reaching past both of its ends.

    Attributes
    ----------
    onsets_ms : float64 [beat]
        QRS onsets, increasing; 0 is the first sample.
    rr_ms : float64 [beat]
        Interval that ends with each beat.
    breath_hz, breath_phase : float
        Breathing is sin(2 pi breath_hz t + breath_phase), inspiration positive.
    """

    onsets_ms: Float64
    rr_ms: Float64
    breath_hz: float
    breath_phase: float

    def breath(self, times_s: Float64) -> Float64:
        """Breathing at the given times, within -1..1."""
        return np.sin(2.0 * np.pi * self.breath_hz * times_s + self.breath_phase)


def draw_rhythm(
    rng: np.random.Generator, *, heart_rate_bpm: float, duration_s: float, sinus_arrhythmia: float
) -> Rhythm:
    """Draw beats about the mean interval RR = 60 / heart rate.

    RR_n = RR (1 - a sin(2 pi f_b t_n + phase) + 0.4 a sin(2 pi 0.1 t_n + phase') + 0.006 e_n): the rate rises with
    inspiration (a = `sinus_arrhythmia`), and sways at 0.1 Hz with the blood pressure, the two bands of McSharry's
    tachogram (IEEE Trans Biomed Eng 2003;50:289).
    """
    mean_s = 60.0 / heart_rate_bpm
    breath_hz = float(np.clip(0.25 + 0.05 * rng.standard_normal(), 0.13, 0.40))
    phase, slow_phase, start = rng.uniform(0.0, 2.0 * np.pi, size=3)
    time_s = -1.0 - mean_s * (1.0 + start / (2.0 * np.pi))
    onsets, intervals = [], []
    # Drawn at once: a shorter recording of the same visit is then the beginning of the longer one.
    num_beats = int((duration_s + 4.0) / (0.6 * mean_s)) + 8
    jitter = 0.006 * rng.standard_normal(num_beats)
    for shake in jitter:
        sway = np.sin(2.0 * np.pi * 0.1 * time_s + slow_phase)
        sigh = np.sin(2.0 * np.pi * breath_hz * time_s + phase)
        rr_s = mean_s * max(0.6, 1.0 - sinus_arrhythmia * (sigh - 0.4 * sway) + shake)
        time_s += rr_s
        onsets.append(time_s)
        intervals.append(rr_s)
        if time_s > duration_s + 1.5:
            break
    return Rhythm(1000.0 * np.array(onsets), 1000.0 * np.array(intervals), breath_hz, float(phase))
