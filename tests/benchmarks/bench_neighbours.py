"""The neighbour graph of an archive: exact against brute force, killed and resumed, its recall, and its cost at scale.

    python tests/benchmarks/bench_neighbours.py --work FOLDER [--recordings 20000] [--json FILE]

Three archives, each kept in FOLDER and not made again: the 12-lead ECGs of HEMOMETRIC_DATA, where that is set; 2,000
generated ECGs; and `--recordings` generated ones. The first two are searched exactly on median beats and on whole
records, compared with all pairs, and the same graph is killed halfway, resumed and compared. The third is searched
exactly on median beats, and on whole records among candidates of a coarse rate and of an encoder that was pretrained on
it; the recall is measured against the exact neighbours of 200 queries, for other numbers of candidates and a finer
rate too. Times are CPU seconds on two threads:
laying out and comparing candidates exactly grow with the archive, looking for candidates with its square, which the
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
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from hemometric.config import decode
from hemometric.corpus import open_corpus
from hemometric.ecg import INDEPENDENT_LEADS
from hemometric.runs import embed, ingest, neighbour_search, neighbours, pretrain, synthesise
from hemometric.runs.catalogue import config_of as model_of
from hemometric.runs.neighbour_archive import stage_shard
from hemometric.runs.shardwise import read_output
from hemometric.waveform import prepare

NUM_ECGS = 5_400_000
NUM_QUERIES = 200
NUMS = (50, 100, 200, 500, 1000)
REAL = ("ptbxl", "ptbxl-extra", "cinc2021", "code15-chagas", "awkward", "ecgiddb", "vendor")
"""Every folder with ECG files; what is not a 12-lead ECG of some seconds, or is there twice, the ingest leaves out."""
LOOKS: dict[str, dict[str, Any]] = {
    "beats": {"preparation": {"rate_hz": 250}, "compared": {"kind": "median_beat"}},
    "records": {"compared": {"kind": "whole", "gain": "record"}},
}
COARSE = {"kind": "coarse", "compared": {"kind": "whole", "rate_hz": 25, "gain": "record"}, "num": 200}
ENCODER = {"kind": "resnet1d", "blocks": [1, 1, 1, 1], "widths": [16, 32, 64, 128], "embedding_dim": 64}
PRETRAINED: dict[str, Any] = {
    "num_steps": 1000,
    "batch_size": 64,
    "encoder": ENCODER,
    "objective": {"kind": "relative"},
    "mining": {
        "compared": {"kind": "whole", "rate_hz": 50, "gain": "record"},
        "distance": {"kind": "dtw", "window": 0.1},
        "miner": {"kind": "nearest", "scaling": "local", "negatives": {"kind": "random"}},
    },
    "tracking": {"kind": "none"},
}


def made(job: str, **fields: Any) -> Any:
    return decode(model_of(job), {"job": job, "workers": 0} | fields)


def config_of(corpus: Path, out: Path, **fields: Any) -> neighbours.NeighboursRun:
    common = {"corpus": str(corpus), "out": str(out), "cpus_per_worker": 2, "k": 10}
    found: neighbours.NeighboursRun = made("neighbours", **common, splits=["train", "validation", "test"], **fields)
    return found


def cpu_s() -> float:
    return sum(resource.getrusage(resource.RUSAGE_SELF)[:2])


def timed(config: neighbours.NeighboursRun) -> dict[str, float]:
    """CPU seconds of a graph by what was done, built anew unless it is there; then those that were noted."""
    note = config.out / "_cpu_s.json"
    if not note.is_file():
        shutil.rmtree(config.out, ignore_errors=True)
        spent_s = {"lay_out": 0.0, "search": 0.0, "refine": 0.0}

        def watch(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
            def watched(*arguments: Any) -> Any:
                began_s = cpu_s()
                found = function(*arguments)
                spent_s[name] += cpu_s() - began_s
                return found

            return watched

        def plain(function: Callable[[Any, Any], Any], context: Any, items: Sequence[Any]) -> Iterator[Any]:
            work = watch("lay_out" if function is stage_shard else "search", function)
            return (work(context, item) for item in items)

        def open_map() -> AbstractContextManager[Any]:
            return nullcontext(plain)

        refined = neighbour_search.refined
        neighbour_search.refined = watch("refine", refined)
        try:
            neighbours.neighbours(config, open_map)
        finally:
            neighbour_search.refined = refined
        spent_s["search"] -= spent_s["refine"]
        note.write_text(json.dumps(spent_s))
    found: dict[str, float] = json.loads(note.read_text())
    return found


def corpus_of(sources: list[Path], out: Path, key: Path) -> Path:
    gates = {"table": {"kind": "none"}, "patients": "recording_is_patient", "max_rejected_fraction": 1.0}
    wanted = {"sources": [str(path) for path in sources], "out": str(out), "key": str(key), "ingest": gates}
    print(*ingest.run(made("ingest", **wanted)), sep="\n", flush=True)
    return out


def cohort_of(num: int, folder: Path, key: Path) -> Path:
    if not (folder / "corpus" / "_SUCCESS").is_file():
        cohort = {"num_patients": num, "visits_min": 1, "visits_max": 1, "rate_hz": 250, "seed": 5}
        data = {"job": "synthesise", "out": str(folder / "cohort"), "cohort": cohort, "num_draws": 1000}
        synthesise.run(decode(model_of("synthesise"), data))
        corpus_of([folder / "cohort"], folder / "corpus", key)
        shutil.rmtree(folder / "cohort")
    return folder / "corpus"


def embedded(corpus: Path, folder: Path) -> Path:
    """Pretrain a narrow encoder on the corpus' training split, and embed the corpus."""
    common = {"corpus": str(corpus), "cache": str(folder / "cache")}
    pretrain.run(made("pretrain", out=str(folder / "pretrain"), **common, **PRETRAINED))
    out = folder / "embeddings"
    embed.run(made("embed", model=str(folder / "pretrain" / "model"), corpus=str(corpus), out=str(out)))
    shutil.rmtree(folder / "cache", ignore_errors=True)
    return out


