import io
import json
import math

import pytest
from rich.console import Console

from hemometric.progress import BarProgress, JsonLinesProgress, NullProgress, progress_on


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_json_lines_come_at_the_first_step_the_last_and_in_intervals():
    now = iter([0.0, 4.0, 10.0, 19.9, 20.0, 21.0])
    stream = io.StringIO()
    progress = JsonLinesProgress("pretrain", stream, interval_s=10.0, clock=lambda: next(now))
    progress.start(4, 10)
    for step in range(5, 11):
        progress.update(step, 1.0 / step, 123.456, 10.0 - step)
    progress.close()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["step"] for line in lines] == [5, 7, 9, 10]
    assert lines[0] == {
        "run": "pretrain", "step": 5, "num_steps": 10, "loss": 0.2, "ecg_per_s": 123.5, "time_left_s": 5.0
    }  # fmt: skip


def test_a_skipped_step_is_still_json():
    stream = io.StringIO()
    progress = JsonLinesProgress("pretrain", stream)
    progress.start(0, 1)
    progress.update(1, math.nan, 1.0, 0.0)
    assert json.loads(stream.getvalue())["loss"] is None


def test_no_log_begins_without_a_loss():
    stream = io.StringIO()
    progress = JsonLinesProgress("pretrain", stream, interval_s=10.0, clock=lambda: 0.0)
    progress.start(0, 9)
    for step, loss in ((1, math.nan), (2, math.nan), (3, 0.5), (9, math.nan)):
        progress.update(step, loss, 1.0, 0.0)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["step"], line["loss"]) for line in lines] == [(3, 0.5), (9, None)]


def test_a_bar_shows_loss_rate_and_time_left():
    stream = Terminal()
    progress = BarProgress("pretrain", Console(file=stream, force_terminal=True, width=120))
    progress.start(0, 100)
    progress.update(40, 0.123456, 1234.5, 3725.0)
    progress.close()
    shown = stream.getvalue()
    for words in ("pretrain", "40/100", "loss 0.1235", "1,234 ECG/s", "1:02:05 left"):
        assert words in shown


@pytest.mark.parametrize(("stream", "kind"), [(Terminal(), BarProgress), (io.StringIO(), JsonLinesProgress)])
def test_the_stream_chooses(stream, kind):
    assert isinstance(progress_on("pretrain", stream), kind)


def test_nothing_is_shown_where_nothing_is_wanted(capsys):
    progress = NullProgress()
    progress.start(0, 1)
    progress.update(1, 0.0, 0.0, 0.0)
    progress.close()
    assert capsys.readouterr() == ("", "")


def test_parts_are_told_in_lines_and_those_with_room_in_the_bar():
    stream = io.StringIO()
    progress = JsonLinesProgress("pretrain", stream)
    progress.start(0, 1)
    parts = {"active": 0.5, "z_rank": 12.3456, "stalled": 0.021, "d_ap": 1.0, "odd": math.nan}
    progress.update(1, 0.25, 10.0, 0.0, parts)
    told = json.loads(stream.getvalue())
    assert {name: told[name] for name in ("active", "z_rank", "stalled", "d_ap")} == {
        "active": 0.5, "z_rank": 12.35, "stalled": 0.021, "d_ap": 1.0
    }  # fmt: skip
    assert "odd" not in told
    terminal = Terminal()
    bar = BarProgress("pretrain", Console(file=terminal, force_terminal=True, width=160))
    bar.start(0, 100)
    bar.update(40, 0.123456, 1234.5, 3725.0, parts)
    bar.close()
    assert "loss 0.1235 · active 50% · rank 12.3 · waited 2%" in terminal.getvalue()
