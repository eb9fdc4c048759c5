"""A node of a cluster dies during an ingest: the others do its work, and every byte is that of a plain loop."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from hemometric.corpus import verify

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def two_nodes(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> Iterator[tuple[dict[str, str], list[int]]]:
    """Two nodes of one CPU each: what a driver needs to join them, and the processes of the one that is no head."""
    from ray.cluster_utils import Cluster

    folder = tempfile.mkdtemp(prefix="hmt-")  # short, because Ray puts Unix sockets below it
    monkeypatch.setenv("RAY_TMPDIR", folder)  # where it writes, too, which cluster others would join by default
    cluster = Cluster()
    try:
        cluster.add_node(num_cpus=1, object_store_memory=128 << 20)
        node = cluster.add_node(num_cpus=1, object_store_memory=128 << 20)
        pids = [one.process.pid for processes in node.all_processes.values() for one in processes]
        del node
        yield {"RAY_ADDRESS": cluster.address, "RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1"}, pids
    finally:
        cluster.shutdown()
        shutil.rmtree(folder, ignore_errors=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # Ray leaves sockets to the garbage collector
            del cluster
            for phase in ("setup", "call"):  # what it logged holds some, by the tracebacks of their errors
                caplog.get_records(phase).clear()
            caplog.clear()
            gc.collect()


def test_a_node_that_is_killed_costs_no_row_and_no_finished_unit(
    line: Any, two_nodes: tuple[dict[str, str], list[int]], tmp_path: Path
) -> None:
    env, pids = two_nodes
    out = tmp_path / "corpus"
    config = line.ingest(out, workers=2, cpus_per_worker=1)
    data = yaml.safe_load(config.model_dump_json())
    data["ingest"]["unit_recordings"] = 2  # many units, so that there is a midst
    path = tmp_path / "ingest.yaml"
    path.write_text(yaml.safe_dump(data))
    words = [sys.executable, "-m", "hemometric.cli", "ingest", "--config", str(path)]
    driver = subprocess.Popen(words, env=os.environ | env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    seen: dict[str, int] = {}
    is_killed, deadline = False, time.monotonic() + 200
    while driver.poll() is None:
        assert time.monotonic() < deadline
        for note in out.glob("staging/unit-*.json"):
            try:
                changed = note.stat().st_mtime_ns
            except FileNotFoundError:
                continue  # the staging folder has served
            assert seen.setdefault(note.name, changed) == changed, "a finished unit was done again"
        if len(seen) >= 6 and not is_killed:
            assert not (out / "_SUCCESS").exists()
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            is_killed = True
        time.sleep(0.02)
    said = driver.communicate()[1]
    assert driver.returncode == 0, said
    assert is_killed
    assert len(seen) >= 30
    assert "Traceback" not in said
    expected = {
        path.relative_to(line.labelled): path.read_bytes() for path in (line.labelled / "shards").rglob("*.pa*")
    }
    assert {path.relative_to(out): path.read_bytes() for path in (out / "shards").rglob("*.pa*")} == expected
    assert (out / "manifest.json").read_bytes() == (line.labelled / "manifest.json").read_bytes()
    verify(out)
