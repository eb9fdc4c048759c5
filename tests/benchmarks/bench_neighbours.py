"""The neighbour graph of an archive: exact against brute force, killed and resumed, its recall, and its cost at scale.

    python tests/benchmarks/bench_neighbours.py --work FOLDER [--recordings 20000] [--json FILE]

Three parts, each of which is kept in FOLDER and not done again: the 12-lead ECGs of HEMOMETRIC_DATA, where that is set
(every graph is also killed halfway and resumed); 2,000 generated ECGs, exact against all pairs; and `--recordings`
generated ones, exactly on median beats, and on whole records among coarse candidates, whose recall is measured against
the exact neighbours of some hundred queries. Times are CPU seconds of the whole command, on two threads, which the
core-hours for 5.4 million ECGs are computed from.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from hemometric.corpus import open_corpus
from hemometric.runs import ingest, neighbours, synthesise
from hemometric.runs.neighbour_search import nearest
from hemometric.waveform import prepare

NUM_ECGS = 5_400_000
NUM_QUERIES = 200
KEY = "benchmark: public and generated ECGs only"
BEATS: dict[str, Any] = {"preparation": {"rate_hz": 250}, "compared": {"kind": "median_beat"}}
RECORDS: dict[str, Any] = {"compared": {"kind": "whole", "gain": "record"}}
COARSE = {"kind": "coarse", "compared": {"kind": "whole", "rate_hz": 25, "gain": "record"}, "num": 50}
REAL = ("ptbxl/records500", "cinc2021", "code15-chagas")


def config_of(corpus: Path, out: Path, **fields: Any) -> neighbours.NeighboursRun:
    own = {"corpus": str(corpus), "out": str(out), "workers": 0, "cpus_per_worker": 2, "k": 10}
    splits = {"splits": ["train", "validation", "test"]}
    return neighbours.NeighboursRun.model_validate_json(json.dumps(own | splits | fields))


def timed(config: neighbours.NeighboursRun) -> float:
    """CPU seconds of a graph, built anew unless it is there; then those that were noted."""
    note = config.out / "_cpu_s.json"
    if not note.is_file():
        began_s = cpu_s()
        neighbours.run(config)
        note.write_text(json.dumps(cpu_s() - began_s))
    return float(json.loads(note.read_text()))


def cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def corpus_of(sources: list[Path], out: Path, key: Path) -> Path:
    config = {"sources": [str(path) for path in sources], "out": str(out), "key": str(key), "workers": 0}
    gates = {"table": {"kind": "none"}, "max_rejected_share": 1.0}
    print(*ingest.run(ingest.IngestRun.model_validate_json(json.dumps(config | {"ingest": gates}))), sep="\n")
    return out


def cohort_of(num: int, folder: Path, key: Path) -> Path:
    cohort = {"num_patients": num, "visits_min": 1, "visits_max": 1, "rate_hz": 250, "seed": 5}
    data = {"out": str(folder / "cohort"), "cohort": cohort, "num_draws": 1000}
    if not (folder / "corpus" / "_SUCCESS").is_file():
        synthesise.run(synthesise.SynthesiseRun.model_validate_json(json.dumps(data)))
        corpus_of([folder / "cohort"], folder / "corpus", key)
        shutil.rmtree(folder / "cohort")
    return folder / "corpus"


def killed_and_resumed(config: neighbours.NeighboursRun) -> bool:
    """Kill the same graph's process at its first block, run it again, and compare with the uninterrupted table."""
    again = config.model_copy(update={"out": config.out.with_name(f"{config.out.name}-killed"), "block_recordings": 64})
    shutil.rmtree(again.out, ignore_errors=True)
    path = config.out.with_suffix(".yaml")
    path.write_text(json.dumps(again.model_dump(mode="json")))
    command = [sys.executable, "-m", "hemometric.cli", "neighbours", "--config", str(path)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while process.poll() is None and not list(again.out.glob(".work-*/block-*.parquet")):
        time.sleep(0.005)
    assert process.poll() is None, "it ended before it could be killed"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (again.out / "_SUCCESS").exists()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    tables = [pq.read_table(found / neighbours.TABLE) for found in (config.out, again.out)]
    shutil.rmtree(again.out)
    return bool(tables[0].equals(tables[1]))


def compared_of(config: neighbours.NeighboursRun) -> tuple[list[str], np.ndarray]:
    """Ids and what is compared, read past the job's own path."""
    look, preparation = config.compared.build(), config.preparation
    rows = []
    for fields, recording in open_corpus(config.corpus).recordings():
        signal = look(prepare(recording, preparation)[None], preparation.rate_hz, preparation.leads)[0]
        if signal.any():
            rows.append((fields["recording_id"], signal))
    rows.sort(key=lambda row: row[0])
    return [name for name, _ in rows], np.stack([signal for _, signal in rows])


def equals_brute_force(config: neighbours.NeighboursRun) -> bool:
    ids, signals = compared_of(config)
    distances = config.distance.build().pairwise(signals)
    np.fill_diagonal(distances, np.inf)
    nearest = np.argsort(distances, axis=1, kind="stable")[:, : config.k]
    table = pq.read_table(config.out / neighbours.TABLE)
    wanted = np.asarray(ids)[nearest].reshape(-1).tolist()
    return bool(
        table["neighbour_id"].to_pylist() == wanted
        and np.array_equal(table["distance"].to_numpy(), np.take_along_axis(distances, nearest, axis=1).reshape(-1))
    )


def recall(config: neighbours.NeighboursRun) -> dict[str, float]:
    """Share of the true nearest (1 and k) of some queries that a table among candidates holds."""
    ids, signals = compared_of(config)
    queries = np.linspace(0, len(ids) - 1, NUM_QUERIES).astype(np.int64)
    exact, _ = nearest(config.distance.build(), signals, queries, config.k, 2)
    table = pq.read_table(config.out / neighbours.TABLE)
    held: dict[str, list[str]] = {}
    for name, near in zip(table["recording_id"].to_pylist(), table["neighbour_id"].to_pylist(), strict=True):
        held.setdefault(name, []).append(near)
    found = [[ids[place] in held[ids[query]] for place in row] for query, row in zip(queries, exact, strict=True)]
    return {"nearest": float(np.mean([row[0] for row in found])), f"top_{config.k}": float(np.mean(found))}


def core_hours(cpu: float, num: int, *, exact: bool) -> dict[str, float]:
    """Scale to 5.4 million: laying out grows with the archive, all pairs with its square."""
    return {"cpu_s": cpu, "recordings": num, "core_hours_5.4M": cpu / 3600 * (NUM_ECGS / num) ** (2 if exact else 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder of corpora and graphs; kept")
    parser.add_argument("--recordings", type=int, default=20_000)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    work = arguments.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    key = work / "key"
    if not key.is_file():
        key.touch(mode=0o600)
        key.write_text(KEY)
    figures: dict[str, Any] = {}
    corpora: dict[str, Path] = {}
    if data := os.environ.get("HEMOMETRIC_DATA"):
        corpora["real"] = corpus_of([Path(data) / name for name in REAL], work / "real" / "corpus", key)
    corpora["2000"] = cohort_of(2000, work / "2000", key)
    corpora["many"] = cohort_of(arguments.recordings, work / "many", key)
    for name, corpus in corpora.items():
        for look, fields in (("beats", BEATS), ("records", RECORDS)):
            candidates = {"candidates": COARSE} if name == "many" and look == "records" else {}
            config = config_of(corpus, work / name / look, **fields, **candidates)
            used = timed(config)
            num = len(set(pq.read_table(config.out / neighbours.TABLE)["recording_id"].to_pylist()))
            row: dict[str, Any] = core_hours(used, num, exact=True)
            if name != "many":
                row["killed_and_resumed_equal"] = killed_and_resumed(config)
                row["equals_brute_force"] = equals_brute_force(config)
            elif candidates:
                row["recall"] = recall(config)
            figures[f"{name}: {look}"] = row
            print(f"{name}: {look}: {json.dumps(row)}", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
