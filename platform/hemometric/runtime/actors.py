"""A model over a whole corpus on Ray Data: actors that hold the model, one row of the dataset a shard."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from hemometric.corpus import open_corpus
from hemometric.errors import HemometricError
from hemometric.runs.embed import ShardwiseRun
from hemometric.runs.shard_notes import Done
from hemometric.runs.shardwise import Map, Shardwise, do_shard
from hemometric.runtime.failures import translated, unwrapped
from hemometric.runtime.ingest import quiet
from hemometric.runtime.session import check_cpus, cluster_cpus, cluster_gpus, cluster_is_there, needed_cpus, session


def _actor(job: Shardwise, num_threads: int) -> type:
    """Make the class of actors that hold a job; constructor arguments would be lost where an actor starts again."""

    class ShardActor:
        """The model is opened with the first shard and kept."""

        def __init__(self) -> None:
            import torch

            torch.set_num_threads(num_threads)

        def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
            done: list[Done | HemometricError] = []
            for path in batch["shard"]:
                # Our own errors travel as values: Ray Data would wrap them, and print their whole traceback.
                try:
                    done.append(do_shard(job, str(path)))
                except HemometricError as error:
                    done.append(error)
            return {"done": done}

    return ShardActor


def on_actors(config: ShardwiseRun) -> Callable[[], AbstractContextManager[Map | None]]:
    """Give what opens a session and deals shards to ``config.workers`` actors, or to nobody where they are few."""

    @contextmanager
    def open_map() -> Iterator[Map | None]:
        num_recordings = sum(shard.num_rows for shard in open_corpus(config.corpus).shards(config.splits))
        if num_recordings < config.local_below and not cluster_is_there():
            yield None
            return
        with session():
            needed = needed_cpus(workers=config.workers, cpus_per_worker=config.cpus_per_worker)
            check_cpus(needed, cluster_cpus(), advice="take fewer workers, or a smaller cpus_per_worker")
            yield lambda job, shards: _dealt(job, shards, config)

    return open_map


def _dealt(job: Shardwise, shards: Sequence[str], config: ShardwiseRun) -> Iterator[Done]:
    import ray.data
    from ray.data import ActorPoolStrategy

    quiet()
    gpus = config.gpus_per_worker
    if gpus is None:
        gpus = 1.0 if cluster_gpus() >= config.workers else 0.0
    dataset = ray.data.from_items([{"shard": path} for path in shards], override_num_blocks=len(shards)).map_batches(
        _actor(job, max(1, int(config.cpus_per_worker))),
        batch_size=1,
        compute=ActorPoolStrategy(size=min(config.workers, len(shards))),
        num_cpus=config.cpus_per_worker,
        num_gpus=gpus or None,
    )
    try:
        for row in dataset.iter_rows():
            yield unwrapped(row["done"])
    except HemometricError:
        raise
    except Exception as error:
        raise translated(error) from error
