"""A compaction, removal, merge or export killed at a rename or removal ends, run again, in the bytes of a clean one."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hemometric.corpus import IngestConfig, Key, Manifest
from hemometric.corpus.tables import NoTable
from hemometric.vendors.guarded import GuardConfig

CONFIG = IngestConfig(
    table=NoTable(),
    patients="recording_is_patient",
    unit_recordings=8,
    shard_bytes=1 << 20,
    guard=GuardConfig(enabled=False),
)


@pytest.fixture(scope="module")
def corpora(
    tmp_path_factory: pytest.TempPathFactory,
    write_record: Callable[..., Path],
    ingest: Callable[..., Manifest],
    key: Key,
) -> list[Path]:
    """Two small corpora, the first one by two ingests."""
    folder = tmp_path_factory.mktemp("corpora")
    made = []
    for name, seeds in (("one", range(6)), ("two", range(20, 23))):
        for seed in seeds:
            write_record(folder / "sources" / name, f"r{seed:02d}", seed=seed, num_samples=900)
            if seed in (3, 5, 22):
                ingest(CONFIG, [folder / "sources" / name], folder / name, key)
        made.append(folder / name)
    return made


@pytest.mark.parametrize(
    ("tool", "least"), [("compact", 12), ("remove", 6), ("merge", 7), ("export-npy", 14), ("export-hf", 4)]
)
def test_killed_anywhere_and_run_again_gives_the_clean_bytes(
    tool: str, least: int, corpora: list[Path], tmp_path: Path, key: Key
) -> None:
    program = Path(__file__).with_name("kill_tools.py")
    assert key.path is not None
    words = [sys.executable, str(program), tool, str(tmp_path), str(key.path), *map(str, corpora)]
    run = subprocess.run(words, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    *killed, clean = json.loads(run.stdout)
    assert not clean["killed"]
    assert clean["status"] == 0
    assert len(killed) >= least
    if tool not in ("compact", "remove"):  # which never lack a marker: a reader finds the old corpus or the new one
        assert sum(result["half"] for result in killed) >= least // 2
    else:
        assert not any(result["half"] for result in killed)
    for count, result in enumerate(killed):
        assert result["status"] == 0, f"the run after kill {count} failed"
        assert result["files"] == clean["files"], f"after kill {count}"
    assert "_SUCCESS" in clean["files"]
    assert not [name for name in clean["files"] if "staging" in name or "draft" in name or name.endswith(".tmp")]
