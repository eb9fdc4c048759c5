"""A recording beside its neighbours: they are those of the graph, drawn as they were compared; else one sentence."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pyarrow.parquet as pq
import pytest

from hemometric.corpus import open_corpus
from hemometric.ecg import INDEPENDENT_LEADS, LEADS
from hemometric.errors import IntegrityError, PrecheckError, UsageError
from hemometric.runs import neighbour_picture, neighbours
from hemometric.runs.inspect import inspect_corpus
from hemometric.runs.neighbour_folder import open_graph

K = 5
BEATS = {"kind": "median_beat", "rate_hz": 100}


@pytest.fixture(scope="module")
def graph_of(line: Any) -> Callable[..., Path]:
    def make(out: Path, **fields: Any) -> Path:
        own = {"corpus": str(line.real), "out": str(out), "workers": 0, "k": K, "compared": BEATS}
        own |= {"preparation": {"rate_hz": 100, "duration_s": 10}}
        neighbours.run(neighbours.NeighboursRun.model_validate_json(json.dumps(own | fields)))
        return out

    return make


@pytest.fixture(scope="module")
def graph(graph_of: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished graph of median beats."""
    return graph_of(tmp_path_factory.mktemp("graph") / "beats")


@pytest.fixture
def copied(graph: Path, tmp_path: Path) -> Path:
    """A copy of it, to be spoilt."""
    shutil.copytree(graph, tmp_path / "copied")
    return tmp_path / "copied"


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the figure was given, each time."""
    calls: list[dict[str, Any]] = []

    def spy(signals: Any, rate_hz: float, leads: Any, names: Any, **more: Any) -> Any:
        calls.append({"signals": signals, "rate_hz": rate_hz, "leads": leads, "names": names} | more)
        return draw(signals, rate_hz, leads, names, **more)

    draw = neighbour_picture.neighbours_figure
    monkeypatch.setattr(neighbour_picture, "neighbours_figure", spy)
    return calls


def edges(graph: Path, recording_id: str) -> list[tuple[str, float]]:
    rows = pq.read_table(graph / "neighbours.parquet").to_pylist()
    return [(row["neighbour_id"], row["distance"]) for row in rows if row["recording_id"] == recording_id]


def members(graph: Path) -> list[str]:
    return sorted(set(pq.read_table(graph / "neighbours.parquet")["recording_id"].to_pylist()))


def rewrite(graph: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    path = graph / "_summary.json"
    summary = json.loads(path.read_text())
    change(summary)
    path.write_text(json.dumps(summary))


def test_it_names_the_neighbours_and_draws_them_as_compared(line: Any, graph: Path, tmp_path: Path, drawn: Any) -> None:
    own, out = members(graph)[0], tmp_path / "near.png"
    lines = inspect_corpus(line.real, draw="first", out=out, neighbours=graph)
    near = edges(graph, own)
    assert lines[-1] == f"page: {out}"
    assert lines[-K - 2] == f"neighbours of {own} in {graph}:"
    for rank, (name, distance) in enumerate(near, start=1):
        told = lines[rank - K - 2]
        assert told.startswith(f"{rank}: {name}, ")
        assert told.endswith(" mV²")
        assert float(told.split(", ")[1].removesuffix(" mV²")) == pytest.approx(distance, rel=6e-4)
    (call,) = drawn
    assert call["signals"].shape == (5, 8, 70)
    assert call["leads"] == list(INDEPENDENT_LEADS)
    assert call["start_s"] == -0.25
    assert call["unit"] == "mV"
    assert call["title"] == f"Recording {own[:8]}… and its 4 nearest of {len(members(graph)) - 1}"
    assert [name.split("…")[0] for name in call["names"][1:]] == [f"{n}: {near[n - 1][0][:8]}" for n in range(1, 5)]
    distances = neighbours.DtwDistance().build().cross(call["signals"][:1], call["signals"][1:])[0]
    np.testing.assert_allclose(distances, [distance for _, distance in near[:4]], rtol=1e-6)
    mine, its = call["signals"][:2, :, :].astype(np.float64)
    steps = call["warp"].steps
    cost = np.square(mine[:, steps[:, 0]] - its[:, steps[:, 1]]).sum()
    assert cost == pytest.approx(near[0][1], rel=1e-5), "the lines are the alignment that the distance is of"
    pixels = matplotlib.image.imread(out)
    assert pixels.shape[:2] == (1240, 1753)
    assert pixels[..., :3].std() > 0.02


def test_the_beginning_of_an_id_is_enough_and_gives_the_same_bytes(line: Any, graph: Path, tmp_path: Path) -> None:
    own = members(graph)[0]
    for name, wanted in (("a.svg", "first"), ("b.svg", own[:12])):
        inspect_corpus(line.real, draw=wanted, out=tmp_path / name, neighbours=graph)
    told = (tmp_path / "a.svg").read_text()
    assert told == (tmp_path / "b.svg").read_text()
    assert "time from QRS (ms)" in told
    assert all(f">{lead}<" in told for lead in INDEPENDENT_LEADS)
    assert own not in told, "ids are shortened"


@pytest.mark.parametrize(
    ("fields", "leads", "unit", "has_warp", "told"),
    [
        ({"compared": {"kind": "whole", "rate_hz": 50, "gain": "record"}}, INDEPENDENT_LEADS, "RMS", True, "whole"),
        ({"compared": BEATS | {"leads": "reduced"}, "distance": {"kind": "dtw", "window": 999}},
         LEADS, "mV", True, "999"),
        ({"compared": BEATS | {"leads": "all", "gain": "lead"}, "distance": {"kind": "mean_absolute"}},
         LEADS, "RMS", False, "mean absolute"),
        ({"preparation": {"leads": ["V1", "aVL"]}, "compared": {"kind": "whole", "rate_hz": 25, "leads": "all"},
          "distance": {"kind": "dtw", "metric": "independent", "window": None}}, ("V1", "aVL"), "mV", True, "DTW"),
    ],
    ids=["whole", "reduced", "mean absolute", "independent"],
)  # fmt: skip
def test_each_look_and_distance_is_drawn(
    line: Any, graph_of: Any, tmp_path: Path, drawn: Any, fields: Any, leads: Any, unit: str, has_warp: bool, told: str
) -> None:
    graph = graph_of(tmp_path / "graph", **fields, k=2)
    lines = inspect_corpus(line.real, draw="first", out=tmp_path / "near.png", neighbours=graph)
    (call,) = drawn
    assert call["leads"] == list(leads)
    assert call["unit"] == unit
    assert (call["warp"] is not None) == has_warp
    assert told in call["note"]
    assert len(call["signals"]) == 3
    assert call["stacked"] == (call["signals"].shape[2] == round(3 * call["rate_hz"]))
    squared = "" if told == "mean absolute" else "squared "
    assert f"its {squared}distance" in call["note"]
    assert (" mV" in lines[-2]) == (unit == "mV")


def test_a_graph_of_candidates_says_so_in_its_title(line: Any, graph_of: Any, tmp_path: Path, drawn: Any) -> None:
    candidates = {"kind": "coarse", "compared": {"kind": "whole", "rate_hz": 25}, "num": 9}
    graph = graph_of(tmp_path / "graph", candidates=candidates)
    inspect_corpus(line.real, draw="first", out=tmp_path / "a.png", neighbours=graph)
    assert drawn[0]["title"].endswith(f" and its 4 nearest among 9 candidates of {len(members(graph)) - 1}")


@pytest.mark.parametrize(
    ("distance", "told"), [(3629.12, "3629 mV²"), (0.1484, "0.1484 mV²"), (12.3, "12.30 mV²"), (0.0, "0.000 mV²")]
)
def test_a_distance_has_four_digits(line: Any, graph: Path, distance: float, told: str) -> None:
    assert neighbour_picture._distance(open_graph(graph, open_corpus(line.real)), distance) == told


def test_the_table_names_its_graph_too(line: Any, graph: Path, tmp_path: Path) -> None:
    by_folder, by_table = (
        inspect_corpus(line.real, draw="first", out=tmp_path / "a.png", neighbours=named)
        for named in (graph, graph / "neighbours.parquet")
    )
    assert by_folder == by_table
    with pytest.raises(UsageError, match=r"other\.parquet is no finished output of `hemometric neighbours`"):
        inspect_corpus(line.real, draw="first", out=tmp_path / "a.png", neighbours=graph / "other.parquet")


def test_who_is_not_in_the_graph_is_one_sentence(line: Any, graph_of: Any, graph: Path, tmp_path: Path) -> None:
    corpus = open_corpus(line.real)
    test = corpus.table(["test"], columns=["recording_id"])["recording_id"].to_pylist()[0]
    with pytest.raises(UsageError, match=f"^recording {test} is not in the graph .*: its split was not compared; draw"):
        inspect_corpus(line.real, draw=test, out=tmp_path / "a.png", neighbours=graph)
    few = graph_of(tmp_path / "few", compared=BEATS | {"min_beats": 9})
    left_out = next(name for name in members(graph) if name not in members(few))
    with pytest.raises(UsageError, match=r"is not in the graph .*: it holds nothing to compare and was left out; draw"):
        inspect_corpus(line.real, draw=left_out, out=tmp_path / "a.png", neighbours=few)
    with pytest.raises(UsageError, match="has no recording 'nobody'"):
        inspect_corpus(line.real, draw="nobody", out=tmp_path / "a.png", neighbours=graph)
    assert not (tmp_path / "a.png").exists()


def test_nobody_to_draw_is_said_first(line: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"neighbours: say whose are to be drawn, with --draw"):
        inspect_corpus(line.real, draw=None, out=tmp_path / "a.png", neighbours=tmp_path)


def test_the_graph_of_another_corpus_is_refused(line: Any, graph: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"is the graph of corpus [0-9a-f]{16}, and .* is [0-9a-f]{16}; give the corp"):
        inspect_corpus(line.labelled, draw="first", out=tmp_path / "a.png", neighbours=graph)


@pytest.mark.parametrize("missing", ["_SUCCESS", "neighbours.parquet", ""])
def test_what_is_no_finished_graph_is_refused(line: Any, copied: Path, tmp_path: Path, missing: str) -> None:
    if missing:
        (copied / missing).unlink()
    else:
        shutil.rmtree(copied)
    with pytest.raises(UsageError, match="copied is no finished output of `hemometric neighbours`"):
        inspect_corpus(line.real, draw="first", out=tmp_path / "a.png", neighbours=copied)


def test_a_damaged_graph_is_refused(line: Any, copied: Path, tmp_path: Path) -> None:
    def drawn_from(folder: Path) -> None:
        inspect_corpus(line.real, draw="first", out=tmp_path / "a.png", neighbours=folder)

    rewrite(copied, lambda summary: summary.update(identity="0" * 16))
    with pytest.raises(UsageError, match="holds parts of two graphs"):
        drawn_from(copied)
    rewrite(copied, lambda summary: summary.pop("distance"))
    with pytest.raises(IntegrityError, match=r"_summary\.json is missing or damaged"):
        drawn_from(copied)


def test_a_cut_table_is_refused(line: Any, copied: Path, tmp_path: Path) -> None:
    table = copied / "neighbours.parquet"
    table.write_bytes(table.read_bytes()[:-1])
    with pytest.raises(IntegrityError, match=r"neighbours\.parquet is missing or damaged"):
        inspect_corpus(line.real, draw="first", out=tmp_path / "a.png", neighbours=copied)


def test_a_place_that_cannot_be_written_is_one_sentence(
    line: Any, graph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match=r"page\.doc"):
        inspect_corpus(line.real, draw="first", out=tmp_path / "page.doc", neighbours=graph)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(PrecheckError, match=r"out: no room left to write in .*page\.png"):
        inspect_corpus(line.real, draw="first", out=tmp_path / "page.png", neighbours=graph)
