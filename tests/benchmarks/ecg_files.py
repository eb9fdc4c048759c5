"""Generated WFDB files for benchmarks: every ECG is another one, of another heart rate and other waves."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hemometric.ecg import LEADS

RATE_HZ, NUM_SAMPLES = 500, 5000
A_PATIENT = 3
"""ECGs of each patient."""


def counts_of(number: int) -> np.ndarray:
    """One ECG, int16 [12, 5000] at 500 Hz and 1000 counts a millivolt; limb leads obey their identities."""
    draw = np.random.default_rng(number)
    interval_s = draw.uniform(0.5, 1.4) * (1 + 0.04 * draw.standard_normal(40))
    beats_s = np.cumsum(interval_s) - draw.uniform(0, 1)
    beats_s = beats_s[beats_s < 11]
    time_s = np.arange(-200, 300) / RATE_HZ
    # P, Q, R, S and T: when, how wide and how large, another one in each of eight leads.
    centres = np.array([-0.16, -0.025, 0.0, 0.025, 0.25]) * draw.uniform(0.85, 1.15, 5)
    widths = np.array([0.022, 0.008, 0.011, 0.009, 0.045]) * draw.uniform(0.8, 1.25, 5)
    sizes = np.array([0.12, -0.12, 1.1, -0.25, 0.3]) * draw.normal(1.0, 0.6, (8, 5))
    waves = np.exp(-((time_s - centres[:, None]) ** 2) / (2 * widths[:, None] ** 2))
    beat = sizes @ waves
    signal = np.zeros((8, NUM_SAMPLES + 1000))
    for start_s in beats_s:
        first = round((start_s + 1) * RATE_HZ)
        if 200 <= first < NUM_SAMPLES + 700:
            signal[:, first - 200 : first + 300] += beat
    signal = signal[:, 500 : 500 + NUM_SAMPLES] + 0.012 * draw.standard_normal((8, NUM_SAMPLES))
    counts = np.rint(1000 * signal)
    one, two = 2 * np.rint(counts[0] / 2), 2 * np.rint(counts[1] / 2)  # even, so that halves are whole
    limb = [one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2]
    return np.stack([*limb, *counts[2:]]).astype(np.int16)


def write(folder: Path, numbers: range) -> None:
    """Write records ``<folder>/<thousand>/<number>.hea`` and ``.dat``; those that are there stay."""
    for number in numbers:
        place = folder / f"{number // 1000:05d}"
        place.mkdir(parents=True, exist_ok=True)
        header = place / f"{number:07d}.hea"
        if header.exists():
            continue
        counts = counts_of(number)
        (place / f"{number:07d}.dat").write_bytes(np.ascontiguousarray(counts.T, "<i2").tobytes())
        lines = [f"{number:07d} 12 {RATE_HZ} {NUM_SAMPLES} 12:{number % 60:02d}:00 {1 + number % 28:02d}/06/2015"]
        for lead, row in zip(LEADS, counts, strict=True):
            checksum = (int(row.sum(dtype=np.int64)) + 32768) % 65536 - 32768
            lines.append(f"{number:07d}.dat 16 1000(0)/mV 16 0 {row[0]} {checksum} 0 {lead}")
        lines += [f"# Age: {40 + number % 50}", f"# Sex: {'FM'[number % 2]}", f"# Patient ID: {number // A_PATIENT}"]
        header.write_text("\n".join(lines) + "\n")
