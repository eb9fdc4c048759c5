"""Pretraining on Ray Train."""

from __future__ import annotations

from hemometric.runs.outcome import finished_lines
from hemometric.runs.pretrain import PretrainRun, identity_of, pretrain
from hemometric.runs.training import checked_corpus, is_finished
from hemometric.runs.training_run import run_folder
from hemometric.runs.words import finished_already
from hemometric.runtime.session import session
from hemometric.runtime.train import train_on_ray


def run(config: PretrainRun) -> list[str]:
    """Pretrain on ``config.workers`` workers; a finished run is a no-op."""
    identity = identity_of(config, checked_corpus(config).hash)
    if is_finished(config.out, identity):
        return [finished_already(config.out), *finished_lines(config.out)]
    with run_folder(config, identity), session():
        train_on_ray(pretrain, config, identity=identity, name="pretrain")
    return finished_lines(config.out)
