"""What tests of whole runs share: small corpora, tiny configs, and how to wait for something.

The corpora and models are made once a session, in this process and without Ray.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

BUNDLED = Path(__file__).parents[1] / "platform" / "hemometric" / "demo" / "data" / "ptbxl"
LABELS = {
    "mpcwp_mmhg": {"column": "mpcwp_mmhg", "kind": "number", "unit": "mmHg", "low": -5, "high": 60},
}


@dataclass(frozen=True)
class Line:
    """Configs of every job, so small that a run takes seconds, over corpora that exist already.

    Attributes
    ----------
    real : Path
        Corpus of the bundled PTB-XL recordings at 100 Hz.
    labelled : Path
        Corpus of a synthetic cohort with ``mpcwp_mmhg``.
    cohort : Path
        The WFDB files and the table of that cohort.
    key : Path
        Of the pseudonyms in both.
    cache : Path
        Folder of prepared signals.
    """

    real: Path
    labelled: Path
    cohort: Path
    key: Path
    cache: Path

    def made(self, job: str, data: dict[str, Any]) -> Any:
        """Decode a config as a file would be."""
        return made(job, data)

    def ingest(self, out: Path, **fields: Any) -> Any:
        """Ingest the synthetic cohort, in units and shards so small that there are many of both."""
        table = {"kind": "columns", "path": str(self.cohort / "labels.csv"), "record": "record"}
        table |= {"patient": "patient_id", "age": "age_years", "sex": "sex", "site": "site", "labels": LABELS}
        ingest = {"table": table, "split": {"kind": "hash"}, "unit_recordings": 8, "shard_bytes": 1 << 18}
        return made("ingest", {"sources": [str(self.cohort)], "out": out, "key": self.key, "ingest": ingest} | fields)

    def pretrain(self, out: Path, **fields: Any) -> Any:
        """Pretrain two narrow stages on four seconds of each real recording."""
        mining = {"compared": {"kind": "whole", "rate_hz": 25, "gain": "none"}}
        common = {"corpus": self.real, "out": out, "num_steps": 16, "mining": mining}
        return made("pretrain", _TRAINING | {"cache": self.cache} | common | fields)

    def finetune(self, out: Path, **fields: Any) -> Any:
        """Train a head for the planted mPCWP from scratch."""
        return made("finetune", self._supervised(out) | fields)

    def tune(self, out: Path, **fields: Any) -> Any:
        """Search two fields over four trials, two at a time, none stopped early."""
        search = {
            "objective.alpha": {"kind": "uniform", "low": 0.1, "high": 3.0, "log": True},
            "embedding_dim": {"kind": "choice", "values": [6, 8]},
        }
        own = {"search": search, "num_trials": 4, "max_concurrent": 2, "halving": None, "workers": 1}
        return made("tune", self._supervised(out) | own | fields)

    def shardwise(self, job: str, model: Path, out: Path, **fields: Any) -> Any:
        """Embed or predict the synthetic cohort."""
        own = {"model": model, "corpus": self.labelled, "out": out, "cpus_per_worker": 0.5, "local_below": 0}
        return made(job, own | fields)

    def _supervised(self, out: Path) -> dict[str, Any]:
        own = {"corpus": self.labelled, "out": out, "num_steps": 16, "head": {"hidden": 8}}
        task = {"kind": "regression", "label": "mpcwp_mmhg", "unit": "mmHg"}
        return _TRAINING | {"cache": self.cache, "task": task} | own


_TRAINING: dict[str, Any] = {
    "seed": 1,
    "batch_size": 8,
    "workers": 2,
    "cpus_per_worker": 0.5,
    "preparation": {"rate_hz": 100, "duration_s": 4},
    "encoder": {"kind": "resnet1d", "blocks": [1, 1], "widths": [4, 8], "embedding_dim": 8},
    "validate_every_steps": 8,
    "checkpoint_every_steps": 4,
    "log_every_steps": 2,
    "tracking": {"kind": "none"},
}


def made(job: str, data: dict[str, Any]) -> Any:
    """Decode a config as a file would be: paths and numbers as YAML has them."""
    from hemometric.config import decode
    from hemometric.runs.catalogue import config_of

    plain = {name: str(value) if isinstance(value, Path) else value for name, value in data.items()}
    return decode(config_of(job), {"job": job} | plain, source="test")


@pytest.fixture(scope="session")
def line(tmp_path_factory: pytest.TempPathFactory) -> Line:
    """Corpora of real and of labelled recordings, ingested without Ray, and configs over them."""
    from hemometric.runs import ingest
    from hemometric.synthesis import SynthesisConfig, write_cohort

    folder = tmp_path_factory.mktemp("line")
    key = folder / "key"
    key.touch(mode=0o600)
    key.write_text("0123456789abcdef" * 4)
    line = Line(folder / "real", folder / "labelled", folder / "cohort", key, folder / "cache")
    folds = {"kind": "folds", "train": [1, 2, 3, 4, 5], "validation": [6], "test": [7]}
    real = {"sources": [str(BUNDLED / "records100")], "out": line.real, "key": key}
    ingest.run(made("ingest", real | {"ingest": {"table": {"kind": "ptbxl"}, "split": folds}}))
    write_cohort(SynthesisConfig(num_patients=60, visits_min=1, visits_max=2, rate_hz=100, seed=3), line.cohort)
    ingest.run(line.ingest(line.labelled))
    return line


@pytest.fixture(scope="session")
def encoder(line: Line, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model folder of a pretraining in this process."""
    from hemometric.runs import pretrain

    out = tmp_path_factory.mktemp("encoder") / "run"
    pretrain.run(line.pretrain(out, workers=0))
    return out / "model"


@pytest.fixture(scope="session")
def estimator(line: Line, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model folder, with a head, of a fine-tuning in this process."""
    from hemometric.runs import finetune

    out = tmp_path_factory.mktemp("estimator") / "run"
    finetune.run(line.finetune(out, workers=0))
    return out / "model"


@pytest.fixture(scope="session")
def until() -> Callable[..., Any]:
    """Poll a condition until it holds, or fail at a deadline: nothing here sleeps for a time that was guessed."""

    def wait(condition: Callable[[], Any], what: str, *, timeout_s: float = 90.0) -> Any:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            found = condition()
            if found:
                return found
            time.sleep(0.02)
        raise AssertionError(f"not within {timeout_s:g} s: {what}")

    return wait


@pytest.fixture
def openings() -> Callable[..., AbstractContextManager[Callable[[], bool]]]:
    """Watches files: ``with openings(path, …) as was_opened`` tells whether any process opened one since (Linux)."""

    @contextmanager
    def watched(*paths: Path) -> Iterator[Callable[[], bool]]:
        libc = ctypes.CDLL(None, use_errno=True)
        watch = libc.inotify_init1(os.O_NONBLOCK)
        for path in paths:
            assert libc.inotify_add_watch(watch, os.fsencode(path), 0x20) >= 0  # IN_OPEN

        def was_opened() -> bool:
            """Tell it since the block began, or since it was asked last."""
            try:
                return bool(os.read(watch, 4096))
            except BlockingIOError:
                return False

        yield was_opened
        os.close(watch)

    return watched
