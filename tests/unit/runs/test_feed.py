"""Batches of a rank: its own rows of a global batch that is the same for every world."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hemometric.batches import RandomBatches, Roster
from hemometric.corpus import Cache, lay_cache, open_corpus
from hemometric.errors import UsageError
from hemometric.learning import World
from hemometric.runs.feed import Feed, _is_timed, in_chunks
from hemometric.runs.training import feed_of
from hemometric.waveform import Preparation, prepare


@pytest.fixture(scope="module")
def cache(line: Any, tmp_path_factory: pytest.TempPathFactory) -> Cache:
    folder: Path = tmp_path_factory.mktemp("cache")
    return lay_cache(open_corpus(line.labelled), Preparation(duration_s=2.0), ("train",), folder)


def feed(cache: Cache, rank: int = 0, size: int = 1) -> Feed:
    rows = cache.rows("train")
    targets = cache.column("mpcwp_mmhg")[rows].astype(np.float32)
    order = RandomBatches().build(Roster(patients=rows), 8, 3)
    return Feed(cache=cache, rows=rows, order=order, num_steps=6, world=World(rank, size), targets=targets)


def test_signals_ids_and_targets_belong_together(line: Any, cache: Cache) -> None:
    held = {row["recording_id"]: (row, r) for row, r in open_corpus(line.labelled).recordings(["train"])}
    batch = feed(cache).batch(2)
    assert len(set(batch.recording_ids)) == 8
    for n, name in enumerate(batch.recording_ids):
        row, recording = held[name]
        assert batch.patients[n] == row["patient"]
        assert batch.targets is not None
        assert batch.targets[n] == pytest.approx(row["label.mpcwp_mmhg"])
        np.testing.assert_array_equal(batch.signals[n], prepare(recording, Preparation(duration_s=2.0)))


@pytest.mark.parametrize("size", [2, 4, 8])
def test_the_world_only_deals_it_out(cache: Cache, size: int) -> None:
    for step in (0, 5, 11):  # the last lies in another epoch
        whole = feed(cache).batch(step)
        parts = [feed(cache, rank, size).batch(step) for rank in range(size)]
        for rank, part in enumerate(parts):
            assert part.recording_ids == whole.recording_ids
            assert part.epoch == whole.epoch
            assert torch.equal(part.positions, torch.arange(rank, 8, size))
            assert torch.equal(part.signals, whole.signals[part.positions])
            assert torch.equal(part.keys, whole.keys[part.positions])
            assert part.targets is not None
            assert whole.targets is not None
            assert torch.equal(part.targets, whole.targets[part.positions])


@pytest.mark.parametrize(
    "batches",
    [
        {"kind": "random"},
        {"kind": "patients", "recordings_per_patient": 2},
        {"kind": "participant_balanced"},
        {"kind": "label_balanced", "edges": [12, 18]},
        {"kind": "site"},
        {"kind": "pairs"},
    ],
    ids=lambda batches: batches["kind"],
)
def test_orders_know_of_the_cache_what_they_need(line: Any, cache: Cache, tmp_path: Path, batches: Any) -> None:
    config = line.finetune(tmp_path, batches=batches)
    rows = cache.rows("train")[::-1]  # of any rows that a run picks
    targets = cache.column("mpcwp_mmhg")[rows].astype(np.float32)
    made = feed_of(config, cache, rows, World(), targets=targets)
    sites = dict(zip(cache.recording_ids.tolist(), cache.column("site").tolist(), strict=True))
    for batch in map(made.batch, range(40)):
        patients = batch.patients
        assert batch.targets is not None
        if batches["kind"] in {"patients", "pairs"}:
            assert patients[::2] == patients[1::2]
        if batches["kind"] == "pairs":
            assert all(a != b for a, b in zip(batch.recording_ids[::2], batch.recording_ids[1::2], strict=True))
        if batches["kind"] == "site":
            assert len({sites[name] for name in batch.recording_ids}) == 1
        if batches["kind"] == "label_balanced":
            assert set(np.bincount(np.digitize(batch.targets, [12, 18], right=True)).tolist()) == {2, 3}
    assert sum(made.order.left_out.values()) < len(rows)


def test_times_are_those_of_the_cache(line: Any, tmp_path: Path) -> None:
    real = lay_cache(open_corpus(line.real), Preparation(duration_s=2.0), ("train",), tmp_path)
    rows = real.rows("train")
    num = {}
    for limits in ({}, {"max_gap_days": 3}, {"min_gap_days": 3}):
        batches = {"kind": "pairs", **limits}
        made = feed_of(line.pretrain(tmp_path, batches=batches, batch_size=2), real, rows, World())
        num[tuple(limits)] = len(rows) - sum(made.order.left_out.values())
        pair = real.acquired[made.rows[made.order.batch(0)]]
        days = abs(pair[0] - pair[1]) / np.timedelta64(1, "D")
        assert limits.get("min_gap_days", 0) <= days <= limits.get("max_gap_days", np.inf)
    assert num[()] > max(num["max_gap_days",], num["min_gap_days",])


def test_times_that_the_corpus_lacks_are_one_sentence(line: Any, cache: Cache, tmp_path: Path) -> None:
    config = line.finetune(tmp_path, batches={"kind": "pairs", "min_gap_days": 1})
    assert np.isnat(cache.acquired).all()
    with pytest.raises(UsageError, match="need times of acquisition, and no recording has one"):
        feed_of(config, cache, cache.rows("train"), World())


def test_batches_begin_anywhere_and_end_at_the_last_step(cache: Cache) -> None:
    with feed(cache)(3) as batches:
        steps = [batch.step for batch in batches]
    assert steps == [3, 4, 5]


def test_now_and_then_a_step_has_the_cores_to_itself(cache: Cache) -> None:
    timed = [step for step in range(200) if _is_timed(step)]
    assert timed == [8, 58, 108, 158]
    with feed(cache)(0) as batches:
        assert not any(batches._quiet(step) for step in range(6))


def test_chunks_hold_every_row_once() -> None:
    chunks = list(in_chunks(np.arange(10), 4))
    assert [chunk.tolist() for chunk in chunks] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
