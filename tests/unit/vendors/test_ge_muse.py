"""GE MUSE XML: what is particular to it; tests/vendor_files/ge_muse.py writes the files."""

import base64
import os
import struct
from collections.abc import Callable
from datetime import datetime
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any
from xml.dom import minidom
from zlib import crc32

import numpy as np
import pytest

from hemometric.ecg import INVALID_COUNT, Recording, Rejected
from hemometric.vendors import find, read
from hemometric.waveform import standard_leads

SPEC = spec_from_file_location("ge_muse_file", Path(__file__).parents[2] / "vendor_files" / "ge_muse.py")
assert SPEC is not None and SPEC.loader is not None
muse: Any = module_from_spec(SPEC)
SPEC.loader.exec_module(muse)

EIGHT = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
ReadText = Callable[[str], Recording | Rejected]


def rows(leads: tuple[str, ...] = EIGHT, num_samples: int = 40) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(3)
    return {lead: draw.integers(-32768, 32768, num_samples).astype(np.int16) for lead in leads}


@pytest.fixture
def read_text(tmp_path: Path) -> ReadText:
    """Read the text of a file as a user would."""

    def one(text: str) -> Recording | Rejected:
        path = tmp_path / "zz7.xml"
        path.write_text(text, encoding="iso-8859-1")
        (source,) = find([path])
        assert source.format == "ge-muse"
        return read(source)

    return one


@pytest.fixture
def recorded(read_text: ReadText) -> Callable[..., Recording]:
    """Read a file of one rhythm waveform with changes, which must be taken."""

    def one(stored: dict[str, np.ndarray] | None = None, people: str = "", **changes: object) -> Recording:
        found = read_text(muse.document([muse.waveform("Rhythm", stored or rows(), 500, **changes)], people))
        assert isinstance(found, Recording), found
        return found

    return one


@pytest.fixture
def refused(read_text: ReadText) -> Callable[..., str]:
    """Read a file of one rhythm waveform with changes, which must be refused, and give the reason."""

    def one(stored: dict[str, np.ndarray] | None = None, **changes: object) -> str:
        found = read_text(muse.document([muse.waveform("Rhythm", stored or rows(), 500, **changes)]))
        assert isinstance(found, Rejected), found
        assert "zz7" not in found.detail
        return found.reason

    return one


def test_counts_are_native(recorded) -> None:
    stored = rows()
    found = recorded(stored)
    assert found.leads == EIGHT
    np.testing.assert_array_equal(found.counts, np.stack(list(stored.values())))
    np.testing.assert_allclose(found.gain_per_mv, 200)
    assert not found.offset_counts.any()
    assert found.quantisation_error_mv == 0
    _, present = standard_leads(found.signal, found.leads)
    assert present.all()


@pytest.mark.parametrize(
    ("unit", "per_bit", "gain_per_mv"),
    [("MICROVOLTS", "4.88", 1000 / 4.88), ("MILLIVOLTS", "0.005", 200), ("VOLTS", "5e-6", 200)],
)
def test_units(recorded, unit: str, per_bit: str, gain_per_mv: float) -> None:
    found = recorded(LeadAmplitudeUnits=unit, LeadAmplitudeUnitsPerBit=per_bit)
    np.testing.assert_allclose(found.gain_per_mv, gain_per_mv)


@pytest.mark.parametrize(
    ("base", "exponent", "rate_hz"), [(500, 0, 500), (25, 1, 250), (1000, None, 1000), (5000, -1, 500)]
)
def test_rates(recorded, base: int, exponent: int | None, rate_hz: float) -> None:
    assert recorded(SampleBase=base, SampleExponent=exponent).rate_hz == rate_hz


def test_twelve_stored_leads_and_those_that_are_not_standard(recorded) -> None:
    stored = rows(("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6", "V3R", "V4R", "V7", "X"))
    found = recorded(stored)
    assert found.leads == tuple(stored)[:12]
    np.testing.assert_array_equal(found.counts[8], stored["V3"])


def test_the_rhythm_is_taken_wherever_the_median_beat_stands(read_text) -> None:
    stored, median = rows(), rows(num_samples=30)
    waveforms = [muse.waveform("Rhythm", stored, 500), muse.waveform("Median", median, 1000, LeadAmplitudeUnits="?")]
    for order in (waveforms, waveforms[::-1]):
        found = read_text(muse.document(order))
        assert isinstance(found, Recording), found
        assert (found.num_samples, found.rate_hz) == (40, 500)
    for kinds, reason in (([], "no_waveform"), (["Median"], "no_waveform"), (["Rhythm"] * 2, "unsupported")):
        found = read_text(muse.document([muse.waveform(kind, stored, 500) for kind in kinds]))
        assert isinstance(found, Rejected) and found.reason == reason


