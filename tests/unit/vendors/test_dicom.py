"""What is particular to DICOM waveforms; `pydicom` is the oracle."""

import io
import os
import runpy
import struct
import warnings
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from hemometric.ecg import LEADS, Recording, Rejected
from hemometric.vendors import find, read

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import pydicom

DICOM = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[2] / "vendor_files" / "dicom.py")))
element = DICOM.element
COUNTS = np.random.default_rng(2).integers(-9000, 9000, (700, 3)).astype("<i2")
THREE = ("I", "II", "V1")
PERSON = {
    "patient_id": "MRN0815471", "name": "Canaria^Quxabella", "birth_date": date(1951, 3, 29), "age_years": 68,
    "sex": "female", "acquired": datetime(2019, 11, 5, 13, 37, 59), "serial": "SNDEV99X7", "note": "son",
}  # fmt: skip

Take = Callable[[bytes], Recording | Rejected]


@pytest.fixture
def take(tmp_path: Path) -> Take:
    """Read a file of these bytes."""

    def one(content: bytes) -> Recording | Rejected:
        path = tmp_path / "zz7.dcm"
        path.write_bytes(content)
        (source,) = find([path])
        assert source.format == "dicom"
        return read(source)

    return one


def channels(**changes) -> list[bytes]:
    return [DICOM.channel(lead, **changes) for lead in THREE]


def group(counts: np.ndarray = COUNTS, made: list[bytes] | None = None, **changes) -> bytes:
    return DICOM.group(counts, 500, channels() if made is None else made, **changes)


def file(*groups: bytes) -> bytes:
    waveforms = element(0x54000100, "SQ", list(groups)) if groups else b""
    return DICOM.file(DICOM.head(PERSON) + waveforms)


def refusal(found: Recording | Rejected) -> str:
    assert isinstance(found, Rejected), found
    assert not [word for word in (*map(str, PERSON.values()), "Canaria", "zz7") if word in found.detail]
    return found.reason


def test_counts_are_those_of_the_file_and_millivolts_those_of_pydicom(take: Take) -> None:
    scale = DICOM.sensitivity("4.88", "uV", correction="1.01", baseline="-120.5")
    content = file(group(made=channels(scale=scale)))
    found = take(content)
    assert isinstance(found, Recording), found
    assert found.leads == THREE
    assert np.array_equal(found.counts, COUNTS.T)
    assert found.quantisation_error_mv == 0
    expected = pydicom.dcmread(io.BytesIO(content)).waveform_array(0).T / 1000
    assert np.abs(found.signal - expected).max() < 1e-5
    assert (found.patient_id, found.sex, found.age_years, found.acquired) == (
        *("MRN0815471", "female", 68),
        datetime(2019, 11, 5, 13, 37, 59),
    )


@pytest.mark.parametrize(
    ("kind", "interpretation"), [("i1", "SB"), ("u1", "UB"), ("<u2", "US"), ("<i4", "SL"), ("<i2", "SS")]
)
def test_widths_of_samples_and_the_padding_value(take: Take, kind: str, interpretation: str) -> None:
    info = np.iinfo(kind)
    counts = np.random.default_rng(4).integers(max(info.min, -40000), min(info.max, 20000), (701, 3)).astype(kind)
    counts[7, 1] = info.max
    padding = counts[7:8, 1].tobytes()
    found = take(file(group(counts, interpretation=interpretation, padding=padding.ljust(2, b"\0"))))
    assert isinstance(found, Recording), found
    expected = np.where(info.max == counts.T, np.nan, counts.T * 0.0025)
    assert np.isnan(found.signal[1, 7])
    assert np.array_equal(np.isnan(found.signal), np.isnan(expected))
    assert np.nanmax(np.abs(found.signal - expected)) < 1e-5
    assert found.quantisation_error_mv == 0


@pytest.mark.parametrize(("bits", "interpretation"), [(8, "MB"), (8, "AB"), (16, "UL"), (64, "SV")])
def test_other_samples_are_refused(take: Take, bits: int, interpretation: str) -> None:
    counts = COUNTS.astype(f"<i{bits // 8}")
    assert refusal(take(file(group(counts, interpretation=interpretation)))) == "unsupported"


