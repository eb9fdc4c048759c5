"""A flag that `assess` never sets is a slip: leaving nothing out for it would pass for a clean export."""

from __future__ import annotations

from pathlib import Path

import pytest

from hemometric.config import decode
from hemometric.errors import UsageError
from hemometric.runs.export import ExportRun
from hemometric.runs.export_selection import Selection
from hemometric.waveform.flags import FLAGS


@pytest.mark.parametrize(
    ("flag", "told"),
    [
        ("baseline_wande", "there is no flag 'baseline_wande'; did you mean 'baseline_wander'?"),
        ("PADDED", "there is no flag 'PADDED'; did you mean 'padded'?"),
        ("flat_lead:v1", "did you mean 'flat_lead:V1'?"),
        ("quux", "there is no flag 'quux'; known: baseline_wander, mains_hum, nan_samples"),
    ],
)
def test_a_flag_that_there_is_not_is_refused(tmp_path: Path, flag: str, told: str) -> None:
    fields = {"corpus": str(tmp_path), "out": str(tmp_path / "out"), "to": "npy"}
    with pytest.raises(UsageError) as caught:
        decode(ExportRun, {**fields, "selection": {"without_flag": ["padded", flag]}})
    assert told in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_all_flags_that_there_are_may_be_named() -> None:
    assert Selection(without_flag=FLAGS).without_flag == FLAGS