def test_elements_that_simple_exports_leave_out(recorded) -> None:
    names = ["LeadByteCountTotal", "LeadTimeOffset", "LeadHighLimit", "LeadLowLimit", "LeadOffsetFirstSample"]
    names += ["FirstSampleBaseline", "LeadSampleSize", "LeadOff", "BaselineSway", "LeadDataCRC32"]
    names += ["WaveformStartTime", "NumberofLeads", "SampleType", "SampleExponent", "HighPassFilter", "ACFilter"]
    assert recorded(**dict.fromkeys(names)).num_samples == 40


def test_the_lowest_count_is_no_sample(recorded) -> None:
    stored = rows()
    stored["V1"][5] = INVALID_COUNT
    assert np.isnan(recorded(stored).signal[2, 5])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"WaveformType": "rhythm of another kind"}, "no_waveform"),
        ({"WaveformType": None}, "no_waveform"),
        ({"SampleType": "MULTIPLEX_SAMPLES"}, "unsupported"),
        ({"SampleBase": None}, "rate_missing"),
        ({"SampleBase": 0}, "rate_missing"),
        ({"SampleBase": "five hundred"}, "unreadable"),
        ({"SampleExponent": 9}, "rate_range"),
        ({"SampleExponent": 999}, "rate_missing"),
        ({"SampleExponent": -4}, "rate_range"),
        ({"LeadID": "MLII"}, "no_standard_lead"),
        ({"LeadID": "V1"}, "duplicate_lead"),
        ({"LeadAmplitudeUnits": "MMHG"}, "unknown_unit"),
        ({"LeadAmplitudeUnits": None}, "unknown_unit"),
        ({"LeadAmplitudeUnitsPerBit": 0}, "gain_zero"),
        ({"LeadAmplitudeUnitsPerBit": None}, "gain_zero"),
        ({"LeadAmplitudeUnitsPerBit": -10}, "gain_negative"),
        ({"LeadAmplitudeUnitsPerBit": "1e99"}, "gain_range"),
        ({"LeadAmplitudeUnitsPerBit": "4,88"}, "unreadable"),
        ({"LeadSampleSize": 4}, "unsupported"),
        ({"LeadTimeOffset": 2}, "unsupported"),
        ({"LeadOffsetFirstSample": 2}, "unsupported"),
        ({"FirstSampleBaseline": 2}, "unsupported"),
        ({"LeadByteCountTotal": 82}, "truncated"),
        ({"LeadByteCountTotal": 78}, "unreadable"),
        ({"LeadSampleCountTotal": 41}, "truncated"),
        ({"LeadSampleCountTotal": "1e30"}, "truncated"),
        ({"LeadDataCRC32": 1}, "checksum"),
        ({"WaveFormData": None}, "truncated"),
        ({"WaveFormData": "", "LeadByteCountTotal": 0, "LeadSampleCountTotal": 0}, "truncated"),
        ({"WaveFormData": "AAAA", "LeadByteCountTotal": None, "LeadSampleCountTotal": None}, "truncated"),
        ({"WaveFormData": "AAA"}, "unreadable"),
        ({"WaveFormData": "AA=A"}, "unreadable"),
        ({"WaveFormData": "\u00e4\u00e4\u00e4\u00e4"}, "unreadable"),
    ],
)
def test_what_is_refused(refused, changes: dict[str, object], reason: str) -> None:
    assert refused(**changes) == reason


def test_leads_of_different_lengths(refused) -> None:
    assert refused(rows() | rows(("V6",), 39)) == "truncated"


def test_one_flipped_bit_in_the_samples_is_found(read_text) -> None:
    text = muse.document([muse.waveform("Rhythm", rows(), 500)])
    at = text.index("<WaveFormData>") + 30
    found = read_text(f"{text[:at]}{'A' if text[at] != 'A' else 'B'}{text[at + 1 :]}")
    assert isinstance(found, Rejected) and found.reason == "checksum"


def test_more_samples_than_an_ecg_has(refused) -> None:
    assert refused(WaveFormData="AAAA" * 1_500_000) == "too_long"
    assert refused(rows(("I",)), WaveFormData="AA AA\n" * 2_000_000) == "unreadable"  # more than is announced


