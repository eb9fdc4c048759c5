"""Every job and the config that describes one run of it."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hemometric.config import Config
from hemometric.config import decode as decode_mapping
from hemometric.config.yaml_reader import read_text, read_yaml
from hemometric.errors import UsageError

_CONFIGS = {
    "synthesise": "SynthesiseRun",
    "ingest": "IngestRun",
    "neighbours": "NeighboursRun",
    "pretrain": "PretrainRun",
    "finetune": "FinetuneRun",
    "tune": "TuneRun",
    "embed": "EmbedRun",
    "predict": "PredictRun",
    "evaluate": "EvaluateRun",
}
JOBS = tuple(_CONFIGS)


def config_of(job: str) -> type[Config]:
    """Give the config class of a job; modules are imported only when asked for.

    Raises
    ------
    UsageError
        There is no such job.
    """
    if job not in _CONFIGS:
        raise UsageError(f"unknown job {job!r}; known: {', '.join(JOBS)}")
    found: type[Config] = getattr(importlib.import_module(f"hemometric.runs.{job}"), _CONFIGS[job])
    return found


def decode(path: Path, overrides: Sequence[str] = ()) -> Any:
    """Read the config of whichever job the file's field ``job`` names.

    Raises
    ------
    UsageError
        No job, an unknown one, or a field that is wrong; see `config.decode_file`.
    """
    data, lines = read_yaml(read_text(path), source=str(path))
    job = data.get("job")
    if not isinstance(job, str):
        raise UsageError(f"{path}: field 'job' is missing; it says what the config is for: {', '.join(JOBS)}")
    return decode_mapping(config_of(job), data, overrides, source=str(path), lines=lines)
