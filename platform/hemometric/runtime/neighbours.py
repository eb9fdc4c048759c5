"""The neighbour graph on Ray Data: shards are laid out and blocks searched by tasks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from hemometric.runs.ingest import Map
from hemometric.runs.neighbours import NeighboursRun, neighbours
from hemometric.runtime.ingest import mapped
from hemometric.runtime.session import check_cpus, cluster_cpus, session


def run(config: NeighboursRun) -> list[str]:
    """Build the graph on the open, the addressed or a private session; a finished one is a no-op."""

    @contextmanager
    def open_map() -> Iterator[Map]:
        with session():
            check_cpus(config.cpus_per_worker, cluster_cpus(), advice="take a smaller cpus_per_worker")
            yield lambda function, context, items: mapped(
                function, context, items, num_cpus=config.cpus_per_worker, concurrency=config.workers
            )

    return neighbours(config, open_map)
