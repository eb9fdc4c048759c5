"""The planted truth of one visit."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Truth:
    """What a perfect reader of the noise-free ECG would measure.

    Attributes
    ----------
    heart_rate_bpm : float
        Mean over a long time; ten seconds of breathing scatter about it.
    p_ms, qrs_ms : float
        From the first to the last passing of 5 % of the wave's peak, over all leads together.
    pr_ms, qt_ms : float
        From the onset of the QRS back to that of the P wave, and on to the end of the T wave.
    p_terminal_v1_mv : float
        Depth of the negative end of the P wave in V1, a positive number.
    sokolow_lyon_mv : float
        Depth of S in V1 plus height of R in V5.
    t_v5_mv : float
        Height of the T wave in V5; negative where inverted.
    """

    heart_rate_bpm: float
    pr_ms: float
    qrs_ms: float
    qt_ms: float
    p_ms: float
    p_terminal_v1_mv: float
    sokolow_lyon_mv: float
    t_v5_mv: float
