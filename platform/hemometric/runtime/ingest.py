"""Ingest on Ray Data: units of files and shards are dealt to tasks; what each does is the same as without Ray."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hemometric.corpus.ingest import IngestPlan
from hemometric.errors import HemometricError
from hemometric.runs.ingest import IngestRun, Map, ingest
from hemometric.runtime.failures import translated, unwrapped
from hemometric.runtime.session import check_cpus, cluster_cpus, session


def run(config: IngestRun) -> list[str]:
    """Ingest on the open, the addressed or a private session; the same inputs twice are a no-op."""

    @contextmanager
    def open_map(_: IngestPlan) -> Iterator[Map]:
        with session():
            check_cpus(config.cpus_per_worker, cluster_cpus(), advice="take a smaller cpus_per_worker")
            yield lambda function, context, items: mapped(
                function, context, items, num_cpus=config.cpus_per_worker, concurrency=config.workers
            )

    return ingest(config, open_map)


def mapped(
    function: Callable[[Any, Any], Any], context: Any, items: Sequence[Any], *, num_cpus: float, concurrency: int
) -> Iterator[Any]:
    """Give ``function(context, item)`` of each item in the items' order, from Ray Data tasks.

    A task that dies with its node is run again; the functions skip what is already there.
    """
    if not items:
        return
    import ray
    import ray.data

    quiet()
    shared = ray.put((function, context))

    def work(row: dict[str, Any]) -> dict[str, Any]:
        call, given = ray.get(row["shared"][0])
        # Our own errors travel as values: Ray Data would wrap them, and print their whole traceback.
        try:
            return {"result": [call(given, row["item"][0])]}
        except HemometricError as error:
            return {"result": [error]}

    rows = [{"item": [item], "shared": [shared]} for item in items]
    dataset = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
        work, num_cpus=num_cpus, concurrency=min(concurrency, len(rows))
    )
    try:
        for row in dataset.iter_rows():
            yield unwrapped(row["result"][0])
    except HemometricError:
        raise
    except Exception as error:
        raise translated(error) from error


def quiet() -> None:
    """Keep Ray Data's own bars and logs from a person's terminal, and its results in the order of its inputs."""
    import logging

    import ray.data

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = True
    context.print_on_execution_start = False
    for name in ("ray.data", "ray.data._internal"):
        logging.getLogger(name).setLevel(logging.ERROR)