def test_the_rhythm_is_taken_wherever_it_stands(take: Take) -> None:
    median = group(COUNTS[:300] + 1, originality="DERIVED", label="MEDIAN BEAT")
    named_only = group(COUNTS[:300] + 1, label="Median")
    strip = DICOM.group(np.repeat(COUNTS[:, 1:2], 5, axis=0), 500, [DICOM.channel("II")])
    for groups in ([median, group()], [group(), median], [named_only, group()], [strip, group()]):
        found = take(file(*groups))
        assert isinstance(found, Recording), found
        assert np.array_equal(found.counts, COUNTS.T)
    assert refusal(take(file(median))) == "no_waveform"


def test_leads_spread_over_groups_are_not_an_ecg_of_three_leads(take: Take) -> None:
    other = DICOM.group(COUNTS, 500, [DICOM.channel(lead) for lead in ("V2", "V3", "V4")])
    assert refusal(take(file(group(), other))) == "unsupported"


@pytest.mark.parametrize(
    ("source", "lead"),
    [
        (("2:61", "MDC", "Lead III"), "III"),
        (("131134", "MDC", "x"), "aVR"),
        (("5.6.3-9-64", "SCPECG", "Lead aVF"), "aVF"),
        (("MDC_ECG_LEAD_V4", "MDC", ""), "V4"),
        (("5.6.3-9-1", "SCPECG", "Lead I (Einthoven)"), "I"),
        (("2:62", "MDC", "aVR, augmented voltage, right"), "aVR"),
        (("LOCAL1", "99MAKER", "Lead V6"), "V6"),
        (("2:1", "99MAKER", "unknown"), None),
        (("2:65", "MDC", "Lead -aVR"), None),
        (("5.6.3-9-9", "SCPECG", "Lead V7"), None),
        (("2:1", "MDC", "Lead II"), "conflict"),
    ],
)
def test_codes_and_meanings_of_leads(take: Take, source: tuple[str, str, str], lead: str | None) -> None:
    made = [DICOM.channel("I", source=DICOM.code(*source))]
    found = take(file(DICOM.group(COUNTS[:, :1], 500, made)))
    if lead in (None, "conflict"):
        assert refusal(found) == ("no_standard_lead" if lead is None else "lead_conflict")
    else:
        assert isinstance(found, Recording) and found.leads == (lead,)


def test_a_label_counts_where_no_code_is(take: Take) -> None:
    made = [element(0x003A0203, "SH", "V3") + DICOM.sensitivity()]
    found = take(file(DICOM.group(COUNTS[:, :1], 500, made)))
    assert isinstance(found, Recording) and found.leads == ("V3",)


def test_leads_that_are_declared_useless_are_left_out(take: Take) -> None:
    statuses = {"I": "OK", "II": "QUESTIONABLE\\DISCONNECTED", "V1": "QUESTIONABLE"}
    made = [DICOM.channel(lead, rest=element(0x003A0205, "CS", status)) for lead, status in statuses.items()]
    found = take(file(group(made=made)))
    assert isinstance(found, Recording)
    assert found.leads == ("I", "V1")
    assert np.array_equal(found.counts, COUNTS.T[[0, 2]])


def test_a_skew_between_leads_is_refused_one_of_all_leads_is_none(take: Take) -> None:
    for tag, value in ((0x003A0214, "0.002"), (0x003A0215, "1"), (0x003A0218, "-0.1")):
        one = [DICOM.channel(lead, rest=element(tag, "DS", value if lead == "II" else "0")) for lead in THREE]
        assert refusal(take(file(group(made=one)))) == "unsupported"
    assert isinstance(take(file(group(made=channels(rest=element(0x003A0215, "DS", "1"))))), Recording)


