"""Records of another shape end in one error that names the file; a changed figure is noticed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from hemometric.distances import DtwDistance
from hemometric.errors import IntegrityError
from hemometric.runs.outcome import read_outcome
from hemometric.runs.records import read_metrics, read_progress, read_record, read_sealed, write_sealed, write_summary
from hemometric.runs.shapes import GraphSummary, Letter, Outcome, TrialRecord, TrialsTable
from hemometric.runs.trials import is_done, record_stop, record_trial, recorded, row_of
from hemometric.runs.tune import read_trials

ROW: dict[str, Any] = {"trial": "a", "values": {"x": 0.5}, "finished": True, "failed": None, "step": 8}
TABLE: dict[str, Any] = {"trials": [ROW | {"validation_loss": 1.5}], "best": "a", "num_trials": 1}
OUTCOME: dict[str, Any] = {
    "losses": [1.0, None],
    "validations": [{"step": 2, "validation_loss": 1.5, "validation_r": 0.25}],
    "num_skipped": 1,
    "best_step": 2,
    "best_validation_loss": 1.5,
    "metrics": {"loss": 1.0},
}
GRAPH: dict[str, Any] = {
    "identity": "a",
    "params_hash": "b",
    "manifest_hash": "c",
    "num_recordings": 2,
    "num_rows": 2,
    "left_out": {},
    "k": 1,
    "candidates": {"kind": "coarse", "num": 200},
    "hub_share": 0.25,
    "num_unused": 1,
    "preparation": {"rate_hz": 100.0},
    "compared": {"kind": "median_beat"},
    "distance": {"kind": "dtw", "window": 0.1},
}
STRANGE = (b"", b"{", b"[1]", b"{}", b"null", b"3", b'"x"', b"\xff\xfe", b"[" * 100_000, b'{"a":' * 100_000, b"{1:2}")


@pytest.mark.parametrize("shape", [Outcome, TrialRecord, TrialsTable, Letter, GraphSummary])
@pytest.mark.parametrize("content", STRANGE, ids=lambda content: repr(content[:8]))
def test_strange_json_is_one_error_that_names_the_file(tmp_path: Path, content: bytes, shape: type[BaseModel]) -> None:
    path = tmp_path / "record.json"
    path.write_bytes(content)
    for read in (read_record, read_sealed):
        with pytest.raises(IntegrityError, match=r"record\.json is missing or damaged .*; remove .* and run the same"):
            read(path, shape)


def test_a_missing_record_is_named(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match=r"none\.json is missing or damaged \(No such file"):
        read_record(tmp_path / "none.json", TrialRecord)


@pytest.mark.parametrize(
    ("shape", "values"),
    [
        (Outcome, OUTCOME | {"losses": None}),
        (Outcome, OUTCOME | {"losses": ["x"]}),
        (Outcome, OUTCOME | {"validations": [{"step": 1}]}),
        (Outcome, OUTCOME | {"validations": [{"step": True, "validation_loss": 1.0}]}),
        (Outcome, OUTCOME | {"validations": [{"step": 1, "validation_loss": 1.0, "r": "x"}]}),
        (Outcome, OUTCOME | {"best_step": None}),
        (Outcome, OUTCOME | {"more": 1}),
        (TrialsTable, TABLE | {"best": "b"}),
        (TrialsTable, TABLE | {"trials": []}),
        (TrialsTable, TABLE | {"trials": [ROW | {"validation_loss": 1.0, "finished": False}]}),
        (TrialsTable, TABLE | {"trials": {"a": 1}}),
        (TrialRecord, {"number": -1, "values": {}}),
        (TrialRecord, {"number": 0, "values": {"x": None}}),
        (TrialRecord, {"number": 0, "values": {}, "stopped": {"step": 1.5}}),
        (GraphSummary, GRAPH | {"k": "1"}),
        (GraphSummary, GRAPH | {"more": 1}),
        *((GraphSummary, {name: value for name, value in GRAPH.items() if name != lacking}) for lacking in GRAPH),
        (GraphSummary, GRAPH | {"hub_share": 1.5}),
        (GraphSummary, GRAPH | {"num_unused": -1}),
        (GraphSummary, GRAPH | {"candidates": {"kind": "exact", "num": 200}}),
        (GraphSummary, GRAPH | {"candidates": {"kind": "coarse", "num": None}}),
        (GraphSummary, GRAPH | {"candidates": {"kind": "coarse", "num": 200, "path": "x"}}),
        (GraphSummary, GRAPH | {"distance": {"kind": "dtw", "window": 2.5}}),
        (GraphSummary, GRAPH | {"distance": {"kind": "frechet"}}),
        (GraphSummary, GRAPH | {"preparation": {"rate_hz": "100"}}),
        (GraphSummary, GRAPH | {"compared": {"kind": "median_beat", "before": 1.0}}),
    ],
)
def test_another_shape_is_refused_even_when_sealed(
    tmp_path: Path, shape: type[BaseModel], values: dict[str, Any]
) -> None:
    write_sealed(tmp_path / "record.json", values)
    with pytest.raises(IntegrityError, match=r"record\.json is missing or damaged"):
        read_sealed(tmp_path / "record.json", shape)


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    write_sealed(tmp_path / "outcome.json", OUTCOME)
    assert read_outcome(tmp_path) == OUTCOME
    diverged = OUTCOME | {"validations": [{"step": 2, "validation_loss": float("inf")}]}
    write_sealed(tmp_path / "outcome.json", diverged)
    assert read_outcome(tmp_path) == diverged
    write_sealed(tmp_path / "trials.json", TABLE)
    assert read_sealed(tmp_path / "trials.json", TrialsTable).model_dump() == TABLE


def test_a_graph_says_what_its_distances_are_of(tmp_path: Path) -> None:
    path = tmp_path / "_summary.json"
    write_summary(path, GRAPH)
    assert read_record(path, GraphSummary).distance == DtwDistance(window=0.1)


@pytest.mark.parametrize(
    ("candidates", "num_recordings", "num"),
    [
        ({"kind": "coarse", "num": 200}, 300, 200),
        ({"kind": "embeddings", "num": 200}, 201, None),
        ({"kind": "exact", "num": None}, 300, None),
    ],
)
def test_a_graph_says_among_how_many_candidates_it_is(
    tmp_path: Path, candidates: Any, num_recordings: int, num: int | None
) -> None:
    changed = {"num_recordings": num_recordings, "candidates": candidates}
    write_summary(tmp_path / "_summary.json", GRAPH | changed)
    assert read_record(tmp_path / "_summary.json", GraphSummary).num_candidates == num


@pytest.mark.parametrize(("name", "values"), [("outcome", OUTCOME), ("trials", TABLE)])
def test_a_flipped_digit_is_noticed(tmp_path: Path, name: str, values: dict[str, Any]) -> None:
    path = tmp_path / f"{name}.json"
    write_sealed(path, values)
    text = path.read_text()
    assert "1.5" in text
    path.write_text(text.replace("1.5", "0.5"))
    with pytest.raises(IntegrityError, match="it is not the file that was written"):
        read_sealed(path, Outcome if name == "outcome" else TrialsTable)
    write_summary(path, values)
    with pytest.raises(IntegrityError, match="it bears no seal"):
        read_sealed(path, Outcome if name == "outcome" else TrialsTable)


def test_metrics_take_finite_numbers_at_a_step_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    good = b'{"step": 3, "loss": 1.0}'
    bad = (
        b"[3]", b"null", b"\xff", b"[" * 100_000, b'{"loss": 1}', b'{"step": -1, "loss": 1}', b'{"step": true}',
        b'{"step": 1.5}', b'{"step": 1, "loss": "x"}', b'{"step": 1, "loss": null}', b'{"step": 1, "loss": NaN}',
        b'{"step": 1, "loss": 1e999}', b'{"step": 1, "loss": ' + b"9" * 9999 + b"}", b'{"step": 99999999999999999999}',
        b'{"step": 4, "lo',
    )  # fmt: skip
    path.write_bytes(b"\n".join((*bad[:5], good, *bad[5:])))
    assert read_metrics(path) == [{"step": 3, "loss": 1.0}]


@pytest.mark.parametrize("content", [*STRANGE, b'{"step": 1}', b'{"step": "1"}'], ids=lambda content: repr(content[:8]))
def test_a_strange_progress_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "progress.json").write_bytes(content)
    assert read_progress(tmp_path / "progress.json") is None


@pytest.mark.parametrize("content", STRANGE, ids=lambda content: repr(content[:8]))
def test_a_strange_record_of_a_trial_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "trials").mkdir()
    (tmp_path / "trials" / "a.json").write_bytes(content)
    for read in (lambda: recorded(tmp_path), lambda: row_of(tmp_path / "trials" / "a")):
        with pytest.raises(IntegrityError, match=r"trials/a\.json is missing or damaged .*; remove .*a\.json and run"):
            read()


def test_a_trial_is_recorded_from_its_beginning_to_its_end(tmp_path: Path) -> None:
    record_trial(tmp_path / "trials" / "a", {"x": 1.0, "flag": True, "name": "adam", "n": 3})
    record_stop(tmp_path / "trials" / "a", None)
    assert is_done(tmp_path / "trials" / "a")
    assert recorded(tmp_path) == [
        {"number": 0, "values": {"x": 1.0, "flag": True, "name": "adam", "n": 3}, "stopped": {"step": None}}
    ]


def test_a_changed_table_chooses_no_model(tmp_path: Path) -> None:
    write_sealed(tmp_path / "trials.json", TABLE)
    assert read_trials(tmp_path)["best"] == "a"
    path = tmp_path / "trials.json"
    path.write_text(path.read_text().replace("1.5", "0.5"))
    with pytest.raises(IntegrityError, match=r"trials\.json .* is not the file that was written"):
        read_trials(tmp_path)