def killed_and_resumed(config: neighbours.NeighboursRun) -> bool:
    """Kill the same graph's process when half of its blocks are there, run it again, and compare the tables."""
    again = config.model_copy(update={"out": config.out.with_name(f"{config.out.name}-killed"), "block_recordings": 32})
    shutil.rmtree(again.out, ignore_errors=True)
    path = config.out.with_suffix(".yaml")
    path.write_text(json.dumps(again.model_dump(mode="json")))
    command = [sys.executable, "-m", "hemometric.cli", "neighbours", "--config", str(path)]
    half = len(read_table(config)[0]) // 32 // 2
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and len(list(again.out.glob(".work-*/block-*.parquet"))) < half:
        time.sleep(0.005)
    assert process.poll() is None, "it ended before it could be killed"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (again.out / "_SUCCESS").exists()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    tables = [pq.read_table(found / neighbours.TABLE) for found in (config.out, again.out)]
    shutil.rmtree(again.out)
    return bool(tables[0].equals(tables[1]))


def read_table(config: neighbours.NeighboursRun) -> tuple[list[str], np.ndarray, np.ndarray]:
    """The recordings of a table, their neighbours' ids [recording, k] and the distances to these."""
    table = pq.read_table(config.out / neighbours.TABLE)
    ids = table["recording_id"].to_pylist()[:: config.k]
    near = np.asarray(table["neighbour_id"].to_pylist()).reshape(-1, config.k)
    return ids, near, table["distance"].to_numpy().reshape(-1, config.k)


def compared_of(config: neighbours.NeighboursRun) -> tuple[np.ndarray, np.ndarray]:
    """Ids and what is compared, read past the job's path."""
    look, preparation = config.compared.build(), config.preparation
    rows = []
    for fields, recording in open_corpus(config.corpus).recordings():
        prepared = prepare(recording, preparation)
        if not isinstance(prepared, np.ndarray):
            continue
        compared = look(prepared[None], preparation.rate_hz, preparation.leads)[0]
        if compared.any():
            rows.append((fields["recording_id"], compared))
    rows.sort(key=lambda row: row[0])
    return np.asarray([name for name, _ in rows]), np.stack([compared for _, compared in rows])


def equals_brute_force(config: neighbours.NeighboursRun) -> bool:
    """Whether a table holds the k nearest of the matrix of all pairs, ties by position, and its distances."""
    ids, signals = compared_of(config)
    distances = config.distance.build().pairwise(signals)
    np.fill_diagonal(distances, np.inf)
    nearest = np.argsort(distances, axis=1, kind="stable")[:, : config.k]
    found_ids, near, found = read_table(config)
    return bool(
        found_ids == ids.tolist()
        and np.array_equal(ids[nearest], near)
        and np.array_equal(np.take_along_axis(distances, nearest, axis=1), found)
    )


def recall(config: neighbours.NeighboursRun, exact: np.ndarray, queries: np.ndarray) -> dict[str, float]:
    """Share of the true nearest (one, and k) of some queries that a table among candidates holds."""
    _, near, _ = read_table(config)
    held = [np.isin(truth, near[query]) for truth, query in zip(exact, queries, strict=True)]
    return {"nearest": float(np.mean([row[0] for row in held])), f"of_{config.k}": float(np.mean(held))}


