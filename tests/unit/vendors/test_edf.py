"""What is particular to EDF, EDF+ and BDF; `edfio` is the oracle."""

import io
import os
import runpy
import warnings
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import edfio
import numpy as np
import pytest

from hemometric.ecg import INVALID_COUNT, Recording, Rejected
from hemometric.vendors import find, read

EDF = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[2] / "vendor_files" / "edf.py")))
SAMPLES = np.random.default_rng(3).integers(-9000, 9000, (3, 250)).astype(np.int16)

Take = Callable[..., Recording | Rejected]


@pytest.fixture
def take(tmp_path: Path) -> Take:
    """Read a file of these bytes, or of these signals and header fields."""

    def one(content: bytes | Sequence, **fields) -> Recording | Rejected:
        path = tmp_path / "zz7.edf"
        path.write_bytes(content if isinstance(content, bytes) else EDF.file(content, **fields))
        (source,) = find([path])
        assert source.format == "edf"
        return read(source)

    return one


def lead(label: str = "ECG II", samples: np.ndarray = SAMPLES, **changes) -> object:
    return EDF.Signal(label, samples, **changes)


def test_counts_are_those_of_the_file_and_millivolts_those_of_edfio(take: Take) -> None:
    signals = [
        lead(),
        lead("ECG V1", SAMPLES[:, ::-1], unit="uV", physical=("-1250", "5000"), digital=("-2048", "2047")),
    ]
    found = take(signals)
    assert isinstance(found, Recording), found
    assert found.leads == ("II", "V1")
    assert np.array_equal(found.counts[0], SAMPLES.ravel())
    assert found.quantisation_error_mv == 0
    oracle = edfio.read_edf(io.BytesIO(EDF.file(signals)))
    expected = np.stack([oracle.signals[0].data, oracle.signals[1].data / 1000])
    assert np.abs(found.signal - expected).max() < 1e-5


def test_a_file_that_edfio_writes_is_read(take: Take) -> None:
    millivolts = np.round(np.random.default_rng(1).uniform(-3, 3, 2000), 3)
    signal = edfio.EdfSignal(millivolts, 500, label="ECG aVL", physical_dimension="mV", physical_range=(-5, 5))
    person = edfio.Patient(code="A12", sex="F", birthdate=datetime(1950, 6, 2).date(), name="Some_One")
    made = edfio.Edf(
        [signal],
        patient=person,
        recording=edfio.Recording(startdate=datetime(2010, 6, 1).date()),
        starttime=datetime(2010, 6, 1, 7, 8, 9).time(),
        annotations=[edfio.EdfAnnotation(1, None, "note")],
    )
    stored = io.BytesIO()
    made.write(stored)
    found = take(stored.getvalue())
    assert isinstance(found, Recording), found
    assert (found.leads, found.rate_hz) == (("aVL",), 500)
    assert np.abs(found.signal[0] - millivolts).max() <= 10 / 65535
    assert (found.patient_id, found.sex, found.age_years) == ("A12", "female", 59)
    assert found.acquired == datetime(2010, 6, 1, 7, 8, 9)


@pytest.mark.parametrize("low", [-8_388_608, -30_000])
def test_24_bits_are_read(take: Take, low: int) -> None:
    samples = np.linspace(low, 30_000, 750).round().astype(np.int32).reshape(3, 250)
    signal = lead(samples=samples, unit="uV", physical=("-262144", "262144"), digital=("-8388608", "8388607"))
    found = take([signal], version=b"\xffBIOSEMI", kind="24BIT")
    assert isinstance(found, Recording), found
    expected_mv = (samples.ravel() + 0.5) * (524288 / (2**24 - 1)) / 1000
    allowed_mv = found.quantisation_error_mv + 1e-4
    assert np.abs(found.signal[0] - expected_mv).max() <= allowed_mv
    assert (found.quantisation_error_mv == 0) == (low == -30_000)


def test_the_lowest_count_is_a_sample_like_any_other(take: Take) -> None:
    samples = SAMPLES.copy()
    samples[0, 0] = INVALID_COUNT
    found = take([lead(samples=samples)])
    assert isinstance(found, Recording)
    assert found.signal[0, 0] == pytest.approx(INVALID_COUNT / 400)
    assert found.quantisation_error_mv == 0


