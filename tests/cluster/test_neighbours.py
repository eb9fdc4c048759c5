"""The neighbour graph on Ray Data: the table of the plain path, however often its driver was killed."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from hemometric.runs import neighbours

pytestmark = pytest.mark.timeout(300)


def config_of(line: Any, out: Path, **fields: Any) -> Any:
    preparation = {"rate_hz": 100, "duration_s": 10}
    own = {"corpus": line.real, "out": out, "preparation": preparation, "cpus_per_worker": 0.5}
    return line.made("neighbours", own | {"block_recordings": 8, "k": 5} | fields)


def test_a_killed_driver_goes_on_to_the_plain_table(
    line: Any, two_cpus: dict[str, str], tmp_path: Path, start: Any, config_file: Any
) -> None:
    neighbours.run(config_of(line, tmp_path / "plain", workers=0))
    out = tmp_path / "out"
    job = ["jobs/neighbours.py", "--config", config_file(config_of(line, out))]
    for pattern in ("staged-*.json", "block-*.parquet"):
        driver = start(*job, env=two_cpus)
        driver.until(lambda p=pattern: list(out.glob(f".work-*/{p}")), f"the first {pattern}")
        driver.kill()
        assert not (out / "_SUCCESS").exists()
    start(*job, env=two_cpus).finish()
    plain, ray = (pq.read_table(folder / neighbours.TABLE) for folder in (tmp_path / "plain", out))
    assert plain.equals(ray)
    assert plain.num_rows == 5 * 102
