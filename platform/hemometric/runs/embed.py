"""Embedding: one row (recording id, vector) for every recording of a corpus, shard by shard."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated, Literal

import pyarrow as pa
from pydantic import Field

from hemometric.config import PLACEMENT
from hemometric.corpus import Split
from hemometric.ecg import Float32
from hemometric.encoders import Model, load
from hemometric.runs.base import Workers
from hemometric.runs.shardwise import Map, Shardwise, run_shardwise

SCHEMA = pa.schema([("recording_id", pa.string()), ("embedding", pa.list_(pa.float32()))])
"""Plain Arrow, so that any reader takes it; not an extension type that only one library knows."""


class ShardwiseRun(Workers):
    """What embedding and predicting share.

    Attributes
    ----------
    model, corpus, out : Path
        Folders of the model, the corpus, and what is written.
    splits : tuple or None
        None takes all.
    local_below : int
        Fewer recordings than this are done in this process where no cluster is open: starting one takes longer.
    """

    model: Annotated[Path, PLACEMENT]
    corpus: Annotated[Path, PLACEMENT]
    out: Annotated[Path, PLACEMENT]
    splits: tuple[Split, ...] | None = None
    local_below: Annotated[int, PLACEMENT] = Field(default=5000, ge=0)


class EmbedRun(ShardwiseRun):
    """One embedding run."""

    job: Literal["embed"] = "embed"


def embeddings_table(model: Model, recording_ids: list[str], signals: Float32) -> pa.Table:
    """Embed prepared signals [n, lead, sample] and give the rows to write."""
    z = model.embed_prepared(signals)
    flat = pa.array(z.reshape(-1), type=pa.float32())
    offsets = pa.array(range(0, z.size + 1, z.shape[1]), type=pa.int32())
    return pa.table([pa.array(recording_ids), pa.ListArray.from_arrays(offsets, flat)], schema=SCHEMA)


def run(config: EmbedRun) -> list[str]:
    """Embed in this process, without Ray; what is finished is not done again."""
    return embed(config, lambda: nullcontext(None))


def embed(config: EmbedRun, open_map: Callable[[], AbstractContextManager[Map | None]]) -> list[str]:
    """Embed; `open_map` gives what deals shards to workers, or None to do them here."""
    about = {"model": load(config.model).identity}  # its errors come before any worker starts
    job = Shardwise("embed", config.model, config.corpus, config.out, SCHEMA, embeddings_table, config.splits, about)
    return run_shardwise(job, open_map)
