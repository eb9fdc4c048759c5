"""An ECG and its catheter values: by patient and time, as a plain loop over all rows pairs them."""

from __future__ import annotations

import csv
import os
import pickle
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hemometric.corpus import Key
from hemometric.corpus.measured_rows import Measured, stage_measurements
from hemometric.corpus.measurements import ColumnLabel, Pair, WideTable
from hemometric.corpus.pairing import Paired, Pairing

ECG = datetime(2020, 5, 10, 12)
Row = tuple[str, datetime, float | None, float | None]


def stage(folder: Path, key: Key, rows: list[Row], pair: Pair) -> Measured:
    path = folder / "cath.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["mrn", "time", "wedge", "co"])
        writer.writerows([(mrn, time.isoformat(), wedge, co) for mrn, time, wedge, co in rows])
    labels = {
        "mpcwp_mmhg": ColumnLabel(column="wedge", unit="mmHg"),
        "co_l_min": ColumnLabel(column="co", unit="L/min"),
    }
    table = WideTable(path=path, patient="mrn", time="time", labels=labels, pair=pair)
    return stage_measurements([table], folder / "staging", key)


def find(key: Key, pairing: Pairing, mrn: str, acquired: datetime | None) -> Paired:
    patient = key.patient(mrn)
    return pairing.paired(patient, None if acquired is None else acquired + key.date_shift(patient))


def hours(*values: float) -> list[datetime]:
    return [ECG + timedelta(hours=value) for value in values]


@pytest.mark.parametrize(
    ("pair", "expected"),
    [
        (Pair(before_h=24, after_h=24), (11.0, -1.0)),
        (Pair(before_h=0, after_h=24), (12.0, 3.0)),
        (Pair(before_h=0, after_h=3), (12.0, 3.0)),
        (Pair(before_h=24, after_h=24, choose="first"), (10.0, -24.0)),
        (Pair(before_h=24, after_h=24, choose="last"), (12.0, 3.0)),
        (Pair(before_h=24, after_h=24, choose="mean"), (11.0, -22 / 3)),
        (Pair(before_h=24, after_h=24, choose="all"), ([10.0, 11.0, 12.0], [-24.0, -1.0, 3.0])),
        (Pair(before_h=0.5, after_h=2.5), (None, None)),
    ],
)
def test_the_window_and_the_choice(tmp_path: Path, key: Key, pair: Pair, expected: tuple[object, object]) -> None:
    rows: list[Row] = [("7", time, 10.0 + n, None) for n, time in enumerate(hours(-24, -1, 3, 24.001))]
    found = find(key, Pairing(stage(tmp_path, key, rows[::-1], pair)), "7", ECG)
    assert found.columns["label.mpcwp_mmhg"] == pytest.approx(expected[0])
    assert found.columns["label.mpcwp_mmhg_delta_h"] == pytest.approx(expected[1])
    assert found.outcomes["mpcwp_mmhg"] == ("out_of_window" if expected[0] is None else "paired")
    assert found.columns["label.co_l_min"] is found.columns["label.co_l_min_delta_h"] is None
    assert found.outcomes["co_l_min"] == "no_partner"  # the patient has a wedge and no output


def test_of_two_equally_near_the_earlier_counts(tmp_path: Path, key: Key) -> None:
    rows: list[Row] = [("7", time, value, None) for time, value in zip(hours(2, -2), (20.0, 10.0), strict=True)]
    found = find(key, Pairing(stage(tmp_path, key, rows, Pair(before_h=5, after_h=5))), "7", ECG)
    assert found.columns["label.mpcwp_mmhg_delta_h"] == -2.0


def test_who_has_no_time_and_who_has_no_catheter(tmp_path: Path, key: Key) -> None:
    pairing = Pairing(stage(tmp_path, key, [("7", ECG, 10.0, 5.0)], Pair(before_h=5, after_h=5)))
    assert set(find(key, pairing, "7", None).outcomes.values()) == {"no_time"}
    assert set(find(key, pairing, "8", ECG).outcomes.values()) == {"no_partner"}
    assert set(find(key, pairing, " 7 ", ECG).outcomes.values()) == {"paired"}
    assert set(find(key, pairing, "07", ECG).outcomes.values()) == {"no_partner"}  # another id, another patient


def test_an_empty_table_pairs_nobody(tmp_path: Path, key: Key) -> None:
    pairing = Pairing(stage(tmp_path, key, [], Pair(before_h=5, after_h=5)))
    assert set(find(key, pairing, "7", ECG).outcomes.values()) == {"no_partner"}


