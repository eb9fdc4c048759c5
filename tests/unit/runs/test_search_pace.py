"""A search that is under way says how far it is: lines in a log, a bar on a terminal."""

from __future__ import annotations

import io
import json
import math
import sys
from typing import Any

import pytest

from hemometric.runs import pace
from hemometric.runs.search_pace import SearchPace


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    found = [1000.0]
    monkeypatch.setattr(pace.time, "monotonic", lambda: found[0])
    return found


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_log_hears_of_the_beginning_of_every_end_and_now_and_then(
    now: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with SearchPace(4, 100) as shown:
        shown.began("a")
        shown.began("b")
        now[0] += 9
        shown.show()
        assert lines(capsys) == [{"run": "search", "done": 0, "total": 4, "running": 0}], "what is unknown is left out"
        now[0] += 1
        shown.reported("a", 50, math.nan)
        shown.reported("b", 50, 7.5)
        shown.reported("a", 100, 6.25)
        now[0] += 5
        shown.ended("a")
        shown.began("c")
        shown.ended("c", failed=True)
        now[0] += 10
        shown.show()
    common = {"run": "search", "total": 4}
    assert lines(capsys) == [
        # Less than a trial's work is not enough to reckon with.
        common | {"done": 0, "running": 2},
        # One trial's work in 10 s, and three trials' are left.
        common | {"done": 0, "running": 2, "best_validation_loss": 7.5, "time_left_s": 30.0},
        common | {"done": 1, "running": 1, "best_validation_loss": 6.25, "time_left_s": 11.7},
        common | {"done": 2, "running": 1, "failed": 1, "best_validation_loss": 6.25, "time_left_s": 9.0},
        common | {"done": 2, "running": 1, "failed": 1, "best_validation_loss": 6.25},
    ]


def test_the_time_left_runs_down_while_nothing_is_heard_and_never_up(
    now: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with SearchPace(2, 100) as shown:
        shown.began("a")
        now[0] += 30
        shown.reported("a", 100, 7.0)
        shown.ended("a")
        shown.began("b")
        for _ in range(4):
            now[0] += 10
            shown.show()
        told = [line.get("time_left_s") for line in lines(capsys)]
    assert told == [None, 30.0, 30.0, 20.0, 10.0, None, None]


def test_trials_that_answer_from_their_folders_say_nothing_of_the_rate(
    now: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with SearchPace(4, 100, num_known=2) as shown:
        for trial in ("a", "b"):
            now[0] += 1
            shown.reported(trial, 100, 5.0)
            shown.ended(trial)
        told = lines(capsys)
        assert [line["done"] for line in told] == [0, 0, 1, 2]
        assert not any("time_left_s" in line for line in told)
        now[0] += 18
        shown.reported("c", 100, 6.0)
        shown.ended("c")
    assert lines(capsys)[-1] == {
        "run": "search", "done": 3, "total": 4, "running": 0, "best_validation_loss": 5.0, "time_left_s": 20.0
    }  # fmt: skip


def test_a_terminal_shows_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("COLUMNS", "80")
    with SearchPace(2, 10) as shown:
        for trial in ("a", "b"):
            shown.began(trial)
            shown.reported(trial, 10, 6.8512)
        shown.show()
        shown.ended("a")
        shown.ended("b")
    for words in ("search", "2/2", "best loss 6.8512", "0:00 left"):
        assert words in stream.getvalue()
    assert "{" not in stream.getvalue()