@pytest.mark.parametrize(
    ("label", "name"),
    [("ECG I", "I"), ("EKG II", "II"), ("ECG V1-Ref", "V1"), ("aVR", "aVR"), ("ecg-avf", "aVF"), ("ECG C2", "V2")]
    + [
        (label, None)
        for label in ("C3", "C4-A1", "C 4", "EEG C3", "ECG", "EKG", "ECG I-II", "-aVR", "ECG -aVR", "Resp I")
    ],
)
def test_labels(take: Take, label: str, name: str | None) -> None:
    found = take([lead(label)])
    if name is None:
        assert isinstance(found, Rejected) and found.reason == "no_standard_lead"
    else:
        assert isinstance(found, Recording) and found.leads == (name,)


@pytest.mark.parametrize(
    ("reason", "changes"),
    [
        ("unknown_unit", {"unit": ""}),
        ("unknown_unit", {"unit": "mmHg"}),
        ("gain_zero", {"physical": ("5", "5")}),
        ("gain_zero", {"digital": ("7", "7")}),
        ("gain_negative", {"physical": ("5", "-5")}),
        ("offset_range", {"physical": ("1e9", "1.001e9")}),
        ("unreadable", {"physical": ("low", "high")}),
    ],
)
def test_a_scale_is_never_guessed(take: Take, reason: str, changes: dict) -> None:
    found = take([lead(**changes)])
    assert isinstance(found, Rejected) and found.reason == reason, found


@pytest.mark.parametrize(
    ("reason", "fields"),
    [
        ("unsupported", {"kind": "EDF+D"}),
        ("rate_missing", {"record_s": "0"}),
        ("rate_missing", {"record_s": "-1"}),
        ("rate_range", {"record_s": "1e9"}),
        ("unreadable", {"record_s": "x"}),
        ("truncated", {"num_records": 4}),
        ("truncated", {"num_records": 0}),
        ("too_long", {"num_records": 99_999_999}),
        ("unreadable", {"num_records": -2}),
    ],
)
def test_headers_that_cannot_be_right(take: Take, reason: str, fields: dict) -> None:
    found = take([lead()], **fields)
    assert isinstance(found, Rejected) and found.reason == reason, found


def test_an_unknown_number_of_records_is_as_many_as_are_there(take: Take) -> None:
    content = EDF.file([lead()], num_records=-1)
    found = take(content[:-1])
    assert isinstance(found, Recording) and found.num_samples == 500


def test_leads_of_several_rates_or_of_one_name_are_refused(take: Take) -> None:
    found = take([lead("I"), lead("II", SAMPLES[:, ::2])])
    assert isinstance(found, Rejected) and found.reason == "unsupported"
    found = take([lead("ECG I"), lead("I")])
    assert isinstance(found, Rejected) and found.reason == "duplicate_lead"
    found = take([lead("I"), EDF.Signal("SpO2", SAMPLES[:, ::5], "%")])
    assert isinstance(found, Recording) and np.array_equal(found.counts[0], SAMPLES.ravel())


@pytest.mark.parametrize(
    ("patient", "recording", "start", "expected"),
    [
        ("7 M 02-MAY-1951 Q", "Startdate 01-MAY-2020 X X X", "01.05.2001.02.03", ("7", "male", 68)),
        ("X F X X", "Startdate X X X X", "01.05.2001.02.03", (None, "female", None)),
        ("Quxabella, Canaria 1951", "", "01.05.2001.02.03", (None, None, None)),
        ("7 M 02-MAI-1951 Q", "", "01.05.2001.02.03", ("7", "male", None)),
        ("7 F 02-MAY-1951 Q", "", " 1. 5.2001.02.03", ("7", "female", 68)),
    ],
)
def test_the_person(take: Take, patient: str, recording: str, start: str, expected: tuple) -> None:
    found = take([lead()], patient=patient, recording=recording, start=start)
    assert isinstance(found, Recording)
    assert (found.patient_id, found.sex, found.age_years) == expected
    assert found.acquired == (None if recording == "Startdate X X X X" else datetime(2020, 5, 1, 1, 2, 3))


@pytest.mark.parametrize("start", ["01.01.8500.00.00", "31.02.2001.02.03", "01.05.2025.02.03", "        01.02.03"])
def test_no_time_is_made_up(take: Take, start: str) -> None:
    found = take([lead()], recording="", start=start)
    assert isinstance(found, Recording) and found.acquired is None


@pytest.mark.data
def test_the_real_file_holds_annotations_only() -> None:
    folder = os.environ.get("HEMOMETRIC_DATA")
    assert folder, "HEMOMETRIC_DATA is not set: give the folder that holds vendor/edf"
    (source,) = find([Path(folder) / "vendor" / "edf"])
    assert source.format == "edf"
    found = read(source)
    assert isinstance(found, Rejected) and found.reason == "no_standard_lead"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert not edfio.read_edf(source.path).signals  # which leaves annotations out
