"""Schiller SEMA XML: what is particular to it; tests/vendor_files/schiller.py writes the files."""

import os
import time
from collections.abc import Callable
from datetime import datetime
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any
from xml.dom import minidom

import numpy as np
import pytest

from hemometric.ecg import LEADS, Recording, Rejected
from hemometric.vendors import find, read
from hemometric.waveform import limb_lead_residuals

SPEC = spec_from_file_location("schiller_file", Path(__file__).parents[2] / "vendor_files" / "schiller.py")
assert SPEC is not None and SPEC.loader is not None
schiller: Any = module_from_spec(SPEC)
SPEC.loader.exec_module(schiller)

TWELVE = tuple(lead.upper() for lead in LEADS)
Rows = dict[str, np.ndarray]


def rows(leads: tuple[str, ...] = TWELVE, num_samples: int = 40) -> Rows:
    draw = np.random.default_rng(3)
    return {lead: draw.integers(-32767, 32768, num_samples) for lead in leads}


@pytest.fixture
def read_text(tmp_path: Path) -> Callable[[str], Recording | Rejected]:
    """Read the text of a file as a user would."""

    def one(text: str) -> Recording | Rejected:
        path = tmp_path / "zz7.xml"
        path.write_text(text)
        (source,) = find([path])
        assert source.format == "schiller"
        return read(source)

    return one


@pytest.fixture
def recorded(read_text) -> Callable[..., Recording]:
    """Read a file of one rhythm with changes, which must be taken."""

    def one(stored: Rows | None = None, patient: str = "", exam: str = "", **changes: object) -> Recording:
        wave = schiller.wavedata("ECG_RHYTHMS", stored or rows(), 500, **changes)
        found = read_text(schiller.document(wave, patient, exam))
        assert isinstance(found, Recording), found
        return found

    return one


@pytest.fixture
def refused(read_text) -> Callable[..., str]:
    """Read a file of one rhythm with changes, which must be refused, and give the reason."""

    def one(stored: Rows | None = None, **changes: object) -> str:
        found = read_text(schiller.document(schiller.wavedata("ECG_RHYTHMS", stored or rows(), 500, **changes)))
        assert isinstance(found, Rejected), found
        assert "zz7" not in found.detail
        return found.reason

    return one


def test_counts_are_native(recorded) -> None:
    stored = rows()
    found = recorded(stored)
    assert (found.leads, found.rate_hz, found.quantisation_error_mv) == (LEADS, 500, 0)
    np.testing.assert_array_equal(found.counts, np.stack(list(stored.values())))
    np.testing.assert_allclose(found.gain_per_mv, 200)


def test_counts_beyond_16_bits(recorded) -> None:
    shifted = {lead: row + 100_000 for lead, row in rows().items()}
    found = recorded(shifted)
    assert found.quantisation_error_mv == 0
    np.testing.assert_allclose(found.signal, np.stack(list(shifted.values())) / 200, rtol=1e-6)
    wide = {lead: row * 10_000 for lead, row in rows().items()}
    found = recorded(wide, unitperbit=0.001)
    assert 0 < found.quantisation_error_mv < 0.01
    expected = np.stack(list(wide.values())) / 1e6
    assert np.abs(found.signal - expected).max() <= found.quantisation_error_mv * 1.01


@pytest.mark.parametrize(
    ("unit", "per_bit", "gain_per_mv"),
    [("UV", "1.0", 1000), ("uv", "2.5", 400), ("MV", "0.005", 200), ("NV", "1000", 1000)],
)
def test_units(recorded, unit: str, per_bit: str, gain_per_mv: float) -> None:
    np.testing.assert_allclose(recorded(units=unit, unitperbit=per_bit).gain_per_mv, gain_per_mv)


@pytest.mark.parametrize("data", ["1,-2,+3,", "1,-2,+3", " 1 ,\n-2,\t+3 ,\n", "0001,-2,3,"])
def test_how_samples_may_be_written(recorded, data: str) -> None:
    found = recorded(data=data, samplecount=3)
    np.testing.assert_array_equal(found.counts[0], [1, -2, 3])


def test_what_may_be_missing(recorded) -> None:
    assert recorded(samplecount=None, exponent=None).num_samples == 40


def test_the_rhythm_is_taken_wherever_the_average_stands(read_text) -> None:
    stored = rows()
    waves = [schiller.wavedata("ECG_RHYTHMS", stored, 500), schiller.wavedata("ECG_AVERAGES", rows(), 1000, units="?")]
    for order in (waves, waves[::-1]):
        found = read_text(schiller.document("".join(order)))
        assert isinstance(found, Recording), found
        assert found.rate_hz == 500
    two_events = schiller.document(f"{waves[0]}</event><event>{waves[0]}")
    for text, reason in ((schiller.document(waves[1]), "no_waveform"), (two_events, "unsupported")):
        found = read_text(text)
        assert isinstance(found, Rejected) and found.reason == reason


