"""Every real file of HEMOMETRIC_DATA, by one command and one config: what became of each is what was written down."""

import importlib.util
import json
import os
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "real_files.py"


@pytest.mark.data
def test_each_file_is_accounted_for(tmp_path: Path) -> None:
    data = os.environ.get("HEMOMETRIC_DATA")
    assert data, "HEMOMETRIC_DATA is not set"
    spec = importlib.util.spec_from_file_location("real_files", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    real_files = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(real_files)
    found = real_files.fates(Path(data), tmp_path)
    assert found == json.loads(real_files.GOLDEN.read_text())
    accepted = sum(number for counts in found.values() for what, number in counts.items() if "accepted" in what)
    assert accepted > 500
