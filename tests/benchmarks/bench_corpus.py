"""Ingest and reading of a corpus: against a plain loop, over sizes, in memory, and against raw pyarrow.

    python tests/benchmarks/bench_corpus.py --work FOLDER [--ecgs 1000 10000 100000] [--parts …] [--json FILE]

FOLDER keeps the generated WFDB files (12 leads, 500 Hz, 10 s; 0.12 MB each, so 12 GB for 100,000); corpora are removed
as soon as they were measured. Parts:

loop       `hemometric ingest` on Ray with two workers, start-up included, against one process that does the same work
           with wfdb, numpy and pyarrow: reads, checks, names, hashes, sketches and sorts each ECG, and writes Parquet.
sizes      time and peak memory (PSS of all processes) of `hemometric ingest` at each number of ECGs, on Ray with two
           workers, and in one process up to 10,000.
killed     an ingest of the largest number, killed three times, resumed and verified: nothing lost, nothing twice.
metadata   one million rows of 300,000 patients: pseudonyms, links, splits, plan of the shards.
reading    a corpus to numpy against raw pyarrow on the same columns; the training cache: laid down against the disk's
           own rate, read in shuffled batches against a raw memory map.

Before each ingest the file system's cache is dropped where that is allowed, as it is for root: large archives never fit
into it, small ones would. Only ratios mean something on a shared machine.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ecg_files
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hemometric.corpus import SPLITS, HashSplit, Key, lay_cache, load_or_create_key, open_corpus
from hemometric.corpus.placement import PLACED_COLUMNS, place
from hemometric.corpus.schema import LINKS_SCHEMA
from hemometric.corpus.shards import cut_shards
from hemometric.ecg import Recording
from hemometric.waveform import Assessed, Preparation, QualityConfig, assess

NUM_LOOP = 20_000
NUM_ROWS, NUM_PATIENTS = 1_000_000, 300_000
NUM_READ = 10_000
MOST_IN_ONE_PROCESS = 10_000
PARTS = ("loop", "sizes", "reading", "metadata", "killed")


def tree_pss_mb(root: int) -> float:
    """Add up the proportional memory of a process and all below it."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, ValueError, IndexError):
                continue
    below, grown = {root}, True
    while grown:
        more = {pid for pid, parent in parents.items() if parent in below} - below
        grown = bool(more)
        below |= more
    total = 0.0
    for pid in below:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
        except (OSError, ValueError):
            continue
    return total


class Measured:
    """A command run to its end: seconds, and the peak memory of all its processes."""

    def __init__(self, command: Sequence[str], kill_after_s: float | None = None) -> None:
        start = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            self.peak_mb = 0.0
            done = threading.Event()

            def watch() -> None:
                while not done.wait(0.5):
                    self.peak_mb = max(self.peak_mb, tree_pss_mb(process.pid))
                    if kill_after_s is not None and time.perf_counter() - start > kill_after_s:
                        process.send_signal(signal.SIGKILL)

            watcher = threading.Thread(target=watch)
            watcher.start()
            self.said = process.communicate()[0]
            done.set()
            watcher.join()
        self.seconds = time.perf_counter() - start
        self.code = process.returncode
        if kill_after_s is None and self.code:
            raise SystemExit(f"{' '.join(command)} ended with {self.code}: {self.said[-2000:]}")


def ingest_command(source: Path, out: Path, key: Path, workers: int) -> list[str]:
    words = [str(source), "--out", str(out), "--key", str(key), f"workers={workers}", "ingest.table.kind=none"]
    return [sys.executable, "-m", "hemometric.cli", "ingest", *words]


