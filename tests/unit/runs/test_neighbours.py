"""The neighbour graph equals brute force, whatever the candidates, blocks and kills, and sees no test patient."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hemometric.corpus import open_corpus
from hemometric.distances import DtwDistance
from hemometric.errors import DataRejectedError, IntegrityError, PrecheckError, UsageError
from hemometric.mining import MiningConfig, measure_hash
from hemometric.mining.neighbour_graph import read_graph
from hemometric.runs import embed, neighbour_archive, neighbour_search, neighbours, pretrain
from hemometric.runs.neighbour_search import nearest_embeddings
from hemometric.runs.shardwise import read_output
from hemometric.waveform import Preparation, prepare

K = 4
PREPARATION = {"rate_hz": 100, "duration_s": 4}


@pytest.fixture
def graph_of(line: Any) -> Callable[..., Any]:
    def make(out: Path, **fields: Any) -> Any:
        own = {"corpus": str(line.real), "out": str(out), "workers": 0, "preparation": PREPARATION, "k": K}
        own |= {"compared": {"kind": "whole", "rate_hz": 25}, "block_recordings": 40}
        return neighbours.NeighboursRun.model_validate_json(__import__("json").dumps(own | fields))

    return make


@pytest.fixture(scope="module")
def brute(line: Any) -> tuple[list[str], np.ndarray]:
    """Ids and all squared distances of the training split, straight from the definition."""
    corpus = open_corpus(line.real)
    rows = sorted(
        (fields["recording_id"], prepare(recording, Preparation(**PREPARATION)))
        for fields, recording in corpus.recordings(("train",))
    )
    compared = neighbours.WholeRecord(rate_hz=25).build()
    signals = compared(np.stack([signal for _, signal in rows]), 100, Preparation().leads)
    distances = DtwDistance().build().pairwise(signals, threads=1)
    np.fill_diagonal(distances, np.inf)
    return [name for name, _ in rows], distances


def table_of(out: Path) -> dict[str, list[tuple[str, float]]]:
    found: dict[str, list[tuple[str, float]]] = {}
    for row in pq.read_table(out / "neighbours.parquet").to_pylist():
        found.setdefault(row["recording_id"], []).append((row["neighbour_id"], row["distance"]))
        assert row["rank"] == len(found[row["recording_id"]])
    return found


def test_it_is_the_brute_force_s(graph_of: Any, brute: Any, tmp_path: Path) -> None:
    ids, distances = brute
    lines = neighbours.run(graph_of(tmp_path / "graph"))
    assert lines[0] == f"{K * len(ids)} neighbours of {len(ids)} recordings, exact"
    found = table_of(tmp_path / "graph")
    assert sorted(found) == ids
    for row, name in enumerate(ids):
        nearest = np.argsort(distances[row], kind="stable")[:K]
        assert [near for near, _ in found[name]] == [ids[place] for place in nearest]
        assert [d for _, d in found[name]] == distances[row, nearest].tolist()
    graph = read_graph(tmp_path / "graph" / "neighbours.parquet")
    assert graph.params_hash == measure_hash(
        Preparation(**PREPARATION), neighbours.WholeRecord(rate_hz=25), DtwDistance()
    )
    assert not list((tmp_path / "graph").glob(".work*"))


@pytest.mark.parametrize("num_blocks", [0, 1, 2])
def test_killed_and_run_again_it_has_the_same_bytes(
    graph_of: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_blocks: int
) -> None:
    neighbours.run(graph_of(tmp_path / "whole", block_recordings=7))
    done: list[Any] = []

    def cut_off(search: Any, block: Any) -> int:
        if len(done) == num_blocks:
            raise KeyboardInterrupt
        done.append(block)
        return search_block(search, block)

    search_block = neighbours.search_block
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(neighbours, "search_block", cut_off)
        neighbours.run(graph_of(tmp_path / "cut"))
    assert not (tmp_path / "cut" / "neighbours.parquet").exists()
    staged: list[Any] = []
    monkeypatch.setattr(neighbours, "search_block", lambda *given: staged.append(given) or search_block(*given))
    neighbours.run(graph_of(tmp_path / "cut"))
    whole, cut = (tmp_path / name / "neighbours.parquet" for name in ("whole", "cut"))
    assert pq.read_table(whole).equals(pq.read_table(cut))
    staged.clear()
    neighbours.run(graph_of(tmp_path / "cut"))
    assert staged == [], "a finished graph is a no-op"


@pytest.fixture
def cut_off(graph_of: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Interrupts a search at the first call of a function, and gives the folder of its work."""

    def cut(name: str) -> Path:
        def interrupt(*_: Any) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(neighbours, name, interrupt)
            neighbours.run(graph_of(tmp_path / "cut"))
        (folder,) = (tmp_path / "cut").glob(".work-*")
        return folder

    return cut


