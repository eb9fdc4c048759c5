"""Leads, units and rates as devices write them: put right where declared, refused where they cannot be true."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hemometric.ecg import LEADS
from hemometric.waveform import prepare, standard_leads
from hemometric.waveform.prepare import Preparation

PERSON = {"name": "Doe^Jane", "birth_date": date(1959, 1, 1), "acquired": datetime(2019, 11, 5, 13, 37)}
PERSON |= {"patient_id": "1", "age_years": 60, "sex": "female", "serial": "S1", "note": "none"}
RATES_HZ = (250.0, 257.0, 400.0, 500.0, 1000.0)
UNITS = {"uV": "0.2(0)/uV", "mV": "200(0)/mV", "nV": "0.0002(0)/nV", "V": "200000(0)/V"}
"""The same 200 counts a millivolt, in each unit that a header may name."""

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, vendor_files: dict[str, Any]) -> Write:
    """Write a WFDB record of 200 counts a millivolt into a folder of its own, and give its header."""

    def make(name: str, signal: np.ndarray, leads: tuple[str, ...] = LEADS, rate_hz: float = 500.0) -> Path:
        folder = tmp_path / "archive" / name
        folder.mkdir(parents=True)
        path: Path = vendor_files["wfdb"].write(folder, signal, leads, rate_hz, PERSON)
        return path

    return make


def gains(path: Path, of_rows: dict[int, str]) -> None:
    """Write other gains into a header, row by row of its leads."""
    lines = path.read_text().splitlines()
    for row, gain in of_rows.items():
        assert "200(0)/mV" in lines[row + 1]
        lines[row + 1] = lines[row + 1].replace("200(0)/mV", gain)
    path.write_text("\n".join(lines) + "\n")


def test_declared_units_are_converted_and_others_meet_the_amplitude_gate(
    write: Write, ingested: Any, tmp_path: Path, clean_ecgs: Callable[..., list[np.ndarray]]
) -> None:
    ecgs = iter(clean_ecgs(12, seed=31))
    truth: dict[str, np.ndarray] = {}
    for unit, gain in UNITS.items():
        truth[f"declared-{unit}"] = next(ecgs)
        gains(write(f"declared-{unit}", truth[f"declared-{unit}"]), dict.fromkeys(range(12), gain))
    truth["mixed"] = next(ecgs)
    gains(write("mixed", truth["mixed"]), {row: list(UNITS.values())[row % 4] for row in range(12)})
    refused = {"thousandfold": range(12), "one-lead": [4], "one-chest-lead": [9]}
    for name, rows in refused.items():
        gains(write(name, next(ecgs)), dict.fromkeys(rows, "0.2(0)/mV"))
    gains(write("thousandth", next(ecgs)), dict.fromkeys(range(12), "200(0)/uV"))
    gains(write("pressure", next(ecgs)), {3: "200(0)/mmHg"})

    done = ingested(tmp_path / "archive", max_rejected_fraction=0.5)
    assert done.ended.code == 0, done.ended
    wanted = dict.fromkeys(truth, "accepted") | dict.fromkeys(refused, "amplitude_high")
    wanted |= {"thousandth": "amplitude_low", "pressure": "unknown_unit"}
    assert done.fates() == {name: [fate] for name, fate in wanted.items()}
    for name, recording in done.recordings().items():
        assert np.abs(recording.signal - truth[name]).max() < 1e-5, name


def test_leads_are_put_right_by_name_or_refused_or_flagged(
    write: Write, ingested: Any, tmp_path: Path, clean_ecgs: Callable[..., list[np.ndarray]]
) -> None:
    num = 8
    ecgs = iter(clean_ecgs(4 * num, seed=32))
    draw = np.random.default_rng(33)
    truth, wanted = {}, {}
    for turn in range(num):
        order = draw.permutation(12)
        signal = next(ecgs)
        names = tuple(LEADS[row] for row in order)
        odd = tuple(f"Lead {name.lower()}" if turn % 2 else name.upper() for name in names)
        write(f"permuted-{turn}", signal[order], odd)
        truth[f"permuted-{turn}"], wanted[f"permuted-{turn}"] = signal, "accepted"
        write(f"i-as-ii-{turn}", next(ecgs), ("II", "I", *LEADS[2:]))
        write(f"avr-as-avl-{turn}", next(ecgs), (*LEADS[:3], "aVL", "aVR", *LEADS[5:]))
        wanted[f"i-as-ii-{turn}"] = wanted[f"avr-as-avl-{turn}"] = "limb_lead_identity"
        i, ii, iii, avr, avl, avf, *chest = next(ecgs)
        write(f"arms-{turn}", np.stack([-i, iii, ii, avl, avr, avf, *chest]))
        wanted[f"arms-{turn}"] = "accepted"

    done = ingested(tmp_path / "archive", max_rejected_fraction=0.6)
    assert done.ended.code == 0, done.ended
    assert done.fates() == {name: [fate] for name, fate in wanted.items()}
    recordings = done.recordings()
    for name, signal in truth.items():
        put_right, present = standard_leads(recordings[name].signal, recordings[name].leads)
        assert present.all()
        assert np.abs(put_right - signal).max() < 1e-5, name
    flags = {name: row["flags"] for name, row in done.rows("flags").items()}
    assert flags == {name: ["arm_reversal_suspected"] if name.startswith("arms") else [] for name in flags}


def test_every_rate_becomes_an_ideal_sine_and_a_false_one_is_refused(
    write: Write, ingested: Any, tmp_path: Path, clean_ecgs: Callable[..., list[np.ndarray]]
) -> None:
    # Other sines at each rate, lest they be the same ECG; 7 Hz and more are within the passband of 100 Hz.
    frequencies = {rate_hz: 7.0 + 3.0 * place for place, rate_hz in enumerate(RATES_HZ)}

    def sines(rate_hz: float, num_samples: int, frequency: float) -> np.ndarray:
        time_s = np.arange(num_samples) / rate_hz
        one, two = np.sin(2 * np.pi * frequency * time_s), 0.6 * np.sin(2 * np.pi * (frequency + 1) * time_s + 0.5)
        limb = [one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2]
        return np.stack([*limb, *(one * row / 6 + two / row for row in range(1, 7))])

    for rate_hz, frequency in frequencies.items():
        write(f"{rate_hz:g}", sines(rate_hz, round(10 * rate_hz), frequency), rate_hz=rate_hz)
    for turn, ecg in enumerate(clean_ecgs(4, seed=34)):
        write(f"false-{turn}", ecg, rate_hz=100.0)

    done = ingested(tmp_path / "archive", max_rejected_fraction=0.5)
    assert done.ended.code == 0, done.ended
    fates = {f"{rate_hz:g}": ["accepted"] for rate_hz in RATES_HZ}
    assert done.fates() == fates | {f"false-{turn}": ["rate_contradiction"] for turn in range(4)}
    for name, recording in done.recordings().items():
        assert recording.rate_hz == float(name)
        for to_hz in (100.0, 250.0):
            prepared = prepare(recording, Preparation(rate_hz=to_hz, duration_s=10.0))
            assert isinstance(prepared, np.ndarray)
            ideal = sines(to_hz, round(10 * to_hz), frequencies[float(name)])
            away = slice(int(to_hz / 2), -int(to_hz / 2))
            assert np.abs(prepared - ideal)[:, away].max() < 1e-2, (name, to_hz)
