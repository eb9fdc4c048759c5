"""Triplets by recording id: they find their recordings anywhere, and refuse others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from hemometric.distances import EuclideanDistance
from hemometric.ecg import LEADS
from hemometric.errors import IntegrityError
from hemometric.mining import BatchMiner, Mined, MiningConfig, keep, read_triplets, write_triplets

IDS = [f"r{i}" for i in range(12)]


def miner(seed: int = 3) -> BatchMiner:
    return MiningConfig(distance=EuclideanDistance()).build(rate_hz=100, leads=LEADS, seed=seed)


def mined(order: list[int], seed: int = 3) -> Mined:
    signals = np.random.default_rng(0).normal(size=(12, 12, 30)).astype(np.float32)
    names = [IDS[i] for i in order]
    return miner(seed).mine(signals[order], np.arange(len(order)), names, names, 0)


def test_they_name_recordings_and_distances() -> None:
    found = mined(list(range(12)))
    kept = keep([found])
    assert kept.params_hash == found.params_hash == miner().params_hash != miner(4).params_hash
    for row, (a, p, n) in enumerate(zip(*(part.tolist() for part in found.as_tuple()), strict=True)):
        assert (kept.anchors[row], kept.positives[row], kept.negatives[row]) == (IDS[a], IDS[p], IDS[n])
        assert kept.positive_distances[row] == pytest.approx(float(found.distances[a, p]))
        assert kept.negative_distances[row] == pytest.approx(float(found.distances[a, n]))


def test_in_a_shuffled_batch_they_are_what_would_be_mined_there() -> None:
    order = np.random.default_rng(1).permutation(12).tolist()
    shuffled = mined(order)
    positions = keep([mined(list(range(12)))]).positions(shuffled.recording_ids, shuffled.params_hash)
    by_anchor = [torch.stack(part)[:, part[0].argsort()] for part in (positions, shuffled.as_tuple())]
    assert torch.equal(*by_anchor)


def test_other_recordings_or_parameters_are_refused() -> None:
    kept = keep([mined(list(range(12)))])
    with pytest.raises(IntegrityError, match=f"mined by {kept.params_hash} cannot serve a run of abcd"):
        kept.positions(IDS, "abcd")
    with pytest.raises(IntegrityError, match=r"2 recordings that are not in the batch \(such as r10\)"):
        kept.positions(IDS[:10], kept.params_hash)
    with pytest.raises(ValueError, match="cannot be kept as one"):
        keep([mined(list(range(12))), mined(list(range(12)), seed=4)])


def test_a_file_gives_them_back(tmp_path: Path) -> None:
    path = tmp_path / "triplets.parquet"
    kept = keep([mined([0, 1, 2, 3]), mined([4, 5, 6, 7, 8])])
    write_triplets(kept, path)
    assert read_triplets(path) == kept
    assert list(tmp_path.iterdir()) == [path]
    assert pq.read_table(path).to_pylist()[0]["anchor_id"] == kept.anchors[0]
    nothing = keep([mined([0])])
    assert nothing.anchors == ()
    write_triplets(nothing, path)
    assert read_triplets(path) == nothing
    assert keep([]).params_hash == ""


def test_what_is_no_table_of_triplets_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "triplets.parquet"
    with pytest.raises(IntegrityError, match="cannot be read"):
        read_triplets(path)
    kept = keep([mined([0, 1, 2, 3])])
    write_triplets(kept, path)
    table = pq.read_table(path)
    pq.write_table(table.drop_columns(["anchor_id"]), path)
    with pytest.raises(IntegrityError, match="no table of triplets"):
        read_triplets(path)
    mixed = pa.array(["x"] + ["y"] * (len(table) - 1))
    pq.write_table(table.set_column(5, table.schema.field("params_hash"), mixed), path)
    with pytest.raises(IntegrityError, match="several parameters"):
        read_triplets(path)


def test_moving_mined_triplets_keeps_whose_they_are() -> None:
    found = replace(mined(list(range(12))), fallbacks={"graph": 2})
    moved = found.to("meta")
    assert (moved.recording_ids, moved.params_hash, moved.fallbacks) == (tuple(IDS), found.params_hash, {"graph": 2})
