"""Predicting: one row (recording id, estimate) for every recording of a corpus, shard by shard."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import pyarrow as pa

from hemometric.ecg import Float32
from hemometric.encoders import Model, load
from hemometric.errors import UsageError
from hemometric.runs.embed import ShardwiseRun
from hemometric.runs.shardwise import Map, Shardwise, run_shardwise

SCHEMA = pa.schema([("recording_id", pa.string()), ("estimate", pa.float32())])


class PredictRun(ShardwiseRun):
    """One prediction run."""

    job: Literal["predict"] = "predict"


def estimates_table(model: Model, recording_ids: list[str], signals: Float32) -> pa.Table:
    """Estimate from prepared signals [n, lead, sample] and give the rows to write."""
    return pa.table([pa.array(recording_ids), pa.array(model.predict_prepared(signals))], schema=SCHEMA)


def run(config: PredictRun) -> list[str]:
    """Predict in this process, without Ray; what is finished is not done again."""
    return predict(config, lambda: nullcontext(None))


def predict(config: PredictRun, open_map: Callable[[], AbstractContextManager[Map | None]]) -> list[str]:
    """Predict; `open_map` gives what deals shards to workers, or None to do them here.

    Raises
    ------
    UsageError
        The model has no head.
    """
    model = load(config.model)
    task = model.task
    if task is None:
        raise UsageError(f"model {config.model} has no head; fine-tune or tune one: hemometric finetune --help")
    about = {"model": model.identity, "label": task.label, "unit": task.estimate_unit, "meaning": task.meaning}
    job = Shardwise("predict", config.model, config.corpus, config.out, SCHEMA, estimates_table, config.splits, about)
    return [*run_shardwise(job, open_map), f"estimate: {task.meaning}"]