def plain_loop(source_folder: str, out_folder: str, secret: bytes) -> int:
    """Do an ingest's work in one process, with wfdb, numpy and pyarrow; the rows of one shard are held at a time."""
    import wfdb

    from hemometric.corpus.sketch import sketch

    source, out = Path(source_folder), Path(out_folder)
    key, config = Key(secret), QualityConfig()
    out.mkdir()
    rows: list[dict[str, Any]] = []
    num_written, held, number = 0, 0, 0

    def write() -> None:
        rows.sort(key=lambda row: (row["split"], row["partition"], row["patient"], row["recording_id"]))
        path = out / f"part-{number:05d}.parquet"
        options = {"compression": "zstd", "row_group_size": 256, "write_page_checksum": True}
        pq.write_table(pa.Table.from_pylist(rows), path, **options)
        hashlib.sha256(path.read_bytes()).hexdigest()

    for header in sorted(source.rglob("*.hea")):
        record = wfdb.rdrecord(str(header.with_suffix("")), physical=False)
        comments = dict(comment.split(": ") for comment in record.comments)
        recording = Recording(
            key=str(header), leads=tuple(record.sig_name), rate_hz=record.fs,
            counts=np.ascontiguousarray(record.d_signal.T, dtype=np.int16),
            gain_per_mv=np.array(record.adc_gain), offset_counts=np.array(record.baseline, float),
            patient_id=comments["Patient ID"], age_years=float(comments["Age"]),
        )  # fmt: skip
        assessed = assess(recording, config)
        if not isinstance(assessed, Assessed):
            continue
        patient = key.patient(comments["Patient ID"])
        content = hashlib.sha256(header.read_bytes() + header.with_suffix(".dat").read_bytes()).digest()
        found = sketch(recording)
        rows.append(
            {
                "recording_id": key.recording_id(str(header.relative_to(source.parent))), "patient": patient,
                "split": key.bucket(patient, 100) // 60, "partition": key.bucket(patient, 64),
                "signal": recording.counts.tobytes(), "rate_hz": recording.rate_hz, "leads": recording.leads,
                "gain": recording.gain_per_mv, "offset": recording.offset_counts, "flags": assessed.flags,
                "content": key.digest("content", content), "age": recording.age_years,
                "features": found.features.tobytes(), "outline": found.outline,
            }
        )  # fmt: skip
        held += recording.counts.nbytes
        if held > 256 << 20:
            write()
            num_written, held, number = num_written + len(rows), 0, number + 1
            rows.clear()
    write()
    return num_written + len(rows)


def loop(work: Path, key: Path) -> dict[str, Any]:
    source = files(work, NUM_LOOP)
    words = f"{str(source)!r}, {str(work / 'plain')!r}, b'k' * 32"
    script = f"print(bench_corpus.plain_loop({words}))"
    out = work / "corpus"
    with removed(work / "plain"):
        forget()
        plain = Measured(python_command(script))
    assert int(plain.said.split()[-1]) == NUM_LOOP
    with removed(out):
        forget()
        ours = Measured(ingest_command(source, out, key, 2))
        assert open_corpus(out).manifest.counts.accepted == NUM_LOOP
    return {
        "ecgs": NUM_LOOP, "plain_s": plain.seconds, "ingest_s": ours.seconds, "times": plain.seconds / ours.seconds,
        "ecg_per_s": NUM_LOOP / ours.seconds, "plain_mb": plain.peak_mb, "ingest_mb": ours.peak_mb,
    }  # fmt: skip


def sizes(work: Path, key: Path, numbers: Sequence[int]) -> dict[str, Any]:
    rows: dict[int, dict[str, Any]] = {number: {"ecgs": number} for number in numbers}
    out = work / "corpus"
    for number in numbers:  # before any is timed: what was just written is still on its way to the disk
        files(work, number)
    os.sync()
    for workers, name in ((2, "ray"), (0, "one_process")):
        for number, row in rows.items():
            source = files(work, number)
            if not workers and number > MOST_IN_ONE_PROCESS:
                continue
            with removed(out):
                forget()
                run = Measured(ingest_command(source, out, key, workers))
                assert open_corpus(out).manifest.counts.accepted == number
                row |= {f"{name}_s": run.seconds, f"{name}_mb": run.peak_mb}
                row["manifest"] = open_corpus(out).hash
                row["corpus_mb"] = sum(path.stat().st_size for path in out.rglob("*.parquet")) / 1e6
                again = Measured(ingest_command(source, out, key, workers))
                row[f"{name}_again_s"] = again.seconds
            print(name, row, flush=True)
    return {"rows": list(rows.values())}


