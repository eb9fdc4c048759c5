"""What is particular to the HL7 annotated ECG: series and sets, units, origins, the ways to give a time."""

import importlib.util
import os
import re
from datetime import date, datetime
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from hemometric.ecg import LEADS, Recording, Rejected
from hemometric.vendors import find, read
from hemometric.waveform import standard_leads
from hemometric.waveform.leads import limb_lead_residuals

PERSON = {
    "patient_id": " 00123",
    "name": "Mustermann",
    "birth_date": date(1951, 3, 29),
    "sex": "male",
    "acquired": datetime(2019, 11, 5, 13, 37, 59),
    "serial": "X",
    "note": "none",
}


@pytest.fixture(scope="module")
def files() -> ModuleType:
    path = Path(__file__).parents[2] / "vendor_files" / "hl7_aecg.py"
    spec = importlib.util.spec_from_file_location("hl7_aecg_file", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def counts() -> np.ndarray:
    """Three leads, int64 [3, 600]."""
    return np.cumsum(np.random.default_rng(1).integers(-9, 10, (3, 600)), axis=1)


def digits(row: np.ndarray) -> str:
    return " ".join(map(str, row))


def read_text(folder: Path, text: str, encoding: str = "utf-8") -> Recording | Rejected:
    path = folder / "zz7.xml"
    path.write_text(text.replace('encoding="UTF-8"', ""), encoding=encoding)
    (source,) = find([path])
    found = read(source)
    assert found.detail and "zz7" not in found.detail if isinstance(found, Rejected) else True
    return found


def read_sequences(files: ModuleType, folder: Path, *sequences: str) -> Recording | Rejected:
    return read_text(folder, files.document([files.series(list(sequences))], PERSON))


@pytest.mark.parametrize(
    ("scale", "unit", "origin", "gain_per_mv", "offset"),
    [
        ("2.5", "uV", "0", 400, 0),
        ("0.005", "mV", "1", 200, -200),
        ("5000", "nV", "-50000", 200, 10),
        ("4.88e-6", "V", "0", 1 / 0.00488, 0),
        ("2.5", "\u00b5V", "2.5", 400, -1),
        (" +2.5 ", " UV ", "0", 400, 0),
    ],
)
def test_units_scale_and_origin(files, counts, tmp_path, scale, unit, origin, gain_per_mv, offset) -> None:
    lead = files.sequence("II", digits(counts[0]), scale=scale, unit=unit, origin=origin)
    found = read_sequences(files, tmp_path, files.increment(), lead)
    assert isinstance(found, Recording), found
    assert found.leads == ("II",)
    np.testing.assert_array_equal(found.counts, counts[:1])
    np.testing.assert_allclose(found.gain_per_mv, [gain_per_mv])
    np.testing.assert_allclose(found.offset_counts, [offset], atol=1e-9)
    assert found.quantisation_error_mv == 0.0


@pytest.mark.parametrize(
    ("step", "unit", "rate_hz"),
    [("0.002", "s", 500), ("2", "ms", 500), ("1000", "us", 1000), ("0.00390625", "s", 256), ("2.0E-3", "s", 500)],
)
def test_the_rate(files, counts, tmp_path, step: str, unit: str, rate_hz: float) -> None:
    lead = files.sequence("V1", digits(np.tile(counts[0], 2)))
    found = read_sequences(files, tmp_path, lead, files.increment(step=step, unit=unit))
    assert isinstance(found, Recording), found
    assert found.rate_hz == pytest.approx(rate_hz, abs=1e-9)


def test_each_lead_has_a_scale_of_its_own_and_others_are_left_out(files, counts, tmp_path) -> None:
    found = read_sequences(
        files,
        tmp_path,
        files.increment(),
        files.increment("TIME_ABSOLUTE", "GLIST_TS", "20191105133759", "2", "ms"),
        files.sequence("aVF", digits(counts[0]), scale="5"),
        files.sequence("MLII", "1 2 x", unit="mmHg"),
        files.sequence("V6", digits(counts[1]), scale="1"),
    )
    assert isinstance(found, Recording), found
    assert found.leads == ("aVF", "V6")
    np.testing.assert_array_equal(found.counts, counts[:2])
    np.testing.assert_allclose(found.gain_per_mv, [200, 1000])


def test_decimals_are_quantised_and_wide_numbers_kept(files, counts, tmp_path) -> None:
    millivolts = counts * 0.00123
    sequences = [
        files.sequence(lead, digits(row), scale="1", unit="mV", origin="0.5")
        for lead, row in zip(("I", "II", "V1"), millivolts, strict=True)
    ]
    found = read_sequences(files, tmp_path, files.increment(), *sequences)
    assert isinstance(found, Recording), found
    assert 0 < found.quantisation_error_mv < 1e-3
    np.testing.assert_allclose(found.signal, millivolts + 0.5, atol=found.quantisation_error_mv + 1e-6)
    wide = counts[0] + 1_000_000
    found = read_sequences(files, tmp_path, files.increment(), files.sequence("I", digits(wide), scale="5", unit="nV"))
    assert isinstance(found, Recording), found
    assert found.quantisation_error_mv == 0.0
    np.testing.assert_allclose(found.signal[0], wide * 5e-6, rtol=1e-6)


def test_the_first_rhythm_counts_and_no_beat(files, counts, tmp_path) -> None:
    first, second, third = (files.sequence("I", digits(row)) for row in counts)
    time = files.increment()
    several = [
        files.series([time, first], code="REPRESENTATIVE_BEAT"),
        files.series([time, second], [time, files.sequence("X", "1 2 3")], beat=[time, first]),
        files.series([time, third]),
    ]
    found = read_text(tmp_path, files.document(several, PERSON))
    assert isinstance(found, Recording), found
    np.testing.assert_array_equal(found.counts, counts[1:2])
    refused = read_text(tmp_path, files.document(several[:1], PERSON))
    assert isinstance(refused, Rejected) and refused.reason == "no_waveform"


def test_leads_that_were_recorded_in_turns_are_refused(files, counts, tmp_path) -> None:
    time = files.increment()
    turns = [[time, files.sequence(lead, digits(counts[0]))] for lead in ("I", "V1")]
    refused = read_text(tmp_path, files.document([files.series(*turns)], PERSON))
    assert isinstance(refused, Rejected) and refused.reason == "unsupported"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_prefixes_and_encodings(files, counts, tmp_path, encoding: str) -> None:
    text = files.document([files.series([files.increment(), files.sequence("I", digits(counts[0]))])], PERSON)
    text = re.sub(r"<(/?)(?=[A-Za-z])", r"<\1v3:", text).replace('xmlns="urn', 'xmlns:v3="urn')
    text = text.replace("xsi:type", "s:type").replace("xmlns:xsi", "xmlns:s").replace('"SLIST_PQ', '"v3:SLIST_PQ')
    found = read_text(tmp_path, text, encoding)
    assert isinstance(found, Recording), found
    np.testing.assert_array_equal(found.counts, counts[:1])


@pytest.mark.parametrize(
    ("time", "lead", "reason"),
    [
        ({}, {"unit": "mmHg"}, "unknown_unit"),
        ({}, {"unit": ""}, "unknown_unit"),
        ({}, {"scale": "0"}, "gain_zero"),
        ({}, {"scale": "nan"}, "gain_zero"),
        ({}, {"scale": "-5"}, "gain_negative"),
        ({}, {"scale": "1e-30"}, "gain_range"),
        ({}, {"origin": ""}, "offset_missing"),
        ({}, {"origin": "1e20"}, "offset_range"),
        ({}, {"kind": "GLIST_PQ"}, "unsupported"),
        ({}, {"kind": "SLIST_INT"}, "unsupported"),
        ({}, {"lead": "MLII"}, "no_standard_lead"),
        ({}, {"digits": ""}, "no_waveform"),
        ({}, {"digits": "1 2 3"}, "no_waveform"),
        ({}, {"digits": "1 2 NaN"}, "unreadable"),
        ({}, {"digits": "1,2,3"}, "unreadable"),
        ({}, {"digits": " ".join(["3000000000"] * 600)}, "unreadable"),
        ({}, {"digits": " ".join([str(-(2**63))] * 600)}, "unreadable"),
        ({}, {"digits": " ".join(["1.5e300"] * 600)}, "unreadable"),
        ({"step": "0"}, {}, "rate_missing"),
        ({"step": "-0.002"}, {}, "rate_missing"),
        ({"step": ""}, {}, "rate_missing"),
        ({"step": "1e-9"}, {}, "rate_range"),
        ({"unit": "fortnight"}, {}, "unknown_unit"),
        ({"code": "TIME_OF_TEA"}, {}, "rate_missing"),
    ],
)
def test_what_cannot_be_read_has_a_reason(files, counts, tmp_path, time: dict, lead: dict, reason: str) -> None:
    of_lead = {"lead": "I", "digits": digits(counts[0])} | lead
    refused = read_sequences(files, tmp_path, files.increment(**time), files.sequence(**of_lead))
    assert isinstance(refused, Rejected), refused
    assert refused.reason == reason


def test_sequences_that_do_not_fit_together(files, counts, tmp_path) -> None:
    time, first = files.increment(), files.sequence("I", digits(counts[0]))
    for sequences, reason in (
        ([time, first, files.sequence("I", digits(counts[1]))], "duplicate_lead"),
        ([time, first, files.sequence("II", digits(counts[1][:-1]))], "truncated"),
        ([time, files.increment(step="0.004"), first], "unsupported"),
        ([first], "rate_missing"),
        ([time], "no_standard_lead"),
        ([], "no_standard_lead"),
    ):
        refused = read_sequences(files, tmp_path, *sequences)
        assert isinstance(refused, Rejected), sequences
        assert refused.reason == reason
    series = files.series([time, first])
    for text in (series.replace("sequenceSet", "sequences"), series.replace("series", "strip")):
        refused = read_text(tmp_path, files.document([text], PERSON))
        assert isinstance(refused, Rejected) and refused.reason == "no_waveform"
    without = re.sub(r"<value xsi:type=.SLIST_PQ.*?</value>", "", series, flags=re.DOTALL)
    refused = read_text(tmp_path, files.document([without], PERSON))
    assert isinstance(refused, Rejected) and refused.reason == "no_waveform"


@pytest.mark.parametrize(
    ("head", "of_series", "of_root", "acquired", "age"),
    [
        ("20191105133759.250", "", "", datetime(2019, 11, 5, 13, 37, 59, 250_000), 68),
        ("20191105133759+0100", "", "", datetime(2019, 11, 5, 13, 37, 59), 68),
        ("201911051337", "", "", datetime(2019, 11, 5, 13, 37), 68),
        ("", '<low value="20200101000000"/><high value="20210101000000"/>', "", datetime(2020, 1, 1), 68),
        ("", '<center value="20200329000001"/>', "", datetime(2020, 3, 29, 0, 0, 1), 69),
        ("", '<high value="20200101000000"/>', '<low value="2018"/>', datetime(2020, 1, 1), 68),
        ("", "", '<low value="20180101101112"/>', datetime(2018, 1, 1, 10, 11, 12), 66),
        ("20191105", "", '<center value="20191105133759"/>', datetime(2019, 11, 5, 13, 37, 59), 68),
        ("20191105", "", "", None, 68),
        ("201911", "", "", None, None),
        ("20191305133759", "", "", None, None),
        ("20191105993759", "", "", None, 68),
        ("noon", "", "", None, None),
        ("", "", "", None, None),
    ],
)
def test_the_time_and_the_age(files, counts, tmp_path, head, of_series, of_root, acquired, age) -> None:
    time = files.increment("TIME_ABSOLUTE", "GLIST_TS", head)
    series = files.series([time, files.sequence("I", digits(counts[0]))])
    series = series.replace("<component>", f"<effectiveTime>{of_series}</effectiveTime><component>", 1)
    text = files.document([series], PERSON)
    text = text.replace('<effectiveTime><center value="20191105"/>', f"<effectiveTime>{of_root}", 1)
    found = read_text(tmp_path, text)
    assert isinstance(found, Recording), found
    assert (found.acquired, found.age_years) == (acquired, age)
    assert (found.patient_id, found.sex) == (" 00123", "male")


def test_a_person_of_whom_nothing_is_known(files, counts, tmp_path) -> None:
    text = files.document([files.series([files.increment(), files.sequence("I", digits(counts[0]))])], PERSON)
    unknown = text.replace(' 00123"', ' "').replace('code="M"', 'code="UN"').replace("19510329", "1951")
    for changed in (unknown, re.sub(r"<componentOf>.*</componentOf>", "", text, flags=re.DOTALL)):
        found = read_text(tmp_path, changed)
        assert isinstance(found, Recording), found
        assert (found.patient_id, found.sex, found.age_years) == (None, None, None)


@pytest.fixture
def real() -> Path:
    folder = os.environ.get("HEMOMETRIC_DATA")
    if not folder:
        pytest.fail("HEMOMETRIC_DATA is not set: give the folder that holds vendor/hl7-aecg")
    return Path(folder) / "vendor" / "hl7-aecg"


@pytest.mark.data
def test_one_tracing_in_three_files_is_equal(real: Path) -> None:
    paths = sorted(real.glob("*.xml"))
    found = [read(next(find([path]))) for path in paths]
    assert len(found) == 3
    for path, one in zip(paths, found, strict=True):
        assert isinstance(one, Recording), one
        assert sorted(one.leads) == sorted(LEADS)
        assert (one.rate_hz, one.num_samples, one.quantisation_error_mv) == (500, 5000, 0)
        assert (one.age_years, one.sex, one.acquired) == (49, "male", datetime(2002, 11, 22, 9, 10))
        np.testing.assert_array_equal(one.gain_per_mv, 400)
        np.testing.assert_array_equal(one.offset_counts, 0)
        # The first twelve lists of numbers are the rhythm, as the text has them.
        lists = re.findall(r"LEAD_(\w+)\"[^<]*/>\s*<value.*?<digits>(.*?)</digits>", path.read_text(), re.DOTALL)[:12]
        assert [name.casefold() for name, _ in lists] == [lead.casefold() for lead in one.leads]
        np.testing.assert_array_equal(one.counts, [list(map(int, text.split())) for _, text in lists])
        assert max(limb_lead_residuals(standard_leads(one.signal, one.leads)[0]).values()) < 0.002
        np.testing.assert_array_equal(one.counts, found[0].counts)  # type: ignore[union-attr]
    assert [one.patient_id for one in found if isinstance(one, Recording)] == ["SBJ-123", "SBJ-123", "subject1"]


@pytest.mark.data
def test_real_files_of_a_few_samples_hold_no_rhythm(real: Path) -> None:
    found = [read(source) for source in find([real / "minimal"])]
    assert [one.reason for one in found if isinstance(one, Rejected)] == ["no_waveform"] * 6
