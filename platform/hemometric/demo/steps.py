"""The steps of `hemometric demo`: the whole line in one Ray session, each step with its figures."""

from __future__ import annotations

import importlib
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hemometric.demo.closing import closing_lines
from hemometric.errors import UsageError
from hemometric.runs import catalogue
from hemometric.runtime.session import session

DATA = Path(__file__).parent / "data"
CONFIGS = Path(__file__).parent / "configs"
KEY = "hemometric demo: a key for public and synthetic ECGs only"
NUM_CPUS = 2
"""The session claims two CPUs on any machine: the workers ask for half of one each."""


def run(out: Path, say: Callable[[str], None] = print) -> None:
    """Run the demo into a folder; what is finished there is not done again.

    Raises
    ------
    UsageError
        The folder holds something else.
    """
    out = out.resolve()
    if out.is_dir() and any(out.iterdir()) and not (out / "key").is_file():
        raise UsageError(f"out: {out} is not empty and holds no demo; choose another folder")
    out.mkdir(parents=True, exist_ok=True)
    key = _key(out / "key")
    began_s = time.monotonic()
    cache = {"cache": str(out / "cache")}
    tracking = {"tracking.uri": f"sqlite:///{out / 'mlflow.db'}"}
    with session(num_cpus=NUM_CPUS):
        step = _Steps(out, say)
        step(
            "Real ECGs become a corpus: 141 records of 130 PTB-XL patients",
            "ingest",
            "ingest-ptbxl",
            {"sources": [str(DATA / "ptbxl" / "records100")], "out": str(out / "corpora" / "ptbxl"), "key": str(key)},
        )
        step(
            "A synthetic cohort with planted wedge pressures",
            "synthesise",
            "synthesise",
            {"out": str(out / "synthetic")},
        )
        step(
            "It enters by the same door",
            "ingest",
            "ingest-synthetic",
            {
                "sources": [str(out / "synthetic")],
                "out": str(out / "corpora" / "synthetic"),
                "key": str(key),
                "ingest.table.path": str(out / "synthetic" / "labels.csv"),
            },
        )
        step(
            "An encoder learns how near median beats are by DTW: Ray Train, two DDP workers",
            "pretrain",
            "pretrain",
            {"corpus": str(out / "corpora" / "ptbxl"), "out": str(out / "runs" / "pretrain")} | cache | tracking,
        )
        step(
            "A head for mPCWP: Ray Tune searches margin, alpha and embedding size",
            "tune",
            "tune",
            {
                "corpus": str(out / "corpora" / "synthetic"),
                "out": str(out / "runs" / "tune"),
                "model": str(out / "runs" / "pretrain" / "model"),
            }
            | cache
            | tracking,
        )
        for job, model, corpus in (("embed", "pretrain", "ptbxl"), ("predict", "tune", "synthetic")):
            step(
                {"embed": "Embeddings of every real ECG", "predict": "An estimate in mmHg for every synthetic ECG"}[
                    job
                ],
                job,
                None,
                {
                    "job": job,
                    "model": str(out / "runs" / model / "model"),
                    "corpus": str(out / "corpora" / corpus),
                    "out": str(out / {"embed": "embeddings", "predict": "predictions"}[job]),
                    "workers": 1,
                    "cpus_per_worker": 0.5,
                },
            )
        step("Scores beside their controls, in one report", "evaluate", "evaluate", _evaluation_paths(out))
    say("")
    say(f"Done in {time.monotonic() - began_s:.0f} s. So few ECGs show that the line works, not how good it can be.")
    for line in closing_lines(out):
        say(line)


class _Steps:
    """Runs one step after the other, and prints each with its figures and its time."""

    def __init__(self, out: Path, say: Callable[[str], None]) -> None:
        self._out = out
        self._say = say
        self._number = 0

    def __call__(self, title: str, job: str, config: str | None, fields: Mapping[str, Any]) -> None:
        self._number += 1
        self._say(f"\n{self._number}. {title}")
        began_s = time.monotonic()
        overrides = [f"{name}={json.dumps(value)}" for name, value in fields.items()]
        if config is not None:
            decoded = catalogue.decode(CONFIGS / f"{config}.yaml", overrides)
        else:
            decoded = catalogue.config_of(job).model_validate_json(json.dumps(dict(fields)))
        # Only synthesis has no form on Ray: it is as fast as the disk.
        room = "runs" if job == "synthesise" else "runtime"
        for line in importlib.import_module(f"hemometric.{room}.{job}").run(decoded):
            self._say(f"   {line}")
        self._say(f"   ({time.monotonic() - began_s:.0f} s)")


def _evaluation_paths(out: Path) -> dict[str, Any]:
    synthetic = {
        "corpus": str(out / "corpora" / "synthetic"),
        "encoder": str(out / "runs" / "pretrain" / "model"),
        "predictor": str(out / "runs" / "tune" / "model"),
        "reachable": str(out / "synthetic" / "reachable.json"),
    }
    real = {"corpus": str(out / "corpora" / "ptbxl"), "encoder": str(out / "runs" / "pretrain" / "model")}
    fields: dict[str, Any] = {"out": str(out / "report")}
    fields |= {"pretrain": str(out / "runs" / "pretrain"), "tune": str(out / "runs" / "tune")}
    fields |= {f"studies.0.{name}": value for name, value in synthetic.items()}
    fields |= {f"studies.1.{name}": value for name, value in real.items()}
    return fields


def _key(path: Path) -> Path:
    """Write the demo's own key, so that the user's is not touched.

    It is no secret: the ECGs are public or synthetic, and the same key gives the same splits on every machine.
    """
    if not path.is_file():
        path.touch(mode=0o600)
        path.write_text(KEY)
    return path
