"""Synthesis: a labelled cohort as WFDB files, and how well its pressure can be estimated at best."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from hemometric.config import PLACEMENT, Config
from hemometric.corpus.files import usable
from hemometric.runs.folder import held_folder
from hemometric.runs.records import write_summary
from hemometric.synthesis import SynthesisConfig, best_reachable, check_folder, write_cohort

REACHABLE = "reachable.json"


class SynthesiseRun(Config):
    """One synthetic cohort.

    Attributes
    ----------
    out : Path
        Folder of WFDB records, ``labels.csv`` and ``reachable.json``.
    cohort : SynthesisConfig
        How many patients, and of what kind.
    num_draws : int
        Of the Monte Carlo posterior that gives the best reachable error.
    """

    job: Literal["synthesise"] = "synthesise"
    out: Annotated[Path, PLACEMENT]
    cohort: SynthesisConfig = SynthesisConfig()
    num_draws: int = Field(default=20_000, ge=100)


def run(config: SynthesiseRun) -> list[str]:
    """Write the cohort; the same call again ends in the same bytes.

    Raises
    ------
    UsageError
        `out` cannot be written, or holds something other than this very cohort.
    PrecheckError
        Another command is writing there, or the disk is full.
    """
    with usable(config.out, "out"):
        check_folder(config.cohort, config.out)  # somebody's own folder does not even get a lock
        with held_folder(config.out):
            labels = write_cohort(config.cohort, config.out)
            best = best_reachable(config.cohort, num_draws=config.num_draws)
            write_summary(config.out / REACHABLE, best)
    with labels.open(encoding="utf-8") as handle:
        num_recordings = sum(1 for _ in handle) - 1
    limits = f"AUROC {best['auroc_above_15']:.3f} above 15 mmHg and {best['auroc_above_18']:.3f} above 18 mmHg"
    mean = f"the mean alone errs by {best['sd_mmhg']:.2f} mmHg"
    return [
        f"{num_recordings} recordings of {config.cohort.num_patients} patients, mPCWP planted",
        f"best reachable: RMSE {best['rmse_mmhg']:.2f} mmHg (r {best['r']:.2f}), {limits}; {mean}",
        f"labels: {labels}",
    ]
