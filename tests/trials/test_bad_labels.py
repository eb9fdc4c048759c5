"""Labels that cannot be true, in other units, or from the wrong time: each counted as planted, each ECG labelled so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hemometric.corpus.measured_rows import FATES
from hemometric.corpus.pairing import OUTCOMES
from hemometric.ecg import LEADS

WINTER, SUMMER = datetime(2019, 1, 15, 12), datetime(2019, 7, 15, 12)
KPA = 1000 / 133.322387415


@dataclass(frozen=True)
class Case:
    """One ECG and the one catheter value of its patient.

    Attributes
    ----------
    at_h : float or None
        Hours after the ECG; None where there is no catheter.
    fate, outcome : str
        Of the value in its table, and of the label for the ECG; the label is `mmhg`.
    """

    num: int
    at_h: float | None
    value: str
    unit: str
    fate: str
    outcome: str
    mmhg: float | None = None
    has_time: bool = True


CASES = [
    Case(12, 2.5, "18", "mmHg", "used", "paired", 18.0),
    Case(8, 0.25, "2", "kPa", "used", "paired", 2 * KPA),
    Case(4, -0.5, "11", "mmHg", "used", "paired", 11.0),
    Case(3, -1.0, "12", "mmHg", "used", "paired", 12.0),  # the ends of the window are within
    Case(3, 24.0, "13", "mmHg", "used", "paired", 13.0),
    Case(6, -3.0, "14", "mmHg", "used", "out_of_window"),
    Case(5, 24.5, "15", "mmHg", "used", "out_of_window"),
    Case(6, 2.0, "-40", "mmHg", "out_of_range", "no_partner"),
    Case(7, 2.0, "999", "mmHg", "out_of_range", "no_partner"),
    Case(3, 2.0, "9", "kPa", "out_of_range", "no_partner"),  # 67.5 mmHg
    Case(4, 2.0, "20", "furlongs", "unknown_unit", "no_partner"),
    Case(2, 2.0, "n/k", "mmHg", "unreadable", "no_partner"),
    Case(2, 2.0, "", "mmHg", "no_value", "no_partner"),
    Case(5, None, "", "", "", "no_partner"),
    Case(3, 1.0, "16", "mmHg", "used", "no_time", has_time=False),
]
MEASURED: dict[str, Any] = {
    "kind": "long", "patient": "mrn", "time": "time", "item": "item", "value": "value", "unit": "unit",
    "time_zone": "Europe/Berlin", "pair": {"before_h": 1, "after_h": 24},
    "labels": {"mpcwp_mmhg": {"items": ["PAWP"], "unit": "mmHg", "low": -5, "high": 60}},
}  # fmt: skip


@pytest.fixture
def signal(clean_ecgs: Callable[..., list[np.ndarray]]) -> np.ndarray:
    """One ECG for all: what is tried here is what is said of it."""
    return clean_ecgs(1, seed=41)[0][:, :2000]


@pytest.fixture
def write(tmp_path: Path, vendor_files: dict[str, Any], signal: np.ndarray) -> Callable[..., Path]:
    def make(name: str, person: str, acquired: datetime) -> Path:
        folder = tmp_path / "archive" / name
        folder.mkdir(parents=True)
        known = {"patient_id": person, "acquired": acquired, "name": "Doe^Jane", "birth_date": date(1959, 1, 1)}
        known |= {"age_years": 60, "sex": "female", "serial": "S1", "note": "none"}
        path: Path = vendor_files["wfdb"].write(folder, signal, LEADS, 500.0, known)
        return path

    return make


def test_every_catheter_value_has_its_fate_and_every_ecg_its_label(
    write: Callable[..., Path], ingested: Any, tmp_path: Path
) -> None:
    """Clocks of ECGs show the time in Berlin, and the table of catheters that of Greenwich, in winter and in summer."""
    lines = ["mrn,time,item,value,unit"]
    truth: dict[str, tuple[float | None, float | None]] = {}
    for place, case in enumerate(CASES):
        for turn in range(case.num):
            acquired, utc_h = [(WINTER, 1), (SUMMER, 2)][turn % 2]
            name = f"{place:02d}-{turn}"
            header = write(name, name, acquired)
            if not case.has_time:
                header.write_text(header.read_text().replace(f" {acquired:%H:%M:%S %d/%m/%Y}", "", 1))
            if case.at_h is not None:
                taken = (acquired + timedelta(hours=case.at_h - utc_h)).replace(tzinfo=UTC)
                lines.append(f"{name},{taken.isoformat()},PAWP,{case.value},{case.unit}")
                lines.append(f"{name},{taken.isoformat()},HR,70,/min")
            paired = case.outcome == "paired"
            truth[name] = (case.mmhg, case.at_h) if paired else (None, None)
    (tmp_path / "catheters.csv").write_text("\n".join(lines) + "\n")

    done = ingested(
        tmp_path / "archive",
        measurements=[MEASURED | {"path": str(tmp_path / "catheters.csv")}],
        find_duplicates=False,
    )
    assert done.ended.code == 0, done.ended
    fates, outcomes = Counter[str](), Counter[str]()
    for case in CASES:
        fates[case.fate] += case.num
        outcomes[case.outcome] += case.num
    num_ecgs, num_paired = sum(case.num for case in CASES), outcomes["paired"]
    counts = done.counts
    assert (counts["found"], counts["accepted"], counts["rejected"]) == (num_ecgs, num_ecgs, {})
    assert counts["measurements"] == {"mpcwp_mmhg": {fate: fates[fate] for fate in FATES}}
    assert counts["paired"] == {"mpcwp_mmhg": {outcome: outcomes[outcome] for outcome in OUTCOMES}}
    assert counts["labels"] == {"mpcwp_mmhg": num_paired, "mpcwp_mmhg_delta_h": num_paired}
    rows = done.rows("label.mpcwp_mmhg", "label.mpcwp_mmhg_delta_h")
    assert rows.keys() == truth.keys()
    for name, (mmhg, delta_h) in truth.items():
        found = (rows[name]["label.mpcwp_mmhg"], rows[name]["label.mpcwp_mmhg_delta_h"])
        assert found == ((None, None) if mmhg is None else pytest.approx((mmhg, delta_h), abs=1e-4)), name


def test_labels_beside_the_records_are_converted_or_become_absent_and_are_counted(
    write: Callable[..., Path], ingested: Any, tmp_path: Path
) -> None:
    planted = [("2.0", 2 * KPA)] * 9 + [("-0.5", -0.5 * KPA)] * 2 + [("", None)] * 5
    impossible = ["-40"] * 3 + ["999"] * 4 + ["9"] * 2 + ["about 2"] * 2 + ["inf"] + ["1e999"]
    planted += [(text, None) for text in impossible]
    lines = ["record,mrn,wedge_kpa"]
    for number, (text, _) in enumerate(planted):
        write(f"{number:02d}", f"P{number}", WINTER)
        lines.append(f"{number:02d}/ecg,P{number},{text}")
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    label = {"column": "wedge_kpa", "unit": "mmHg", "source_unit": "kPa", "low": -5, "high": 60}
    table = {"kind": "columns", "path": str(tmp_path / "labels.csv"), "record": "record", "patient": "mrn"}
    done = ingested(tmp_path / "archive", table=table | {"labels": {"mpcwp_mmhg": label}}, find_duplicates=False)
    assert done.ended.code == 0, done.ended
    counts = done.counts
    assert counts["accepted"] == len(planted)
    assert counts["labels"] == {"mpcwp_mmhg": 11}
    assert counts["nulled"] == {"label.mpcwp_mmhg": 9, "label.mpcwp_mmhg (unreadable)": len(impossible) - 9}
    assert "values out of range, now absent: label.mpcwp_mmhg 9" in done.ended.out
    assert f"values that cannot be read, now absent: label.mpcwp_mmhg {len(impossible) - 9}" in done.ended.out
    found = {name: row["label.mpcwp_mmhg"] for name, row in done.rows("label.mpcwp_mmhg").items()}
    assert found == {f"{number:02d}": pytest.approx(mmhg) for number, (_, mmhg) in enumerate(planted)}


def test_an_ecg_after_the_catheter_is_left_out_where_only_earlier_ones_are_wanted(
    write: Callable[..., Path], ingested: Any, tmp_path: Path
) -> None:
    """With ``before_h: 0`` no label comes from a catheter that the ECG's reader may have known of."""
    lines = ["mrn,time,item,value,unit"]
    hours = {"earlier": -0.01, "at-once": 0.0, "later": 0.01}
    for name, at_h in hours.items():
        write(name, name, WINTER)
        lines.append(f"{name},{(WINTER + timedelta(hours=at_h - 1)).isoformat()}Z,PAWP,18,mmHg")
    (tmp_path / "catheters.csv").write_text("\n".join(lines) + "\n")
    measured = MEASURED | {"path": str(tmp_path / "catheters.csv"), "pair": {"before_h": 0, "after_h": 24}}
    done = ingested(tmp_path / "archive", measurements=[measured], find_duplicates=False)
    assert done.ended.code == 0, done.ended
    found = {name: row["label.mpcwp_mmhg"] for name, row in done.rows("label.mpcwp_mmhg").items()}
    assert found == {"earlier": None, "at-once": 18.0, "later": 18.0}