@pytest.mark.parametrize(
    ("age", "unit", "born", "years"),
    [
        ("43", "YEARS", None, 43),
        ("30", "MONTHS", None, 2.5),
        ("10", "WEEKS", None, 70 / 365.25),
        ("3", "DAYS", None, 3 / 365.25),
        ("12", "HOURS", None, 0.5 / 365.25),
        ("300", "YEARS", "03-29-1951", None),
        ("9" * 50, "DAYS", None, None),
        ("43", None, None, None),
        ("-43", "DAYS", None, None),
        (None, None, "03-29-1951", 68),
        (None, None, "11-06-1951", 67),
        (None, None, "XX-XX-XXXX", None),
    ],
)
def test_ages(recorded, age, unit, born, years: float | None) -> None:
    people = muse.demographics(PatientAge=age, AgeUnits=unit, DateofBirth=born)
    people += muse.tests_made(AcquisitionTime="13:37:59", AcquisitionDate="11-05-2019")
    found = recorded(people=people).age_years
    assert found == (None if years is None else pytest.approx(years))


@pytest.mark.parametrize(
    ("day", "time", "acquired"),
    [
        ("11-05-2019", "13:37:59", datetime(2019, 11, 5, 13, 37, 59)),
        ("25-12-2019", "13:37:59", None),
        ("2019-11-05", "13:37:59", None),
        ("11-05-2019", "", None),
        ("", "13:37:59", None),
        ("XX-XX-XXXX", "XX:XX:XX", None),
    ],
)
def test_times(recorded, day: str, time: str, acquired: datetime | None) -> None:
    assert recorded(people=muse.tests_made(AcquisitionTime=time, AcquisitionDate=day)).acquired == acquired


def test_people(recorded) -> None:
    found = recorded(people=muse.demographics(PatientID=" 00123\n", Gender="FEMALE"))
    assert (found.patient_id, found.sex, found.age_years, found.acquired) == ("00123", "female", None, None)
    nobody = recorded(people=muse.demographics(PatientID=" ", Gender="UNKNOWN"))
    assert (nobody.patient_id, nobody.sex) == (None, None)
    assert recorded().patient_id is None


@pytest.fixture
def real() -> Path:
    folder = os.environ.get("HEMOMETRIC_DATA")
    if not folder:
        pytest.fail("HEMOMETRIC_DATA is not set: give the folder that holds vendor/ge-muse-xml")
    return Path(folder) / "vendor" / "ge-muse-xml"


def content(element: minidom.Node, name: str) -> str:
    """The text of the first element of that name, by another parser than the reader's."""
    (text,) = element.getElementsByTagName(name)[0].childNodes
    return str(text.data).strip()


@pytest.mark.data
def test_real_files(real: Path) -> None:
    """Against a decoder of a few lines, and against what the device itself found in the ECG."""
    sources = list(find([real]))
    assert len(sources) == 3
    for source in sources:
        found = read(source)
        assert isinstance(found, Recording), found
        assert (found.leads, found.rate_hz, found.num_samples) == (EIGHT, 500, 5000)
        np.testing.assert_allclose(found.gain_per_mv, 1000 / 4.88)
        document = minidom.parse(str(source.path))
        _, rhythm = document.getElementsByTagName("Waveform")
        for lead, row, element in zip(found.leads, found.counts, rhythm.getElementsByTagName("LeadData"), strict=True):
            decoded = base64.b64decode(content(element, "WaveFormData"))
            assert content(element, "LeadID") == lead
            assert struct.unpack("<5000h", decoded) == tuple(row)
        all_leads = document.getElementsByTagName("LeadData")
        assert len(all_leads) == 16
        for element in all_leads:  # that this is the checksum holds for median beats too
            decoded = base64.b64decode(content(element, "WaveFormData"))
            assert int(content(element, "LeadDataCRC32")) == crc32(decoded)

        beats_ms = np.array([float(content(beat, "Time")) for beat in document.getElementsByTagName("QRS")])
        rate_per_min = 60_000 / np.median(np.diff(beats_ms))
        assert rate_per_min == pytest.approx(float(content(document, "VentricularRate")), rel=0.05)
        slope = np.abs(np.gradient(found.signal, axis=1)).sum(axis=0)
        at = np.rint(beats_ms / 1000 * found.rate_hz).astype(int)
        near = [slope[max(0, index - 40) : index + 40].max() for index in at]
        assert np.min(near) > 5 * np.median(slope)
        signal, present = standard_leads(found.signal, found.leads)
        assert present.all()
        assert 0.3 < np.ptp(signal, axis=1).max() < 6


@pytest.mark.data
def test_the_person_in_a_real_file(real: Path) -> None:
    (source,) = find([real / "egm_muse-sinus.xml"])
    found = read(source)
    assert isinstance(found, Recording)
    document = minidom.parse(str(source.path))
    assert found.patient_id == content(document, "PatientID")
    assert found.age_years == int(content(document, "PatientAge"))
    assert found.sex == content(document, "Gender").lower()
    acquired = found.acquired
    assert acquired is not None
    assert f"{acquired:%m-%d-%Y}" == content(document, "AcquisitionDate")
    assert f"{acquired:%H:%M:%S}" == content(document, "AcquisitionTime")
