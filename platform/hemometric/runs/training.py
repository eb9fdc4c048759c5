"""What pretraining and fine-tuning have in common: the cache, the checks before the first step, and the outcome."""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hemometric import __version__
from hemometric.batches import Positions, Roster
from hemometric.config import fingerprint
from hemometric.corpus import Cache, Corpus, lay_cache, open_corpus
from hemometric.corpus.files import usable
from hemometric.ecg import Float32
from hemometric.encoders import load
from hemometric.errors import DataRejectedError, IntegrityError, UsageError
from hemometric.learning import CheckpointStore, Fit, Learner, Report, World, fit
from hemometric.mining import BatchMiner
from hemometric.progress import NullProgress, Progress
from hemometric.runs.feed import Feed
from hemometric.runs.folder import read_identity
from hemometric.runs.training_run import TrainingRun
from hemometric.tracker import NullTracker, Tracker

log = logging.getLogger(__name__)

SPLITS = ("train", "validation")
"""What a training run may read. The test split's shards may be absent: nothing of theirs is opened."""


METADATA_UNITS = {"age_years": "years"}
"""Columns that every corpus has and a head may learn as it would a label, with their units."""


_SHOWN_HASH = 16


def _never() -> bool:
    return False


def _ignore(report: Report) -> None:
    del report


@dataclass(frozen=True)
class Hooks:
    """Whom a run tells, and who may stop it: plain callables, so that Ray stays outside."""

    tracker: Tracker = field(default_factory=NullTracker)
    progress: Progress = field(default_factory=NullProgress)
    on_report: Callable[[Report], None] = _ignore
    stop: Callable[[], bool] = _never


def run_identity(config: TrainingRun, corpus_hash: str, model_hash: str = "") -> str:
    """Say which run this is: what the config computes, on which corpus, from which model."""
    return "-".join(part for part in (fingerprint(config), corpus_hash[:_SHOWN_HASH], model_hash[:_SHOWN_HASH]) if part)


def is_finished(folder: Path, identity: str) -> bool:
    """Whether a folder holds the finished run of this identity.

    Raises
    ------
    IntegrityError
        It does, and its model is damaged, or is not the one that this run makes.
    """
    if read_identity(folder) != identity or not (folder / "model" / "_SUCCESS").is_file():
        return False
    # The model says itself what made it; that of a search was made by its refit.
    made_by = (read_identity(folder / "refit") or identity).split("-")[0]
    told = load(folder / "model", device="cpu").description.provenance
    found = (str(told.get("config_fingerprint")), str(told.get("manifest_hash"))[:_SHOWN_HASH])
    if found != (made_by, identity.split("-")[1]):
        raise IntegrityError(
            f"{folder / 'model'} was made by another config or from another corpus than this run's; "
            f"remove {folder} and run the same command again"
        )
    return True


def checked_corpus(config: TrainingRun, label: str | None = None, unit: str = "") -> Corpus:
    """Open the corpus and refuse, by its manifest alone and before anything is written, what could never train.

    Raises
    ------
    UsageError
        The batch cannot be dealt to the workers or filled, or there is no such label, or it is no number.
    """
    corpus = open_corpus(config.corpus)
    if config.workers and config.batch_size % config.workers:
        raise UsageError(
            f"batch_size {config.batch_size} cannot be dealt to {config.workers} workers evenly; "
            f"take a multiple of {config.workers}"
        )
    num = corpus.manifest.counts.splits["train"].recordings
    if num < config.batch_size:
        raise UsageError(f"batch_size {config.batch_size}: the training split has {num} recordings; take a smaller one")
    if label in METADATA_UNITS:
        check_unit(label, METADATA_UNITS[label], unit)
    elif label is not None:
        found = corpus.manifest.label(label)
        if found is None:
            known = ", ".join([*(held.name for held in corpus.manifest.labels), *METADATA_UNITS])
            raise UsageError(f"task.label: the corpus has no label {label!r}; it has: {known}")
        if found.kind != "number":
            raise UsageError(f"task.label: {label!r} holds {found.kind}, and a head learns a number")
        check_unit(found.name, found.unit, unit)
    return corpus


def check_unit(label: str, held: str | None, unit: str) -> None:
    """Refuse a unit that is not the one in which the corpus holds the label.

    Raises
    ------
    UsageError
        They differ; an empty one is not compared.
    """
    if unit and held and unit != held:
        raise UsageError(f"unit {unit!r}: the corpus holds {label!r} in {held}; write that")


