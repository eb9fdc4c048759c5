"""Ingest on Ray Data: the bytes of the plain ingest, however often its driver was killed."""

from pathlib import Path
from typing import Any

import pytest

from hemometric.corpus import verify
from hemometric.runtime import ingest

pytestmark = pytest.mark.timeout(300)


def contents(corpus: Path) -> dict[str, bytes]:
    files = [corpus / "manifest.json", *sorted((corpus / "shards").rglob("*.parquet"))]
    return {str(path.relative_to(corpus)): path.read_bytes() for path in files}


def test_tasks_write_what_a_plain_loop_writes(line: Any, two_cpus: object, tmp_path: Path) -> None:
    config = line.ingest(tmp_path / "corpus", cpus_per_worker=0.5)
    ingest.run(config)
    assert len(contents(tmp_path / "corpus")) > 5
    assert contents(tmp_path / "corpus") == contents(line.labelled)
    verify(tmp_path / "corpus")
    before = (tmp_path / "corpus" / "manifest.json").stat().st_mtime_ns
    assert "nothing to do" in " ".join(ingest.run(config))
    assert (tmp_path / "corpus" / "manifest.json").stat().st_mtime_ns == before


def test_a_driver_killed_at_several_points_ends_in_the_same_bytes(
    line: Any, two_cpus: dict[str, str], tmp_path: Path, start: Any, config_file: Any
) -> None:
    out = tmp_path / "corpus"
    job = ["jobs/ingest.py", "--config", config_file(line.ingest(out, cpus_per_worker=0.5))]

    def staged(pattern: str) -> int:
        return len(list((out / "staging").glob(pattern)))

    for pattern, least in (("unit-*.json", 1), ("unit-*.json", 6), ("train-*.json", 1)):
        driver = start(*job, env=two_cpus)
        driver.until(lambda p=pattern, n=least: staged(p) >= n, f"{least} of {pattern}")
        driver.kill()
        assert not (out / "_SUCCESS").exists()
    start(*job, env=two_cpus).finish()
    assert contents(out) == contents(line.labelled)
    assert not (out / "staging").exists()
    verify(out)
