"""Each way to pretrain learns from real ECGs, and after an interruption ends in the same model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hemometric.encoders import load
from hemometric.errors import InterruptedRunError, UsageError
from hemometric.runs import pretrain as runs_pretrain
from hemometric.runs.pretrain import pretrain
from hemometric.runs.training import Hooks

HERE: dict[str, Any] = {"workers": 0, "tracking": {"kind": "none"}, "num_steps": 6, "validate_every_steps": 3}
NO_MINING: dict[str, Any] = {"mining": {}}
CONTENDERS: dict[str, dict[str, Any]] = {
    "simclr": NO_MINING
    | {
        "views": {"kind": "augmented", "augmentations": [{"kind": "noise"}, {"kind": "crop"}]},
        "projection": {"kind": "mlp", "width": 16},
        "objective": {"kind": "nt_xent"},
    },
    "simclr and relative": {
        "objective": {
            "kind": "sum",
            "terms": [{"objective": {"kind": "nt_xent"}}, {"weight": 0.5, "objective": {"kind": "relative"}}],
        }
    },
    "cmsc": NO_MINING | {"views": {"kind": "segments"}, "objective": {"kind": "nt_xent", "positives": "patient"}},
    "cmsmlc": NO_MINING
    | {"views": {"kind": "leads", "num_segments": 2}, "objective": {"kind": "nt_xent", "positives": "patient"}},
    "pclr": NO_MINING | {"batches": {"kind": "pairs"}, "objective": {"kind": "nt_xent", "positives": "pair"}},
    "mined": {"objective": {"kind": "nt_xent", "positives": "mined"}},
    "landmark": {"objective": {"kind": "landmark", "num": 5}},
    "angular": {"objective": {"kind": "angular"}},
    "multi_similarity": {"objective": {"kind": "multi_similarity"}},
    "triplet spread": {
        "objective": {
            "kind": "sum",
            "terms": [{"objective": {"kind": "triplet"}}, {"weight": 0.1, "objective": {"kind": "koleo"}}],
        }
    },
}


@pytest.mark.parametrize("name", CONTENDERS)
def test_it_learns_and_goes_on_to_the_same_model(line: Any, tmp_path: Path, name: str) -> None:
    fields = HERE | CONTENDERS[name]
    whole, stopped = (line.pretrain(tmp_path / folder, **fields) for folder in ("whole", "stopped"))
    runs_pretrain.run(whole)
    asked = iter([False] * 2 + [True] * 99)
    stopped.out.mkdir()
    with pytest.raises(InterruptedRunError):
        pretrain(stopped, hooks=Hooks(stop=lambda: next(asked)))
    pretrain(stopped)
    losses = [json.loads((run.out / "outcome.json").read_text())["losses"] for run in (whole, stopped)]
    assert losses[0] == losses[1]
    assert np.isfinite(losses[0]).all()
    assert len(set(losses[0])) == 6
    assert load(stopped.out / "model").hash == load(whole.out / "model").hash


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"objective": {"kind": "nt_xent"}, "views": {"kind": "single"}}, "compares 2 views of a recording"),
        (
            {"objective": {"kind": "nt_xent"}, "mining": {"distance": {"kind": "euclidean"}}},
            "uses no mined triplets; leave mining out",
        ),
    ],
)
def test_what_cannot_be_or_is_not_used_is_refused(line: Any, tmp_path: Path, fields: dict[str, Any], told: str) -> None:
    with pytest.raises((UsageError, ValueError), match=told):
        line.pretrain(tmp_path / "run", **HERE | fields)
