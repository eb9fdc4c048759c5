"""An ingest that is killed at any of its renames and removals ends, run again, in the bytes of a clean one."""

import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from hemometric.corpus import Key


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "archive"])
def test_killed_anywhere_and_run_again_gives_the_clean_bytes(
    bundled: Path, tmp_path: Path, key: Key, packed: bool
) -> None:
    source = tmp_path / "ptbxl"
    headers = sorted((bundled / "records100").rglob("*.hea"))[:8]
    for header in headers:
        target = source / header.relative_to(bundled)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(header, target)
        shutil.copy(header.with_suffix(".dat"), target.with_suffix(".dat"))
    for table in bundled.glob("*.csv"):
        shutil.copy(table, source)
    if packed:
        with tarfile.open(source / "ptbxl.tar.gz", "w:gz") as archive:
            archive.add(source / "records100", "records100")
        shutil.rmtree(source / "records100")
        source = source / "ptbxl.tar.gz"
    assert key.path is not None
    program = Path(__file__).with_name("kill_everywhere.py")
    command = [sys.executable, str(program), str(source), str(tmp_path), str(key.path)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    results = json.loads(run.stdout)
    *killed, clean = results
    assert not clean["killed"]
    assert clean["status"] == 0
    # Two units and their notes, two shards or three and theirs, two tables, manifest, marker, stamps; and removals.
    assert len(killed) >= 18
    assert sum(result["half"] for result in killed) >= 10, "some kills came before the marker"
    assert not all(result["half"] for result in killed), "and some after it"
    for count, result in enumerate(killed):
        assert result["status"] == 0, f"the run after kill {count} failed"
        assert result["files"] == clean["files"], f"after kill {count}"
    assert "manifest.json" in clean["files"]