def killed(work: Path, key: Path, number: int, after_s: Sequence[float]) -> dict[str, Any]:
    source, out = files(work, number), work / "corpus"
    with removed(out):
        for seconds in after_s:
            assert Measured(ingest_command(source, out, key, 2), kill_after_s=seconds).code == -signal.SIGKILL
        rest = Measured(ingest_command(source, out, key, 2))
        verified = Measured([sys.executable, "-m", "hemometric.cli", "verify", str(out)])
        corpus = open_corpus(out)
        names = corpus.table(columns=["recording_id"])["recording_id"]
        assert corpus.manifest.counts.accepted == len(names) == len(names.unique()) == number
        return {
            "ecgs": number, "killed_after_s": list(after_s), "rest_s": rest.seconds, "verify_s": verified.seconds,
            "accepted": len(names), "manifest": corpus.hash,
        }  # fmt: skip


def metadata() -> dict[str, Any]:
    """Name, link, split and plan a million recordings, without signals."""
    run = Measured(python_command("print(json.dumps(bench_corpus.million()))"))
    found: dict[str, Any] = json.loads(run.said.splitlines()[-1])
    assert found["placed"] == NUM_ROWS
    return found


def million() -> dict[str, Any]:
    key, start = Key(b"k" * 32), time.perf_counter()
    draw = np.random.default_rng(0)
    ids = pa.array([key.recording_id(f"archive/{number // 1000}/{number}") for number in range(NUM_ROWS)])
    everyone = [key.patient(str(number)) for number in range(NUM_PATIENTS)]
    patients = pa.array(everyone).take(pa.array(draw.integers(NUM_PATIENTS, size=NUM_ROWS)))
    links = pa.table([pa.array(everyone[first:10_000:2]) for first in (0, 1)], schema=LINKS_SCHEMA)
    facts = (False, np.int32(12), 500.0, np.int32(5000))
    nobody = pa.nulls(NUM_ROWS, pa.string())
    columns = [ids, patients, nobody, nobody, *(pa.array(np.full(NUM_ROWS, fact)) for fact in facts)]
    rows = pa.table(columns, schema=PLACED_COLUMNS)
    placed = place(rows, draw.integers(NUM_ROWS, size=(2000, 2)), links, HashSplit(), key)
    numbers = np.arange(NUM_ROWS, dtype=np.int32)
    table = pa.table(
        {
            "recording_id": ids, "patient": placed.patient, "split": placed.split, "partition": placed.partition,
            "bytes": np.full(NUM_ROWS, 120_000), "unit": numbers // 256, "row": numbers % 256,
            "shift_days": np.zeros(NUM_ROWS, np.int64),
        }
    )  # fmt: skip
    shards = cut_shards(table, [f"unit-{number}" for number in range(NUM_ROWS // 256 + 1)], 256 << 20)
    seconds = time.perf_counter() - start
    # Not `ru_maxrss`, which a process inherits from the one that started it.
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    peak_mb = int(status["VmHWM"].split()[0]) / 1024
    placed_rows = sum(shard.num_rows for shard in shards)
    return {"placed": placed_rows, "seconds": seconds, "peak_mb": peak_mb, "shards": len(shards)}


def python_command(script: str) -> list[str]:
    """Run words of this module in a process of their own."""
    begin = f"import json, sys, warnings; sys.path.insert(0, {str(Path(__file__).parent)!r})"
    return [sys.executable, "-c", f"{begin}; warnings.simplefilter('ignore'); import bench_corpus; {script}"]


def reading(work: Path, key: Path) -> dict[str, Any]:
    source, out, cache = files(work, NUM_READ), work / "corpus", work / "cache"
    columns = ["recording_id", "leads", "gain_per_mv", "offset_counts", "rate_hz", "num_samples", "signal"]
    with removed(out), removed(cache), removed(work / "raw"):
        Measured(ingest_command(source, out, key, 2))
        corpus = open_corpus(out)
        shards = [out / shard.path for shard in corpus.manifest.shards]

        def scan() -> int:
            return sum(recording.counts.size for _, recording in corpus.recordings())

        def raw() -> int:
            total = 0
            for path in shards:
                with pq.ParquetFile(path, page_checksum_verification=True) as file:
                    for group in range(file.num_row_groups):
                        table = file.read_row_group(group)
                        total += sum(np.frombuffer(one.as_buffer(), "<i2").size for one in table["signal"])
            return total

        def raw_few() -> int:
            total = 0
            for path in shards:
                with pq.ParquetFile(path) as file:
                    for group in range(file.num_row_groups):
                        table = file.read_row_group(group, columns=columns)
                        total += sum(np.frombuffer(one.as_buffer(), "<i2").size for one in table["signal"])
            return total

        assert scan() == raw() == raw_few()
        scan_s, raw_s, few_s = interleaved([scan, raw, raw_few], 5)
        preparation = Preparation(rate_hz=250)
        start = time.perf_counter()
        laid = lay_cache(corpus, preparation, SPLITS, cache, threads=2)
        lay_s = time.perf_counter() - start
        num_bytes = sum(path.stat().st_size for path in cache.rglob("*") if path.is_file())
        start = time.perf_counter()
        block = np.random.default_rng(0).integers(0, 255, 1 << 24, dtype=np.uint8).tobytes()
        with (work / "raw").open("wb") as file:
            for _ in range((num_bytes >> 24) + 1):
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
        disk_s = time.perf_counter() - start
        order = np.random.default_rng(1).permutation(len(laid))
        batches = [order[start : start + 64] for start in range(0, len(order) - 63, 64)]
        plain = np.memmap(work / "raw", np.float32, "r")[: len(laid) * 12 * preparation.num_samples]
        plain = plain.reshape(len(laid), 12, preparation.num_samples)

        def cached() -> float:
            return float(sum(laid.signals[np.sort(batch)].copy()[0, 0, 0] for batch in batches))

        def mapped() -> float:
            return float(sum(plain[np.sort(batch)].copy()[0, 0, 0] for batch in batches))

        cached_s, mapped_s = interleaved([cached, mapped], 5)
    return {
        "ecgs": NUM_READ, "scan_ecg_per_s": NUM_READ / scan_s, "of_raw_pyarrow": raw_s / scan_s,
        "of_raw_pyarrow_without_other_columns_and_checksums": few_s / scan_s, "cache_ecg_per_s": NUM_READ / lay_s,
        "cache_mb": num_bytes / 1e6, "cache_mb_per_s": num_bytes / 1e6 / lay_s,
        "disk_mb_per_s": num_bytes / 1e6 / disk_s,
        "cache_read_ecg_per_s": len(order) / cached_s, "of_raw_map": mapped_s / cached_s,
    }  # fmt: skip


def interleaved(calls: Sequence[Callable[[], object]], repeats: int) -> list[float]:
    """Median seconds of each call, taken in turns."""
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(repeats):
        for turn, call in enumerate(calls):
            start = time.perf_counter()
            call()
            times[turn].append(time.perf_counter() - start)
    return [float(np.median(one)) for one in times]


def forget() -> None:
    """Let the next reader find files on the disk, not in memory."""
    os.sync()
    with contextlib.suppress(OSError):
        Path("/proc/sys/vm/drop_caches").write_text("3")


class removed:  # noqa: N801 - reads as a statement
    """A folder or file that is not there before, and not after."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        self._remove()

    def __exit__(self, *_: object) -> None:
        self._remove()

    def _remove(self) -> None:
        if self.path.is_dir():
            shutil.rmtree(self.path)
        self.path.unlink(missing_ok=True)


def files(work: Path, number: int) -> Path:
    """Give a folder with so many of the generated ECGs: links to what is kept."""
    kept, folder = work / "ecgs", work / f"ecgs-{number}"
    ecg_files.write(kept, range(number))
    for thousand in sorted(kept.iterdir())[: -(-number // 1000)]:
        target = folder / thousand.name
        target.mkdir(parents=True, exist_ok=True)
        for path in thousand.iterdir():
            if int(path.stem) < number and not (target / path.name).exists():
                (target / path.name).hardlink_to(path)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--ecgs", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--kill-after-s", type=float, nargs="+", default=[90.0, 150.0, 90.0], help="for each kill")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    key = arguments.work / "pseudonym.key"
    if not key.exists():
        key.write_text("0123456789abcdef" * 4)
        key.chmod(0o600)
    load_or_create_key(key)
    found: dict[str, Any] = {"machine": platform.machine(), "cpus": os.cpu_count()}
    for part in arguments.parts:
        match part:
            case "loop":
                found[part] = loop(arguments.work, key)
            case "sizes":
                found[part] = sizes(arguments.work, key, arguments.ecgs)
            case "killed":
                found[part] = killed(arguments.work, key, arguments.ecgs[-1], arguments.kill_after_s)
            case "metadata":
                found[part] = metadata()
            case "reading":
                found[part] = reading(arguments.work, key)
        print(part, json.dumps(found[part], indent=1), flush=True)
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
