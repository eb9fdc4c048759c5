"""Two-rate mining: how often the true nearest at full rate is among the few nearest at a lower one, on real ECGs.

    HEMOMETRIC_DATA=… python tests/benchmarks/bench_rates.py [--json FILE]

Each ECG of an archive is a query once, its neighbours are all the others of that archive, and truth is exact DTW (10 %
band) at the full rate. ``k`` nearest at a lower rate are what would be measured again, so the share is how often
two-rate mining takes the right positive. ``of 63`` asks the same within batches of 64, which is what mining does: three
times every ECG is dealt to a batch, each time with others. Cost is in cells, for batches of 64 with 4 candidates,
against all pairs at the full rate.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hemometric.distances import DtwDistance
from hemometric.ecg import INDEPENDENT_LEADS, Recording
from hemometric.mining import WholeRecord
from hemometric.vendors import find, read
from hemometric.waveform import Preparation, prepare

DTW = DtwDistance(window=0.1).build()
KS, BATCH, CANDIDATES, DEALS = (1, 2, 4, 8), 64, 4, 3
RATES = (250, 125, 100, 50)


@dataclass(frozen=True)
class Archive:
    """ECGs [n, lead, sample] mV at their full rate, no two the same."""

    name: str
    signals: np.ndarray
    rate_hz: float
    leads: tuple[str, ...]


def archives(data: Path) -> list[Archive]:
    twelve = [data / "ptbxl" / "records500", data / "ptbxl-extra", data / "cinc2021"]
    return [
        gathered("PTB-XL and CinC 2021, 8 leads, 500 Hz, 10 s", twelve, 500, 10.0, INDEPENDENT_LEADS),
        gathered("CODE-15 %, 8 leads, 400 Hz, 7.3 s", [data / "code15-chagas"], 400, 2934 / 400, INDEPENDENT_LEADS),
        gathered("ECG-ID, lead I, 500 Hz, two times 10 s", [data / "ecgiddb"], 500, 10.0, ("I",), parts=2),
    ]


def gathered(
    name: str, folders: list[Path], rate_hz: float, duration_s: float, leads: tuple[str, ...], parts: int = 1
) -> Archive:
    """Take what is recorded at this rate, long enough and not flat, each once: CinC holds ECGs of PTB-XL."""
    preparation = Preparation(rate_hz=rate_hz, duration_s=parts * duration_s, leads=leads, pad="refuse")
    kept: dict[bytes, np.ndarray] = {}
    for source in find(folders):
        recording = read(source)
        if not isinstance(recording, Recording) or recording.rate_hz != rate_hz:
            continue
        prepared = prepare(recording, preparation)
        if isinstance(prepared, np.ndarray) and (np.ptp(prepared, axis=1) > 0).all():
            for part in np.split(prepared, parts, axis=1):
                kept.setdefault(np.round(part, 3).tobytes(), np.ascontiguousarray(part))
    return Archive(name, np.stack(list(kept.values())), rate_hz, leads)


def ranks(distances: np.ndarray, nearest: np.ndarray, members: np.ndarray) -> np.ndarray:
    """Count, for each member, how many others are nearer by `distances` than its true nearest among the members."""
    among = distances[np.ix_(members, members)].copy()
    np.fill_diagonal(among, np.inf)
    return (among < among[np.arange(len(members)), nearest][:, None]).sum(axis=1)


def nearest_of(distances: np.ndarray, members: np.ndarray) -> np.ndarray:
    among = distances[np.ix_(members, members)].copy()
    np.fill_diagonal(among, np.inf)
    return among.argmin(axis=1)


def measure(archive: Archive) -> list[dict[str, object]]:
    num = len(archive.signals)
    everyone = np.arange(num)
    orders = [np.random.default_rng(deal).permutation(num) for deal in range(DEALS)]
    batches = [order[start : start + BATCH] for order in orders for start in range(0, num - num % BATCH, BATCH)]
    full = DTW.pairwise(archive.signals)
    true, true_in = nearest_of(full, everyone), [nearest_of(full, batch) for batch in batches]
    rows: list[dict[str, object]] = []
    for rate_hz in (rate for rate in RATES if rate < archive.rate_hz):
        coarse = DTW.pairwise(WholeRecord(rate_hz=rate_hz).build()(archive.signals, archive.rate_hz, archive.leads))
        place = ranks(coarse, true, everyone)
        within = np.concatenate([ranks(coarse, near, b) for near, b in zip(true_in, batches, strict=True)])
        cost = (rate_hz / archive.rate_hz) ** 2 + BATCH * CANDIDATES / (BATCH * (BATCH - 1) / 2)
        row: dict[str, object] = {"archive": archive.name, "queries": num, "rate_hz": rate_hz, "cost": cost}
        row |= {"found": {k: int((place < k).sum()) for k in KS}}
        row |= {"batch_queries": len(within), "batch_found": {k: int((within < k).sum()) for k in KS}}
        rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()
    data = os.environ.get("HEMOMETRIC_DATA")
    if not data:
        sys.exit("set HEMOMETRIC_DATA to the folder of real ECG files")
    rows: list[dict[str, object]] = []
    columns = [*(f"k = {k}" for k in KS), *(f"of 63, k = {k}" for k in KS)]
    print(f"| archive | queries | rate, Hz | {' | '.join(columns)} | cost |")
    print("|---" * (len(columns) + 4) + "|")
    for archive in archives(Path(data)):
        for row in measure(archive):
            rows.append(row)
            shares = [f"{found / row['queries']:.1%}" for found in row["found"].values()]
            shares += [f"{found / row['batch_queries']:.1%}" for found in row["batch_found"].values()]
            head = f"{row['archive']} | {row['queries']} | {row['rate_hz']}"
            print(f"| {head} | {' | '.join(shares)} | {row['cost']:.2f} |", flush=True)
    for rate_hz in RATES:
        for name, here in (
            ("8 leads", [row for row in rows if row["rate_hz"] == rate_hz and "8 leads" in str(row["archive"])]),
            ("all", [row for row in rows if row["rate_hz"] == rate_hz]),
        ):
            total = sum(row["batch_queries"] for row in here)
            told = [f"k = {k} {sum(row['batch_found'][k] for row in here) / total:.2%}" for k in KS]
            print(f"{rate_hz} Hz, of 63, {name}, {total} queries: {', '.join(told)}")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
