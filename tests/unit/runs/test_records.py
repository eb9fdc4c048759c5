"""What a run writes beside its checkpoints, and how it is read after a kill."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from hemometric.errors import PrecheckError, UsageError
from hemometric.runs import pace
from hemometric.runs.folder import claim_folder, write_text
from hemometric.runs.outcome import finished_lines
from hemometric.runs.pace import Pace
from hemometric.runs.records import Both, MetricsFile, ProgressFile, read_metrics, read_progress, write_sealed
from hemometric.tracker import MemoryTracker


def test_metrics_are_read_back_by_step(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    assert read_metrics(path) == []
    tracker = MetricsFile(path)
    tracker.metrics({"loss": 2.0, "bad": float("nan")}, 1)
    tracker.metrics({"loss": 1.0}, 2)
    tracker.metrics({"validation_loss": 3.0}, 2)
    assert read_metrics(path) == [{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0, "validation_loss": 3.0}]


def test_what_a_restart_tells_again_counts_once(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    for step, loss in ((1, 3.0), (2, 2.0), (3, 9.0), (2, 2.0), (3, 1.0)):
        MetricsFile(path).metrics({"loss": loss}, step)
    with path.open("a") as handle:
        handle.write('{"step": 4, "lo')
    assert [found["loss"] for found in read_metrics(path)] == [3.0, 2.0, 1.0]
    MetricsFile(path).metrics({"loss": 0.5}, 4)
    MetricsFile(path).metrics({"loss": 0.4}, 5)
    assert [found["loss"] for found in read_metrics(path)] == [3.0, 2.0, 1.0, 0.5, 0.4]


def test_several_trackers_hear_the_same(tmp_path: Path) -> None:
    one, other = MemoryTracker(), MemoryTracker()
    both = Both((one, other))
    both.params({"seed": 1})
    both.tags({"tag": "x"})
    both.metrics({"loss": 1.0}, 3)
    both.artifact(tmp_path)
    both.finish("failed")
    assert one == other
    assert one.metrics_seen == [(3, {"loss": 1.0})]
    seen = (one.params_seen, one.tags_seen, one.artifacts_seen, one.status)
    assert seen == ({"seed": 1}, {"tag": "x"}, [tmp_path], "failed")


def test_progress_can_be_followed_from_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "progress.json"
    assert read_progress(path) is None
    progress = ProgressFile(path)
    progress.start(2, 10)
    assert read_progress(path)["parts"] == {}  # type: ignore[index]
    progress.update(3, float("nan"), 12.5, 3.0, {"active": 0.5, "odd": float("inf")})
    known = {"step": 3, "loss": None, "ecg_per_s": 12.5, "time_left_s": 3.0, "num_steps": 10}
    assert read_progress(path) == {**known, "parts": {"active": 0.5}}
    progress.close()
    path.write_text("{")
    assert read_progress(path) is None
    assert [found.name for found in tmp_path.iterdir()] == ["progress.json"]


def test_a_text_is_whole_or_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_text(path, "old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(PrecheckError, match="No space"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_outcome_is_told_in_a_few_lines(tmp_path: Path) -> None:
    never = {"best_validation_loss": None}
    outcome = {"losses": [4.0, 3.0, None, 2.0, 1.0] * 4, "metrics": {"stalled_share": 0.9}, "best_step": 8}
    readings = [
        {"step": 10, "stalled_share": 0.3, "ecg_per_s": 100.0},  # 10 steps at 100 a second: weighs 1
        {"step": 12, "validation_loss": 2.0},
        {"step": 20, "stalled_share": 0.05, "ecg_per_s": 50.0},  # 10 steps at half that: weighs 2
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in readings))
    outcome |= {"num_skipped": 4}
    write_sealed(tmp_path / "outcome.json", outcome | {"best_validation_loss": 1.25, "validations": []})
    assert finished_lines(tmp_path) == [
        "20 steps; mean loss of the first tenth 4.0000, of the last 1.0000",
        "share of the time that a step waited for its batch: 13.3%",
        "best validation loss 1.2500 after step 8",
        f"model: {tmp_path / 'model'}",
    ]
    (tmp_path / "metrics.jsonl").unlink()
    told = {"step_inflation": 1.234, "hub_share_negatives": 0.71, "hub_share_positives": 0.5}
    told |= {"fallback_share_absent": 0.25, "fallback_share_graph": 0.5, "fallback_share_scale": 0.0}
    write_sealed(tmp_path / "outcome.json", outcome | {"best_step": None, "metrics": told, "validations": []} | never)
    assert finished_lines(tmp_path)[1:-1] == [
        "a step beside mining took 1.23 times what it takes alone",
        "warning: the most used 5 % of recordings supplied 50% of the mined positives and 71% of the mined negatives",
        "of the recordings last mined 25.0% had nothing to compare, 50.0% had no neighbour of the graph in their batch",
        "nothing was validated: the corpus has too few validation recordings",
    ]
    told = {"step_inflation": 0.85, "hub_share_negatives": 0.0, "hub_share_positives": 0.1}
    validated = {"best_step": None, "validations": [{"step": 4, "validation_loss": 2.0}]}
    write_sealed(tmp_path / "outcome.json", outcome | {"metrics": told} | validated | never)
    assert finished_lines(tmp_path)[1:-1] == [
        "a step took no longer beside mining than alone, as far as can be told (0.85 times)",
        "the most used 5 % of recordings supplied 10% of the mined positives",
    ]
    nothing: dict[str, Any] = {
        "losses": [None],
        "num_skipped": 1,
        "metrics": {},
        "best_step": None,
        "best_validation_loss": None,
        "validations": [],
    }
    write_sealed(tmp_path / "outcome.json", nothing)
    assert finished_lines(tmp_path) == [
        "1 step; no loss was finite",
        "nothing was validated: the corpus has too few validation recordings",
        f"model: {tmp_path / 'model'}",
    ]


class Terminal(io.StringIO):
    def __init__(self, *, is_terminal: bool) -> None:
        super().__init__()
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal


def test_pace_tells_a_log_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    now, stream = [100.0], Terminal(is_terminal=False)
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(pace.time, "monotonic", lambda: now[0])
    with Pace("ingest", 400) as counted:
        for _ in range(4):
            now[0] += 5
            counted.add(50)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert lines == [
        {"run": "ingest", "done": 100, "total": 400, "ecg_per_s": 10.0, "time_left_s": 30.0},
        {"run": "ingest", "done": 200, "total": 400, "ecg_per_s": 10.0, "time_left_s": 20.0},
    ]


def test_pace_draws_a_bar_on_a_terminal(monkeypatch: Any) -> None:
    stream = Terminal(is_terminal=True)
    monkeypatch.setattr(sys, "stderr", stream)
    with Pace("embed", 10) as counted:
        counted.add(10)
    assert "embed" in stream.getvalue()
    assert "10/10" in stream.getvalue()
    assert "ECG/s" in stream.getvalue()


def test_a_folder_is_claimed_once(tmp_path: Path) -> None:
    claim_folder(tmp_path / "a" / "run", "one", "another run")
    (tmp_path / "a" / "run" / "more").write_text("")
    claim_folder(tmp_path / "a" / "run", "one", "another run")
    with pytest.raises(UsageError, match="run holds another run; choose another out, or remove the folder"):
        claim_folder(tmp_path / "a" / "run", "two", "another run")


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(UsageError, match=r"is not empty and holds no run .thesis.tex is there.; choose another out"):
        claim_folder(tmp_path, "one", "another run")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    (tmp_path / "new").mkdir()
    for name in ("mlflow.db", "mlflow.db-journal", ".identity.77.tmp"):
        (tmp_path / "new" / name).write_text("")
    claim_folder(tmp_path / "new", "one", "another run")


def test_a_run_that_computed_nothing_leaves_its_folder_to_another(tmp_path: Path) -> None:
    """Or whoever mends a config after an error would have to choose another folder."""
    claim_folder(tmp_path / "run", "one", "another run")
    write_text(tmp_path / "run" / "config.yaml", "")
    (tmp_path / "run" / "ray" / "pretrain-1").mkdir(parents=True)
    claim_folder(tmp_path / "run", "two", "another run")
    assert (tmp_path / "run" / ".identity").read_text() == "two\n"
    (tmp_path / "run" / "checkpoints").mkdir()
    with pytest.raises(UsageError, match="holds another run"):
        claim_folder(tmp_path / "run", "three", "another run")


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(UsageError, match=r"out: .* cannot be written: (File exists|Not a directory); choose"):
            claim_folder(folder, "one", "another run")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(PrecheckError, match=r"no room left to write .*free some space"):
        claim_folder(tmp_path / "new", "one", "another run")
    assert list((tmp_path / "new").iterdir()) == []
