"""Fine-tuning on Ray Train."""

from __future__ import annotations

from hemometric.runs.finetune import FinetuneRun, finetune, resolved
from hemometric.runs.outcome import finished_lines
from hemometric.runs.training import is_finished
from hemometric.runs.training_run import run_folder
from hemometric.runs.words import finished_already
from hemometric.runtime.session import session
from hemometric.runtime.train import train_on_ray


def run(config: FinetuneRun) -> list[str]:
    """Fine-tune on ``config.workers`` workers; a finished run is a no-op."""
    config, identity = resolved(config)
    if is_finished(config.out, identity):
        return [finished_already(config.out), *finished_lines(config.out)]
    with run_folder(config, identity), session():
        train_on_ray(finetune, config, identity=identity, name="finetune")
    return finished_lines(config.out)
