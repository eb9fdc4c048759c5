"""What an archive of millions would take on some nodes, from the figures that the benchmarks wrote.

    python tests/benchmarks/plan_corpus.py build/bench_corpus.json build/bench_duplicates.json \
        [--ecgs 5400000] [--nodes 1 4 16] [--cores 16]

Read from `bench_corpus.py` (parts `sizes`, `metadata`, `reading`) and `bench_duplicates.py`, measured on two cores:

- What every ECG costs wherever it is read: the slope of an ingest's time on Ray from the second largest number of ECGs
  to the largest, times two cores, less what is done in one place. It is divided by the cores of all nodes.
- What is done in one place, whatever the nodes: looking at all sources (the slope of an ingest that has nothing to do),
  names, links and splits (a million rows), and the search for duplicates (grown by its measured exponent).
- Start: what the smallest ingest takes beyond the slope.

Extrapolations hold while the disks keep up; the rate that they must give is printed. ECGs are of 12 x 5000 samples in
WFDB files of 16 bits; the cache holds 12 x 2500 samples of float32.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MEASURED_CORES = 2
SOURCE_MB = 0.121
"""One generated ECG: header and samples."""


@dataclass(frozen=True)
class Costs:
    """What was measured, for one ECG or for all.

    Attributes
    ----------
    spread_core_s, looked_at_s, placed_s, cached_core_s : float
        For one ECG.
    start_s : float
        Of an ingest, whatever it reads.
    corpus_mb, cache_mb : float
        For one ECG.
    duplicates_s, duplicates_of, duplicates_power : float
        Seconds of the search among so many, growing with this power of their number.
    """

    spread_core_s: float
    looked_at_s: float
    placed_s: float
    cached_core_s: float
    start_s: float
    corpus_mb: float
    cache_mb: float
    duplicates_s: float
    duplicates_of: int
    duplicates_power: float

    @classmethod
    def of(cls, corpus: dict[str, Any], duplicates: dict[str, Any]) -> Costs:
        """Read them from the figures of the two benchmarks."""
        rows = sorted(corpus["sizes"]["rows"], key=lambda row: row["ecgs"])
        small, middle, large = rows[0], rows[-2], rows[-1]
        more = large["ecgs"] - middle["ecgs"]
        an_ecg_s = (large["ray_s"] - middle["ray_s"]) / more
        looked_at_s = (large["ray_again_s"] - middle["ray_again_s"]) / more
        placed_s = corpus["metadata"]["seconds"] / corpus["metadata"]["placed"]
        reading = corpus["reading"]
        searched = max((row for row in duplicates["rows"] if not row["alike"]), key=lambda row: row["num"])
        return cls(
            spread_core_s=MEASURED_CORES * (an_ecg_s - looked_at_s - placed_s),
            looked_at_s=looked_at_s,
            placed_s=placed_s,
            cached_core_s=MEASURED_CORES / reading["cache_ecg_per_s"],
            start_s=max(0.0, small["ray_s"] - small["ecgs"] * an_ecg_s),
            corpus_mb=large["corpus_mb"] / large["ecgs"],
            cache_mb=reading["cache_mb"] / reading["ecgs"],
            duplicates_s=searched["whole_s"],
            duplicates_of=searched["num"],
            duplicates_power=duplicates["growth"],
        )

    def in_one_place_s(self, num_ecgs: int) -> dict[str, float]:
        """Name what no node can be given a part of, in seconds."""
        return {
            "looking at all sources": self.looked_at_s * num_ecgs,
            "names, links, splits": self.placed_s * num_ecgs,
            "duplicates": self.duplicates_s * (num_ecgs / self.duplicates_of) ** self.duplicates_power,
        }


def plan(costs: Costs, num_ecgs: int, num_nodes: int, cores: int) -> dict[str, float]:
    """Compute hours, and the rate at which the shared disk must be read and written."""
    alone_s = sum(costs.in_one_place_s(num_ecgs).values())
    spread_s = costs.spread_core_s * num_ecgs / (num_nodes * cores)
    mb_moved = num_ecgs * (2 * SOURCE_MB + 2 * costs.corpus_mb)  # read and staged; written, and read to be hashed
    return {
        "nodes": num_nodes,
        "ingest_h": (costs.start_s + spread_s + alone_s) / 3600,
        "of_it_in_one_place_h": alone_s / 3600,
        "disk_mb_per_s": mb_moved / (spread_s + alone_s),
        "cache_h": costs.cached_core_s * num_ecgs / cores / 3600,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("duplicates", type=Path)
    parser.add_argument("--ecgs", type=int, default=5_400_000)
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--cores", type=int, default=16)
    arguments = parser.parse_args()
    figures = (json.loads(path.read_text()) for path in (arguments.corpus, arguments.duplicates))
    costs, num = Costs.of(*figures), arguments.ecgs
    print(f"{num:,} ECGs, nodes of {arguments.cores} cores\n")
    terabytes = {"WFDB files": SOURCE_MB, "corpus": costs.corpus_mb, "cache": costs.cache_mb}
    print("TB: " + ", ".join(f"{name} {size * num / 1e6:.2f}" for name, size in terabytes.items()))
    print(f"TB staged for the time of the ingest: {SOURCE_MB * num / 1e6:.2f}")
    hours = {"reading and checking": costs.spread_core_s, "laying down the cache": costs.cached_core_s}
    print("core-hours: " + ", ".join(f"{name} {each * num / 3600:,.1f}" for name, each in hours.items()))
    print("minutes in one place: " + ", ".join(f"{name} {s / 60:.1f}" for name, s in costs.in_one_place_s(num).items()))
    print("\n| nodes | ingest, h | of it in one place, h | disk, MB/s | cache on each node, h |\n|---|---|---|---|---|")
    for num_nodes in arguments.nodes:
        row = plan(costs, num, num_nodes, arguments.cores)
        told = [f"{row[name]:.2f}" for name in ("ingest_h", "of_it_in_one_place_h")]
        print(f"| {num_nodes} | {' | '.join(told)} | {row['disk_mb_per_s']:,.0f} | {row['cache_h']:.2f} |")


if __name__ == "__main__":
    main()
