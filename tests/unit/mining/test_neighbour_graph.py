"""Tables of neighbours: what is read of them, what is left out, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hemometric.config import decode, fingerprint
from hemometric.distances import DtwDistance, EuclideanDistance
from hemometric.ecg import LEADS
from hemometric.errors import IntegrityError, UsageError
from hemometric.mining import GraphConfig, MiningConfig, NeighbourGraph, WholeRecord, configs, measure_hash, read_graph
from hemometric.waveform import Preparation

Row = tuple[str, str, int, float]
PREPARATION = Preparation()
ROWS: list[Row] = [
    ("b", "a", 1, 1.0),
    ("b", "c", 2, 2.5),
    ("b", "dé", 3, 2.5),
    ("a", "c", 2, 4.0),
    ("a", "b", 1, 1.0),
    ("c", "b", 1, 2.5),
]


def write(path: Path, rows: list[Row], params_hash: str | list[str] = "0123456789abcdef", **replaced: Any) -> Path:
    names = ("recording_id", "neighbour_id", "rank", "distance")
    columns: dict[str, Any] = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    columns["rank"] = pa.array(columns["rank"], pa.int32())
    columns["distance"] = pa.array(columns["distance"], pa.float32())
    columns["params_hash"] = [params_hash] * len(rows) if isinstance(params_hash, str) else params_hash
    pq.write_table(pa.table({k: v for k, v in (columns | replaced).items() if v is not None}), path)
    return path


def listed(graph: NeighbourGraph, name: str, num: int = 9) -> list[str]:
    (node,) = graph.nodes([name])
    return [graph.names[end].decode() for end in graph.neighbours(node, num)]


def test_neighbours_come_in_the_order_of_their_ranks(tmp_path: Path) -> None:
    graph = read_graph(write(tmp_path / "graph.parquet", ROWS))
    assert listed(graph, "b") == ["a", "c", "dé"]
    assert listed(graph, "b", 2) == ["a", "c"]
    assert listed(graph, "a") == ["b", "c"]
    assert listed(graph, "dé") == []
    assert listed(graph, "unknown") == []
    assert graph.params_hash == "0123456789abcdef"
    np.testing.assert_array_equal(graph.distances_to(["b", "dé", "a", "x", "c"], 2), [2.5, np.nan, 4.0, np.nan, np.nan])
    np.testing.assert_array_equal(graph.distances_to(["c"], 1), [2.5])


def test_a_folder_of_tables_is_one(tmp_path: Path) -> None:
    folder = tmp_path / "graph"
    folder.mkdir()
    write(folder / "0.parquet", ROWS[3:])
    write(folder / "1.parquet", ROWS[:3])
    whole = read_graph(write(tmp_path / "graph.parquet", ROWS))
    parts = read_graph(folder)
    for name in ("names", "starts", "ends", "distances"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))


def test_only_edges_between_the_recordings_that_were_asked_for(tmp_path: Path) -> None:
    graph = read_graph(write(tmp_path / "graph.parquet", ROWS), ["a", "b", "z", "dé"])
    assert listed(graph, "b") == ["a", "dé"]
    assert listed(graph, "a") == ["b"]
    assert graph.distances_to(["b"], 2).tolist() == [2.5]
    assert listed(graph, "c") == listed(graph, "z") == []
    nobody = read_graph(tmp_path / "graph.parquet", [])
    assert nobody.nodes(["a"]).tolist() == [-1]
    assert np.isnan(nobody.distances_to(["a"], 1)).all()


@pytest.mark.parametrize(
    ("rows", "replaced", "message"),
    [
        (ROWS, {"distance": pa.array([1.0, 2.5, np.nan, 4, 1, 2.5])}, "negative or not finite"),
        (ROWS, {"distance": pa.array([1.0, 2.5, -2.5, 4, 1, 2.5])}, "negative or not finite"),
        (ROWS, {"distance": pa.array([1.0, 2.5, 1e300, 4, 1, 2.5])}, "negative or not finite"),
        (ROWS, {"recording_id": ["b", None, "b", "a", "a", "c"]}, "cannot be read.*missing"),
        (ROWS, {"params_hash": ["x"] * 5 + [None]}, "cannot be read.*missing"),
        (ROWS, {"params_hash": ["x"] * 5 + ["y"]}, "2 different values of params_hash"),
        ([*ROWS, ("c", "c", 2, 9.0)], {}, "own neighbour"),
        ([*ROWS, ("c", "b", 2, 9.0)], {}, "one neighbour twice"),
        ([*ROWS, ("c", "a", 2, 1.0)], {}, "do not follow its distances"),
    ],
)
def test_a_damaged_table_is_refused(tmp_path: Path, rows: list[Row], replaced: dict[str, Any], message: str) -> None:
    with pytest.raises(IntegrityError, match=message):
        read_graph(write(tmp_path / "graph.parquet", rows, **replaced))


def test_what_is_no_table_of_neighbours_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no table"):
        read_graph(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="lacks rank"):
        read_graph(write(tmp_path / "graph.parquet", ROWS, rank=None))
    with pytest.raises(UsageError, match="lacks distance, or has another type"):
        read_graph(write(tmp_path / "graph.parquet", ROWS, distance=["near"] * 6))
    (tmp_path / "text.parquet").write_text("no Parquet")
    with pytest.raises(IntegrityError, match="cannot be read"):
        read_graph(tmp_path / "text.parquet")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="lacks recording_id"):
        read_graph(tmp_path / "empty")


def mining(path: Path, *overrides: str, **miner: Any) -> MiningConfig:
    data = {
        "compared": {"kind": "whole", "rate_hz": 50},
        "miner": {"kind": "nearest", **miner},
        "graph": {"path": str(path)},
    }
    return decode(MiningConfig, data, overrides)


def test_another_hash_than_the_config_asks_for_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "graph.parquet", ROWS, params_hash="aaaa")
    assert GraphConfig(path=path, params_hash="aaaa").read().params_hash == "aaaa"
    with pytest.raises(UsageError, match="was computed by aaaa"):
        GraphConfig(path=path, params_hash="bbbb").read()
    assert GraphConfig(path=path).read_hash() == "aaaa"
    assert len(GraphConfig(path=path).read(["a", "b"]).ends) == 2
    with pytest.raises(UsageError, match="no two neighbours among the recordings of this run"):
        GraphConfig(path=path).read(["x", "y"])
    with pytest.raises(UsageError, match="there is no table"):
        GraphConfig(path=tmp_path / "nowhere").read_hash()


def test_scales_of_another_distance_are_taken_only_when_asked_for_by_hash(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = measure_hash(PREPARATION, WholeRecord(rate_hz=50), DtwDistance())
    assert own != measure_hash(PREPARATION, WholeRecord(rate_hz=50), EuclideanDistance())
    assert own != measure_hash(PREPARATION, WholeRecord(rate_hz=100), DtwDistance())
    assert own != measure_hash(Preparation(duration_s=5), WholeRecord(rate_hz=50), DtwDistance())
    own_path = write(tmp_path / "own.parquet", ROWS, params_hash=own)
    graph = mining(own_path, scaling="archive").read_graph(["a", "b"], preparation=PREPARATION)
    assert graph is not None
    assert listed(graph, "b") == ["a"]
    other = write(tmp_path / "other.parquet", ROWS, params_hash="other")
    assert mining(other, positives={"kind": "graph"}).read_graph(preparation=PREPARATION) is not None
    remedy = "build the graph by `hemometric neighbours` with this run's preparation, mining.compared and mining.dist"
    with pytest.raises(UsageError, match=rf"other, and this run mines by {own}: .*; {remedy}.*params_hash to other"):
        mining(other, scaling="archive").read_graph(preparation=PREPARATION)
    pinned = mining(own_path, f"graph.params_hash={own}", scaling="archive")
    assert pinned.read_graph(preparation=PREPARATION) is not None
    drawing = mining(other, "graph.params_hash=other", positives={"kind": "graph"})
    assert drawing.read_graph(preparation=PREPARATION) is not None, "positives may be of another distance"
    assert not caplog.messages
    configs._warn_once.cache_clear()
    for _ in range(2):
        taken = mining(other, "graph.params_hash=other", scaling="archive")
        assert taken.read_graph(preparation=PREPARATION) is not None
    (told,) = caplog.messages
    assert told.endswith(f"mines by {own}: its scales, taken all the same, are those of another distance")
    fine = mining(other, "refine={compared: {kind: whole, rate_hz: 100}}", scaling="archive")
    assert fine.refine is not None
    finely = measure_hash(PREPARATION, WholeRecord(rate_hz=100), DtwDistance())
    write(tmp_path / "other.parquet", ROWS, params_hash=finely)
    assert fine.read_graph(preparation=PREPARATION) is not None


def test_a_graph_is_where_it_is_wanted(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"set mining\.graph\.path"):
        decode(MiningConfig, {"miner": {"kind": "nearest", "scaling": "archive"}})


def test_neighbours_are_positions_among_those_that_are_asked_for(tmp_path: Path) -> None:
    graph = mining(write(tmp_path / "table", ROWS), positives={"kind": "graph"}).read_graph(preparation=PREPARATION)
    assert graph is not None
    ids = [name.decode() for name in graph.names]
    edges = {
        name: [ids[end] for end in graph.ends[graph.starts[node] : graph.starts[node + 1]]]
        for node, name in enumerate(ids)
    }
    for some in (ids, ids[::-1], ids[1:], [*ids[:2], "stranger"]):
        found = graph.positions(some, 2)
        assert found.shape == (len(some), 2)
        for name, row in zip(some, found.tolist(), strict=True):
            wanted = [some.index(near) for near in edges.get(name, []) if near in some][:2]
            assert row == wanted + [-1] * (2 - len(wanted))


def test_what_was_mined_knows_the_graph_by_its_hash_and_not_by_its_place(tmp_path: Path) -> None:
    def hash_of(params_hash: str, place: str, seed: int = 0) -> str:
        config = mining(write(tmp_path / place, ROWS, params_hash=params_hash), positives={"kind": "graph"})
        graph = config.read_graph(preparation=PREPARATION)
        return config.build(rate_hz=100, leads=LEADS, seed=seed, graph=graph).params_hash

    assert hash_of("aaaa", "one") == hash_of("aaaa", "two")
    assert len({hash_of("aaaa", "one"), hash_of("bbbb", "one"), hash_of("aaaa", "one", seed=1)}) == 3
    first, second = (mining(tmp_path / place, positives={"kind": "graph"}) for place in ("one", "two"))
    assert fingerprint(first) == fingerprint(second)