def recalls(config: neighbours.NeighboursRun, embeddings: Path) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """Recall by kind and number of candidates; the true k nearest of some queries, ids [query, k]; their positions."""
    ids, signals = compared_of(config)
    queries = np.linspace(0, len(ids) - 1, NUM_QUERIES).astype(np.int64)
    distance = config.distance.build()
    began_s = cpu_s()
    exact, _ = neighbour_search.nearest(distance, signals, queries, config.k, 2)
    found: dict[str, Any] = {"exact": {"cpu_s": round(cpu_s() - began_s, 1)}}

    def tell(name: str, candidates: np.ndarray, spent_s: float) -> None:
        row: dict[str, Any] = {"cpu_s": round(spent_s, 1)}
        for num in NUMS:
            held = [np.isin(truth, some[:num]) for truth, some in zip(exact, candidates, strict=True)]
            row[str(num)] = [float(np.mean([one[0] for one in held])), float(np.mean(held))]
        found[name] = row
        print(f"recall of the nearest, and of {config.k}, {name}: {json.dumps(row)}", flush=True)

    for rate_hz in (25, 50):
        look = config.compared.model_copy(update={"rate_hz": rate_hz}).build()
        parts = [signals[n : n + 500] for n in range(0, len(ids), 500)]
        coarse = np.concatenate([look(part, config.compared.rate_hz, INDEPENDENT_LEADS) for part in parts])
        began_s = cpu_s()
        near, _ = neighbour_search.nearest(distance, coarse, queries, max(NUMS), 2)
        tell(f"{rate_hz} Hz", near, cpu_s() - began_s)
    table = read_output(embeddings)
    z = table["embedding"].combine_chunks().flatten().to_numpy().reshape(len(ids), -1)
    z = z[np.argsort(table["recording_id"].to_pylist())]
    for name, rows in (("embeddings", z), ("normalised", z / np.linalg.norm(z, axis=1, keepdims=True))):
        began_s = cpu_s()
        near = neighbour_search.nearest_embeddings(np.ascontiguousarray(rows), queries, max(NUMS))
        tell(name, near, cpu_s() - began_s)
    return found, ids[exact], queries


def core_hours(spent_s: dict[str, float], num: int) -> dict[str, float]:
    """CPU seconds as measured, and hours of a core for 5.4 million."""
    times = NUM_ECGS / num
    hours = {"lay_out": spent_s["lay_out"] * times, "search": spent_s["search"] * times**2}
    hours["refine"] = spent_s["refine"] * times
    return {f"{name}_s": round(value, 1) for name, value in spent_s.items()} | {
        f"{name}_core_hours_5.4M": float(f"{value / 3600:.3g}") for name, value in hours.items()
    }


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
        key.write_text("benchmark: public and generated ECGs only")
    figures: dict[str, Any] = {}
    noise = np.random.default_rng(0).normal(size=(64, 8, 100)).astype(np.float32)
    made("neighbours", corpus="-", out="-").distance.build().nearest(noise, noise, 5)  # compiles

    def row(name: str, config: neighbours.NeighboursRun, **more: Any) -> None:
        num = len(read_table(config)[0])
        figures[name] = {"recordings": num} | core_hours(timed(config), num) | more
        print(f"{name}: {json.dumps(figures[name])}", flush=True)
        if arguments.json:
            arguments.json.write_text(json.dumps(figures, indent=1) + "\n")

    whole: dict[str, Path] = {}
    if data := os.environ.get("HEMOMETRIC_DATA"):
        whole["real"] = corpus_of([Path(data) / name for name in REAL], work / "real" / "corpus", key)
    whole["2000 generated"] = cohort_of(2000, work / "2000", key)
    for name, corpus in whole.items():
        for look, fields in LOOKS.items():
            config = config_of(corpus, corpus.parent / look, **fields)
            timed(config)
            same = {"equals_brute_force": equals_brute_force(config)}
            row(f"{name}, {look}", config, **same, killed_and_resumed_equal=killed_and_resumed(config))
    many = cohort_of(arguments.recordings, work / "many", key)
    config = config_of(many, work / "many" / "beats", **LOOKS["beats"])
    timed(config)
    row("many generated, beats", config)
    near = {"kind": "embeddings", "embeddings": str(embedded(many, work / "many")), "num": 1000}
    config = config_of(many, work / "many" / "records", **LOOKS["records"])
    figures["recall"], *truth = recalls(config, Path(near["embeddings"]))
    for name, candidates in (("coarse", COARSE), ("embeddings", near)):
        config = config_of(many, work / "many" / f"records-{name}", **LOOKS["records"], candidates=candidates)
        timed(config)
        row(f"many generated, records, {candidates['num']} candidates: {name}", config, recall=recall(config, *truth))


if __name__ == "__main__":
    main()
