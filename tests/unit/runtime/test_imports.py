"""Heavy libraries are loaded where they are used, and by nothing that only passes by."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

HEAVY = ("torch", "ray", "mlflow", "sklearn", "matplotlib", "optuna", "numba")
CLI = "from hemometric.cli import app, guarded; guarded(lambda: app(args={}, standalone_mode=False))"
JOBS = "import hemometric.runs.catalogue as c; [c.config_of(job) for job in c.JOBS]"
# In this order, in one process: what a statement has loaded stays loaded.
STATEMENTS = {
    "import hemometric": set(),
    "import hemometric; hemometric.read": set(),
    "import hemometric; hemometric.distances.pairwise, hemometric.waveform.median_beats": set(),
    CLI.format(["--help"]): set(),
    CLI.format(["pretrain", "--help"]): set(),
    CLI.format(["version"]): set(),
    "import hemometric.config, hemometric.ecg, hemometric.errors": set(),
    "import hemometric.waveform, hemometric.vendors": set(),
    "import hemometric.corpus, hemometric.batches, hemometric.synthesis": set(),
    "import hemometric.distances": set(),
    "import hemometric.runs.ingest": set(),
    "import hemometric; hemometric.mining.BatchMiner": {"torch"},
    "import hemometric.encoders": {"torch"},
    JOBS: {"torch", "sklearn", "matplotlib"},
    "import hemometric.runtime.session, hemometric.runtime.failures, hemometric.runtime.submit": {
        "torch",
        "sklearn",
        "matplotlib",
    },
}


def test_help_of_the_package_says_where_its_rooms_are() -> None:
    code = "import hemometric, pydoc; print(pydoc.plain(pydoc.render_doc(hemometric)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for words in ("`hemometric.distances` compares", "(DTW)", "`median_beats`", "`hemometric.mining` makes"):
        assert words in done.stdout
    code = "import hemometric; hemometric.distance"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "AttributeError: module 'hemometric' has no attribute 'distance'" in done.stderr


def test_importing_loads_no_more_than_it_needs_and_makes_nothing(tmp_path: Path) -> None:
    code = "import json, sys\n" + "\n".join(
        f"{words}\nprint('LOADED', json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
        for words in STATEMENTS
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={"HOME": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found = [
        set(json.loads(line.removeprefix("LOADED "))) for line in done.stdout.splitlines() if line.startswith("LOADED")
    ]
    assert dict(zip(STATEMENTS, found, strict=True)) == STATEMENTS
    # Libraries of others may keep a cache in the user's folder; a library imported makes none in the current one.
    assert not [path for path in tmp_path.iterdir() if not path.name.startswith(".")]
