"""Pretraining in one process: what it leaves, that it resumes, and what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hemometric.config import decode_file, fingerprint
from hemometric.corpus import lay_cache, open_corpus
from hemometric.encoders import load
from hemometric.errors import InterruptedRunError, UsageError
from hemometric.learning import World
from hemometric.mining import read_triplets
from hemometric.runs import pretrain as runs_pretrain
from hemometric.runs.pretrain import PretrainRun, identity_of, mining_feed, pretrain
from hemometric.runs.records import read_metrics
from hemometric.runs.training import Hooks, check_batches, is_finished, run_identity
from hemometric.tracker import MemoryTracker

HERE: dict[str, Any] = {"workers": 0, "tracking": {"kind": "none"}}


@pytest.fixture(scope="module")
def finished(line: Any, tmp_path_factory: pytest.TempPathFactory) -> PretrainRun:
    """A finished run; read it only."""
    config: PretrainRun = line.pretrain(tmp_path_factory.mktemp("pretrain") / "run", **HERE)
    runs_pretrain.run(config)
    return config


def files(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_it_leaves_a_model_its_config_and_its_figures(line: Any, finished: PretrainRun) -> None:
    folder = finished.out
    model = load(folder / "model")
    assert model.preparation == finished.preparation
    assert model.task is None
    provenance = model.description.provenance
    assert provenance["config_fingerprint"] == fingerprint(finished)
    assert provenance["manifest_hash"] == open_corpus(line.real).hash
    assert (provenance["seed"], provenance["num_steps"], provenance["job"]) == (1, 16, "pretrain")
    assert decode_file(PretrainRun, folder / "config.yaml") == finished
    outcome = json.loads((folder / "outcome.json").read_text())
    assert len(outcome["losses"]) == 16
    assert np.isfinite(outcome["losses"]).all()
    assert [found["step"] for found in outcome["validations"]] == [8, 16]
    told = read_metrics(folder / "metrics.jsonl")
    assert [found["step"] for found in told] == list(range(2, 17, 2))
    assert all(0 <= found["stalled_share"] <= 1 and found["ecg_per_s"] > 0 for found in told)
    assert all(found["fallback_share_absent"] == 0 for found in told)
    assert all(0 < found["hub_share_negatives"] <= 1 for found in told)
    # A reading of two steps may hold none beside which a batch was made.
    making_s = [found["mining_s"] for found in told if "mining_s" in found]
    assert len(making_s) > len(told) // 2
    assert min(making_s) > 0
    assert told[-1]["step_inflation"] > 0
    kept = read_triplets(folder / "triplets.parquet")
    cache = lay_cache(open_corpus(line.real), finished.preparation, ("train", "validation"), finished.cache_folder)
    assert 0 < len(kept.anchors) <= len(cache.rows("validation"))
    assert set(kept.anchors + kept.positives + kept.negatives) <= set(cache.recording_ids[cache.rows("validation")])
    assert kept.params_hash == mining_feed(finished, cache, cache.rows("train"), World())[1].params_hash
    # Speeds are of the machine, and would make equal models differ.
    assert {"loss", "validation_loss"} <= set(model.description.metrics)
    assert not [name for name in model.description.metrics if "per_s" in name or "stalled" in name]


def test_a_finished_run_is_a_no_op(finished: PretrainRun) -> None:
    before = files(finished.out)
    lines = runs_pretrain.run(finished)
    assert files(finished.out) == before
    assert lines[0] == f"{finished.out} is finished already; nothing to do"
    assert lines[1].startswith("16 steps; mean loss of the first tenth ")
    assert lines[-1] == f"model: {finished.out / 'model'}"


def test_an_interrupted_run_goes_on_to_the_same_model(line: Any, finished: PretrainRun, tmp_path: Path) -> None:
    config = line.pretrain(tmp_path / "run", **HERE)
    told = MemoryTracker()
    asked = iter([False] * 5 + [True] * 99)
    with pytest.raises(InterruptedRunError, match="stopped after step 6 of 16; the same command goes on from there"):
        pretrain(config, hooks=Hooks(stop=lambda: next(asked)))
    assert not (config.out / "model").exists()
    pretrain(config, hooks=Hooks(tracker=told))
    assert told.tags_seen["resumed_from"] == "6"
    assert load(config.out / "model").hash == load(finished.out / "model").hash
    ours, theirs = (json.loads((run.out / "outcome.json").read_text()) for run in (config, finished))
    assert ours["losses"] == theirs["losses"]
    assert ours["validations"] == theirs["validations"]


def test_the_test_split_is_never_read(line: Any, finished: PretrainRun, tmp_path: Path) -> None:
    shutil.copytree(line.real, tmp_path / "corpus")
    shutil.rmtree(tmp_path / "corpus" / "shards" / "test")
    config = line.pretrain(tmp_path / "run", **HERE | {"corpus": tmp_path / "corpus", "cache": tmp_path / "cache"})
    runs_pretrain.run(config)
    assert load(config.out / "model").hash == load(finished.out / "model").hash


def test_another_config_or_corpus_in_the_same_folder_is_refused(line: Any, finished: PretrainRun) -> None:
    before = files(finished.out)
    for change in ({"seed": 2}, {"num_steps": 17}, {"corpus": line.labelled}):
        with pytest.raises(UsageError, match="holds a run of another config, corpus or model; choose another out"):
            runs_pretrain.run(line.pretrain(finished.out, **HERE | change))
    assert files(finished.out) == before


def test_a_graph_is_part_of_the_run_by_its_hash(line: Any, tmp_path: Path) -> None:
    identities = []
    for place, params_hash in (("one", "aaaa"), ("two", "aaaa"), ("three", "bbbb")):
        row = {"recording_id": "r", "neighbour_id": "s", "rank": 1, "distance": 1.0, "params_hash": params_hash}
        pq.write_table(pa.Table.from_pylist([row]), tmp_path / place)
        mining = {
            "miner": {"kind": "nearest", "positives": {"kind": "graph"}},
            "graph": {"path": str(tmp_path / place)},
        }
        identities.append(identity_of(line.pretrain(tmp_path / "run", mining=mining), "corpus"))
    assert identities[0] == identities[1]
    assert identities[0].removesuffix("aaaa") == identities[2].removesuffix("bbbb")


def test_what_is_no_part_of_the_run_may_change(line: Any, finished: PretrainRun) -> None:
    wide = line.pretrain(finished.out, workers=0, cpus_per_worker=2, checkpoint_every_steps=5, log_every_steps=7)
    identity = run_identity(wide, open_corpus(line.real).hash)
    assert is_finished(finished.out, identity)
    assert not is_finished(finished.out, identity + "x")
    assert not is_finished(finished.out / "model", identity)


def test_a_batch_that_cannot_be_dealt_or_filled_is_refused(line: Any, tmp_path: Path) -> None:
    config = line.pretrain(tmp_path / "run", **HERE)
    rows = np.arange(100)
    check_batches(config, rows, World(rank=0, size=4))
    with pytest.raises(UsageError, match="batch_size 8 cannot be dealt to 3 workers evenly; take a multiple of 3"):
        check_batches(config, rows, World(rank=0, size=3))
    with pytest.raises(UsageError, match="batch_size 8: only 7 recordings can be trained on; take a smaller one"):
        check_batches(config, rows[:7], World())


def test_a_corpus_without_validation_trains_without_one(line: Any, tmp_path: Path) -> None:
    from hemometric.runs import ingest

    everyone = {"kind": "hash", "train": 1.0, "validation": 0.0, "test": 0.0}
    made = line.ingest(tmp_path / "corpus", workers=0)
    made = made.model_copy(update={"ingest": made.ingest.model_copy(update={"split": decoded_split(everyone)})})
    ingest.run(made)
    runs_pretrain.run(line.pretrain(tmp_path / "run", **HERE | {"corpus": tmp_path / "corpus", "num_steps": 2}))
    outcome = json.loads((tmp_path / "run" / "outcome.json").read_text())
    assert outcome["validations"] == []
    assert outcome["best_step"] is None


def decoded_split(fields: dict[str, Any]) -> Any:
    from hemometric.corpus.split import HashSplit

    return HashSplit(**fields)
