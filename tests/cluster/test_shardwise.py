"""Embedding and predicting on Ray Data actors: the rows of the plain path, whatever is killed meanwhile."""

import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from hemometric.corpus import open_corpus
from hemometric.encoders import ResNet1dConfig, save
from hemometric.runs import embed as plain_embed
from hemometric.runs import predict as plain_predict
from hemometric.runs.shardwise import read_output
from hemometric.runtime import embed, predict
from hemometric.waveform import Preparation

pytestmark = pytest.mark.timeout(300)


def rows(out: Path) -> tuple[list[str], np.ndarray]:
    table = read_output(out).sort_by("recording_id")
    values = table.column(1).combine_chunks()
    flat = values.flatten() if pa.types.is_list(values.type) else values
    return table["recording_id"].to_pylist(), flat.to_numpy().reshape(table.num_rows, -1)


def assert_same_rows(out: Path, other: Path) -> None:
    (ids, values), (other_ids, other_values) = rows(out), rows(other)
    assert ids == other_ids
    np.testing.assert_allclose(values, other_values, rtol=0, atol=1e-5)


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that takes a while over each shard, so that a kill falls into the work."""
    torch.manual_seed(0)
    config = ResNet1dConfig(blocks=(2, 2, 2), widths=(32, 64, 128), embedding_dim=16)
    folder = tmp_path_factory.mktemp("wide") / "model"
    save(
        folder,
        encoder=config.build(12),
        encoder_config=config,
        preparation=Preparation(),
        task=None,
        provenance={},
        metrics={},
    )
    return folder


@pytest.fixture(scope="module")
def wide_rows(line: Any, wide: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the plain path embeds with it."""
    out = tmp_path_factory.mktemp("wide-rows") / "out"
    plain_embed.run(line.shardwise("embed", wide, out, workers=0))
    return out


def test_actors_embed_what_a_plain_loop_embeds(line: Any, two_cpus: object, encoder: Path, tmp_path: Path) -> None:
    embed.run(line.shardwise("embed", encoder, tmp_path / "ray"))
    plain_embed.run(line.shardwise("embed", encoder, tmp_path / "plain", workers=0))
    assert_same_rows(tmp_path / "ray", tmp_path / "plain")
    ids, values = rows(tmp_path / "ray")
    assert ids == sorted(open_corpus(line.labelled).table(columns=["recording_id"])["recording_id"].to_pylist())
    assert values.shape == (94, 8)
    assert read_output(tmp_path / "ray").schema.field("embedding").type == pa.list_(pa.float32())


def test_actors_predict_what_a_plain_loop_predicts(
    line: Any, two_cpus: object, estimator: Path, tmp_path: Path
) -> None:
    told = predict.run(line.shardwise("predict", estimator, tmp_path / "ray"))
    plain_predict.run(line.shardwise("predict", estimator, tmp_path / "plain", workers=0))
    assert_same_rows(tmp_path / "ray", tmp_path / "plain")
    _, values = rows(tmp_path / "ray")
    assert values.shape == (94, 1)
    assert "mmHg" in told[-1]
    # Done again, nothing is done.
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "ray").rglob("*.parquet")}
    predict.run(line.shardwise("predict", estimator, tmp_path / "ray"))
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "ray").rglob("*.parquet")} == before


def working(out: Path) -> int | None:
    """The process that is in the middle of a shard, which its temporary file names."""
    for path in out.rglob(".part-*.parquet.*.tmp"):
        return int(path.name.split(".")[-2].split("-")[0])
    return None


def test_a_killed_actor_is_replaced(
    line: Any, two_cpus: object, wide: Path, wide_rows: Path, tmp_path: Path, until: Callable[..., Any]
) -> None:
    out = tmp_path / "out"
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(embed.run, line.shardwise("embed", wide, out))
        killed = until(lambda: working(out), "a shard begins")
        os.kill(killed, signal.SIGKILL)
        assert not running.done()
        running.result(timeout=150)
    assert_same_rows(out, wide_rows)


def test_a_killed_driver_goes_on(
    line: Any, two_cpus: dict[str, str], wide: Path, wide_rows: Path, tmp_path: Path, start: Any, config_file: Any
) -> None:
    out = tmp_path / "out"
    job = ["jobs/embed.py", "--config", config_file(line.shardwise("embed", wide, out))]
    driver = start(*job, env=two_cpus)
    first = driver.until(lambda: list(out.rglob("_part-*.json")), "the first shard is done")[0]
    driver.kill()
    assert not (out / "_SUCCESS").exists()
    done_at = first.stat().st_mtime_ns

    start(*job, env=two_cpus).finish()
    assert first.stat().st_mtime_ns == done_at, "what was finished is not done again"
    assert_same_rows(out, wide_rows)