@pytest.mark.parametrize(
    ("stopped_at", "name"),
    [
        ("lay_archive", "staged-0.json"),
        ("lay_archive", "staged-main.npy"),
        ("lay_archive", "usable.npy"),
        ("_conclude", "block-0-40.parquet"),
    ],
)
@pytest.mark.parametrize("length", [0, 100])
def test_damaged_work_is_refused(
    graph_of: Any, cut_off: Any, tmp_path: Path, stopped_at: str, name: str, length: int
) -> None:
    path = cut_off(stopped_at) / name
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(IntegrityError, match=rf"{name} is missing or damaged .* remove .*\.work-"):
        neighbours.run(graph_of(tmp_path / "cut"))


def test_a_flipped_bit_of_a_block_is_seen(graph_of: Any, cut_off: Any, tmp_path: Path) -> None:
    path = cut_off("_conclude") / "block-0-40.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x40
    path.write_bytes(content)
    with pytest.raises(IntegrityError, match=r"block-0-40\.parquet is missing or damaged"):
        neighbours.run(graph_of(tmp_path / "cut"))


def test_killed_at_its_very_end_it_leaves_no_work_behind(
    graph_of: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda *_, **__: None)
        neighbours.run(graph_of(tmp_path / "graph"))
    assert list((tmp_path / "graph").glob(".work-*"))
    neighbours.run(graph_of(tmp_path / "graph"))
    assert not list((tmp_path / "graph").glob(".work-*"))


@pytest.mark.parametrize("name", ["staged-main.npy", "usable.npy"])
def test_a_lost_file_of_work_is_made_again(graph_of: Any, cut_off: Any, tmp_path: Path, name: str) -> None:
    (cut_off("lay_archive") / name).unlink()
    neighbours.run(graph_of(tmp_path / "cut"))
    neighbours.run(graph_of(tmp_path / "whole"))
    assert table_of(tmp_path / "cut") == table_of(tmp_path / "whole")


def test_room_is_asked_for_again_where_little_was_written(
    graph_of: Any, cut_off: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_off("stage_shard")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**6, 10**6, 0))
    with pytest.raises(PrecheckError, match="what is to be compared needs"):
        neighbours.run(graph_of(tmp_path / "cut"))


def test_many_coarse_candidates_give_the_exact_neighbours(graph_of: Any, tmp_path: Path) -> None:
    neighbours.run(graph_of(tmp_path / "exact"))
    coarse = {"kind": "coarse", "compared": {"kind": "whole", "rate_hz": 20}, "num": 60}
    lines = neighbours.run(graph_of(tmp_path / "coarse", candidates=coarse))
    assert lines[0].endswith("recordings, nearest among 60 candidates each")
    assert table_of(tmp_path / "coarse") == table_of(tmp_path / "exact")


def test_embeddings_propose_candidates(graph_of: Any, line: Any, encoder: Path, brute: Any, tmp_path: Path) -> None:
    embed.run(line.shardwise("embed", encoder, tmp_path / "z", workers=0, corpus=line.real))
    candidates = {"kind": "embeddings", "embeddings": str(tmp_path / "z"), "num": 103}
    neighbours.run(graph_of(tmp_path / "all", candidates=candidates))
    neighbours.run(graph_of(tmp_path / "exact"))
    assert table_of(tmp_path / "all") == table_of(tmp_path / "exact")
    ids, distances = brute
    table = read_output(tmp_path / "z")
    z = dict(zip(table["recording_id"].to_pylist(), np.stack(table["embedding"].to_numpy()), strict=True))
    for normalised in (True, False):
        out = tmp_path / f"few-{normalised}"
        neighbours.run(graph_of(out, candidates=candidates | {"num": K, "normalised": normalised}))
        rows = np.stack([z[name] / np.linalg.norm(z[name]) if normalised else z[name] for name in ids])
        for name, near in table_of(out).items():
            assert [d for _, d in near] == [distances[ids.index(name), ids.index(other)] for other, _ in near]
            gaps = np.linalg.norm(rows - rows[ids.index(name)], axis=1)
            gaps[ids.index(name)] = np.inf
            assert {other for other, _ in near} == {ids[n] for n in np.argsort(gaps)[:K]}
    with pytest.raises(UsageError, match="holds no finished output of hemometric embed"):
        neighbours.run(graph_of(tmp_path / "x", candidates=candidates | {"embeddings": str(tmp_path)}))


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [("embedding", np.nan, "holds NaN or infinity"), ("p_high", 0.5, "is no output of hemometric embed")],
)
def test_candidates_that_are_no_embeddings_are_refused(
    graph_of: Any, brute: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, column: str, value: float, message: str
) -> None:
    table = pa.table({"recording_id": brute[0], column: [[value, 1.0]] * len(brute[0])})
    monkeypatch.setattr(neighbour_search, "read_output", lambda _: table)
    (tmp_path / "_summary.json").write_text("{}")
    candidates = {"kind": "embeddings", "embeddings": str(tmp_path), "num": K}
    with pytest.raises(UsageError, match=rf"candidates\.embeddings: .* {message}"):
        neighbours.run(graph_of(tmp_path / "graph", candidates=candidates))


