"""How often the test split of a corpus was scored: one small file for each choice of models, tasks and seed.

A name says all that is counted, so the same evaluation run again adds nothing, and no file needs to be read. Folders
of evaluations that lie beside each other are counted together; what was scored elsewhere is not known here.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from hemometric.config import essence
from hemometric.corpus import Corpus
from hemometric.corpus.files import make_folder
from hemometric.encoders import Model
from hemometric.runs.records import write_summary
from hemometric.runs.studies import Study

FOLDER = "test-readings"


def record_reading(out: Path, study: Study, corpus: Corpus, encoder: Model, predictor: Model | None, seed: int) -> None:
    """Write down, before the test split is scored for it, what a study takes to it.

    Parameters
    ----------
    out : Path
        Folder of the evaluation.
    seed : int
        Of the evaluation: the random encoder is drawn with it.

    Raises
    ------
    UsageError, PrecheckError
        The folder cannot be written.
    """
    reading = {
        "corpus": corpus.hash,
        "encoder": encoder.hash,
        "predictor": None if predictor is None else predictor.hash,
        "tasks": essence(study.tasks),
        "seed": seed,
    }
    digest = hashlib.sha256(json.dumps(reading, sort_keys=True).encode()).hexdigest()[:16]
    make_folder(out / FOLDER)
    write_summary(out / FOLDER / f"{corpus.hash[:16]}-{digest}.json", reading)


def num_readings(out: Path, corpus_hash: str) -> int:
    """Count the different readings of a corpus's test split by this evaluation and those in folders beside it."""
    return len({path.name for path in out.absolute().parent.glob(f"*/{FOLDER}/{corpus_hash[:16]}-*.json")})


def told_of_readings(out: Path, corpus_hash: str) -> tuple[str, str]:
    """Say how often a test split was scored, and what limit follows from it; empty where none does."""
    num = num_readings(out, corpus_hash)
    choices = "choice" if num == 1 else "different choices"
    fact = (
        f"scored with {num} {choices} of models, tasks and seed, as {FOLDER}/ counts them in this folder and those "
        "beside it; what was scored elsewhere is not known"
    )
    if num == 1:
        return fact, ""
    return fact, (
        f"the test split was scored with {num} different choices of models, tasks and seed, so the best of them owes a "
        "part of its score to the choice."
    )
