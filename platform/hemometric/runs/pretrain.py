"""Pretraining: an encoder that places ECGs as their mined distances say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
import torch
from pydantic import model_validator

from hemometric.corpus import Cache
from hemometric.encoders import EncoderConfig, ResNet1dConfig, save
from hemometric.learning import Learner, World
from hemometric.mining import BatchMiner, Mined, MiningConfig, keep, write_triplets
from hemometric.objectives import PretrainObjectiveConfig, TripletObjective
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
    run_identity,
)
from hemometric.runs.training_run import TrainingRun, run_folder
from hemometric.runs.words import finished_already

MAX_VALIDATION_CHUNKS = 8
"""Batches of validation recordings that are mined once and scored at each validation."""


class PretrainRun(TrainingRun):
    """One pretraining run: what is compared and mined, what the loss is, which encoder learns."""

    job: Literal["pretrain"] = "pretrain"
    encoder: EncoderConfig = ResNet1dConfig()
    mining: MiningConfig = MiningConfig()
    objective: PretrainObjectiveConfig = TripletObjective()

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
    miner.warm_up()
    learner = Learner(encoder, config.objective.build(), seed=config.seed, mined_by=miner.params_hash)
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


def mining_feed(
    config: PretrainRun,
    cache: Cache,
    rows: npt.NDArray[np.int64],
    world: World,
) -> tuple[Feed, BatchMiner]:
    """Give a run's mined batches of `rows`, and their miner.

    Of a neighbour graph they see what lies between the cache's recordings.

    Raises
    ------
    UsageError, IntegrityError
        See `MiningConfig.read_graph`.
    """
    preparation, num = config.preparation, config.batches.num_neighbours
    graph = config.mining.read_graph(cache.recording_ids.tolist(), preparation=preparation)
    miner = config.mining.build(rate_hz=preparation.rate_hz, leads=preparation.leads, seed=config.seed, graph=graph)
    near = graph.positions(cache.recording_ids[rows].tolist(), num) if graph is not None and num else None
    return feed_of(config, cache, rows, world, miner=miner, neighbours=near), miner


def _validation(
    config: PretrainRun, cache: Cache, miner: BatchMiner, world: World
) -> Callable[[Learner], dict[str, float]] | None:
    """Mine batches of validation recordings once, and score the objective on them at each validation.

    Their triplets are kept in ``out/triplets.parquet``, to look at.
    """
    chunks = [chunk for chunk in in_chunks(cache.rows("validation"), config.batch_size) if len(chunk) >= 3]
    chunks = chunks[:MAX_VALIDATION_CHUNKS]
    mined: list[Mined] = []

    def mine(chunk: npt.NDArray[np.int64]) -> Mined:
        ids, patients = cache.recording_ids[chunk].tolist(), cache.patients[chunk].tolist()
        return miner.mine(np.asarray(cache.signals[chunk]), np.arange(len(chunk)), ids, patients, 0)

    def validate(learner: Learner) -> dict[str, float]:
        if not mined:
            mined.extend(mine(chunk) for chunk in chunks)
            if world.is_main:
                write_triplets(keep(mined), config.out / "triplets.parquet")
        losses = []
        for index, chunk in enumerate(chunks):
            signals = np.asarray(cache.signals[chunk])
            device = next(learner.parameters()).device
            z = torch.from_numpy(learner.embed(signals)).to(device)
            loss, _ = learner.objective(z, mined[index].to(device))
            losses.append(float(loss))
        return {"validation_loss": float(np.mean(losses))}

    return validate if chunks else None