@pytest.mark.parametrize("rows", [65536, 100, 7])
@pytest.mark.parametrize("num", [1, 6, 150, 299])
def test_nearest_embeddings_are_those_of_a_sort(monkeypatch: pytest.MonkeyPatch, rows: int, num: int) -> None:
    monkeypatch.setattr(neighbour_search, "_ARCHIVE_ROWS", rows)
    z = np.random.default_rng(0).integers(0, 3, (300, 4)).astype(np.float32)  # with many ties
    queries = np.array([3, 49, 120, 299])
    gaps = np.square(z[queries][:, None] - z[None]).sum(axis=2)
    gaps[np.arange(len(queries)), queries] = np.inf
    assert np.array_equal(nearest_embeddings(z, queries, num), np.argsort(gaps, axis=1, kind="stable")[:, :num])


def test_what_has_no_beat_is_counted_and_left_out(graph_of: Any, tmp_path: Path) -> None:
    beats = {"kind": "median_beat", "rate_hz": 100, "min_beats": 5}
    lines = neighbours.run(graph_of(tmp_path / "graph", compared=beats))
    found = table_of(tmp_path / "graph")
    left_out = int(lines[1].removeprefix("left out: nothing_to_compare "))
    assert 0 < left_out == 102 - len(found)
    assert all(near in found for nears in found.values() for near, _ in nears)


@pytest.mark.parametrize("num", [0, 1])
@pytest.mark.parametrize("distance", ["dtw", "euclidean"])
def test_who_is_alone_has_no_neighbours(
    graph_of: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num: int, distance: str
) -> None:
    few = iter([True] * num)
    monkeypatch.setattr(
        neighbour_archive, "comparable", lambda compared: np.array([next(few, False) for _ in compared])
    )
    with pytest.raises(DataRejectedError, match=f"{num} recordings .* fewer than two .nothing_to_compare {102 - num}"):
        neighbours.run(graph_of(tmp_path / "graph", distance={"kind": distance}))


def test_the_folder_belongs_to_one_graph(graph_of: Any, tmp_path: Path) -> None:
    neighbours.run(graph_of(tmp_path / "graph"))
    with pytest.raises(UsageError, match="holds the neighbours of another config or corpus"):
        neighbours.run(graph_of(tmp_path / "graph", k=2))
    path = tmp_path / "graph" / "neighbours.parquet"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(IntegrityError, match=r"neighbours\.parquet is missing or damaged"):
        neighbours.run(graph_of(tmp_path / "graph"))


def test_too_few_candidates_are_refused_by_the_config(graph_of: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"candidates\.num is 3, fewer than the k = 4"):
        graph_of(tmp_path, candidates={"kind": "coarse", "num": 3})


def test_pretraining_meets_its_neighbours(graph_of: Any, line: Any, tmp_path: Path) -> None:
    neighbours.run(graph_of(tmp_path / "graph"))
    mining = {
        "compared": {"kind": "whole", "rate_hz": 25},
        "miner": {"kind": "nearest", "positives": {"kind": "graph", "k": K}},
        "graph": {"path": str(tmp_path / "graph" / "neighbours.parquet")},
    }
    assert MiningConfig.model_validate(mining | {"graph": {"path": tmp_path}}).miner.wants_graph
    fields = {"mining": mining, "batches": {"kind": "neighbours", "k": K}, "workers": 0, "num_steps": 4}
    config = line.pretrain(tmp_path / "run", **fields)
    pretrain.run(config)
    corpus, cache = pretrain.open_cache(config)
    feed, _ = pretrain.mining_feed(config, cache, cache.rows("train"), pretrain.World())
    batch = feed.batch(0)
    assert batch.mined is not None
    near = table_of(tmp_path / "graph")
    pairs = zip(batch.recording_ids[::2], batch.recording_ids[1::2], strict=True)
    assert all(partner in [name for name, _ in near[anchor]] for anchor, partner in pairs)
    assert batch.mined.fallbacks["graph"] <= len(batch.recording_ids) // 2
    assert corpus.hash
