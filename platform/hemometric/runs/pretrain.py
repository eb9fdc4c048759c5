"""Pretraining: an encoder that places ECGs as their mined distances say."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Annotated, Literal, Self

import numpy as np
import numpy.typing as npt
import torch
from pydantic import model_validator
from torch import Tensor

from hemometric.batches import PairBatches, PatientBatches, permutation
from hemometric.config import Added
from hemometric.corpus import Cache
from hemometric.encoders import Encoder, EncoderConfig, NoProjection, ProjectionConfig, ResNet1dConfig, save
from hemometric.errors import UsageError
from hemometric.learning import Learner, World, recording_keys
from hemometric.mining import BatchMiner, Landmarks, MiningConfig, comparable, keep, write_triplets
from hemometric.objectives import (
    GlobalBatch,
    NtXentObjective,
    PretrainObjectiveConfig,
    RelativeObjective,
    SumObjective,
    Term,
    num_landmarks,
    pretrain_loss,
)
from hemometric.progress import progress_on
from hemometric.runs.feed import Feed, in_chunks
from hemometric.runs.outcome import finished_lines, open_trackers, write_outcome
from hemometric.runs.training import (
    Hooks,
    check_batches,
    checked_corpus,
    feed_of,
    fit_run,
    is_finished,
    lasting,
    open_cache,
    provenance,
    roster_of,
    run_identity,
)
from hemometric.runs.training_run import TrainingRun, run_folder
from hemometric.runs.words import finished_already
from hemometric.views import Augmented, Single, ViewsConfig

MAX_VALIDATION_CHUNKS = 8
"""Batches of validation recordings that are mined once and scored at each validation."""

MIN_CHUNK = 3
"""Fewer recordings are no batch: nobody is nearer than another."""

log = logging.getLogger(__name__)


class PretrainRun(TrainingRun):
    """One pretraining run: what is compared and mined, what the loss is, which encoder learns.

    Attributes
    ----------
    views : config or None
        What the encoder sees of each recording; None shows two augmented copies where the objective compares views,
        and the recording as it is elsewhere.
    projection : config
        Layers between the embedding and the objective, for training alone.
    """

    job: Literal["pretrain"] = "pretrain"
    encoder: EncoderConfig = ResNet1dConfig()
    mining: MiningConfig = MiningConfig()
    views: Annotated[ViewsConfig | None, Added(None)] = None
    projection: Annotated[ProjectionConfig, Added(NoProjection())] = NoProjection()
    objective: PretrainObjectiveConfig = SumObjective(
        terms=(Term(objective=NtXentObjective()), Term(objective=RelativeObjective()))
    )

    @property
    def shown(self) -> ViewsConfig:
        """What the encoder sees of each recording."""
        if self.views is not None:
            return self.views
        return Augmented() if self.objective.least_views > 1 else Single()

    @model_validator(mode="after")
    def _objective_has_what_it_needs(self) -> Self:
        least = self.objective.least_views
        if self.shown.num_views < least:
            raise ValueError(
                f"objective {self.objective.kind} compares {least} views of a recording and views shows "
                f"{self.shown.num_views}; leave views out, or take kind augmented, segments or leads"
            )
        if not self.objective.needs_mining and self.mining != MiningConfig():
            raise ValueError(f"objective {self.objective.kind} uses no mined triplets; leave mining out")
        return self

    @model_validator(mode="after")
    def _graph_is_used(self) -> Self:
        wanted = self.mining.miner.wants_graph or self.batches.num_neighbours > 0
        if wanted and self.mining.graph is None:
            raise ValueError("miner or batches need a table of neighbours; set mining.graph.path")
        if self.mining.graph is not None and not wanted:
            raise ValueError(
                "no one uses mining.graph; set batches.kind, mining.miner.positives.kind or mining.miner.scaling, or "
                "leave it out"
            )
        return self


def run(config: PretrainRun) -> list[str]:
    """Pretrain in this process, without Ray; a finished run is a no-op.

    Returns
    -------
    list of str
        What to tell the person who asked.
    """
    identity = identity_of(config, checked_corpus(config).hash)
    if is_finished(config.out, identity):
        return [finished_already(config.out), *finished_lines(config.out)]
    with run_folder(config, identity), open_trackers(config, identity, name="pretrain") as tracker:
        pretrain(config, hooks=Hooks(tracker=tracker, progress=progress_on("pretrain")))
    return finished_lines(config.out)


def identity_of(config: PretrainRun, corpus_hash: str) -> str:
    """Say which run this is; a graph of neighbours, like a corpus, is known by its hash and not by its place."""
    graph = config.mining.graph
    return run_identity(config, corpus_hash, "" if graph is None else graph.read_hash())


def pretrain(config: PretrainRun, world: World | None = None, hooks: Hooks | None = None) -> None:
    """Train, going on from the newest checkpoint, and write ``out/model``; every rank calls it.

    Raises
    ------
    UsageError
        The batch cannot be dealt or filled, or the folder holds another run.
    """
    world, hooks = world or World(), hooks or Hooks()
    corpus, cache = open_cache(config)
    rows = cache.rows("train")
    check_batches(config, rows, world)
    # Every rank begins with the same weights; what follows draws by (seed, step), not from this state.
    torch.manual_seed(config.seed)
    encoder = config.encoder.build(len(config.preparation.leads))
    feed, miner = mining_feed(config, cache, rows, world)
    if miner is not None:
        miner.warm_up()
    learner = learner_of(config, encoder, miner)
    outcome = fit_run(
        config,
        learner,
        feed,
        corpus,
        hooks,
        identity=identity_of(config, corpus.hash),
        validate=_validation(config, cache, miner, world),
    )
    if not world.is_main:
        return
    # The last weights, not the best: the published recipe trains to the end, and a triplet loss on mined validation
    # batches says little of how well an embedding carries over.
    learner.load_state_dict(outcome.weights)
    write_outcome(config.out, outcome)  # before the model, whose presence says that the run is finished
    save(
        config.out / "model",
        encoder=encoder,
        encoder_config=config.encoder,
        preparation=config.preparation,
        task=None,
        provenance=provenance(config, corpus, config.num_steps),
        metrics=lasting(outcome.losses, outcome.validations[-1][1] if outcome.validations else {}),
    )


def learner_of(config: PretrainRun, encoder: Encoder, miner: BatchMiner | None) -> Learner:
    """Give the learner of a run: the encoder, what it is shown, what stands behind it, and the objective."""
    return Learner(
        encoder,
        pretrain_loss(config.objective, config.projection.width_of(config.encoder.embedding_dim)),
        seed=config.seed,
        # The recording as it is needs no copy.
        views=None if config.shown == Single() else config.shown.build(config.preparation.rate_hz),
        projection=config.projection.build(config.encoder.embedding_dim, config.encoder.norm),
        mined_by="" if miner is None else miner.params_hash,
    )


def mining_feed(
    config: PretrainRun,
    cache: Cache,
    rows: npt.NDArray[np.int64],
    world: World,
) -> tuple[Feed, BatchMiner | None]:
    """Give a run's batches of `rows`, mined where the objective wants it, and their miner.

    Of a neighbour graph they see what lies between the cache's recordings.

    Raises
    ------
    UsageError, IntegrityError
        See `MiningConfig.read_graph`.
    """
    preparation, num = config.preparation, config.batches.num_neighbours
    if not config.objective.needs_mining and config.mining.graph is None:
        return feed_of(config, cache, rows, world), None
    graph = config.mining.read_graph(cache.recording_ids.tolist(), preparation=preparation)
    miner = config.mining.build(rate_hz=preparation.rate_hz, leads=preparation.leads, seed=config.seed, graph=graph)
    num_far = num_landmarks(config.objective)
    if num_far:
        miner.landmarks = _landmarks(config, cache, rows, miner, num_far)
    near = graph.positions(cache.recording_ids[rows].tolist(), num) if graph is not None and num else None
    return feed_of(config, cache, rows, world, miner=miner, neighbours=near), miner


def _landmarks(
    config: PretrainRun, cache: Cache, rows: npt.NDArray[np.int64], miner: BatchMiner, num: int
) -> Landmarks:
    """Draw landmarks from the training rows, the same on every rank; those without anything to compare are passed."""
    order = rows[permutation(len(rows), config.seed, epoch=0)]
    chosen, found = np.empty(0, np.int64), []
    for start in range(0, len(order), num):
        some = np.sort(order[start : start + num])
        compared = miner.compared.compared(np.asarray(cache.signals[some]), miner.rate_hz, miner.leads)
        there = comparable(compared)
        chosen = np.concatenate([chosen, some[there]])
        found.append(compared[there])
        if len(chosen) >= num:
            break
    if len(chosen) < num:
        raise UsageError(
            f"objective.num: {num} landmarks were asked for and the training split has {len(chosen)} recordings with "
            "anything to compare; take fewer"
        )
    ids = cache.recording_ids[chosen[:num]].tolist()
    return Landmarks(np.concatenate(found)[:num], ids, miner.distance, miner.threads)


def _validation(
    config: PretrainRun, cache: Cache, miner: BatchMiner | None, world: World
) -> Callable[[Learner], dict[str, float]] | None:
    """Mine batches of validation recordings once, and score the objective on them at each validation.

    Their triplets are kept in ``out/triplets.parquet``, to look at.
    """
    chunks = _validation_chunks(config, cache)
    batches: list[tuple[Tensor, GlobalBatch]] = []

    def batch_of(chunk: npt.NDArray[np.int64]) -> tuple[Tensor, GlobalBatch]:
        ids, patients = cache.recording_ids[chunk].tolist(), cache.patients[chunk].tolist()
        mined = None
        if miner is not None:
            mined = miner.mine(np.asarray(cache.signals[chunk]), np.arange(len(chunk)), ids, patients, 0)
        everyone = GlobalBatch.of(ids, patients, world.device, None if mined is None else mined.to(world.device))
        return recording_keys(ids).to(world.device), everyone

    def validate(learner: Learner) -> dict[str, float]:
        if not batches:
            batches.extend(batch_of(chunk) for chunk in chunks)
            if world.is_main and miner is not None:
                kept = keep([batch.mined for _, batch in batches if batch.mined is not None])
                write_triplets(kept, config.out / "triplets.parquet")
        losses = []
        for chunk, (keys, everyone) in zip(chunks, batches, strict=True):
            signals = torch.from_numpy(np.asarray(cache.signals[chunk])).to(world.device)
            loss, _ = learner.objective(learner.embed_views(signals, keys, epoch=0, step=0), everyone)
            losses.append(float(loss))
        return {"validation_loss": float(np.mean(losses))}

    return validate if chunks else None


def _validation_chunks(config: PretrainRun, cache: Cache) -> list[npt.NDArray[np.int64]]:
    """Cut the validation split into batches: side by side where it matters who sits beside whom, else in its order."""
    rows = cache.rows("validation")
    if not isinstance(config.batches, (PairBatches, PatientBatches)):
        chunks = [chunk for chunk in in_chunks(rows, config.batch_size) if len(chunk) >= MIN_CHUNK]
        return chunks[:MAX_VALIDATION_CHUNKS]
    try:
        order = config.batches.build(roster_of(cache, rows), config.batch_size, config.seed)
    except UsageError as error:
        log.warning("no validation: of its %d recordings no batch can be made: %s", len(rows), error)
        return []
    num = max(1, min(MAX_VALIDATION_CHUNKS, len(rows) // config.batch_size))
    return [rows[order.batch(step)] for step in range(num)]