@pytest.mark.parametrize(
    ("reason", "scale"),
    [
        ("unknown_unit", DICOM.sensitivity(unit="mm[Hg]")),
        ("unknown_unit", element(0x003A0210, "DS", "2.5")),
        ("gain_zero", DICOM.sensitivity("0")),
        ("gain_zero", DICOM.sensitivity(correction="0")),
        ("gain_zero", DICOM.sensitivity("")),
        ("gain_negative", DICOM.sensitivity("-2.5")),
        ("offset_range", DICOM.sensitivity(baseline="1e30")),
        ("unreadable", DICOM.sensitivity("nan")),
        ("unreadable", DICOM.sensitivity("2.5\\2.5")),
        ("gain_range", DICOM.sensitivity("1e-300")),
    ],
)
def test_a_scale_is_never_guessed(take: Take, reason: str, scale: bytes) -> None:
    assert refusal(take(file(group(made=channels(scale=scale))))) == reason


def test_groups_that_cannot_be_right(take: Take) -> None:
    assert refusal(take(file())) == "no_waveform"
    assert refusal(take(file(group(COUNTS[:0])))) == "no_waveform"
    assert refusal(take(file(group(made=channels()[:2])))) == "unreadable"
    assert refusal(take(file(group(made=[DICOM.channel("I")] * 3)))) == "duplicate_lead"
    assert refusal(take(file(DICOM.group(COUNTS, 0, channels())))) == "rate_missing"
    announced = file(group())
    few, many = (element(0x003A0010, "UL", num) for num in (700, 701))
    assert refusal(take(announced.replace(few, many))) == "truncated"
    assert refusal(take(announced.replace(few, element(0x003A0010, "UL", 0xFFFF_FFFF)))) == "too_long"


@pytest.mark.parametrize(
    ("age", "years"), [("056Y", 56), ("018M", 1.5), ("002W", 14 / 365.25), ("000Y", 0), ("", 68), ("300Y", 68)]
)
def test_age(take: Take, age: str, years: float) -> None:
    content = file(group()).replace(element(0x00101010, "AS", "068Y"), element(0x00101010, "AS", age))
    found = take(content)
    assert isinstance(found, Recording) and found.age_years == pytest.approx(years)


@pytest.mark.parametrize(
    ("text", "acquired"),
    [
        ("20200229010203.25+0900", datetime(2020, 2, 29, 1, 2, 3)),
        ("202002290102", datetime(2020, 2, 29, 1, 2)),
        ("20210229010203", None),
        ("2020", None),
        ("20200101250000", None),
    ],
)
def test_the_wall_clock(take: Take, text: str, acquired: datetime | None) -> None:
    content = file(group()).replace(element(0x0008002A, "DT", "20191105133759"), element(0x0008002A, "DT", text))
    found = take(content)
    assert isinstance(found, Recording) and found.acquired == acquired


@pytest.mark.parametrize(
    ("character_set", "encoding"),
    [("ISO_IR 192", "utf-8"), ("ISO_IR 144", "iso8859-5"), ("ISO 2022 IR 100", "latin-1")],
)
def test_ids_beyond_ascii(take: Take, character_set: str, encoding: str) -> None:
    patient = "\u0416-7" if encoding != "latin-1" else "\u00c4-7"
    body = element(0x00080005, "CS", character_set) + element(0x00100020, "LO", "?-7")
    stored = patient.encode(encoding)
    body = body[:-4] + stored.ljust(len(stored) + len(stored) % 2)
    body = body.replace(struct.pack("<H", 4) + stored, struct.pack("<H", len(stored) + len(stored) % 2) + stored)
    found = take(DICOM.file(body + element(0x54000100, "SQ", [group()])))
    assert isinstance(found, Recording) and found.patient_id == patient


@pytest.mark.data
def test_the_real_file_as_pydicom_reads_it() -> None:
    folder = os.environ.get("HEMOMETRIC_DATA")
    assert folder, "HEMOMETRIC_DATA is not set: give the folder that holds vendor/dicom"
    sources = list(find([Path(folder) / "vendor" / "dicom"]))
    assert len(sources) == 1
    for source in sources:
        found = read(source)
        assert isinstance(found, Recording)
        oracle = pydicom.dcmread(source.path)
        assert found.leads == LEADS
        assert np.abs(found.signal - oracle.waveform_array(0).T / 1000).max() < 1e-5
        assert (found.patient_id, found.sex, found.age_years) == (oracle.PatientID, "female", 42)
        assert f"{found.acquired:%Y%m%d%H%M%S}" == oracle.AcquisitionDateTime