@pytest.mark.parametrize("choose", ["nearest", "first", "last", "mean", "all"])
def test_a_plain_loop_pairs_the_same(tmp_path: Path, key: Key, choose: str) -> None:
    random = np.random.default_rng(11)
    pair = Pair(before_h=6, after_h=30, choose=choose)  # type: ignore[arg-type]
    rows: list[Row] = []
    times = set()
    for _ in range(600):
        row = (str(random.integers(60)), ECG + timedelta(seconds=int(random.integers(-400_000, 400_000))))
        wedge, co = (float(random.integers(1, 40)) if random.random() < 0.7 else None for _ in range(2))
        if row not in times:
            rows.append((*row, wedge, co))
            times.add(row)
    measured = pickle.loads(pickle.dumps(stage(tmp_path, key, rows, pair)))  # as a worker gets it
    pairing = Pairing(measured)
    outcomes: Counter[str] = Counter()
    for _ in range(300):
        mrn = str(random.integers(70))
        acquired = ECG + timedelta(seconds=int(random.integers(-400_000, 400_000)))
        found = find(key, pairing, mrn, acquired)
        for place, name in ((2, "mpcwp_mmhg"), (3, "co_l_min")):
            own = sorted((row[1], row[place]) for row in rows if row[0] == mrn and row[place] is not None)
            deltas = [((time - acquired).total_seconds() / 3600, value) for time, value in own]
            inside = [(delta, value) for delta, value in deltas if -6 <= delta <= 30]
            expected = [value for _, value in inside]
            distance = [delta for delta, _ in inside]
            if inside and choose != "all":
                nearest = min(inside, key=lambda both: (abs(both[0]), both[0]))
                chosen = {"nearest": nearest, "first": inside[0], "last": inside[-1]}.get(choose)
                expected = [chosen[1]] if chosen else [float(np.mean(expected))]
                distance = [chosen[0]] if chosen else [float(np.mean(distance))]
            outcome = "paired" if inside else "out_of_window" if own else "no_partner"
            outcomes[outcome] += 1
            assert found.outcomes[name] == outcome
            value, delta = found.columns[f"label.{name}"], found.columns[f"label.{name}_delta_h"]
            if not inside:
                assert value is delta is None
            else:
                assert np.atleast_1d(value).tolist() == pytest.approx(expected)
                assert np.atleast_1d(delta).tolist() == pytest.approx(distance)
    assert min(outcomes[outcome] for outcome in ("paired", "out_of_window", "no_partner")) > 50


@pytest.mark.data
def test_real_times_of_mimic_agree_with_pandas(tmp_path: Path, key: Key) -> None:
    folder = os.environ.get("HEMOMETRIC_DATA")
    if folder is None:
        pytest.fail("HEMOMETRIC_DATA is not set: give the folder that holds mimic-iv-ecg-tables")
    ecgs = pd.read_csv(Path(folder) / "mimic-iv-ecg-tables" / "train_fib.csv", usecols=["subject_id", "ecg_time"])
    ecgs["ecg_time"] = pd.to_datetime(ecgs["ecg_time"]).astype("datetime64[us]")
    random = np.random.default_rng(5)
    near = ecgs.sample(5000, random_state=5)
    times = near["ecg_time"] + pd.to_timedelta(random.integers(-200_000, 200_000, len(near)), unit="s")
    cath = pd.DataFrame({"subject_id": near["subject_id"], "time": times, "wedge": random.uniform(2, 40, len(near))})
    cath = cath.drop_duplicates(["subject_id", "time"]).astype({"time": "datetime64[us]"})
    cath.to_csv(tmp_path / "cath.csv", index=False)
    table = WideTable(
        path=tmp_path / "cath.csv", patient="subject_id", time="time", pair=Pair(before_h=24, after_h=24),
        labels={"mpcwp_mmhg": ColumnLabel(column="wedge", unit="mmHg")},
    )  # fmt: skip
    pairing = Pairing(stage_measurements([table], tmp_path / "staging", key))
    ecgs = ecgs.sort_values("ecg_time", ignore_index=True)
    expected = pd.merge_asof(
        ecgs, cath.sort_values("time"), left_on="ecg_time", right_on="time", by="subject_id",
        direction="nearest", tolerance=pd.Timedelta(hours=24),
    )  # fmt: skip
    found = [
        find(key, pairing, str(mrn), time.to_pydatetime())
        for mrn, time in zip(ecgs["subject_id"], ecgs["ecg_time"], strict=True)
    ]
    values = np.array([one.columns["label.mpcwp_mmhg"] for one in found], dtype=np.float64)
    deltas_h = np.array([one.columns["label.mpcwp_mmhg_delta_h"] for one in found], dtype=np.float64)
    of_pandas = ((expected["time"] - expected["ecg_time"]) / pd.Timedelta(hours=1)).to_numpy()
    np.testing.assert_allclose(np.abs(deltas_h), np.abs(of_pandas), atol=1e-9)
    is_tie = np.abs(deltas_h - of_pandas) > 1e-9
    np.testing.assert_array_equal(values[~is_tie], expected["wedge"].to_numpy()[~is_tie])
    assert is_tie.sum() < 5
    assert np.isfinite(values).sum() > 3000
