"""Beats on PTB-XL: agreement with another detector, what is used of what is found, and what it costs.

    HEMOMETRIC_DATA=… python tests/benchmarks/bench_beats.py [--json FILE]

The other detector is wfdb's XQRS on lead II at 500 Hz; a beat is the same within 0.1 s. It learns during the first
second and does not look at the last: what we find outside of its own first and last beat is not counted. Halves: no
other ECG has a median beat in its last five seconds nearer to that of an ECG's first five than the ECG itself has.
Thresholds: how many beats are found, or used, when one of them is moved.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import warnings
from pathlib import Path
from unittest import mock

import numpy as np

from hemometric.distances import EuclideanDistance
from hemometric.ecg import INDEPENDENT_LEADS, LEADS
from hemometric.waveform import beats, heartbeats, median_beats, resample
from hemometric.waveform.heartbeats import find_heartbeats, slopes

with warnings.catch_warnings():  # it sets up its tables with a deprecated argument of pandas
    warnings.simplefilter("ignore")
    from wfdb.processing import xqrs_detect

SAME_S = 0.1


def ecgs(folder: Path) -> np.ndarray:
    """All 500 Hz records, float32 [record, 8, 5000] mV."""
    files = sorted((folder / "records500").rglob("*.dat"))
    twelve = np.stack([np.fromfile(file, "<i2").reshape(-1, 12).T for file in files])
    return (twelve[:, [LEADS.index(lead) for lead in INDEPENDENT_LEADS]] / 1000).astype(np.float32)


def agreement(signals: np.ndarray) -> dict[str, float]:
    """Beats of both, of theirs alone, of ours alone; our delay in ms, 5th, 50th and 95th percentile."""
    same, missed, extra, silent, delays = 0, 0, 0, 0, []
    for signal in signals:
        theirs = np.asarray(xqrs_detect(signal[1].astype(np.float64), 500, verbose=False)) / 500
        if not len(theirs):
            silent += 1
            continue
        ours = find_heartbeats(slopes(signal, 500.0), 500.0) / 500
        ours = ours[(ours > theirs[0] - SAME_S) & (ours < theirs[-1] + SAME_S)]
        apart = ours[:, None] - theirs
        nearest = np.abs(apart).argmin(axis=0)
        there = np.abs(apart).min(axis=0) <= SAME_S
        same += int(there.sum())
        missed += int((~there).sum())
        extra += int((np.abs(apart).min(axis=1) > SAME_S).sum())
        delays.append(apart[nearest, np.arange(len(theirs))][there])
    low, middle, high = 1000 * np.percentile(np.concatenate(delays), [5, 50, 95])
    counts = {"same": same, "theirs_alone": missed, "ours_alone": extra, "records_without_theirs": silent}
    return counts | {"delay_ms_5": float(low), "delay_ms_50": float(middle), "delay_ms_95": float(high)}


def halves(coarse: np.ndarray) -> dict[str, float]:
    """How often the other half of the same ECG is the nearest, and its squared distance as a share of the median."""
    first, second = (median_beats(half, 100.0) for half in (coarse[:, :, :500], coarse[:, :, 500:]))
    both = first.usable & second.usable
    distances = EuclideanDistance().build().cross(first.beats[both], second.beats[both])
    own = distances.diagonal() / np.median(distances, axis=1)
    nearest = distances.min(axis=1) == distances.diagonal()  # PTB-XL holds some ECGs twice: copies are equally near
    return {"ecgs": int(both.sum()), "own_is_nearest": float(nearest.mean()), "own_share_median": float(np.median(own))}


def thresholds(coarse: np.ndarray) -> dict[str, int]:
    """Beats found at three heights, and beats used at three likenesses."""
    counts = {}
    for height in (0.3, 0.4, 0.5):
        with mock.patch.object(heartbeats, "HEIGHT", height):
            counts[f"found at height {height}"] = int(median_beats(coarse, 100.0).num_found.sum())
    for alike in (0.7, 0.8, 0.9):
        with mock.patch.object(beats, "ALIKE", alike):
            counts[f"used at likeness {alike}"] = int(median_beats(coarse, 100.0).num_alike.sum())
    return counts


def milliseconds(signals: np.ndarray, rate_hz: float) -> float:
    """CPU time of an ECG, the median of five runs over 60 ECGs."""
    times = []
    for _ in range(5):
        start = time.process_time()
        median_beats(signals[:60], rate_hz)
        times.append((time.process_time() - start) / len(signals[:60]))
    return 1000 * float(np.median(times))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()
    folder = Path(os.environ.get("HEMOMETRIC_DATA", "")) / "ptbxl"
    if not (folder / "records500").is_dir():
        sys.exit(f"{folder / 'records500'} does not exist; set HEMOMETRIC_DATA to the folder that holds ptbxl")
    fine = ecgs(folder)
    coarse = resample(fine, 500.0, 100.0)
    found = median_beats(coarse, 100.0)
    figures = {
        "ecgs": len(fine),
        "usable": int(found.usable.sum()),
        "beats_found": int(found.num_found.sum()),
        "beats_used": int(found.num_alike.sum()),
        "fewest_used": int(found.num_alike.min()),
        "agreement": agreement(fine),
        "halves": halves(coarse),
        "thresholds": thresholds(coarse),
        "ms_per_ecg": {"100 Hz": milliseconds(coarse, 100.0), "500 Hz": milliseconds(fine, 500.0)},
    }
    print(json.dumps(figures, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