def test_leads_that_are_not_standard(recorded) -> None:
    assert recorded(rows(("I", "II", "-AVR", "V7", "V3R", "X", "C2"))).leads == ("I", "II", "V2")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"exponent": 0}, "unsupported"),
        ({"exponent": 2}, "unsupported"),
        ({"value": None}, "rate_missing"),
        ({"value": 0}, "rate_missing"),
        ({"value": -500}, "rate_missing"),
        ({"value": "1e9"}, "rate_range"),
        ({"value": "500 Hz"}, "unreadable"),
        ({"units": "BPM"}, "unknown_unit"),
        ({"units": None}, "unknown_unit"),
        ({"unitperbit": None}, "gain_zero"),
        ({"unitperbit": "0.0"}, "gain_zero"),
        ({"unitperbit": -1}, "gain_negative"),
        ({"unitperbit": "1e-30"}, "gain_range"),
        ({"unitperbit": "1,0"}, "unreadable"),
        ({"name": "R_AMPL"}, "no_standard_lead"),
        ({"name": None}, "no_standard_lead"),
        ({"name": "V1"}, "duplicate_lead"),
        ({"datastype": "BASE64"}, "unsupported"),
        ({"datastype": None}, "unsupported"),
        ({"samplecount": 41}, "truncated"),
        ({"samplecount": 39}, "unreadable"),
        ({"samplecount": "many"}, "unreadable"),
        ({"data": None}, "truncated"),
        ({"data": "", "samplecount": 0}, "truncated"),
        ({"data": " \n", "samplecount": 0}, "truncated"),
        ({"data": "1,,2,"}, "unreadable"),
        ({"data": "1,2,,"}, "unreadable"),
        ({"data": ","}, "unreadable"),
        ({"data": "1 2"}, "unreadable"),
        ({"data": "1;2"}, "unreadable"),
        ({"data": "1,-,2"}, "unreadable"),
        ({"data": "1,2.5,3"}, "unreadable"),
        ({"data": "1,nan,3"}, "unreadable"),
        ({"data": "1,0x2,3"}, "unreadable"),
        ({"data": "1,9999999999"}, "unreadable"),
        ({"data": "1,\u0665"}, "unreadable"),
    ],
)
def test_what_is_refused(refused, changes: dict[str, object], reason: str) -> None:
    assert refused(**changes) == reason


def test_leads_of_different_lengths(refused) -> None:
    assert refused(rows() | rows(("V6",), 39)) == "truncated"


def test_long_data(refused) -> None:
    started = time.process_time()
    one = rows(("I",))
    assert refused(one, data="0," * (1 << 24) + "0,") == "too_long"
    assert refused(one, data="0," * (1 << 24)) == "unreadable"  # as many as may be, but more than announced
    assert refused(one, data="0," * (1 << 24) + "x") == "unreadable"
    assert refused(one, data=" " * (1 << 24) + "x") == "unreadable"
    assert time.process_time() - started < 10


def test_people(recorded) -> None:
    patient = "<id> 00123\n</id><birthdate>19510329</birthdate><gender>MALE</gender>"
    exam = schiller.started("20191105", "133759123")
    found = recorded(patient=patient, exam=exam)
    assert (found.patient_id, found.age_years, found.sex) == ("00123", 68, "male")
    assert found.acquired == datetime(2019, 11, 5, 13, 37, 59)
    unset = "<id></id><birthdate></birthdate><gender>UNDEFINED</gender>"
    nobody = recorded(patient=unset, exam=schiller.started("19700101", "000000000"))
    assert (nobody.patient_id, nobody.age_years, nobody.sex, nobody.acquired) == (None, None, None, None)


@pytest.mark.parametrize(
    ("day", "clock", "acquired"),
    [
        ("20191105", "133759", datetime(2019, 11, 5, 13, 37, 59)),
        ("20191105", "", None),
        ("", "133759000", None),
        ("20191305", "133759000", None),
        ("20191105", "253759000", None),
        ("19700101", "000001000", datetime(1970, 1, 1, 0, 0, 1)),
    ],
)
def test_times(recorded, day: str, clock: str, acquired: datetime | None) -> None:
    assert recorded(exam=schiller.started(day, clock)).acquired == acquired


@pytest.fixture
def real() -> Path:
    folder = os.environ.get("HEMOMETRIC_DATA")
    if not folder:
        pytest.fail("HEMOMETRIC_DATA is not set: give the folder that holds vendor/schiller-xml")
    return Path(folder) / "vendor" / "schiller-xml"


@pytest.mark.data
def test_a_real_file(real: Path) -> None:
    """Against a decoder of a few lines, the limb leads' identities, and what the device itself found in the ECG."""
    (source,) = find([real])
    found = read(source)
    assert isinstance(found, Recording), found
    assert (found.leads, found.rate_hz, found.num_samples) == (LEADS, 500, 5000)
    assert (found.patient_id, found.age_years, found.sex, found.acquired) == (None, None, None, None)
    document = minidom.parse(str(source.path))
    _, rhythm = document.getElementsByTagName("wavedata")
    for counts, element in zip(found.counts, rhythm.getElementsByTagName("data"), strict=True):
        assert [int(word) for word in element.firstChild.data.split(",") if word.strip()] == counts.tolist()
    assert max(limb_lead_residuals(found.signal).values()) <= 0.002  # they are rounded to a microvolt
    assert 0.5 < np.ptp(found.signal, axis=1).max() < 6

    said = {}
    for element in document.getElementsByTagName("rhythm_global") + document.getElementsByTagName("annotation_global"):
        (name,) = element.getElementsByTagName("name")
        values = [value.firstChild for value in element.getElementsByTagName("value")]
        said[name.firstChild.data] = [value.data for value in values if value is not None]
    starts = np.array(said["R_QRS_ON"], dtype=int)
    assert np.median(np.diff(starts)) / found.rate_hz * 1000 == pytest.approx(float(said["RR"][0]), rel=0.05)
    slope = np.abs(np.gradient(found.signal, axis=1)).sum(axis=0)
    assert np.min([slope[start : start + 50].max() for start in starts]) > 5 * np.median(slope)
