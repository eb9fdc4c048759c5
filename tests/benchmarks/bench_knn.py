"""What the nearest in signal space tell of a diagnosis: k-NN over distances on PTB-XL, without a network.

    HEMOMETRIC_DATA=… python tests/benchmarks/bench_knn.py [--json FILE] [--k 15] [--resamples 1000]

Each ECG is judged by the ECGs of other patients that are nearest to it: the score of a superclass is the share of the
k nearest that have it. Macro AUROC over the five superclasses, and AUROC of female sex, with 95 % intervals over
patients; differences are paired. ``hubs``: the share of all neighbours that the most used 5 % of the ECGs supply.
Every ECG that has a superclass counts; nothing is fitted, so nothing is held out.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hemometric.corpus.ptbxl_table import DATABASE, read_ptbxl
from hemometric.distances import DistanceConfig, DtwDistance, EuclideanDistance
from hemometric.ecg import LEADS, Recording
from hemometric.evaluation import AgeSexFeatures, Interval
from hemometric.evaluation.summary import Comparison, compare
from hemometric.mining import ComparedConfig, MedianBeat, WholeRecord, comparable
from hemometric.mining.scaling import local_scales, scaled
from hemometric.vendors import find, read
from hemometric.waveform import Preparation, prepare

SUPERCLASSES = ("NORM", "MI", "STTC", "CD", "HYP")
PREPARATION = Preparation(rate_hz=100, duration_s=10, pad="refuse")
SCALING_NEIGHBOUR = 10
MOST_USED = 0.05
DTW, EUCLID = DtwDistance(window=0.1), EuclideanDistance()

CHANCE, AGE_SEX, WHOLE = "chance", "age + sex", "whole record, DTW, one gain, local"
MEASURES: dict[str, tuple[ComparedConfig, DistanceConfig, bool]] = {
    "whole record, Euclid, mV": (WholeRecord(), EUCLID, False),
    "whole record, Euclid, one gain": (WholeRecord(gain="record"), EUCLID, False),
    "whole record, DTW, one gain": (WholeRecord(gain="record"), DTW, False),
    WHOLE: (WholeRecord(gain="record"), DTW, True),
    "whole record, DTW, mV, local": (WholeRecord(), DTW, True),
    "whole record, DTW, a gain per lead, local": (WholeRecord(gain="lead"), DTW, True),
    "median beat, Euclid, mV": (MedianBeat(), EUCLID, False),
    "median beat, DTW, mV": (MedianBeat(), DTW, False),
    "median beat, Euclid, mV, local": (MedianBeat(), EUCLID, True),
    "median beat, DTW, mV, local": (MedianBeat(), DTW, True),
    "median beat, DTW, one gain, local": (MedianBeat(gain="record"), DTW, True),
    "median beat, DTW, a gain per lead, local": (MedianBeat(gain="lead"), DTW, True),
}


@dataclass(frozen=True)
class Cohort:
    """ECGs [n, 12, 1000] mV at 100 Hz, and what is known of them."""

    signals: np.ndarray
    patients: np.ndarray
    classes: np.ndarray  # [n, superclass] 0 or 1
    ages: np.ndarray
    sexes: list[str | None]
    left_out: dict[str, int]

    @property
    def others(self) -> np.ndarray:
        """Pairs that may be neighbours, bool [n, n]: of two patients, and no copies (PTB-XL holds one ECG as two's)."""
        copies = np.unique([signal.tobytes() for signal in self.signals], return_inverse=True)[1]
        return (self.patients[:, None] != self.patients[None, :]) & (copies[:, None] != copies[None, :])


def load(folder: Path) -> Cohort:
    """Read the 500 Hz records; those of no superclass, or that cannot be prepared, are counted and left out."""
    table = read_ptbxl(folder / DATABASE)
    signals, rows, left_out = [], [], {"not readable": 0, "no superclass": 0}
    for source in find([folder / "records500"]):
        recording, known = read(source), table.lookup(source.key)
        prepared = prepare(recording, PREPARATION) if isinstance(recording, Recording) else recording
        if not isinstance(prepared, np.ndarray) or known is None or known.patient_id is None:
            left_out["not readable"] += 1
        elif not known.labels["superclasses"]:
            left_out["no superclass"] += 1
        else:
            signals.append(prepared)
            rows.append(known)
    classes = [[float(name in (row.labels["superclasses"] or ())) for name in SUPERCLASSES] for row in rows]
    return Cohort(
        np.stack(signals),
        np.array([row.patient_id for row in rows]),
        np.array(classes),
        np.array([math.nan if row.age_years is None else row.age_years for row in rows]),
        [row.sex for row in rows],
        left_out,
    )


def measured(cohort: Cohort, compared: ComparedConfig, distance: DistanceConfig, local: bool) -> tuple[np.ndarray, int]:
    """Distances [n, n], infinite to what is absent, and how many are absent."""
    signals = compared.build()(cohort.signals, PREPARATION.rate_hz, LEADS)
    there = comparable(signals)
    distances = distance.build().pairwise(signals)
    if local:
        others = cohort.others & there[:, None] & there[None, :]
        distances = scaled(distances, local_scales(distances, others, SCALING_NEIGHBOUR))
    return np.where(there[None, :], distances, np.inf), int((~there).sum())


def age_sex(cohort: Cohort) -> np.ndarray:
    """Squared differences of age and sex, each in units of its standard deviation, [n, n]."""
    features = AgeSexFeatures.fit(cohort.ages, cohort.sexes)(cohort.ages, cohort.sexes)[:, [0, 2]]
    features = features / features.std(axis=0)
    return np.square(features[:, None] - features[None]).sum(axis=2)


def neighbours(distances: np.ndarray, others: np.ndarray, k: int, seed: int) -> np.ndarray:
    """The k nearest of other patients, [n, k]; equally far ones in an order that is drawn."""
    drawn = np.random.default_rng(seed).permutation(len(distances))
    order = np.argsort(np.where(others, distances, np.inf)[:, drawn], axis=1, kind="stable")
    return drawn[order[:, :k]]


def hub_share(nearest: np.ndarray) -> float:
    counts = np.sort(np.bincount(nearest.ravel(), minlength=len(nearest)))[::-1]
    return float(counts[: math.ceil(MOST_USED * len(counts))].sum() / counts.sum())


def shown(one: Interval | None, sign: str = "+") -> str:
    if one is None:
        return ""
    estimate, low, high = (f"{value:{sign}.3f}".replace("0.", ".", 1) for value in (one.estimate, one.low, one.high))
    return f"{estimate} [{low}, {high}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("--k", type=int, default=15)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    folder = Path(os.environ.get("HEMOMETRIC_DATA", "")) / "ptbxl"
    if not (folder / DATABASE).is_file():
        sys.exit(f"{folder / DATABASE} does not exist; set HEMOMETRIC_DATA to the folder that holds ptbxl")
    cohort = load(folder)
    num = len(cohort.signals)
    distances: dict[str, Callable[[], tuple[np.ndarray, int]]] = {
        CHANCE: lambda: (np.random.default_rng(arguments.seed).random((num, num)), 0),
        AGE_SEX: lambda: (age_sex(cohort), 0),
    }
    distances |= {name: lambda parts=parts: measured(cohort, *parts) for name, parts in MEASURES.items()}
    classes, sexes, facts = {}, {}, {}
    female = np.array([{"female": 1.0, "male": 0.0}.get(str(sex), math.nan) for sex in cohort.sexes])
    for name, compute in distances.items():
        start = time.perf_counter()
        matrix, absent = compute()
        seconds = time.perf_counter() - start
        nearest = neighbours(matrix, cohort.others, arguments.k, arguments.seed)
        classes[name] = cohort.classes[nearest].mean(axis=1)
        sexes[name] = np.nan_to_num(female, nan=0.5)[nearest].mean(axis=1)
        facts[name] = {"hubs": hub_share(nearest), "absent": absent, "seconds": seconds}
    options = {"controls": [AGE_SEX, WHOLE], "num_resamples": arguments.resamples, "seed": arguments.seed}
    by_class = compare("multilabel", cohort.classes, classes, cohort.patients, **options)
    by_sex = compare("threshold", female, sexes, cohort.patients, **options)
    report(by_class, by_sex, facts)
    counts = ", ".join(f"{name} {int(num)}" for name, num in zip(SUPERCLASSES, cohort.classes.sum(axis=0), strict=True))
    print(f"{arguments.k} neighbours of other patients; {counts}; left out: {cohort.left_out}")
    if arguments.json:
        figures = {"superclasses": by_class.flat(), "sex": by_sex.flat(), "facts": facts}
        who = {"recordings": num, "patients": by_class.num_patients, "left_out": cohort.left_out, "k": arguments.k}
        arguments.json.write_text(json.dumps(who | figures, indent=1) + "\n")


def report(by_class: Comparison, by_sex: Comparison, facts: dict[str, dict[str, float]]) -> None:
    print(f"{by_class.num_recordings} ECGs of {by_class.num_patients} patients")
    print(f"| compared | macro AUROC | minus {AGE_SEX} | minus {WHOLE} | sex | hubs | absent |")
    print("|---|---|---|---|---|---|---|")
    for row in by_class.rows:
        gaps = [shown(row.differences.get(control, {}).get("macro_auroc")) for control in by_class.controls]
        sex, fact = by_sex.row(row.system).scores["auroc"], facts[row.system]
        cells = [row.system, shown(row.scores["macro_auroc"], sign=""), *gaps, f"{sex.estimate:.2f}"]
        print(f"| {' | '.join(cells)} | {fact['hubs']:.2f} | {fact['absent']:.0f} |")


if __name__ == "__main__":
    main()