def open_cache(config: TrainingRun) -> tuple[Corpus, Cache]:
    """Open the corpus and lay its training and validation splits as prepared signals on this node's disk.

    Raises
    ------
    DataRejectedError
        The preparation refuses every recording.
    """
    corpus = open_corpus(config.corpus)
    with usable(config.cache_folder, "cache"):
        cache = lay_cache(corpus, config.preparation, SPLITS, config.cache_folder)
    if cache.num_rejected and not len(cache):
        reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(cache.rejected.items()))
        raise DataRejectedError(
            f"preparation: it refuses every training and validation recording of {config.corpus} ({reasons}); "
            "take another preparation"
        )
    return corpus, cache


def check_batches(config: TrainingRun, rows: npt.NDArray[np.int64], world: World) -> None:
    """Refuse batches that cannot be dealt or filled.

    Raises
    ------
    UsageError
        Workers do not divide the batch, or there are fewer recordings than one batch.
    """
    if config.batch_size % world.size:
        raise UsageError(
            f"batch_size {config.batch_size} cannot be dealt to {world.size} workers evenly; "
            f"take a multiple of {world.size}"
        )
    if len(rows) < config.batch_size:
        raise UsageError(
            f"batch_size {config.batch_size}: only {len(rows)} recordings can be trained on; take a smaller one"
        )


def feed_of(
    config: TrainingRun,
    cache: Cache,
    rows: npt.NDArray[np.int64],
    world: World,
    *,
    miner: BatchMiner | None = None,
    targets: Float32 | None = None,
    neighbours: Positions | None = None,
) -> Feed:
    """Give the batches of `rows` that a run's config orders, as this rank sees them.

    `neighbours`, int64 [recording, k], are positions in `rows`, for an order that brings them together.

    Raises
    ------
    UsageError
        The order needs what the corpus does not tell, or cannot fill a batch.
    """
    order = config.batches.build(roster_of(cache, rows, targets, neighbours), config.batch_size, config.seed)
    return Feed(cache, rows, order, config.num_steps, world, miner=miner, targets=targets)


def roster_of(
    cache: Cache, rows: npt.NDArray[np.int64], targets: Float32 | None = None, neighbours: Positions | None = None
) -> Roster:
    """Collect what an order of batches may look at, for some rows of the cache."""
    return Roster(
        patients=cache.codes("patient")[rows],
        sites=cache.codes("site")[rows],
        acquired=cache.acquired[rows],
        targets=targets,
        neighbours=neighbours,
    )


def fit_run(
    config: TrainingRun,
    learner: Learner,
    feed: Feed,
    corpus: Corpus,
    hooks: Hooks,
    *,
    identity: str,
    validate: Callable[[Learner], dict[str, float]] | None,
) -> Fit:
    """Train as a run's config says, with its checkpoints in its folder; see `learning.fit`."""
    left_out = feed.order.left_out
    if left_out and feed.world.is_main:
        counts = ", ".join(f"{reason} {num}" for reason, num in sorted(left_out.items()))
        log.warning("of %d recordings, batches of kind %s leave out: %s", len(feed.rows), config.batches.kind, counts)
        hooks.tracker.tags({"batches_left_out": counts})
    return fit(
        learner,
        feed,
        num_steps=config.num_steps,
        optimiser=config.optimiser,
        schedule=config.schedule,
        seed=config.seed,
        world=feed.world,
        store=CheckpointStore(config.out / "checkpoints"),
        fingerprint=identity,
        manifest_hash=corpus.hash,
        checkpoint_every_steps=config.checkpoint_every_steps,
        validate_every_steps=config.validate_every_steps,
        log_every_steps=config.log_every_steps,
        validate=validate,
        tracker=hooks.tracker,
        progress=hooks.progress,
        on_report=hooks.on_report,
        stop=hooks.stop,
    )


def provenance(config: TrainingRun, corpus: Corpus, steps: int) -> dict[str, str | int | float | bool | None]:
    """Collect where a model comes from, for its model.json and card."""
    return {
        "job": str(getattr(config, "job", "")),
        "config_fingerprint": fingerprint(config),
        "manifest_hash": corpus.hash,
        "seed": config.seed,
        "num_steps": steps,
        "hemometric_version": __version__,
        "commit": _commit(),
    }


def lasting(losses: Sequence[float], validation: Mapping[str, float]) -> dict[str, float]:
    """Give the figures that belong to a model: none of the machine's speed, none that a restart would change."""
    kept = {name: value for name, value in validation.items() if name.startswith("validation_")}
    return kept | ({"loss": losses[-1]} if losses else {})


def _commit() -> str | None:
    """Name the commit of the source tree, where the package runs from one."""
    root = Path(__file__).parents[3]
    if not (root / ".git").exists():
        return None
    try:
        found = subprocess.run(  # noqa: S603 - fixed words, no shell
            ["git", "-C", str(root), "rev-parse", "HEAD"],  # noqa: S607
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None
