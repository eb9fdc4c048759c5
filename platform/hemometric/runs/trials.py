"""What is known of a search's trials: one small file each, written as the trial begins and when it is cut short."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hemometric.errors import DataRejectedError, HemometricError, IntegrityError, UsageError
from hemometric.runs.outcome import read_outcome
from hemometric.runs.records import read_record, write_summary
from hemometric.runs.search import Value
from hemometric.runs.shapes import TrialRecord

SCORE = "validation_loss"

TRIAL_ERRORS = (UsageError, DataRejectedError, IntegrityError)
"""What a trial's own settings may bring about, so that the next one may do better. Any other error, such as a full
disk, is none of a trial's: it ends the search, and nothing is recorded."""


def record_of(folder: Path) -> Path:
    """Say where the record of the trial in `folder` lies: beside it."""
    return folder.parent / f"{folder.name}.json"


def _read(path: Path) -> dict[str, Any]:
    """Read a record, without what was never written; a search that is run again writes it anew."""
    return read_record(path, TrialRecord, remove=path).model_dump(exclude_unset=True)


def record_trial(folder: Path, values: dict[str, Value]) -> None:
    """Write down what a trial tries before it begins, so that a killed search knows it."""
    path = record_of(folder)
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_summary(path, {"number": len(list(path.parent.glob("*.json"))), "values": values})


def record_stop(folder: Path, step: int | None) -> None:
    """Write down that early stopping ended a trial, after a step where it is known."""
    write_summary(record_of(folder), _read(record_of(folder)) | {"stopped": {"step": step}})


def record_failure(folder: Path, error: HemometricError) -> None:
    """Write down why a trial failed, where running it again would only fail again."""
    write_summary(record_of(folder), _read(record_of(folder)) | {"failed": str(error)})


def record_finish(folder: Path) -> None:
    """Drop what an earlier start wrote of how a trial ended, for it has finished since."""
    record = _read(record_of(folder))
    kept = {name: value for name, value in record.items() if name not in ("stopped", "failed")}
    if kept != record:
        write_summary(record_of(folder), kept)


def recorded(folder: Path) -> list[dict[str, Any]]:
    """Read the records of all trials that ever began below ``folder/trials``, in their order."""
    found = [_read(path) for path in sorted((folder / "trials").glob("*.json"))]
    return sorted(found, key=lambda record: int(record["number"]))


def is_done(folder: Path) -> bool:
    """Whether a trial finished, failed, or was stopped early: there is nothing left to run."""
    record = record_of(folder)
    if (folder / "outcome.json").is_file():
        return True
    return record.is_file() and not {"stopped", "failed"}.isdisjoint(_read(record))


def row_of(folder: Path) -> dict[str, Any]:
    """Give one trial's row for the table of a search."""
    record = _read(record_of(folder))
    row: dict[str, Any] = {
        "trial": folder.name,
        "values": record["values"],
        "finished": False,
        "failed": record.get("failed"),
        SCORE: None,
        "step": None,
    }
    if (folder / "outcome.json").is_file():
        outcome = read_outcome(folder)
        row |= {"finished": True, "failed": None, SCORE: outcome["best_validation_loss"], "step": outcome["best_step"]}
    return row


def best_of(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Choose the finished trial with the lowest validation loss.

    Raises
    ------
    DataRejectedError
        No trial finished.
    """
    finished = [row for row in rows if row[SCORE] is not None]
    if not finished:
        why = next((f" (the first: {row['failed']})" for row in rows if row["failed"]), "")
        raise DataRejectedError(f"none of {len(rows)} trials finished{why}; search within narrower bounds")
    return min(finished, key=lambda row: (row[SCORE], row["trial"]))
