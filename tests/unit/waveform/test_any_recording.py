"""Whatever a recording holds, it is taken with flags and floats or refused with a reason: nothing raises or warns."""

from __future__ import annotations

from collections import Counter
from dataclasses import astuple

import numpy as np

from hemometric.ecg import INVALID_COUNT, LEADS, Recording, Rejected
from hemometric.waveform import Assessed, Preparation, QualityConfig, assess, lead_mask, prepare
from hemometric.waveform.filters import HighPass

LENIENT = QualityConfig(
    required_leads=(),
    min_rate_hz=0.1,
    max_rate_hz=1e6,
    min_duration_s=1e-6,
    max_nan_share=1.0,
    min_amplitude_mv=0.0,
    max_amplitude_mv=1e9,
    max_lead_amplitude_mv=1e9,
    max_limb_residual_mv=1e9,
)


def anything(rng: np.random.Generator) -> Recording:
    """Any leads, rate, length and counts, with gaps, steps, lines and extremes."""
    leads = tuple(rng.permutation(LEADS)[: rng.integers(1, 13)])
    num = int(rng.choice([1, 2, 3, 7, 50, 333, 2500]))
    shape = (len(leads), num)
    kinds = (
        rng.integers(-32768, 32768, shape),
        rng.integers(-3, 4, shape).cumsum(axis=1),
        np.tile(rng.integers(-32768, 32768, (len(leads), 1)), (1, num)),
        np.where(rng.random(shape) < 0.02, 32767, 0),
        1000 * np.sin(np.arange(num) / rng.uniform(0.3, 60)) * np.ones((len(leads), 1)),
    )
    counts = np.clip(kinds[rng.integers(len(kinds))], -32768, 32767).astype(np.int16)
    if rng.random() < 0.5:
        first = int(rng.integers(num))
        counts[rng.random(len(leads)) < 0.6, first : first + int(rng.integers(1, num + 1))] = INVALID_COUNT
    gain = rng.choice([1e-3, 1.0, 200.0, 1000.0, 1e9], len(leads))
    offset = rng.choice([0.0, 1e4], len(leads))
    return Recording("key", leads, float(rng.choice([1.0, 99.9, 257.0, 500.0, 1000.0, 31_250.0])), counts, gain, offset)


def test_nothing_raises_or_warns() -> None:
    rng = np.random.default_rng(0)
    reasons: Counter[str] = Counter()
    for _ in range(200):
        recording = anything(rng)
        for config in (LENIENT, QualityConfig()):
            result = assess(recording, config)
            if isinstance(result, Rejected):
                reasons[result.reason] += 1
                assert result.detail
            else:
                assert isinstance(result, Assessed)
                reasons["none"] += 1
                assert all(type(value) is float for value in astuple(result.quality))
        for absent in ("refuse", "zero"):
            preparation = Preparation(
                duration_s=float(rng.choice([0.1, 3.0])),
                absent=absent,
                padding=rng.choice(["keep", "strip"]),
                crop=rng.choice(["start", "centre"]),
                filter=HighPass(kind="highpass", edge_hz=0.5),
                max_gap_s=float(rng.choice([0.0, 10.0])),
            )
            prepared, mask = prepare(recording, preparation), lead_mask(recording, preparation)
            if isinstance(prepared, Rejected):
                reasons[prepared.reason] += 1
            else:
                assert prepared.shape == (12, preparation.num_samples)
                assert np.isfinite(prepared).all()
                assert absent == "refuse" or (prepared[~mask] == 0).all()
    assert len(reasons) >= 7, reasons
