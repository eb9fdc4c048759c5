"""What is told of a graph's hubs is counted from its table, whatever the blocks."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from hemometric.mining import HubCounter, Mined
from hemometric.runs import neighbours
from hemometric.runs.neighbour_uses import NeighbourUses


@pytest.mark.parametrize("num_recordings", [2, 20, 21, 300])
def test_it_is_the_count_of_a_counter(num_recordings: int) -> None:
    rng = np.random.default_rng(num_recordings)
    ids = np.sort([f"{place * 7919:x}" for place in range(num_recordings)])
    chosen = ids[np.minimum(rng.geometric(0.02, 500) - 1, num_recordings - 1)]
    uses = NeighbourUses(ids)
    for first in range(0, 500, 64):
        uses.add(pa.chunked_array([chosen[first : first + 64].tolist()]))
    counts = Counter(chosen.tolist())
    assert uses.num_unused() == num_recordings - len(counts)
    of_miners = HubCounter()
    chosen_at, none = torch.from_numpy(np.searchsorted(ids, chosen)), torch.empty(0, dtype=torch.int64)
    of_miners.update(Mined(none, chosen_at, none, none, none, none, tuple(ids.tolist())))
    assert uses.hub_share() == of_miners.share("positives")


def test_a_graph_tells_of_its_hubs_and_of_a_k_beyond_the_archive(line: Any, tmp_path: Path) -> None:
    fields = {
        "corpus": str(line.real),
        "out": str(tmp_path / "graph"),
        "workers": 0,
        "preparation": {"rate_hz": 100, "duration_s": 4},
        "compared": {"kind": "whole", "rate_hz": 25},
        "block_recordings": 40,
    }

    def lines_of(**more: Any) -> list[str]:
        return neighbours.run(neighbours.NeighboursRun.model_validate_json(json.dumps(fields | more)))

    lines = lines_of(k=4)
    table = pq.read_table(tmp_path / "graph" / "neighbours.parquet")
    counts = Counter(table["neighbour_id"].to_pylist())
    share = sum(num for _, num in counts.most_common(6)) / len(table)  # 6 are 5 % of 102
    summary = json.loads((tmp_path / "graph" / "_summary.json").read_text())
    assert summary["hub_share"] == pytest.approx(share)
    assert summary["num_unused"] == 102 - len(counts) > 0
    assert summary["candidates"] == {"kind": "exact", "num": None}
    assert lines[-2] == (
        f"hubs: the most used 5 % of recordings are {100 * share:.0f} % of all neighbours; "
        f"nobody's neighbour: {102 - len(counts)} recordings"
    )
    assert len(lines) == 3
    lines = lines_of(k=400, out=str(tmp_path / "all"))
    assert lines[1] == "k is 400, but there are only 101 others"
    assert "are 6 % of all neighbours; nobody's neighbour: 0 recordings" in lines[2]
